//! Placement equals what 16.2.15's tools answered, PG by PG.

mod common;

use common::{binary, data, lines};
use seabed_cluster::osdmap::Scratch;
use seabed_cluster::{HObject, Mapping, ObjectLocator, OsdId, OsdMap, PgId, PoolId, SnapId};
use serde_json::Value;

fn osds(v: &Value) -> Vec<OsdId> {
    v.as_array().unwrap().iter().map(|n| OsdId(n.as_i64().unwrap() as i32)).collect()
}

fn primary(v: &Value) -> Option<OsdId> {
    let n = v.as_i64().unwrap() as i32;
    (n != -1).then_some(OsdId(n))
}

#[test]
fn every_pg_of_the_vectors() {
    let (mut pgs, mut objects) = (0, 0);
    let mut scratch = Scratch::default();
    for line in lines(&data("osdmap.jsonl.gz")) {
        let map = OsdMap::decode(binary(&line["osdmap"])).unwrap();
        for (name, answer) in line["pgs"].as_object().unwrap() {
            let pg: PgId = name.parse().unwrap();
            assert_eq!(map.map_pg_raw(pg, &mut scratch), osds(&answer[0]), "{} {pg}", line["id"]);
            let expected = Mapping {
                up: osds(&answer[1]),
                up_primary: primary(&answer[2]),
                acting: osds(&answer[3]),
                acting_primary: primary(&answer[4]),
            };
            assert_eq!(map.map_pg_with(pg, &mut scratch), expected, "map {} pg {pg}", line["id"]);
            pgs += 1;
        }
        for object in line["objects"].as_array().unwrap() {
            let pool = PoolId(object[0].as_i64().unwrap());
            let name = object[1].as_str().unwrap();
            let raw = map.object_pg(&ObjectLocator::new(pool), name.as_bytes()).unwrap();
            let pg = map.raw_to_pg(raw).unwrap();
            assert_eq!(pg.to_string(), object[2].as_str().unwrap(), "map {} {name}", line["id"]);
            objects += 1;
        }
    }
    assert_eq!(pgs, 6499);
    assert!(objects > 100, "{objects}");
}

/// The vectors were made with `osd map` over JSON, and 16.2's monitor turns each half of an escaped
/// surrogate pair into three bytes of its own: these are the bytes that it hashed.
fn as_the_monitor_read_it(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for unit in text.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte @ 0..0x80) => out.push(byte),
            _ if unit < 0x800 => out.extend([0xc0 | (unit >> 6) as u8, 0x80 | (unit & 63) as u8]),
            _ => out.extend([
                0xe0 | (unit >> 12) as u8,
                0x80 | (unit >> 6 & 63) as u8,
                0x80 | (unit & 63) as u8,
            ]),
        }
    }
    out
}

#[test]
fn every_name_of_the_vectors() {
    let mut n = 0;
    for line in lines(&data("objhash.jsonl.gz")) {
        let text = |key: &str| as_the_monitor_read_it(line[key].as_str().unwrap());
        let o = HObject::new(PoolId(1), text("ns"), "", text("name"), SnapId::HEAD);
        assert_eq!(u64::from(o.hash), line["hash"].as_u64().unwrap(), "{o}");
        n += 1;
    }
    assert_eq!(n, 600);
}
