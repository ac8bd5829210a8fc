//! Every sample decodes and encodes back to the same bytes.

mod common;

use std::collections::BTreeMap;

use bytes::Bytes;
use common::{binary, data, lines, shared};
use seabed_cluster::{
    Collection, EVersion, EntityAddr, EntityAddrVec, EntityName, GhObject, HObject, Incremental,
    MonMap, ObjectLocator, OsdInfo, OsdMap, OsdXInfo, PgId, Pool, PoolSnapInfo, ReqId, SnapId,
    UTime, Uuid, feature,
};
use seabed_denc::{Decode, DecodeError, Encode, Reader};

fn round<T: Decode + Encode>(bytes: &Bytes) -> Result<Bytes, DecodeError> {
    Ok(T::from_bytes(bytes.clone())?.to_bytes(feature::PACIFIC_ALL))
}

/// `None` for a type that is not of this part.
fn again(kind: &str, bytes: &Bytes) -> Option<Result<Bytes, DecodeError>> {
    Some(match kind {
        "OSDMap" => OsdMap::decode(bytes.clone()).map(|m| m.encode_full(feature::PACIFIC_ALL)),
        "OSDMap::Incremental" => {
            Incremental::decode(bytes.clone()).map(|i| i.encode(i.encode_features))
        }
        "MonMap" => round::<MonMap>(bytes),
        "pg_pool_t" => round::<Pool>(bytes),
        "entity_addr_t" => round::<EntityAddr>(bytes),
        "entity_addrvec_t" => round::<EntityAddrVec>(bytes),
        "entity_name_t" => round::<EntityName>(bytes),
        "hobject_t" => round::<HObject>(bytes),
        "ghobject_t" => round::<GhObject>(bytes),
        "object_locator_t" => round::<ObjectLocator>(bytes),
        "coll_t" => round::<Collection>(bytes),
        "utime_t" => round::<UTime>(bytes),
        "uuid_d" => round::<Uuid>(bytes),
        "osd_info_t" => round::<OsdInfo>(bytes),
        "osd_xinfo_t" => round::<OsdXInfo>(bytes),
        "osd_reqid_t" => round::<ReqId>(bytes),
        "pool_snap_info_t" => round::<PoolSnapInfo>(bytes),
        "pg_t" => round::<PgId>(bytes),
        "eversion_t" => round::<EVersion>(bytes),
        "snapid_t" => round::<SnapId>(bytes),
        _ => return None,
    })
}

fn check(path: &std::path::Path) -> BTreeMap<String, (usize, usize)> {
    let mut seen = BTreeMap::<String, (usize, usize)>::new();
    for line in lines(path) {
        let kind = line["type"].as_str().unwrap().to_owned();
        let bytes = binary(&line["bin"]);
        let Some(result) = again(&kind, &bytes) else { continue };
        let good = match result {
            Ok(out) if out == bytes => true,
            Ok(out) => {
                let at = out.iter().zip(&bytes).position(|(a, b)| a != b);
                println!("{kind}: {} bytes became {}, differ at {at:?}", bytes.len(), out.len());
                false
            }
            Err(e) => {
                println!("{kind} of {} bytes: {e}", bytes.len());
                false
            }
        };
        let count = seen.entry(kind).or_default();
        *if good { &mut count.0 } else { &mut count.1 } += 1;
    }
    println!("identical, different: {seen:#?}");
    seen
}

#[test]
fn live_samples_are_identical() {
    let seen = check(&data("live.jsonl.gz"));
    assert_eq!(seen["OSDMap"], (13, 0));
    assert_eq!(seen["MonMap"], (1, 0));
}

#[test]
fn corpus_samples_are_identical() {
    let Some(path) = shared("vectors/denc/types.jsonl.gz") else { return };
    let seen = check(&path);
    assert!(seen.len() > 12);
    assert!(seen.values().all(|&(good, bad)| good > 0 && bad == 0));
}

#[test]
fn generated_maps_are_identical() {
    let mut n = 0;
    for line in lines(&data("osdmap.jsonl.gz")) {
        let bytes = binary(&line["osdmap"]);
        let map = OsdMap::decode(bytes.clone()).unwrap_or_else(|e| panic!("{}: {e}", line["id"]));
        assert!(map.encode_full(feature::PACIFIC_ALL) == bytes, "map {}", line["id"]);
        n += 1;
    }
    assert_eq!(n, 160);
}

/// The fewest bytes that decode nowhere, and every truncation and many a flipped bit: an error or
/// a value, never a panic.
#[test]
fn broken_samples_do_not_panic() {
    for line in lines(&data("live.jsonl.gz")) {
        let kind = line["type"].as_str().unwrap();
        let bytes = binary(&line["bin"]);
        if again(kind, &bytes).is_none() {
            continue;
        }
        let step = (bytes.len() / 400).max(1);
        for at in (0..bytes.len()).step_by(step) {
            let _ = again(kind, &bytes.slice(..at));
            for flip in [1, 0x80, 0xff] {
                let mut bad = bytes.to_vec();
                bad[at] ^= flip;
                let _ = again(kind, &bad.into());
            }
        }
    }
}

/// The maps inside `osd_map` messages that monitors and OSDs of several releases sent.
#[test]
fn maps_on_the_wire_are_identical() {
    let mut n = 0;
    for file in ["vectors/daemons/osd-mon.jsonl.gz", "vectors/daemons/osd-osd.jsonl.gz"] {
        let Some(path) = shared(file) else { continue };
        for line in lines(&path).filter(|l| l["name"] == "osd_map" && l["front"].is_string()) {
            let mut r = Reader::new(binary(&line["front"]));
            Uuid::decode(&mut r).unwrap();
            for (epoch, inc) in BTreeMap::<u32, Bytes>::decode(&mut r).unwrap() {
                let change = Incremental::decode(inc.clone()).unwrap();
                let out = change.encode(change.encode_features);
                assert!(out == inc, "{file}: change {epoch}");
                n += 1;
            }
            for (epoch, full) in BTreeMap::<u32, Bytes>::decode(&mut r).unwrap() {
                let map = OsdMap::decode(full.clone()).unwrap();
                assert!(map.encode_full(feature::PACIFIC_ALL) == full, "{file}: map {epoch}");
                n += 1;
            }
        }
    }
    println!("{n} maps and changes");
}
