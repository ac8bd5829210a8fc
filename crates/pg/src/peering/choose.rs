//! Which copy is right, and who shall act. Pure functions over what the copies said of themselves.

use std::collections::{BTreeMap, BTreeSet};

use seabed_cluster::{EVersion, Epoch, OsdId, PgInfo};

use crate::interval::Membership;

/// Who takes part in the interval.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ActingPlan {
    /// Whose log is authoritative.
    pub(crate) best: OsdId,
    /// Copies that take part in writes, this OSD included.
    pub(crate) targets: BTreeSet<OsdId>,
    /// Those of them that must be filled first.
    pub(crate) backfill: BTreeSet<OsdId>,
}

/// What the infos lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    /// No complete copy of what was started last.
    Incomplete,
    /// Other OSDs than the acting ones should act; empty to drop `pg_temp`.
    Change(Vec<OsdId>),
    /// The acting set is right.
    Go(ActingPlan),
}

/// The copy with the authoritative history.
///
/// Copies that were not activated in the last started interval may lack its writes; copies being
/// filled may lack anything. Among the rest the longest history wins: it may hold writes that were
/// never acknowledged, but never lacks an acknowledged one.
pub(crate) fn best(infos: &BTreeMap<OsdId, PgInfo>, whoami: OsdId) -> Option<OsdId> {
    let mut started = Epoch(0);
    for info in infos.values() {
        started = started.max(info.history.last_epoch_started);
        if !info.is_incomplete() {
            started = started.max(info.last_epoch_started);
        }
    }
    let eligible = |i: &PgInfo| !i.is_incomplete() && i.last_epoch_started >= started;
    infos
        .iter()
        .filter(|(_, info)| eligible(info))
        .max_by_key(|(osd, info)| {
            (
                info.last_update,
                std::cmp::Reverse(info.log_tail),
                info.last_complete == info.last_update,
                **osd == whoami,
                std::cmp::Reverse(**osd),
            )
        })
        .map(|(osd, _)| *osd)
}

/// Decides by the infos of everybody asked, our own among them.
pub(crate) fn choose(
    infos: &BTreeMap<OsdId, PgInfo>,
    member: &Membership,
    whoami: OsdId,
    is_up: impl Fn(OsdId) -> bool,
) -> Choice {
    let Some(best) = best(infos, whoami) else { return Choice::Incomplete };
    let auth = &infos[&best];
    let contiguous =
        |info: &PgInfo, tail: EVersion| !info.is_incomplete() && info.last_update >= tail;
    let leader = match member.up_primary {
        Some(p) if infos.get(&p).is_some_and(|i| contiguous(i, auth.log_tail)) => p,
        _ => best,
    };
    let tail = infos[&leader].log_tail.min(auth.log_tail);
    let mut want = vec![leader];
    let mut backfill = BTreeSet::new();
    for osd in member.up.iter().filter(|o| **o != leader) {
        match infos.get(osd) {
            Some(info) if contiguous(info, tail) => want.push(*osd),
            // An OSD in `up` that has not answered cannot be here: everybody in `up` is asked.
            _ => drop(backfill.insert(*osd)),
        }
    }
    fill_up(infos, member, tail, &is_up, &mut want);
    // The order of the others does not matter, and with primary affinity the leader need not be the
    // first.
    let wanted: BTreeSet<OsdId> = want.iter().copied().collect();
    let is = |osds: &[OsdId], primary: Option<OsdId>| {
        primary == Some(leader) && wanted == osds.iter().copied().collect()
    };
    if !is(&member.acting, member.acting_primary) {
        let as_mapped = is(&member.up, member.up_primary);
        return Choice::Change(if as_mapped { Vec::new() } else { want });
    }
    let targets = want.iter().copied().chain(backfill.iter().copied()).collect();
    Choice::Go(ActingPlan { best, targets, backfill })
}

/// Until the pool's size is reached, complete copies that are not in `up` act too.
fn fill_up(
    infos: &BTreeMap<OsdId, PgInfo>,
    member: &Membership,
    tail: EVersion,
    is_up: &impl Fn(OsdId) -> bool,
    want: &mut Vec<OsdId>,
) {
    let acting: BTreeSet<OsdId> = member.acting.iter().copied().collect();
    let mut spare: Vec<(&OsdId, &PgInfo)> = infos
        .iter()
        .filter(|(osd, info)| {
            !want.contains(osd)
                && !member.up.contains(osd)
                && is_up(**osd)
                && !info.is_incomplete()
                && info.last_update >= tail
                && !info.dne()
        })
        .collect();
    spare.sort_by_key(|(osd, info)| {
        (!acting.contains(osd), std::cmp::Reverse(info.last_update), **osd)
    });
    for (osd, _) in spare {
        if want.len() >= member.size as usize {
            break;
        }
        want.push(*osd);
    }
}

#[cfg(test)]
mod tests {
    use seabed_cluster::{HObject, PgHistory};

    use super::*;

    fn info(started: u32, update: (u32, u64), tail: u64) -> PgInfo {
        let last_update = EVersion::new(Epoch(update.0), update.1);
        PgInfo {
            last_epoch_started: Epoch(started),
            history: PgHistory {
                last_epoch_started: Epoch(started),
                epoch_created: Epoch(1),
                ..PgHistory::default()
            },
            last_update,
            last_complete: last_update,
            log_tail: EVersion::new(Epoch(u32::from(tail != 0)), tail),
            ..PgInfo::default()
        }
    }

    fn member(up: &[i32], acting: &[i32]) -> Membership {
        let ids = |a: &[i32]| a.iter().map(|n| OsdId(*n)).collect::<Vec<_>>();
        Membership {
            up: ids(up),
            up_primary: up.first().map(|n| OsdId(*n)),
            acting: ids(acting),
            acting_primary: acting.first().map(|n| OsdId(*n)),
            size: 3,
            min_size: 2,
            pg_num: 1,
        }
    }

    fn all(infos: Vec<PgInfo>) -> BTreeMap<OsdId, PgInfo> {
        infos.into_iter().enumerate().map(|(n, i)| (OsdId(n as i32), i)).collect()
    }

    #[test]
    fn a_longer_log_of_an_older_interval_loses() {
        let infos = all(vec![info(5, (5, 9), 0), info(7, (6, 8), 0)]);
        assert_eq!(best(&infos, OsdId(0)), Some(OsdId(1)));
    }

    #[test]
    fn an_incomplete_copy_is_never_right() {
        let mut infos = all(vec![info(5, (5, 9), 0), info(5, (5, 8), 0)]);
        infos.get_mut(&OsdId(0)).unwrap().last_backfill = HObject::min();
        assert_eq!(best(&infos, OsdId(0)), Some(OsdId(1)));
        infos.remove(&OsdId(1));
        assert_eq!(best(&infos, OsdId(0)), None);
    }

    #[test]
    fn what_does_not_reach_back_is_filled() {
        let infos = all(vec![info(5, (5, 90), 50), info(5, (5, 90), 50), info(0, (0, 0), 0)]);
        let plan = choose(&infos, &member(&[0, 1, 2], &[0, 1, 2]), OsdId(0), |_| true);
        assert_eq!(plan, Choice::Change(vec![OsdId(0), OsdId(1)]));
        let plan = choose(&infos, &member(&[0, 1, 2], &[0, 1]), OsdId(0), |_| true);
        let Choice::Go(plan) = plan else { panic!("{plan:?}") };
        assert_eq!(plan.backfill, BTreeSet::from([OsdId(2)]));
        assert_eq!(plan.targets.len(), 3);
    }

    #[test]
    fn a_primary_by_affinity_need_not_be_the_first() {
        let infos = all(vec![info(5, (5, 9), 0), info(5, (5, 9), 0), info(5, (5, 9), 0)]);
        let mut member = member(&[0, 1, 2], &[0, 1, 2]);
        (member.up_primary, member.acting_primary) = (Some(OsdId(1)), Some(OsdId(1)));
        let plan = choose(&infos, &member, OsdId(1), |_| true);
        assert!(matches!(plan, Choice::Go(_)), "{plan:?}");
        member.acting = vec![OsdId(0), OsdId(2)];
        member.acting_primary = Some(OsdId(0));
        assert_eq!(choose(&infos, &member, OsdId(0), |_| true), Choice::Change(Vec::new()));
    }

    #[test]
    fn an_empty_primary_does_not_lead() {
        let infos = all(vec![info(0, (0, 0), 0), info(5, (5, 90), 50), info(5, (5, 90), 50)]);
        let plan = choose(&infos, &member(&[0, 1, 2], &[0, 1, 2]), OsdId(0), |_| true);
        assert_eq!(plan, Choice::Change(vec![OsdId(1), OsdId(2)]));
    }
}
