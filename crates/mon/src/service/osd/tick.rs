//! What time alone brings about: silent OSDs go down, OSDs long down go out, blocklist entries end.

use std::collections::BTreeMap;
use std::time::Duration;

use seabed_cluster::osdmap::flag;
use seabed_cluster::{EntityAddr, Now, OsdId, OsdMap, Time, UTime};

use super::failure::may_mark_down;
use super::hold;
use crate::draft::Draft;
use crate::map_log::{Door, Provenance};
use crate::options::Options;

/// When OSDs were last heard of, and since when those that are down are.
#[derive(Debug, Clone, Default)]
pub struct Liveness {
    heard: BTreeMap<OsdId, Time>,
    down_since: BTreeMap<OsdId, Time>,
}

impl Liveness {
    /// An OSD was heard of.
    pub fn heard(&mut self, osd: OsdId, now: Time) {
        self.heard.insert(osd, now);
    }

    /// Follows the map: who is down and in, since when (as far as this process saw it).
    pub fn follow(&mut self, map: &OsdMap, now: Time) {
        for osd in map.osds() {
            if map.is_up(osd) {
                self.heard.entry(osd).or_insert(now);
                self.down_since.remove(&osd);
            } else {
                self.heard.remove(&osd);
                self.down_since.entry(osd).or_insert(now);
            }
        }
        self.heard.retain(|osd, _| map.exists(*osd));
        self.down_since.retain(|osd, _| map.exists(*osd));
    }

    /// OSDs up that were silent for too long.
    fn silent(&self, map: &OsdMap, options: &Options<'_>, now: Time) -> Vec<OsdId> {
        let timeout = report_timeout(options);
        let silent = |(osd, at): (&OsdId, &Time)| {
            (map.is_up(*osd)
                && now.saturating_sub(*at) >= timeout
                && may_mark_down(map, options, *osd))
            .then_some(*osd)
        };
        self.heard.iter().filter_map(silent).collect()
    }

    /// OSDs down for so long that their data belongs elsewhere.
    fn long_down(&self, map: &OsdMap, options: &Options<'_>, now: Time) -> Vec<OsdId> {
        let Some(interval) = out_interval(options) else { return Vec::new() };
        let due = |(osd, at): (&OsdId, &Time)| {
            let may =
                map.is_in(*osd) && map.is_down(*osd) && !hold::holds(map, *osd, flag::osd::NOOUT);
            (may && now.saturating_sub(*at) >= interval).then_some(*osd)
        };
        self.down_since.iter().filter_map(due).collect()
    }

    /// When the next of these is due.
    pub fn wake_at(&self, map: &OsdMap, options: &Options<'_>) -> Option<Time> {
        let timeout = report_timeout(options);
        let silent = self.heard.iter().filter(|(o, _)| map.is_up(**o)).map(|(_, t)| *t + timeout);
        let out = out_interval(options).and_then(|interval| {
            let noout = map.has_flag(flag::map::NOOUT);
            let waits = |(osd, at): (&OsdId, &Time)| {
                (map.is_in(*osd) && map.is_down(*osd) && !noout).then_some(*at + interval)
            };
            self.down_since.iter().filter_map(waits).min()
        });
        silent.min().into_iter().chain(out).min()
    }
}

fn report_timeout(options: &Options<'_>) -> Duration {
    Duration::from_secs(options.u64("mon_osd_report_timeout").max(1))
}

/// `None`: never out by itself.
fn out_interval(options: &Options<'_>) -> Option<Duration> {
    let seconds = options.u64("mon_osd_down_out_interval");
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

/// Puts everything that is due into the draft.
pub fn tick(
    draft: &mut Draft,
    liveness: &Liveness,
    options: &Options<'_>,
    now: Now,
    lines: &mut Vec<String>,
) {
    let map = draft.map_arc();
    for osd in liveness.silent(&map, options, now.mono) {
        if draft.touches(osd) {
            continue;
        }
        *draft.inc().new_state.entry(osd).or_insert(0) |= flag::osd::UP;
        lines.push(format!("osd.{osd} marked down: no beacon in time"));
        draft.because(Provenance::new("mon", Door::Monitor, format!("osd.{osd} was silent")));
    }
    let in_now = map.num_in_osds();
    let mut out = 0;
    for osd in liveness.long_down(&map, options, now.mono) {
        let stays = in_now.saturating_sub(out + 1) as f64 / map.num_osds().max(1) as f64;
        if stays < options.f64("mon_osd_min_in_ratio") || draft.touches(osd) {
            continue;
        }
        out += 1;
        mark_out_auto(draft, &map, osd);
        lines.push(format!("Marking osd.{osd} out (has been down too long)"));
        draft.because(Provenance::new("mon", Door::Monitor, format!("osd.{osd} long down")));
    }
    let ended = |entries: &BTreeMap<EntityAddr, UTime>| -> Vec<EntityAddr> {
        entries.iter().filter(|(_, until)| **until <= now.wall).map(|(a, _)| *a).collect()
    };
    let (clients, ranges) = (ended(&map.blocklist), ended(&map.range_blocklist));
    if !clients.is_empty() || !ranges.is_empty() {
        draft.inc().old_blocklist.extend(clients);
        draft.inc().old_range_blocklist.extend(ranges);
        draft.because(Provenance::new("mon", Door::Monitor, "blocklist entries ended"));
    }
}

fn mark_out_auto(draft: &mut Draft, map: &OsdMap, osd: OsdId) {
    let inc = draft.inc();
    inc.new_weight.insert(osd, 0);
    if map.state(osd) & flag::osd::AUTOOUT == 0 {
        *inc.new_state.entry(osd).or_insert(0) |= flag::osd::AUTOOUT;
    }
    let index = osd.index().unwrap_or_default();
    let mut xinfo = map.osd_xinfo.get(index).cloned().unwrap_or_default();
    xinfo.old_weight = map.weight(osd);
    inc.new_xinfo.insert(osd, xinfo);
}

/// When the next blocklist entry ends, as monotonic time.
pub fn blocklist_wake(map: &OsdMap, now: Now) -> Option<Time> {
    let next = map.blocklist.values().chain(map.range_blocklist.values()).min()?;
    Some(now.mono + next.saturating_sub(now.wall))
}
