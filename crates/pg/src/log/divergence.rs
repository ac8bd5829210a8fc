//! What a peer's log means, judged by the primary: how far it agrees, and what it will be missing.

use seabed_cluster::{PgInfo, PgLog};

use super::merge::{common_point, set_last_complete, undo};
use super::{Log, Missing};

/// Judges a peer against the authoritative `log`. `info.last_update` becomes the last common
/// change; `missing` what the peer will lack once it undid everything newer.
pub(crate) fn judge_peer(log: &Log, info: &mut PgInfo, peer_log: &PgLog, missing: &mut Missing) {
    if peer_log.head < log.tail() || peer_log.head == log.head() {
        return;
    }
    // Logs that do not meet leave the peer to be filled whole.
    let common = common_point(log, peer_log).unwrap_or_default();
    let theirs = Log::from_parts(
        peer_log.tail,
        common,
        peer_log.log.iter().filter(|e| e.version <= common).cloned().collect(),
        Vec::new(),
    );
    let divergent: Vec<_> = peer_log.log.iter().filter(|e| e.version > common).cloned().collect();
    undo(&theirs, missing, &info.last_backfill, common, &divergent);
    if common < info.last_update {
        info.last_update = common;
    }
    set_last_complete(log, missing, info);
}
