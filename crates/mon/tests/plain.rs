//! Plain text for people, as the recorded sessions of `ceph` show it.

mod common;

use common::*;

#[test]
fn tables() {
    let (mut w, c, _) = healthy();
    for (command, wanted) in [
        (
            r#"{"prefix":"osd tree"}"#,
            "\
ID  CLASS  WEIGHT   TYPE NAME      STATUS  REWEIGHT  PRI-AFF
-1         0.02939  root default                            
-2         0.02939      host vm                             
 0    hdd  0.00980          osd.0      up   1.00000  1.00000
 1    hdd  0.00980          osd.1      up   1.00000  1.00000
 2    hdd  0.00980          osd.2      up   1.00000  1.00000
",
        ),
        (
            r#"{"prefix":"df"}"#,
            "\
--- RAW STORAGE ---
CLASS   SIZE    AVAIL     USED  RAW USED  %RAW USED
hdd    3 GiB  3.0 GiB  2.9 MiB   2.9 MiB       0.10
TOTAL  3 GiB  3.0 GiB  2.9 MiB   2.9 MiB       0.10
 
--- POOLS ---
POOL  ID  PGS   STORED  OBJECTS    USED  %USED  MAX AVAIL
rbd    1    8  7.8 KiB        8  23 KiB      0    972 MiB
",
        ),
        (
            r#"{"prefix":"osd df"}"#,
            "\
ID  CLASS  WEIGHT   REWEIGHT  SIZE   RAW USE   DATA  OMAP  META  AVAIL     %USE  VAR   PGS  STATUS
 0    hdd  0.00980   1.00000  1 GiB  1000 KiB   0 B   0 B   0 B  1023 MiB  0.10  1.00    8      up
 1    hdd  0.00980   1.00000  1 GiB  1000 KiB   0 B   0 B   0 B  1023 MiB  0.10  1.00    8      up
 2    hdd  0.00980   1.00000  1 GiB  1000 KiB   0 B   0 B   0 B  1023 MiB  0.10  1.00    8      up
                       TOTAL  3 GiB   2.9 MiB   0 B   0 B   0 B   3.0 GiB  0.10                   
MIN/MAX VAR: 1.00/1.00  STDDEV: 0
",
        ),
        (
            r#"{"prefix":"pg stat"}"#,
            "8 pgs: 8 active+clean; 7.8 KiB data, 2.9 MiB used, 3.0 GiB / 3 GiB avail\n",
        ),
        (r#"{"prefix":"health"}"#, "HEALTH_OK\n"),
        (r#"{"prefix":"osd pool ls"}"#, "rbd\n"),
        (r#"{"prefix":"osd lspools"}"#, "1 rbd\n"),
        (r#"{"prefix":"osd pool get","pool":"rbd","var":"size"}"#, "size: 3\n"),
        (r#"{"prefix":"osd crush rule ls"}"#, "replicated_rule\n"),
        (r#"{"prefix":"config dump"}"#, "WHO  MASK  LEVEL  OPTION  VALUE  RO\n"),
        (r#"{"prefix":"osd ls"}"#, "0\n1\n2\n"),
    ] {
        let text = w.ok(c, command);
        assert_eq!(text, wanted, "{command}\n{text}");
    }
}

#[test]
fn lines() {
    let (mut w, c, _) = healthy();
    let text = w.ok(c, r#"{"prefix":"osd pool ls","detail":"detail"}"#);
    let wanted = format!(
        "pool 1 'rbd' replicated size 3 min_size 2 crush_rule 0 object_hash rjenkins pg_num 8 \
         pgp_num 8 autoscale_mode off last_change {} flags hashpspool stripe_width 0 application \
         rbd\n\n",
        w.map().epoch
    );
    assert_eq!(text, wanted);
    let text = w.ok(c, r#"{"prefix":"mon dump"}"#);
    let wanted = "epoch 1\nfsid 07070707-0707-0707-0707-070707070707\nlast_changed \
                  2026-11-24T16:24:37.123456+0000\ncreated \
                  2026-11-24T16:24:37.123456+0000\nmin_mon_release 16 \
                  (pacific)\nelection_strategy: 1\n0: v2:127.0.0.1:21000/0 mon.a\n";
    assert_eq!(text, wanted);
    let text = w.ok(c, r#"{"prefix":"osd map","pool":"rbd","object":"obj1"}"#);
    let start = format!(
        "osdmap e{} pool 'rbd' (1) object 'obj1' -> pg 1.6cf8deff (1.7) -> up ([",
        w.map().epoch
    );
    assert!(text.starts_with(&start), "{text}");
    let text = w.ok(c, r#"{"prefix":"osd stat"}"#);
    assert!(text.starts_with("3 osds: 3 up (since "), "{text}");
    assert!(text.ends_with(&format!("; epoch: e{}\n", w.map().epoch)), "{text}");
}

#[test]
fn status_has_its_sections() {
    let (mut w, c, osds) = healthy();
    w.pass(std::time::Duration::from_secs(180));
    let text = w.ok(c, r#"{"prefix":"status"}"#);
    let wanted = "  cluster:
    id:     07070707-0707-0707-0707-070707070707
    health: HEALTH_OK
 
  services:
    mon: 1 daemons, quorum a (age 3m)
    mgr: a(active, since 3m)
    osd: 3 osds: 3 up (since 3m), 3 in (since 3m)
 
  data:
    pools:   1 pools, 8 pgs
    objects: 8 objects, 7.8 KiB
    usage:   2.9 MiB used, 3.0 GiB / 3 GiB avail
    pgs:     8 active+clean
 
";
    assert_eq!(text, wanted, "\n{text}");
    w.ok(c, r#"{"prefix":"osd set","key":"noout"}"#);
    let (mut m, s) = (boot_message(2, w.map().epoch), osds[2]);
    m.cluster = addr(23999, 1);
    w.send(s, m);
    let text = w.ok(c, r#"{"prefix":"status"}"#);
    assert!(text.contains("         flags noout\n"), "{text}");
    assert!(text.contains("health: HEALTH_WARN\n            noout flag(s) set\n"), "{text}");
}

#[test]
fn refusals_are_those_of_the_reference() {
    let (mut w, c, _) = healthy();
    for (command, code, status) in [
        (r#"{"prefix":"osd pool create","pool":"rbd"}"#, 0, "pool 'rbd' already exists"),
        (r#"{"prefix":"osd pool get","pool":"no","var":"size"}"#, -2, "unrecognized pool 'no'"),
        (
            r#"{"prefix":"osd pool get","pool":"rbd","var":"nosuch"}"#,
            -22,
            "pool 'rbd': invalid variable: 'nosuch'",
        ),
        (
            r#"{"prefix":"osd pool get","pool":"rbd","var":"pg_num_min"}"#,
            -2,
            "option 'pg_num_min' is not set on pool 'rbd'",
        ),
        (
            r#"{"prefix":"osd pool set","pool":"rbd","var":"size","val":"20"}"#,
            -22,
            "pool size must be between 1 and 10",
        ),
        (
            r#"{"prefix":"osd pool set","pool":"rbd","var":"min_size","val":"7"}"#,
            -22,
            "pool min_size must be between 1 and size, which is set to 3",
        ),
        (
            r#"{"prefix":"osd pool set","pool":"rbd","var":"pgp_num","val":"200"}"#,
            -22,
            "specified pgp_num 200 > pg_num 8",
        ),
        (r#"{"prefix":"osd set","key":"bogus"}"#, -22, "unrecognized flag 'bogus'"),
        (r#"{"prefix":"osd out","ids":["99"]}"#, 0, "osd.99 does not exist. "),
        (r#"{"prefix":"osd out","ids":["0"]}"#, 0, "marked out osd.0. "),
        (r#"{"prefix":"osd out","ids":["0"]}"#, 0, "osd.0 is already out. "),
        (r#"{"prefix":"osd in","ids":["0"]}"#, 0, "marked in osd.0. "),
        (r#"{"prefix":"osd find","id":99}"#, -2, "osd.99 does not exist"),
        (r#"{"prefix":"pg map","pgid":"9.0"}"#, -2, "pg '9.0' does not exist"),
        (
            concat!(
                r#"{"prefix":"osd pool delete","pool":"no","pool2":"no","#,
                r#""yes_i_really_really_mean_it":true}"#
            ),
            0,
            "pool 'no' does not exist",
        ),
        (
            r#"{"prefix":"osd rm","ids":["0"]}"#,
            -16,
            "osd.0 is still up; must be down before removal. ",
        ),
        (
            r#"{"prefix":"config set","who":"global","name":"nosuchoption","value":"2"}"#,
            -22,
            "unrecognized config option 'nosuchoption'",
        ),
    ] {
        let (got, text, _) = w.command(c, command);
        assert_eq!((got, text.as_str()), (code, status), "{command}");
    }
    // Deletion asks twice.
    assert_eq!(w.command(c, r#"{"prefix":"osd pool rm","pool":"rbd"}"#).0, -1);
    // Splitting is refused, and says so.
    let (code, status, _) =
        w.command(c, r#"{"prefix":"osd pool set","pool":"rbd","var":"pg_num","val":"16"}"#);
    assert_eq!(code, -95);
    assert!(status.contains("not supported"), "{status}");
    // More PGs than the OSDs may carry.
    let (code, _, _) = w.command(c, r#"{"prefix":"osd pool create","pool":"big","pg_num":4096}"#);
    assert_eq!(code, -34);
}

#[test]
fn quotas_stop_writes() {
    use seabed_cluster::osdmap::pool_flag;
    let (mut w, c, osds) = healthy();
    w.ok(c, r#"{"prefix":"osd pool set-quota","pool":"rbd","field":"max_objects","val":"4"}"#);
    w.report(osds[0], 0, 6);
    let pool = w.map().pools.values().next().unwrap();
    assert!(pool.has_flag(pool_flag::FULL_QUOTA | pool_flag::FULL));
    w.ok(c, r#"{"prefix":"osd pool set-quota","pool":"rbd","field":"max_objects","val":"0"}"#);
    w.report(osds[0], 0, 6);
    assert!(!w.map().pools.values().next().unwrap().has_flag(pool_flag::FULL));
}

#[test]
fn a_pool_can_answer_every_request_with_eio() {
    use seabed_cluster::osdmap::pool_flag;
    let (mut w, c, _) = healthy();
    let get = r#"{"prefix":"osd pool get","pool":"rbd","var":"all"}"#;
    assert!(!w.ok(c, get).contains("eio"));
    for on in [true, false] {
        let set = r#"{"prefix":"osd pool set","pool":"rbd","var":"eio","val":"VAL"}"#;
        w.ok(c, &set.replace("VAL", &on.to_string()));
        assert_eq!(w.map().pools.values().next().unwrap().has_flag(pool_flag::EIO), on);
        assert_eq!(w.ok(c, get).contains("eio: true"), on);
    }
}

#[test]
fn full_osds_show_in_pools() {
    use seabed_cluster::osdmap::{flag, pool_flag};
    let (mut w, c, osds) = healthy();
    let full = |state: u32| seabed_messages::MOsdFull { state, ..Default::default() };
    w.send(osds[1], full(flag::osd::NEARFULL));
    w.pass(std::time::Duration::from_secs(1));
    assert!(w.map().pools.values().all(|p| p.has_flag(pool_flag::NEARFULL)));
    let text = w.ok(c, r#"{"prefix":"health","detail":"detail"}"#);
    assert!(text.contains("OSD_NEARFULL: 1 nearfull osd(s)\n    osd.1 is near full"), "{text}");
    w.send(osds[1], full(0));
    w.pass(std::time::Duration::from_secs(1));
    assert!(w.map().pools.values().all(|p| !p.has_flag(pool_flag::NEARFULL)));
}
