//! PG, object and OSD state: samples of a running 16.2.15, and of upstream's corpus where it lies
//! beside the work tree, come back byte for byte and say what Ceph's own tools say.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::Path;

use bytes::Bytes;
use common::{binary, data, lines, shared};
use seabed_cluster::*;
use seabed_denc::{Decode, DecodeError, Encode, ceph_crc32c};
use serde_json::Value;

/// The encoding again, and the value for people.
type Again = Result<(Bytes, String), DecodeError>;

fn round<T: Decode + Encode + Debug>(bytes: &Bytes) -> Again {
    let value = T::from_bytes(bytes.clone())?;
    Ok((value.to_bytes(feature::PACIFIC_ALL), format!("{value:?}")))
}

/// `None` for a type of another part.
fn again(kind: &str, bytes: &Bytes) -> Option<Again> {
    Some(match kind {
        "ObjectModDesc" => round::<ObjectModDesc>(bytes),
        "ObjectRecoveryInfo" => round::<RecoveryInfo>(bytes),
        "ObjectRecoveryProgress" => round::<RecoveryProgress>(bytes),
        "OSDSuperblock" => round::<OsdSuperblock>(bytes),
        "CompatSet" => round::<CompatSet>(bytes),
        "PastIntervals" => round::<PastIntervals>(bytes),
        "PullOp" => round::<PullOp>(bytes),
        "PushOp" => round::<PushOp>(bytes),
        "PushReplyOp" => round::<PushReplyOp>(bytes),
        "ScrubMap" => round::<ScrubMap>(bytes),
        "ScrubMap::object" => round::<ScrubObject>(bytes),
        "SnapSet" => round::<SnapSet>(bytes),
        "object_info_t" => round::<ObjectInfo>(bytes),
        "object_stat_collection_t" => round::<ObjectStatCollection>(bytes),
        "object_stat_sum_t" => round::<ObjectStatSum>(bytes),
        "objectstore_perf_stat_t" => round::<StorePerf>(bytes),
        "osd_stat_t" => round::<OsdStat>(bytes),
        "pg_history_t" => round::<PgHistory>(bytes),
        "pg_hit_set_history_t" => round::<HitSetHistory>(bytes),
        "pg_hit_set_info_t" => round::<HitSetInfo>(bytes),
        "pg_info_t" => round::<PgInfo>(bytes),
        "pg_lease_t" => round::<PgLease>(bytes),
        "pg_lease_ack_t" => round::<PgLeaseAck>(bytes),
        "pg_log_t" => round::<PgLog>(bytes),
        "pg_log_dup_t" => round::<PgLogDup>(bytes),
        "pg_log_entry_t" => round::<PgLogEntry>(bytes),
        "pg_missing_t" => round::<PgMissing>(bytes),
        "pg_missing_item" => round::<MissingItem>(bytes),
        "pg_notify_t" => round::<PgNotify>(bytes),
        "pg_query_t" => round::<PgQuery>(bytes),
        "pg_stat_t" => round::<PgStat>(bytes),
        "pool_stat_t" => round::<PoolStat>(bytes),
        "pow2_hist_t" => round::<Pow2Hist>(bytes),
        "store_statfs_t" => round::<StoreStatfs>(bytes),
        "watch_info_t" => round::<WatchInfo>(bytes),
        _ => return None,
    })
}

/// A stored log entry stands between its length and its checksum.
fn unframe(bytes: &Bytes) -> Bytes {
    let len = u32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize;
    let entry = bytes.slice(4..4 + len);
    let crc = u32::from_le_bytes(bytes[4 + len..].try_into().unwrap());
    assert_eq!(ceph_crc32c(0, &entry), crc);
    entry
}

/// Checks one file; returns how many of each type, and what went wrong.
fn check(path: &Path, stored: bool) -> (BTreeMap<String, usize>, Vec<String>) {
    let (mut seen, mut wrong) = (BTreeMap::new(), Vec::new());
    for (i, line) in lines(path).enumerate() {
        let kind = line["type"].as_str().unwrap();
        let mut bytes = binary(&line["bin"]);
        if stored && kind == "pg_log_entry_t" {
            bytes = unframe(&bytes);
        }
        let Some(result) = again(kind, &bytes) else { continue };
        *seen.entry(kind.to_owned()).or_default() += 1;
        match result {
            Err(e) => wrong.push(format!("line {} {kind}: {e}", i + 1)),
            Ok((out, text)) if out != bytes => {
                let at = out.iter().zip(&bytes).take_while(|(a, b)| a == b).count();
                let (ours, theirs) = (out.len(), bytes.len());
                let brief: String = text.chars().take(300).collect();
                wrong.push(format!("line {} {kind}: {ours}/{theirs} at {at}: {brief}", i + 1));
            }
            // What 16.2 wrote must be in our own form down to the last struct.
            Ok((_, text)) if text.contains("kept: v") => {
                let brief: String = text.chars().rev().take(200).collect();
                let brief: String = brief.chars().rev().collect();
                wrong.push(format!("line {} {kind}: unknown form in …{brief}", i + 1));
            }
            Ok(_) => {}
        }
        if let Err(why) = agrees(kind, &bytes, &line["json"]) {
            wrong.push(format!("line {} {kind}: {why}", i + 1));
        }
    }
    (seen, wrong)
}

fn same(what: &str, ours: impl ToString, theirs: &Value) -> Result<(), String> {
    let theirs = theirs.as_str().map_or_else(|| theirs.to_string(), str::to_owned);
    let ours = ours.to_string();
    if ours == theirs { Ok(()) } else { Err(format!("{what}: {ours}, Ceph says {theirs}")) }
}

/// Compares what a dump names with what was read.
fn agrees(kind: &str, bytes: &Bytes, json: &Value) -> Result<(), String> {
    let bad = |e: DecodeError| e.to_string();
    match kind {
        "object_info_t" => {
            let o = ObjectInfo::from_bytes(bytes.clone()).map_err(bad)?;
            same("version", o.version, &json["version"])?;
            same("prior_version", o.prior_version, &json["prior_version"])?;
            same("last_reqid", o.last_reqid, &json["last_reqid"])?;
            same("user_version", o.user_version, &json["user_version"])?;
            same("size", o.size, &json["size"])?;
            same("mtime", o.mtime, &json["mtime"])?;
            same("local_mtime", o.local_mtime, &json["local_mtime"])?;
            same("data_digest", format!("{:#010x}", o.data_digest), &json["data_digest"])?;
            // The dump is keyed by client and shows one watch of each.
            let clients: BTreeSet<String> =
                o.watchers.keys().map(|(_, name)| name.to_string()).collect();
            let dumped = json["watchers"].as_object().unwrap();
            same("watchers", clients.len(), &dumped.len().into())
        }
        "pg_log_entry_t" => {
            let e = PgLogEntry::from_bytes(bytes.clone()).map_err(bad)?;
            same("version", e.version, &json["version"])?;
            same("prior_version", e.prior_version, &json["prior_version"])?;
            same("reqid", e.reqid, &json["reqid"])?;
            same("mtime", e.mtime, &json["mtime"])?;
            same("return_code", e.return_code, &json["return_code"])
        }
        "pg_info_t" => {
            let p = PgInfo::from_bytes(bytes.clone()).map_err(bad)?;
            same("pgid", p.spg().pg, &json["pgid"])?;
            let h = &json["history"];
            same("epoch_created", p.history.epoch_created, &h["epoch_created"])?;
            same("interval", p.history.same_interval_since, &h["same_interval_since"])
        }
        "pg_history_t" => {
            let h = PgHistory::from_bytes(bytes.clone()).map_err(bad)?;
            same("last_epoch_started", h.last_epoch_started, &json["last_epoch_started"])?;
            same("last_clean_scrub", h.last_clean_scrub_stamp, &json["last_clean_scrub_stamp"])
        }
        "SnapSet" => {
            let s = SnapSet::from_bytes(bytes.clone()).map_err(bad)?;
            let clones = json["clones"].as_array().map_or(0, Vec::len);
            same("clones", s.clones.len(), &clones.into())
        }
        _ => Ok(()),
    }
}

#[test]
fn what_a_running_cluster_stored() {
    let (seen, wrong) = check(&data("live.jsonl.gz"), true);
    println!("{seen:?}");
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(seen["object_info_t"], 17);
    assert_eq!(seen["pg_log_entry_t"], 21);
}

/// The corpus holds a superblock form older than 16.2.15's, and values that no daemon makes: a log
/// entry of op 0, and a missing item without the marks that daemons write.
fn known_difference(line: &str) -> bool {
    ["kept: v9/5+0B }", "pg_log_entry_t: LogOp: invalid value 0", "pg_missing_item"]
        .iter()
        .any(|known| line.contains(known))
}

#[test]
fn the_corpus() {
    let Some(path) = shared("vectors/denc/types.jsonl.gz") else { return };
    let (seen, mut wrong) = check(&path, false);
    println!("{} samples: {seen:?}", seen.values().sum::<usize>());
    wrong.retain(|line| !known_difference(line));
    assert!(wrong.is_empty(), "{wrong:#?}");
}
