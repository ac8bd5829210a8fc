//! Failure reports: peers say that an OSD does not answer.
//!
//! An immediate report (its port refuses connections) is believed at once. Otherwise enough
//! reporters must agree, from enough different places. An OSD is never refused for having been
//! marked down often.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use seabed_cluster::osdmap::flag;
use seabed_cluster::{EntityAddrVec, Epoch, OsdId, OsdMap, Time};

use super::hold;
use crate::options::Options;
use crate::service::crush_edit::location;

/// One peer's report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Report {
    /// Since when the target has not answered that peer.
    since: Time,
}

/// Reports about all OSDs. Bounded by the square of `max_osd`, less in fact: an entry goes when
/// its target or its reporter goes down.
#[derive(Debug, Clone, Default)]
pub struct Failures {
    reports: BTreeMap<OsdId, BTreeMap<OsdId, Report>>,
}

/// A report as it arrives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureReport {
    /// Who reports.
    pub reporter: OsdId,
    /// Who does not answer.
    pub target: OsdId,
    /// The target's public addresses as the reporter's map has them.
    pub target_addrs: EntityAddrVec,
    /// The reporter's map.
    pub epoch: Epoch,
    /// False takes an earlier report back.
    pub failed: bool,
    /// The target's port refuses connections.
    pub immediate: bool,
    /// For how long it has not answered.
    pub failed_for: Duration,
}

/// What to do after a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing now.
    Wait,
    /// The report is about something past: the reporter needs newer maps.
    Stale,
    /// The target is to be marked down.
    Down,
}

impl Failures {
    /// Takes a report.
    pub fn report(
        &mut self,
        map: &OsdMap,
        options: &Options<'_>,
        now: Time,
        report: &FailureReport,
    ) -> Verdict {
        let target = report.target;
        let same_life = map.addrs(target).is_some_and(|a| a.client == report.target_addrs)
            && map.up_from(target) <= report.epoch;
        if !map.is_up(target) || !same_life || !map.is_up(report.reporter) {
            return Verdict::Stale;
        }
        if !report.failed {
            if let Some(reports) = self.reports.get_mut(&target) {
                reports.remove(&report.reporter);
            }
            return Verdict::Wait;
        }
        if !may_mark_down(map, options, target) {
            return Verdict::Wait;
        }
        if report.immediate {
            return Verdict::Down;
        }
        let since = now - report.failed_for;
        self.reports.entry(target).or_default().insert(report.reporter, Report { since });
        if self.enough(map, options, now, target) { Verdict::Down } else { Verdict::Wait }
    }

    /// True if the reports about `target` suffice.
    pub fn enough(&self, map: &OsdMap, options: &Options<'_>, now: Time, target: OsdId) -> bool {
        let Some(reports) = self.reports.get(&target) else { return false };
        let grace = Duration::from_secs_f64(options.f64("osd_heartbeat_grace").clamp(0.1, 3600.0));
        let level = options.get("mon_osd_reporter_subtree_level");
        let mut places = BTreeSet::new();
        let mut longest = Duration::ZERO;
        for (reporter, report) in reports {
            if !map.is_up(*reporter) {
                continue;
            }
            longest = longest.max(now.saturating_sub(report.since));
            let place = match level.as_str() {
                "osd" => None,
                level => location(&map.crush, *reporter)
                    .into_iter()
                    .find(|(kind, _)| kind == level)
                    .map(|(_, name)| name),
            };
            places.insert(place.unwrap_or_else(|| format!("osd.{reporter}")));
        }
        // With fewer possible reporters than wanted, all of them suffice.
        let possible = map.num_up_osds().saturating_sub(1).max(1) as u64;
        let wanted = options.u64("mon_osd_min_down_reporters").clamp(1, possible);
        places.len() as u64 >= wanted && longest >= grace
    }

    /// The targets that have reports.
    pub fn targets(&self) -> impl Iterator<Item = OsdId> + '_ {
        self.reports.keys().copied()
    }

    /// Forgets reports of and about OSDs that are not up.
    pub fn forget_dead(&mut self, map: &OsdMap) {
        self.reports.retain(|target, reports| {
            reports.retain(|reporter, _| map.is_up(*reporter));
            map.is_up(*target) && !reports.is_empty()
        });
    }

    /// When reports that are too few or too young should be looked at again.
    pub fn wake_at(&self, now: Time) -> Option<Time> {
        (!self.reports.is_empty()).then(|| now + Duration::from_secs(1))
    }
}

/// False if flags or the share of OSDs that would stay up forbid it.
pub fn may_mark_down(map: &OsdMap, options: &Options<'_>, target: OsdId) -> bool {
    if hold::holds(map, target, flag::osd::NODOWN) {
        return false;
    }
    let all = map.num_osds();
    all == 0 || map.num_up_osds() as f64 / all as f64 >= options.f64("mon_osd_min_up_ratio")
}
