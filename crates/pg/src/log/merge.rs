//! Making one log out of two: the authoritative one wins, what it does not know is undone.
//!
//! The functions change log, missing set and info of *this* copy, and name the objects whose local
//! copy must be removed. The caller removes them in the same transaction that stores log and info,
//! so that the objects never disagree with the log over a crash.

use std::collections::BTreeMap;

use seabed_cluster::{EVersion, HObject, PgInfo, PgLog, PgLogEntry};

use super::{Log, Missing};

/// Objects whose local copy is to be removed, because a change of them was undone.
pub(crate) type Undone = Vec<HObject>;

/// The newest change that both logs have. A version names one change for all time, so a version
/// that occurs in both logs is common with everything before it.
///
/// `None` if the logs do not meet: the other begins behind something that is not ours.
pub(crate) fn common_point(log: &Log, other: &PgLog) -> Option<EVersion> {
    for entry in other.log.iter().rev() {
        if log.is_known(entry.version) {
            return Some(entry.version);
        }
    }
    if log.is_known(other.tail) {
        return Some(other.tail);
    }
    // What was trimmed here was once complete everywhere.
    (other.tail <= log.tail()).then(|| log.tail())
}

/// Takes over the authoritative log `other`, which must have a common point with ours.
pub(crate) fn merge(
    log: &mut Log,
    missing: &mut Missing,
    info: &mut PgInfo,
    other: &PgLog,
    other_info: &PgInfo,
) -> Undone {
    if other.tail < log.tail() {
        let older: Vec<_> = other.log.iter().filter(|e| e.version <= log.tail()).cloned().collect();
        log.extend_tail(other.tail, older);
        info.log_tail = other.tail;
    }
    let common = common_point(log, other).unwrap_or(log.head());
    let divergent = log.cut_head(common);
    for entry in other.log.iter().filter(|e| e.version > common) {
        log.append(entry.clone());
        if entry.soid <= info.last_backfill {
            missing.add_entry(entry);
        }
    }
    let undone = undo(log, missing, &info.last_backfill, common, &divergent);
    log.merge_dups(&other.dups);
    info.last_update = log.head();
    info.last_user_version = other_info.last_user_version;
    info.purged_snaps = other_info.purged_snaps.clone();
    set_last_complete(log, missing, info);
    undone
}

/// Drops every entry newer than `to`.
pub(crate) fn rewind(
    log: &mut Log,
    missing: &mut Missing,
    info: &mut PgInfo,
    to: EVersion,
) -> Undone {
    let divergent = log.cut_head(to);
    let undone = undo(log, missing, &info.last_backfill, to, &divergent);
    info.last_update = log.head();
    set_last_complete(log, missing, info);
    undone
}

/// Sets `last_complete`: the newest change up to which no object is missing.
pub(crate) fn set_last_complete(log: &Log, missing: &Missing, info: &mut PgInfo) {
    info.last_complete = match missing.first_need() {
        None => info.last_update,
        Some(need) => log.before(need).min(info.last_update),
    };
}

/// What undoing `divergent` entries (oldest first), already cut from `log`, means for the objects.
pub(super) fn undo(
    log: &Log,
    missing: &mut Missing,
    last_backfill: &HObject,
    common: EVersion,
    divergent: &[PgLogEntry],
) -> Undone {
    let mut by_object: BTreeMap<&HObject, Vec<&PgLogEntry>> = BTreeMap::new();
    for entry in divergent.iter().filter(|e| !e.is_error()) {
        by_object.entry(&entry.soid).or_default().push(entry);
    }
    let mut undone = Vec::new();
    for (object, entries) in by_object {
        if object <= last_backfill {
            undo_object(log, missing, common, object, &entries, &mut undone);
        }
    }
    undone
}

fn undo_object(
    log: &Log,
    missing: &mut Missing,
    common: EVersion,
    object: &HObject,
    entries: &[&PgLogEntry],
    undone: &mut Undone,
) {
    let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return };
    let prior = first.prior_version;
    // The copy on disk is not of a divergent version if it never arrived, or was deleted by the
    // last divergent change.
    let on_disk = missing.contains(object) || !last.is_delete();
    if log.newest(object).is_some_and(|v| v > common) {
        // The authoritative log changes the object again: it is already missing at that version,
        // and what is here is of no use for it.
        missing.forget_have(object);
        if on_disk {
            undone.push(object.clone());
        }
        return;
    }
    if prior == EVersion::ZERO || first.op == seabed_cluster::LogOp::Clone {
        missing.remove(object);
        if on_disk {
            undone.push(object.clone());
        }
        return;
    }
    if let Some(item) = missing.get(object) {
        // The divergent change itself never arrived here.
        if item.have == prior {
            missing.remove(object);
        } else {
            missing.revise_need(object, prior);
        }
        return;
    }
    missing.add(object, prior, EVersion::ZERO, false);
    if on_disk {
        undone.push(object.clone());
    }
}
