//! Which of upstream's test programs are run, and how: one row a program (or one of its
//! configurations), what of it is out of scope with the reason, and how long it may take.

/// One run of one program.
pub(crate) struct Row {
    /// What the table and `--program` call it.
    pub(crate) name: &'static str,
    /// The program in /usr/bin whose absence means that this release does not have the row.
    pub(crate) program: &'static str,
    pub(crate) kind: Kind,
    pub(crate) env: &'static [(&'static str, &'static str)],
    /// Seconds until one test of a gtest program, or a whole script, is taken for hanging.
    pub(crate) limit: u64,
    /// gtest patterns that are not run, each with the reason.
    pub(crate) outside: &'static [(&'static str, &'static str)],
    /// One OSD after the other is killed with -9 and started again all the while.
    pub(crate) killing: bool,
}

#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// A GoogleTest program: its tests are counted one by one.
    Gtest,
    /// Lines for `sh -e`: one test, passed by exit code 0.
    Script(&'static str),
}

const PLAIN: Row = Row {
    name: "",
    program: "",
    kind: Kind::Gtest,
    env: &[],
    limit: 300,
    outside: &[],
    killing: false,
};

const EC: (&str, &str) = ("*EC*.*", "erasure-coded pools");

const fn gtest(program: &'static str) -> Row {
    Row { name: program, program, ..PLAIN }
}

/// A program of the rados API whose suites have an erasure-coded twin.
const fn rados_api(program: &'static str) -> Row {
    Row { outside: &[EC], ..gtest(program) }
}

const fn librbd(name: &'static str, env: &'static [(&'static str, &'static str)]) -> Row {
    Row {
        name,
        env,
        outside: &[("*Migration*EC*", EC.1), ("TestLibRBD.ListChildrenTiered", "cache tiers")],
        ..gtest("ceph_test_librbd")
    }
}

const fn script(name: &'static str, program: &'static str, limit: u64, lines: &'static str) -> Row {
    Row { name, program, kind: Kind::Script(lines), limit, ..PLAIN }
}

/// What `ceph_test_rados` does to its objects: with `copy_from`, all that a replicated pool can.
/// (Not `watch`: the program never answers a notify, and aborts when the notifier is told so.)
/// A pool has snapshots of one kind only.
macro_rules! model {
    ($pool:literal, $ops:literal, $more:literal) => {
        concat!(
            "ceph osd pool create ",
            $pool,
            " 16\nCEPH_CLIENT_ID=0 ceph_test_rados --pool ",
            $pool,
            " --max-ops ",
            $ops,
            " --objects 50 --max-in-flight 16 --size 4000000 --min-stride-size 400000",
            " --max-stride-size 800000 --max-seconds 0",
            " --op read 100 --op write 50 --op write_excl 50 --op writesame 20 --op delete 50",
            " --op append 50 --op append_excl 50 --op setattr 25 --op rmattr 25",
            " --op snap_create 50 --op snap_remove 50 --op rollback 50",
            $more,
        )
    };
}

/// A file-system exerciser on an image, with snapshots and clones, and a copy beside it.
macro_rules! fsx {
    ($ops:literal, $more:literal) => {
        concat!(
            "mkdir -p fsx && ceph_test_librbd_fsx -d -W -R -p 100 -P fsx -r 1 -w 1 -t 1 -h 1",
            " -l 25000000 ",
            $more,
            " -N ",
            $ops,
            " rbd fsx",
        )
    };
}

pub(crate) const ROWS: &[Row] = &[
    rados_api("ceph_test_rados_api_aio"),
    rados_api("ceph_test_rados_api_aio_pp"),
    rados_api("ceph_test_rados_api_asio"),
    rados_api("ceph_test_rados_api_c_read_operations"),
    rados_api("ceph_test_rados_api_c_write_operations"),
    rados_api("ceph_test_rados_api_cls_remote_reads"),
    rados_api("ceph_test_rados_api_cmd"),
    rados_api("ceph_test_rados_api_cmd_pp"),
    rados_api("ceph_test_rados_api_io"),
    rados_api("ceph_test_rados_api_io_pp"),
    rados_api("ceph_test_rados_api_list"),
    rados_api("ceph_test_rados_api_lock"),
    rados_api("ceph_test_rados_api_lock_pp"),
    rados_api("ceph_test_rados_api_misc"),
    rados_api("ceph_test_rados_api_misc_pp"),
    Row {
        outside: &[EC, ("LibRadosPools.PoolGetBaseTier", "cache tiers")],
        ..rados_api("ceph_test_rados_api_pool")
    },
    rados_api("ceph_test_rados_api_service"),
    rados_api("ceph_test_rados_api_service_pp"),
    rados_api("ceph_test_rados_api_snapshots"),
    rados_api("ceph_test_rados_api_snapshots_pp"),
    rados_api("ceph_test_rados_api_snapshots_stats"),
    rados_api("ceph_test_rados_api_snapshots_stats_pp"),
    rados_api("ceph_test_rados_api_stat"),
    rados_api("ceph_test_rados_api_stat_pp"),
    rados_api("ceph_test_rados_api_watch_notify"),
    Row {
        outside: &[EC, ("LibRadosWatchNotifyPPTests/*/1", "cache tiers")],
        ..rados_api("ceph_test_rados_api_watch_notify_pp")
    },
    rados_api("ceph_test_rados_striper_api_aio"),
    rados_api("ceph_test_rados_striper_api_io"),
    rados_api("ceph_test_rados_striper_api_striping"),
    gtest("ceph_test_cls_cas"),
    gtest("ceph_test_cls_cmpomap"),
    gtest("ceph_test_cls_hello"),
    gtest("ceph_test_cls_journal"),
    gtest("ceph_test_cls_lock"),
    gtest("ceph_test_cls_log"),
    gtest("ceph_test_cls_numops"),
    gtest("ceph_test_cls_rbd"),
    Row { outside: &[("*_ec", EC.1)], ..gtest("ceph_test_cls_refcount") },
    gtest("ceph_test_cls_sdk"),
    gtest("ceph_test_cls_version"),
    gtest("ceph_test_neocls_log"),
    gtest("ceph_test_neocls_version"),
    rados_api("ceph_test_neorados_cls"),
    rados_api("ceph_test_neorados_cmd"),
    rados_api("ceph_test_neorados_handler_error"),
    rados_api("ceph_test_neorados_io"),
    rados_api("ceph_test_neorados_list"),
    rados_api("ceph_test_neorados_misc"),
    rados_api("ceph_test_neorados_pool"),
    rados_api("ceph_test_neorados_read_operations"),
    rados_api("ceph_test_neorados_snapshots"),
    rados_api("ceph_test_neorados_watch_notify"),
    rados_api("ceph_test_neorados_write_operations"),
    // As upstream runs it: the least features, the default ones, the default ones and a journal.
    librbd("ceph_test_librbd (features 1)", &[("RBD_FEATURES", "1")]),
    librbd("ceph_test_librbd (features 61)", &[("RBD_FEATURES", "61")]),
    librbd("ceph_test_librbd (features 125)", &[("RBD_FEATURES", "125")]),
    script("ceph_test_librbd_fsx", "ceph_test_librbd_fsx", 3600, fsx!("10000", "-S 1")),
    script("ceph_test_librbd_fsx (journal)", "ceph_test_librbd_fsx", 3600, fsx!("1000", "-S 2 -j")),
    script(
        "ceph_test_rados",
        "ceph_test_rados",
        3600,
        model!("model", "4000", " --op copy_from 50"),
    ),
    script(
        "ceph_test_rados (pool snapshots)",
        "ceph_test_rados",
        3600,
        model!("snapped", "4000", " --op copy_from 50 --pool-snaps"),
    ),
    Row {
        killing: true,
        ..script(
            "ceph_test_rados (OSDs die)",
            "ceph_test_rados",
            3600,
            model!("model", "4000", " --op copy_from 50"),
        )
    },
    script("ceph_test_rados_list_parallel", "ceph_test_rados_list_parallel", 900, "exec $0"),
    script(
        "ceph_test_rados_open_pools_parallel",
        "ceph_test_rados_open_pools_parallel",
        600,
        "exec $0",
    ),
    script(
        "ceph_test_rados_delete_pools_parallel",
        "ceph_test_rados_delete_pools_parallel",
        600,
        "exec $0",
    ),
    script("ceph_test_rados_watch_notify", "ceph_test_rados_watch_notify", 600, "exec $0"),
    Row { outside: &[("WatchStressTests/*/1", "cache tiers")], ..gtest("ceph_test_stress_watch") },
    script(
        "ceph_multi_stress_watch",
        "ceph_multi_stress_watch",
        900,
        "ceph osd pool create watched 8; exec $0 rep watched 20",
    ),
    script(
        "rados bench",
        "rados",
        600,
        "ceph osd pool create bench 16
         rados -p bench bench 20 write -b 65536 -t 16 --no-cleanup
         rados -p bench bench 10 seq -t 16
         rados -p bench bench 10 rand -t 16
         rados -p bench cleanup
         test -z \"$(rados -p bench ls)\"",
    ),
    script("ceph_bench_log", "ceph_bench_log", 600, "exec $0 4 1000"),
];

/// One thing of the everyday choice; the table's row of the same name judges it.
pub(crate) enum Everyday {
    /// A row, and which of its tests.
    Tests(&'static str, &'static str),
    /// A row's script with fewer operations.
    Fewer(Row),
}

const ALL: &str = "*";

/// Of each family what is quick.
pub(crate) const EVERYDAY: &[Everyday] = &[
    Everyday::Tests("ceph_test_rados_api_aio", ALL),
    Everyday::Tests("ceph_test_rados_api_aio_pp", ALL),
    Everyday::Tests("ceph_test_rados_api_asio", ALL),
    Everyday::Tests("ceph_test_rados_api_c_read_operations", ALL),
    Everyday::Tests("ceph_test_rados_api_c_write_operations", ALL),
    Everyday::Tests("ceph_test_rados_api_cmd", ALL),
    Everyday::Tests("ceph_test_rados_api_io", ALL),
    Everyday::Tests("ceph_test_rados_api_io_pp", ALL),
    Everyday::Tests("ceph_test_rados_api_list", ALL),
    Everyday::Tests("ceph_test_rados_api_lock_pp", ALL),
    Everyday::Tests("ceph_test_rados_api_misc_pp", MISC),
    Everyday::Tests("ceph_test_rados_api_pool", ALL),
    Everyday::Tests("ceph_test_rados_api_service", SERVICE),
    Everyday::Tests("ceph_test_rados_api_snapshots", ALL),
    Everyday::Tests("ceph_test_rados_api_snapshots_pp", SNAPSHOTS),
    Everyday::Tests("ceph_test_rados_api_stat", ALL),
    Everyday::Tests("ceph_test_rados_api_watch_notify", ALL),
    Everyday::Tests("ceph_test_rados_api_watch_notify_pp", ALL),
    Everyday::Tests("ceph_test_rados_striper_api_io", ALL),
    Everyday::Tests("ceph_test_cls_cas", ALL),
    Everyday::Tests("ceph_test_cls_cmpomap", ALL),
    Everyday::Tests("ceph_test_cls_hello", ALL),
    Everyday::Tests("ceph_test_cls_journal", ALL),
    Everyday::Tests("ceph_test_cls_lock", LOCK),
    Everyday::Tests("ceph_test_cls_log", ALL),
    Everyday::Tests("ceph_test_cls_numops", ALL),
    Everyday::Tests("ceph_test_cls_rbd", ALL),
    Everyday::Tests("ceph_test_cls_refcount", ALL),
    Everyday::Tests("ceph_test_cls_sdk", ALL),
    Everyday::Tests("ceph_test_librbd (features 61)", LIBRBD),
    Everyday::Fewer(script(FSX, FSX, 900, fsx!("500", "-S 1"))),
    Everyday::Fewer(script(MODEL, MODEL, 900, model!("model", "300", " --op copy_from 50"))),
    Everyday::Tests("ceph_test_rados_list_parallel", ALL),
    Everyday::Tests("ceph_test_rados_open_pools_parallel", ALL),
];

const FSX: &str = "ceph_test_librbd_fsx";
const MODEL: &str = "ceph_test_rados";

/// Without the tests that sleep for long.
const MISC: &str = "LibRadosMiscPP.A*:LibRadosMiscPP.Big*:LibRadosMiscPP.CmpExtPP:\
                    LibRadosMiscPP.CopyPP:LibRadosMiscPP.Long*:LibRadosMiscPP.O*:\
                    LibRadosMiscPP.W*:LibRadosChecksum*";
const SERVICE: &str = "LibRadosService.Register*:LibRadosService.StatusFormat";
const SNAPSHOTS: &str = "LibRadosSnapshotsPP.*:LibRadosSnapshotsSelfManagedPP.*PP:*.OrderSnap";
const LOCK: &str = "ClsLock.TestM*:ClsLock.TestCookie:ClsLock.TestSetCookie:\
                    ClsLock.TestAssertLocked:ClsLock.TestLockDuration";

/// One of each thing that librbd asks of a cluster.
const LIBRBD: &str = "TestLibRBD.CreateAndStat:TestLibRBD.TestIO:TestLibRBD.TestClone2:\
                      TestLibRBD.Flatten:TestLibRBD.ExclusiveLock:TestLibRBD.BreakLock:\
                      TestLibRBD.ExclusiveLockTransition:TestLibRBD.TestListWatchers:\
                      TestLibRBD.TestTrashMoveAndRestore:TestLibRBD.RebuildObjectMap:\
                      TestLibRBD.NamespacesPP:TestLibRBD.Metadata:TestLibRBD.SnapshotLimit:\
                      TestLibRBD.TestCompareAndWriteMismatch:TestImageWatcher.*:\
                      TestObjectMap.*:TestGroup.add_snapshot:TestDeepCopy.Snaps:\
                      TestMigration.Snaps:TestMirroring.SnapshotPromoteDemote:TestTrash.*";

/// Programs of the demanded families that are not run at all.
pub(crate) const OUTSIDE: &[(&str, &str)] = &[
    ("ceph_test_rados_api_tier", "cache tiers"),
    ("ceph_test_rados_api_tier_pp", "cache tiers and deduplication"),
    ("ceph_test_cls_2pc_queue", "class of RGW"),
    ("ceph_test_cls_fifo", "class of RGW"),
    ("ceph_test_cls_lua", "class lua runs code that clients send"),
    ("ceph_test_cls_queue", "class of RGW"),
    ("ceph_test_cls_rgw", "class of RGW"),
    ("ceph_test_cls_rgw_admin_account_quota_set", "class of RGW"),
    ("ceph_test_cls_rgw_gc", "class of RGW"),
    ("ceph_test_cls_rgw_meta", "class of RGW"),
    ("ceph_test_cls_rgw_stats", "class of RGW"),
    ("ceph_test_cls_sem_set", "class of RGW"),
    ("ceph_test_cls_user", "class of RGW"),
];

/// Families of which every program must be a row or stand in `OUTSIDE`.
pub(crate) const FAMILIES: &[&str] = &["ceph_test_rados_api_", "ceph_test_cls_"];

/// The table's row of this name.
pub(crate) fn named(name: &str) -> Option<&'static Row> {
    ROWS.iter().find(|r| r.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_everyday_choice_is_of_the_table() {
        for choice in EVERYDAY {
            let name = match choice {
                Everyday::Tests(name, _) => name,
                Everyday::Fewer(row) => row.name,
            };
            assert!(named(name).is_some(), "{name}");
        }
    }
}
