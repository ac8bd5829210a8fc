//! What tests of several modules share, and tests of whole PGs.

mod degraded;
pub(crate) mod recorded;
