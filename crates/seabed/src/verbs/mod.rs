//! The administrator's verbs.

pub(crate) mod csi;
pub(crate) mod object;
pub(crate) mod store;
pub(crate) mod tools;
pub(crate) mod volume;
