//! The services: functions from the state and an event to a change, and to an answer.

pub mod cluster_log;
pub mod crush_edit;
pub mod health;
pub mod health_shown;
pub mod mute;
pub mod osd;
pub mod services;
pub mod stats;
