//! 89 epochs of a real 16.2.15 monitor: each change applied to the map before gives the map after,
//! byte for byte. (`data/README.md` tells how the history was made.)

mod common;

use common::{binary, data, lines};
use seabed_cluster::osdmap::pool_flag;
use seabed_cluster::{Epoch, Incremental, MapError, MonMap, OsdMap, Pool, PoolId, UTime};
use seabed_denc::Decode;
use serde_json::Value;

fn history() -> impl Iterator<Item = Value> {
    let path = data("history.jsonl.gz");
    lines(&path).filter(|line| line["epoch"].is_u64())
}

#[test]
fn every_change_leads_to_the_monitors_map() {
    let mut map: Option<OsdMap> = None;
    for line in history() {
        let epoch = line["epoch"].as_u64().unwrap();
        let (inc, full) = (binary(&line["inc"]), binary(&line["full"]));
        let change = Incremental::decode(inc.clone()).unwrap();
        assert!(change.encode(change.encode_features) == inc, "change {epoch} encodes differently");
        let mut next = map.unwrap_or_else(|| OsdMap::empty(change.fsid, UTime::ZERO));
        let ours = next.apply_checked(&change).unwrap_or_else(|e| panic!("epoch {epoch}: {e}"));
        assert!(ours == full, "map {epoch} differs");
        assert!(next == OsdMap::decode(full).unwrap(), "epoch {epoch}");
        map = Some(next);
    }
    assert_eq!(map.unwrap().epoch, Epoch(89));
}

#[test]
fn a_change_that_does_not_fit_is_refused() {
    let all: Vec<Value> = history().collect();
    let map = OsdMap::decode(binary(&all[5]["full"])).unwrap();
    let change = |n: usize| Incremental::decode(binary(&all[n]["inc"])).unwrap();
    let skipped = map.clone().apply(&change(7));
    assert_eq!(skipped, Err(MapError::WrongEpoch { expected: Epoch(7), found: Epoch(8) }));
    let mut other = change(6);
    other.fsid.0[3] ^= 1;
    assert!(matches!(map.clone().apply(&other), Err(MapError::OtherCluster { .. })));
    let mut wrong = change(6);
    wrong.full_crc ^= 1;
    assert!(matches!(map.clone().apply_checked(&wrong), Err(MapError::Crc { .. })));
    let mut far = change(6);
    far.new_up_thru.insert(seabed_cluster::OsdId(77), Epoch(3));
    assert!(matches!(map.clone().apply(&far), Err(MapError::NoSuchOsd(_))));
    let mut huge = change(6);
    huge.new_max_osd = i32::MAX;
    assert!(matches!(map.clone().apply(&huge), Err(MapError::MaxOsd(_))));
}

#[test]
fn dumps_equal_the_monitors() {
    let mut n = 0;
    for line in history().filter(|l| l["plain"].is_string()) {
        let map = OsdMap::decode(binary(&line["full"])).unwrap();
        // The `ceph` command leaves empty lines out.
        let ours: Vec<_> =
            map.print().lines().filter(|l| !l.is_empty()).map(str::to_owned).collect();
        assert_eq!(ours, line["plain"].as_str().unwrap().lines().collect::<Vec<_>>());
        assert_eq!(common::plain_numbers(&map.dump()), common::plain_numbers(&line["json"]));
        n += 1;
    }
    assert_eq!(n, 2);
}

#[test]
fn a_new_cluster_starts_as_the_monitors() {
    let first = OsdMap::decode(binary(&history().next().unwrap()["full"])).unwrap();
    let ours = OsdMap::new_initial(first.fsid, first.created, first.crush.clone());
    assert_eq!(ours, first);
}

/// `ceph osd pool create rbd 8 8`, with the autoscaler off by configuration.
#[test]
fn a_new_pool_starts_as_the_monitors() {
    let line = history().find(|l| {
        let inc = Incremental::decode(binary(&l["inc"])).unwrap();
        inc.new_pool_names.values().any(|n| n == "rbd")
    });
    let inc = Incremental::decode(binary(&line.unwrap()["inc"])).unwrap();
    let theirs = &inc.new_pools[&PoolId(1)];
    let mut ours = Pool::new_replicated(3, 2, 0, 8, theirs.last_change, theirs.create_time);
    ours.pg_autoscale_mode = 0;
    ours.flags |= pool_flag::CREATING;
    assert_eq!(&ours, theirs);
}

#[test]
fn the_monitor_map_is_the_monitors() {
    let path = data("history.jsonl.gz");
    let line = lines(&path).last().unwrap();
    let map = MonMap::from_bytes(binary(&line["monmap"])).unwrap();
    let print = line["plain"].as_str().unwrap().trim_end();
    assert_eq!(map.print().trim_end(), print);
    let mut dump = map.dump();
    dump["quorum"] = serde_json::json!([0]);
    assert_eq!(dump, line["json"]);
}
