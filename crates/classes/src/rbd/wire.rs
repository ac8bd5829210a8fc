//! What clients of the class say and hear, said once: types of inputs and outputs, names of
//! objects, bits of features. The client library `seabed-rbd` uses these.

pub use super::bit_vector::BitVector;
pub use super::group::{GroupImageSpec, GroupImageStatus, GroupSpec};
pub use super::group_snapshot::{GroupSnapshot, ImageSnapshotSpec};
pub use super::image::{
    ChildImageSpec, GroupImageSnapshotNamespace, MirrorSnapshotNamespace, ParentImageSpec,
    SnapshotInfo, SnapshotNamespace, TrashSnapshotNamespace,
};
pub use super::migration::MigrationSpec;
pub use super::trash::TrashImageSpec;

/// `RBD_FEATURE_*`.
#[allow(missing_docs)]
pub mod feature {
    pub const LAYERING: u64 = 1;
    pub const STRIPINGV2: u64 = 1 << 1;
    pub const EXCLUSIVE_LOCK: u64 = 1 << 2;
    pub const OBJECT_MAP: u64 = 1 << 3;
    pub const FAST_DIFF: u64 = 1 << 4;
    pub const DEEP_FLATTEN: u64 = 1 << 5;
    pub const JOURNALING: u64 = 1 << 6;
    pub const DATA_POOL: u64 = 1 << 7;
    pub const OPERATIONS: u64 = 1 << 8;
    pub const MIGRATING: u64 = 1 << 9;
    pub const NON_PRIMARY: u64 = 1 << 10;
    pub const DIRTY_CACHE: u64 = 1 << 11;

    pub const ALL: u64 = (1 << 12) - 1;
    /// Who does not know these cannot read the image.
    pub const INCOMPATIBLE: u64 = LAYERING | STRIPINGV2 | DATA_POOL | DIRTY_CACHE;
    /// Who does not know these cannot write it.
    pub const RW_INCOMPATIBLE: u64 = ALL;
    pub const MUTABLE: u64 =
        EXCLUSIVE_LOCK | OBJECT_MAP | FAST_DIFF | JOURNALING | NON_PRIMARY | DIRTY_CACHE;
    pub const DISABLE_ONLY: u64 = DEEP_FLATTEN;
    /// Set by methods only.
    pub const INTERNAL: u64 = OPERATIONS | MIGRATING;
}

/// `RBD_OPERATION_FEATURE_*`.
#[allow(missing_docs)]
pub mod op_feature {
    pub const CLONE_PARENT: u64 = 1;
    pub const CLONE_CHILD: u64 = 1 << 1;
    pub const GROUP: u64 = 1 << 2;
    pub const SNAP_TRASH: u64 = 1 << 3;
    pub const ALL: u64 = CLONE_PARENT | CLONE_CHILD | GROUP | SNAP_TRASH;
}
