//! The OSD service: functions from the map and an event to an increment.
//!
//! None of them sends anything: what the sender hears depends on the log.

pub mod boot;
pub mod failure;
pub mod full;
pub mod hold;
pub mod pg_temp;
pub mod pool;
pub mod pool_var;
pub mod snap;
pub mod tick;
