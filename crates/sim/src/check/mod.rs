//! The checkers. Each knows what was promised and nothing of how it is kept.

mod epochs;
mod history;
mod linear;
mod primaries;
mod replicas;
mod settled;
mod snapshots;

pub(crate) use epochs::Epochs;
pub(crate) use history::{Call, History};
pub(crate) use primaries::Primaries;
