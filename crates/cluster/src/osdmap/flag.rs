//! Bits of [`OsdMap::flags`](crate::OsdMap::flags) and of `osd_state`, with their names.

macro_rules! bits {
    ($table:ident: $($name:ident = $bit:literal, $text:literal;)*) => {
        $(
            #[doc = concat!("`", $text, "`")]
            pub const $name: u32 = $bit;
        )*

        /// Every bit with its name, from the least.
        pub const $table: &[(u32, &str)] = &[$(($name, $text)),*];
    };
}

/// Flags of a whole map.
pub mod map {
    bits! { ALL:
        NEARFULL = 0x1, "nearfull";
        FULL = 0x2, "full";
        PAUSERD = 0x4, "pauserd";
        PAUSEWR = 0x8, "pausewr";
        PAUSEREC = 0x10, "pauserec";
        NOUP = 0x20, "noup";
        NODOWN = 0x40, "nodown";
        NOOUT = 0x80, "noout";
        NOIN = 0x100, "noin";
        NOBACKFILL = 0x200, "nobackfill";
        NORECOVER = 0x400, "norecover";
        NOSCRUB = 0x800, "noscrub";
        NODEEP_SCRUB = 0x1000, "nodeep-scrub";
        NOTIERAGENT = 0x2000, "notieragent";
        NOREBALANCE = 0x4000, "norebalance";
        SORTBITWISE = 0x8000, "sortbitwise";
        REQUIRE_JEWEL = 0x1_0000, "require_jewel_osds";
        REQUIRE_KRAKEN = 0x2_0000, "require_kraken_osds";
        REQUIRE_LUMINOUS = 0x4_0000, "require_luminous_osds";
        RECOVERY_DELETES = 0x8_0000, "recovery_deletes";
        PURGED_SNAPDIRS = 0x10_0000, "purged_snapdirs";
        NOSNAPTRIM = 0x20_0000, "nosnaptrim";
        PGLOG_HARDLIMIT = 0x40_0000, "pglog_hardlimit";
        NOAUTOSCALE = 0x80_0000, "noautoscale";
    }

    /// The order in which Ceph prints them. `full` and `nearfull` are flags of pools since Luminous
    /// and not shown.
    pub const PRINT_ORDER: &[(u32, &str)] = &[
        (PAUSERD, "pauserd"),
        (PAUSEWR, "pausewr"),
        (PAUSEREC, "pauserec"),
        (NOUP, "noup"),
        (NODOWN, "nodown"),
        (NOOUT, "noout"),
        (NOIN, "noin"),
        (NOBACKFILL, "nobackfill"),
        (NOREBALANCE, "norebalance"),
        (NORECOVER, "norecover"),
        (NOSCRUB, "noscrub"),
        (NODEEP_SCRUB, "nodeep-scrub"),
        (NOTIERAGENT, "notieragent"),
        (NOSNAPTRIM, "nosnaptrim"),
        (SORTBITWISE, "sortbitwise"),
        (REQUIRE_JEWEL, "require_jewel_osds"),
        (REQUIRE_KRAKEN, "require_kraken_osds"),
        (REQUIRE_LUMINOUS, "require_luminous_osds"),
        (RECOVERY_DELETES, "recovery_deletes"),
        (PURGED_SNAPDIRS, "purged_snapdirs"),
        (PGLOG_HARDLIMIT, "pglog_hardlimit"),
        (NOAUTOSCALE, "noautoscale"),
    ];

    /// What the required release says by itself since Luminous.
    pub const REQUIRE_OLD: u32 = REQUIRE_JEWEL | REQUIRE_KRAKEN | REQUIRE_LUMINOUS;

    /// What a map of a fresh 16.2 cluster has.
    pub const FRESH: u32 = SORTBITWISE | RECOVERY_DELETES | PURGED_SNAPDIRS | PGLOG_HARDLIMIT;
}

/// States of one OSD.
pub mod osd {
    bits! { ALL:
        EXISTS = 0x1, "exists";
        UP = 0x2, "up";
        AUTOOUT = 0x4, "autoout";
        NEW = 0x8, "new";
        FULL = 0x10, "full";
        NEARFULL = 0x20, "nearfull";
        BACKFILLFULL = 0x40, "backfillfull";
        DESTROYED = 0x80, "destroyed";
        NOUP = 0x100, "noup";
        NODOWN = 0x200, "nodown";
        NOIN = 0x400, "noin";
        NOOUT = 0x800, "noout";
        STOP = 0x1000, "stop";
    }
}
