//! What is known of volumes, snapshots and nodes: records in the cluster.

pub(crate) mod directory;
pub(crate) mod record;

pub(crate) use directory::{Change, Directory, Entry};
