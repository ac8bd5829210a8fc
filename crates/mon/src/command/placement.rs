//! Commands that place PGs otherwise than CRUSH does: for good (upmap) or for a time (temp).

use seabed_cluster::{Errno, OsdId, OsdMap, PgId};

use super::dump::ids_text;
use super::osd_read::id_args;
use super::{Answer, Command, Refusal, Reply};
use crate::draft::Draft;

/// The oldest clients that understand upmap: luminous.
const UPMAP_RELEASE: u8 = 12;

/// The PG that a command names, which must exist.
pub fn need_pg(map: &OsdMap, command: &Command) -> Result<PgId, Refusal> {
    let text = command.need("pgid")?;
    let pg: PgId = text.parse().map_err(|_| Refusal::invalid(format!("invalid pgid '{text}'")))?;
    if map.pools.get(&pg.pool).is_some_and(|p| pg.seed < p.pg_num) {
        Ok(pg)
    } else {
        Err(Refusal::not_found(format!("pg {pg} does not exist")))
    }
}

/// Runs one of them.
pub fn run(draft: &mut Draft, command: &Command) -> Answer {
    let map = draft.map_arc();
    let pg = need_pg(&map, command)?;
    let prefix = command.prefix.as_str();
    if prefix.contains("pg-upmap") && map.require_min_compat_client < UPMAP_RELEASE {
        let text = "min_compat_client is older than luminous, which is required for pg-upmap; try \
                    'ceph osd set-require-min-compat-client luminous'";
        return Err(Refusal::new(Errno::EPERM, text));
    }
    if prefix == "osd primary-temp" {
        return primary_temp(draft, command, pg);
    }
    let ids = id_args(&map, &command.list("id"))?;
    if let Some(osd) = ids.iter().find(|o| !map.exists(**o)) {
        return Err(Refusal::not_found(format!("osd.{osd} does not exist")));
    }
    match prefix {
        "osd rm-pg-upmap" => {
            if map.pg_upmap.contains_key(&pg) {
                draft.inc().old_pg_upmap.insert(pg);
            }
            Ok(Reply::status(format!("clear {pg} pg_upmap mapping")))
        }
        "osd rm-pg-upmap-items" => {
            if map.pg_upmap_items.contains_key(&pg) {
                draft.inc().old_pg_upmap_items.insert(pg);
            }
            Ok(Reply::status(format!("clear {pg} pg_upmap_items mapping")))
        }
        "osd pg-upmap" => upmap(draft, &map, pg, &ids),
        "osd pg-upmap-items" => upmap_items(draft, pg, &ids),
        _ if ids.is_empty() => {
            draft.inc().new_pg_temp.insert(pg, ids);
            Ok(Reply::status(format!("done cleaning up pg_temp of {pg}")))
        }
        _ => {
            let shown = ids_text(&ids);
            draft.inc().new_pg_temp.insert(pg, ids);
            Ok(Reply::status(format!("set {pg} pg_temp mapping to {shown}")))
        }
    }
}

fn primary_temp(draft: &mut Draft, command: &Command, pg: PgId) -> Answer {
    // -1 takes it back.
    let id = command.int("id")?.and_then(|n| i32::try_from(n).ok()).filter(|n| *n >= -1);
    let osd = OsdId(id.ok_or_else(|| Refusal::invalid("invalid osd id"))?);
    if osd.0 >= 0 && !draft.map().exists(osd) {
        return Err(Refusal::not_found(format!("osd.{osd} does not exist")));
    }
    draft.inc().new_primary_temp.insert(pg, osd);
    Ok(Reply::status(format!("set {pg} primary_temp mapping to {osd}")))
}

fn upmap(draft: &mut Draft, map: &OsdMap, pg: PgId, ids: &[OsdId]) -> Answer {
    let (min, size) = map.pools.get(&pg.pool).map_or((1, 1), |p| (p.min_size, p.size));
    let count = u32::try_from(ids.len()).unwrap_or(u32::MAX);
    if count < min {
        let text = format!("num of osds ({count}) < pool min size ({min})");
        return Err(Refusal::invalid(text));
    }
    if count > size {
        let text = format!("num of osds ({count}) > pool size ({size})");
        return Err(Refusal::invalid(text));
    }
    let mut text = String::new();
    let mut wanted: Vec<OsdId> = Vec::new();
    for osd in ids {
        if wanted.contains(osd) {
            text.push_str(&format!("osd.{osd} already exists, "));
        } else {
            wanted.push(*osd);
        }
    }
    text.push_str(&format!("set {pg} pg_upmap mapping to {}", ids_text(&wanted)));
    draft.inc().new_pg_upmap.insert(pg, wanted);
    Ok(Reply::status(text))
}

fn upmap_items(draft: &mut Draft, pg: PgId, ids: &[OsdId]) -> Answer {
    if ids.is_empty() || !ids.len().is_multiple_of(2) {
        return Err(Refusal::invalid("you must specify pairs of osd ids to be remapped"));
    }
    let mut text = String::new();
    let mut pairs: Vec<(OsdId, OsdId)> = Vec::new();
    for (from, to) in ids.chunks(2).map(|c| (c[0], c[1])) {
        if from == to {
            text.push_str(&format!("from osd.{from} == to osd.{to}, "));
        } else if pairs.iter().any(|p| p.0 == from || p.1 == to) {
            text.push_str(&format!("osd.{from} -> osd.{to} already exists, "));
        } else {
            pairs.push((from, to));
        }
    }
    if pairs.is_empty() {
        return Err(Refusal::invalid(text + "no valid upmap items(pairs) is specified"));
    }
    let shown: Vec<String> = pairs.iter().map(|(f, t)| format!("{f}->{t}")).collect();
    text.push_str(&format!("set {pg} pg_upmap_items mapping to [{}]", shown.join(",")));
    draft.inc().new_pg_upmap_items.insert(pg, pairs);
    Ok(Reply::status(text))
}

/// `pg repeer`: another order of the same OSDs for a moment begins a new interval.
pub fn repeer(draft: &mut Draft, command: &Command) -> Answer {
    let map = draft.map_arc();
    let missing = |e: Refusal| match e.errno {
        Errno::ENOENT => {
            let pg = command.str("pgid").unwrap_or_default();
            Refusal::not_found(format!("pg '{pg}' does not exist"))
        }
        _ => e,
    };
    let pg = need_pg(&map, command).map_err(missing)?;
    let mut acting = map.map_pg(pg).acting;
    if acting.len() > 1 {
        acting.reverse();
    } else {
        let other = map.osds().find(|o| map.is_up(*o) && !acting.contains(o));
        let none = || Refusal::new(Errno::EAGAIN, "no other OSD is up to lead the pg for a moment");
        acting = vec![other.ok_or_else(none)?];
    }
    draft.inc().new_pg_temp.insert(pg, acting);
    Ok(Reply::default())
}
