//! `ScrubMap`: what a replica found in a range of objects.

use std::collections::BTreeMap;

use seabed_denc::{Bytes, versioned};

use crate::{EVersion, HObject};

versioned! {
    /// `ScrubMap::object` v10.
    pub struct ScrubObject(10, 7) {
        size: u64,
        /// Not there.
        negative: bool,
        attrs: BTreeMap<Bytes, Bytes>,
        /// CRC-32C of the data, deep scrub only.
        digest: u32,
        digest_present: bool,
        /// Formerly links; 0.
        nlinks: u32,
        /// Formerly snap collections; 0.
        snapcolls: u32,
        omap_digest: u32,
        omap_digest_present: bool,
        /// Any of the errors that follow and are not known to older readers.
        compat_read_error: bool,
        stat_error: bool,
        read_error: bool,
        ec_hash_mismatch: bool,
        ec_size_mismatch: bool,
        large_omap_object_found: bool [since 9],
        large_omap_object_key_count: u64 [since 9],
        large_omap_object_value_size: u64 [since 9],
        object_omap_bytes: u64 [since 10],
        object_omap_keys: u64 [since 10],
    }
}

versioned! {
    /// `ScrubMap` v3.
    pub struct ScrubMap(3, 2) {
        objects: BTreeMap<HObject, ScrubObject>,
        /// Formerly attributes of the collection; 0.
        collection_attrs: u32,
        /// Formerly an encoded log; empty.
        log: Bytes,
        /// The replica's last_update.
        valid_through: EVersion,
        incr_since: EVersion,
    }
}
