//! `osd blocklist` as Ceph 16.2.15 answers it, and entries that end by themselves.

mod common;

use std::time::Duration;

use common::*;

fn change(op: &str, range: bool, addr: &str, expire: Option<f64>) -> String {
    let range = if range { r#""range":"range","# } else { "" };
    let expire = expire.map_or(String::new(), |e| format!(r#","expire":{e}"#));
    format!(r#"{{"prefix":"osd blocklist",{range}"blocklistop":"{op}","addr":"{addr}"{expire}}}"#)
}

/// The status without its time.
fn untimed(status: &str) -> String {
    let words: Vec<&str> = status.split(' ').collect();
    words
        .iter()
        .filter(|w| !w.starts_with("20") && !w.starts_with("21"))
        .copied()
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn clients_and_ranges_are_shut_out_as_in_ceph() {
    let (mut w, c, _) = healthy();
    for (command, code, status) in [
        (
            change("add", false, "10.9.9.9:0/123", None),
            0,
            "blocklisting 10.9.9.9:0/123 until (3600 sec)",
        ),
        (
            change("add", false, "10.9.9.8", Some(1.5)),
            0,
            "blocklisting 10.9.9.8:0/0 until (1.5 sec)",
        ),
        (
            change("add", false, "v1:10.1.1.2:6800/7", Some(0.0)),
            0,
            "blocklisting 10.1.1.2:6800/7 until (0 sec)",
        ),
        (
            change("add", false, "[::1]:6800/8", Some(1e12)),
            0,
            "blocklisting [::1]:6800/8 until (1e+12 sec)",
        ),
        (
            change("add", false, "10.8.3.1/24", None),
            0,
            "blocklisting 10.8.3.1:0/24 until (3600 sec)",
        ),
        (
            change("add", true, "10.8.1.1/24", Some(50.0)),
            0,
            "blocklisting cidr:10.8.1.1:0/24 until (50 sec)",
        ),
        (
            change("add", true, "fe80::/16", None),
            0,
            "blocklisting cidr:[fe80::]:0/16 until (3600 sec)",
        ),
        (change("rm", false, "10.9.9.7:0/1", None), 0, "10.9.9.7:0/1 isn't blocklisted"),
        (change("rm", true, "10.8.3.1/24", None), 0, "cidr:10.8.3.1:0/24 isn't blocklisted"),
        (change("rm", false, "10.8.3.1/24", None), 0, "un-blocklisting 10.8.3.1:0/24"),
        (change("rm", true, "fe80::/16", None), 0, "un-blocklisting cidr:[fe80::]:0/16"),
        (
            change("add", true, "10.8.3.1", None),
            -22,
            "You specified a range command, but v2:10.8.3.1:0/0 does not parse as a CIDR range",
        ),
        (
            change("add", true, "10.8.3.1:1/24", None),
            -22,
            "You specified a range command, but v2:10.8.3.1:1/24 does not parse as a CIDR range",
        ),
        (
            change("add", true, "10.8.0.0/33", None),
            -22,
            "Too many bits in range for that protocol!",
        ),
    ] {
        let (rc, told, _) = w.command(c, &command);
        assert_eq!((rc, untimed(&told)), (code, status.to_owned()), "{command}");
    }
    assert!(w.map().is_blocklisted(&"v2:10.8.1.77:5/6".parse().unwrap()));
    assert!(w.map().is_blocklisted(&"v2:10.9.9.9:0/123".parse().unwrap()));
    assert!(!w.map().is_blocklisted(&"v2:10.9.9.9:0/124".parse().unwrap()));
}

#[test]
fn lists_are_those_of_ceph() {
    let (mut w, c, _) = healthy();
    w.ok(c, &change("add", false, "10.9.9.9:0/123", Some(100.0)));
    w.ok(c, &change("add", true, "10.8.1.1/24", Some(50.0)));
    let until = |entries: &std::collections::BTreeMap<_, seabed_cluster::UTime>| {
        entries.values().next().unwrap().to_string()
    };
    let (client, range) = (until(&w.map().blocklist), until(&w.map().range_blocklist));
    let plain = format!("10.9.9.9:0/123 {client}\ncidr:10.8.1.1:0/24 {range}\n");
    for prefix in ["osd blocklist ls", "osd blacklist ls"] {
        let (_, status, text) = w.command(c, &format!(r#"{{"prefix":"{prefix}"}}"#));
        assert_eq!((text.as_str(), status.as_str()), (plain.as_str(), "listed 2 entries"));
    }
    let text = w.ok(c, r#"{"prefix":"osd blocklist ls","format":"json"}"#);
    let first = format!(r#"[{{"addr":"10.9.9.9:0/123","until":"{client}"}}]"#);
    assert_eq!(text, first + &format!(r#"[{{"range":"10.8.1.1:0/24","until":"{range}"}}]"#));
    let (_, status, _) = w.command(c, r#"{"prefix":"osd blacklist clear"}"#);
    assert_eq!(status, " removed all blocklist entries");
    assert!(w.map().blocklist.is_empty() && w.map().range_blocklist.is_empty());
    let text = w.ok(c, r#"{"prefix":"osd blocklist ls","format":"json"}"#);
    assert_eq!(text, "[][]");
}

#[test]
fn entries_end_when_their_time_is_up() {
    let (mut w, c, _) = healthy();
    w.ok(c, &change("add", false, "10.9.9.9:0/123", Some(100.0)));
    w.ok(c, &change("add", true, "10.8.1.1/24", Some(50.0)));
    w.pass(Duration::from_secs(49));
    assert_eq!((w.map().blocklist.len(), w.map().range_blocklist.len()), (1, 1));
    w.pass(Duration::from_secs(2));
    assert_eq!((w.map().blocklist.len(), w.map().range_blocklist.len()), (1, 0));
    w.pass(Duration::from_secs(50));
    assert_eq!((w.map().blocklist.len(), w.map().range_blocklist.len()), (0, 0));
}
