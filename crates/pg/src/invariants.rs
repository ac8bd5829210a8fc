//! What must hold of a PG after every step, as pure checks over one copy.

use crate::Pg;
use crate::peering::Role;

/// The first broken invariant of a copy, in words.
pub fn check(pg: &Pg) -> Result<(), String> {
    let (info, log) = (&pg.info, &pg.log);
    let rules = [
        (info.last_update == log.head(), "last_update is the log's head"),
        (log.tail() <= log.head(), "the log's tail is not behind its head"),
        (info.last_complete <= info.last_update, "last_complete is not ahead of last_update"),
        (
            pg.missing.is_empty() == (info.last_complete == info.last_update)
                || !pg.missing.is_empty(),
            "a copy without holes is complete",
        ),
        (
            log.entries().iter().is_sorted_by(|a, b| a.version < b.version),
            "versions of the log increase",
        ),
        (matches!(pg.role, Role::Primary(_)) == pg.is_primary(), "the role is what the map says"),
        (
            !info.is_incomplete() || !pg.is_primary() || !pg.is_active(),
            "an incomplete copy does not serve",
        ),
        (
            pg.missing.iter().all(|(_, item)| item.need > item.have),
            "what is missing is newer than what is there",
        ),
        (
            pg.missing.iter().all(|(object, _)| *object <= info.last_backfill),
            "nothing is missing behind last_backfill",
        ),
    ];
    pg.watches.check().map_err(|rule| format!("pg {} e{}: {rule}", pg.id.pg, pg.epoch))?;
    match rules.iter().find(|(holds, _)| !holds) {
        None => Ok(()),
        Some((_, rule)) => Err(format!(
            "pg {} e{}: {rule} ({} .. {}, complete {}, {} missing)",
            pg.id.pg,
            pg.epoch,
            log.tail(),
            info.last_update,
            info.last_complete,
            pg.missing.len()
        )),
    }
}
