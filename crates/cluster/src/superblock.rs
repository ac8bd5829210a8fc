//! `OSDSuperblock`: who an OSD is and which maps it has; it stands in `osd_boot`.

use std::collections::BTreeMap;

use seabed_denc::{Decode, Reader, plain, versioned};

use crate::{Epoch, OsdId, UTime, Uuid};

plain! {
    /// Features of a format by number, and the mask of the numbers.
    pub struct FeatureSet {
        /// Bit 0 is always set.
        mask: u64 = 1,
        names: BTreeMap<u64, String>,
    }
}

plain! {
    /// `CompatSet`: who may open a store. A monitor does not look at it.
    pub struct CompatSet {
        compat: FeatureSet,
        ro_compat: FeatureSet,
        incompat: FeatureSet,
    }
}

versioned! {
    /// `OSDSuperblock` v10. From v11 on (20.2) the maps an OSD has stand behind it as ranges, and
    /// `oldest_map` and `newest_map` are 0.
    pub struct OsdSuperblock(10, 5) {
        cluster_fsid: Uuid,
        whoami: OsdId,
        current_epoch: Epoch,
        oldest_map: Epoch,
        newest_map: Epoch,
        /// Bits of an `f64`; unused, 0.
        weight_bits: u64,
        compat: CompatSet,
        /// The last epoch in which it was up and clean.
        clean_thru: Epoch,
        /// The epoch in which it was last mounted.
        mounted: Epoch,
        osd_fsid: Uuid,
        last_epoch_marked_full: Epoch,
        /// Formerly by pool; empty.
        pool_last_epoch_marked_full: BTreeMap<i64, Epoch>,
        purged_snaps_last: Epoch [since 9],
        last_purged_snaps_scrub: UTime [since 9],
        cluster_osdmap_trim_lower_bound: Epoch [since 10],
    }
}

impl OsdSuperblock {
    /// False for a store that never saw a map.
    pub fn has_maps(&self) -> bool {
        let ranges = self.kept.tail();
        self.newest_map != Epoch(0)
            || (!ranges.is_empty()
                && u32::decode(&mut Reader::new(ranges.to_vec().into())).is_ok_and(|n| n > 0))
    }
}
