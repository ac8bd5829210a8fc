//! The records of a directory, and what each is for.
//!
//! | key | value | there while |
//! |---|---|---|
//! | `n/NAME` | [`Name`] | a volume of that CSI name is made or exists |
//! | `v/PLACE` | [`Volume`] | the volume exists, or an adopted image was published once |
//! | `t/PLACE` | [`Trash`] | the volume is deleted, its image not yet |
//! | `m/NAME` | [`SnapshotName`] | a snapshot of that CSI name is made or exists |
//! | `s/SNAPSHOT` | [`Snapshot`] | the snapshot exists, or is being removed |
//! | `h/NODE` | [`Node`] | the node has registered itself |

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::rules::capability::{Filesystem, Mode};
use crate::rules::handle::Place;

pub(crate) fn name_key(name: &str) -> String {
    format!("n/{name}")
}

/// What keys of volumes begin with.
pub(crate) const VOLUMES: &str = "v/";

pub(crate) fn volume_key(place: &Place) -> String {
    format!("{VOLUMES}{place}")
}

/// What keys of images to be removed begin with.
pub(crate) const TRASH: &str = "t/";

pub(crate) fn trash_key(place: &Place) -> String {
    format!("{TRASH}{place}")
}

pub(crate) fn snapshot_name_key(name: &str) -> String {
    format!("m/{name}")
}

/// What keys of snapshots begin with.
pub(crate) const SNAPSHOTS: &str = "s/";

pub(crate) fn snapshot_key(name: &str) -> String {
    format!("{SNAPSHOTS}{name}")
}

/// What keys of nodes begin with.
pub(crate) const NODES: &str = "h/";

pub(crate) fn node_key(node: &str) -> String {
    format!("{NODES}{node}")
}

/// A volume's content comes from another's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    /// A snapshot's handle.
    Snapshot(String),
    /// A volume's handle.
    Volume(String),
}

/// The image that a clone is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    pub pool: String,
    pub namespace: String,
    /// An id: the image may be in the trash.
    pub image_id: String,
    pub snapshot: String,
    /// The snapshot is made for this clone alone, and goes when the clone is made.
    pub own: bool,
}

/// An image that is being made. Every attempt draws a name of its own, so that one that is
/// overtaken cannot spoil the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Draft {
    pub namespace: String,
    pub image: String,
    pub origin: Option<Origin>,
}

impl Draft {
    pub(crate) fn place(&self) -> Place {
        Place { namespace: self.namespace.clone(), image: self.image.clone() }
    }
}

/// What a volume's CSI name stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Name {
    /// Being made.
    Creating {
        draft: Draft,
        /// Of attempts that were given up; to be removed.
        orphans: Vec<Draft>,
    },
    /// Made.
    Ready { namespace: String, image: String },
}

/// A volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Volume {
    /// Its CSI name; none of an image that was only adopted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_pool: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// A file system was made on it: never again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub formatted: Option<Filesystem>,
    /// The map that every later client must have: it fences the last one.
    #[serde(default)]
    pub fence: u32,
    #[serde(default)]
    pub nodes: BTreeMap<String, Publication>,
}

/// A volume's being published to a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Publication {
    pub mode: Mode,
    pub read_only: bool,
    pub block: bool,
    /// The client that does its I/O, as a blocklist names it; from before its first I/O until it
    /// was cleanly detached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}

/// An image that is to go when nothing needs it any more.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trash {
    /// Once it has no name any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
}

/// What a snapshot's CSI name stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SnapshotName {
    /// The snapshot's name, here and in its image.
    pub snapshot: String,
    /// The source's handle.
    pub volume: String,
}

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    /// Its CSI name.
    pub name: String,
    /// The source's handle; the volume may be gone.
    pub volume: String,
    pub namespace: String,
    pub image_id: String,
    pub size: u64,
    /// Since 1970.
    pub seconds: i64,
    pub nanos: i32,
    /// It is being removed, and not shown any more.
    #[serde(default)]
    pub deleting: bool,
}

/// A node that runs the node service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Node {
    /// The kernel's.
    pub boot_id: String,
    /// IP addresses that its clients come from.
    pub addresses: Vec<String>,
}
