//! What a push carries: one object, or a part of it.
//!
//! A whole object is one push with `before.first` and both parts of `after` complete; a large one
//! is several, each with `before` = the former's `after`.

use std::collections::BTreeMap;

use seabed_denc::{Bytes, versioned};

use crate::{EVersion, HObject, IntervalSet, ObjectInfo, SnapSet};

versioned! {
    /// `ObjectRecoveryInfo` v3.
    pub struct RecoveryInfo(3, 1) {
        soid: HObject,
        version: EVersion,
        /// `u64::MAX` in a pull of a head: the puller does not know it.
        size: u64,
        object_info: ObjectInfo,
        snapset: SnapSet,
        /// What the sender sends.
        copy_subset: IntervalSet,
        /// What the receiver copies from its own clones.
        clone_subset: BTreeMap<HObject, IntervalSet>,
        /// The receiver has a copy and updates it in place.
        object_exist: bool [since 3],
    }
}

versioned! {
    /// `ObjectRecoveryProgress` v1.
    pub struct RecoveryProgress(1, 1) {
        first: bool = true,
        data_complete: bool,
        data_recovered_to: u64,
        omap_recovered_to: Bytes,
        omap_complete: bool,
    }
}

versioned! {
    /// `PushOp` v1.
    pub struct PushOp(1, 1) {
        soid: HObject,
        version: EVersion,
        /// The extents of `data_included`, one after the other.
        data: Bytes,
        data_included: IntervalSet,
        omap_header: Bytes,
        omap_entries: BTreeMap<Bytes, Bytes>,
        /// Replace all attributes when `before.first`.
        attrs: BTreeMap<Bytes, Bytes>,
        recovery_info: RecoveryInfo,
        after: RecoveryProgress,
        before: RecoveryProgress,
    }
}

versioned! {
    /// `PullOp` v1.
    pub struct PullOp(1, 1) {
        soid: HObject,
        recovery_info: RecoveryInfo,
        progress: RecoveryProgress,
    }
}

versioned! {
    /// `PushReplyOp` v1.
    pub struct PushReplyOp(1, 1) {
        soid: HObject,
    }
}
