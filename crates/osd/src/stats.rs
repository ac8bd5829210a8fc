//! Reports to the monitor: the OSD's space, the state of the PGs it leads, and fullness.

use std::collections::BTreeMap;

use seabed_cluster::{Now, OsdStat, StoreStatfs, osdmap::flag};
use seabed_messages::{MOsdFull, MPgStats, Paxos};
use seabed_pg::{Outbox, Peer, Step};
use seabed_storage::{ObjectStore, Room, StatFs};

use crate::Osd;

/// A report follows a change of state by this much, so that a change of many PGs is one report.
const SOON: std::time::Duration = std::time::Duration::from_millis(200);

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

impl Osd {
    /// Reports before long.
    pub(crate) fn report_soon(&mut self, now: Now) {
        let soon = now.mono + SOON;
        self.report_at = Some(self.report_at.map_or(soon, |at| at.min(soon)));
    }

    pub(crate) fn report_tick(
        &mut self,
        now: Now,
        store: &mut dyn ObjectStore,
        out: &mut Outbox,
    ) -> Step {
        if self.report_at.is_none_or(|at| now.mono < at) {
            return Ok(());
        }
        if !self.phase.is_active() || !self.mon_connected {
            self.report_at = None;
            return Ok(());
        }
        self.report_at = Some(now.mono + self.config.stats_interval);
        self.watch_fullness(now, store, out)?;
        self.repeat_fullness(out);
        let space = store.statfs();
        let mut pg_stats = BTreeMap::new();
        for id in self.pg_ids() {
            let stat = self.with_pg(now, id, store, out, |pg, env| {
                Ok(pg.is_primary().then(|| pg.stat(env)))
            })?;
            if let Some(stat) = stat.flatten() {
                pg_stats.insert(id.pg, stat);
            }
        }
        self.stat_seq = self.stat_seq.wrapping_add(1);
        let message = MPgStats {
            fsid: self.config.fsid,
            osd_stat: self.osd_stat(&space),
            pg_stats,
            epoch: self.epoch(),
            pool_stats: self
                .pools_here()
                .into_iter()
                .map(|p| (p, StoreStatfs::default()))
                .collect(),
            ..MPgStats::default()
        };
        out.send(Peer::Mon, message);
        Ok(())
    }

    fn osd_stat(&self, space: &StatFs) -> OsdStat {
        let up_from = self.map.as_ref().map(|m| m.up_from(self.config.whoami)).unwrap_or_default();
        OsdStat {
            kb: signed(space.total / 1024),
            kb_used: signed(space.total.saturating_sub(space.available) / 1024),
            kb_available: signed(space.available / 1024),
            heartbeat_peers: self.heartbeat.peers().collect(),
            up_from,
            seq: u64::from(up_from.0) << 32 | u64::from(self.stat_seq),
            num_pgs: u32::try_from(self.pgs.len()).unwrap_or(u32::MAX),
            kb_used_data: signed(space.allocated / 1024),
            kb_used_omap: signed(space.omap / 1024),
            kb_used_meta: signed(space.meta / 1024),
            statfs: StoreStatfs {
                total: signed(space.total),
                available: signed(space.available),
                allocated: signed(space.allocated),
                data_stored: signed(space.stored),
                omap_allocated: signed(space.omap),
                internal_metadata: signed(space.meta),
                ..StoreStatfs::default()
            },
            num_osds: 1,
            num_per_pool_osds: 1,
            num_per_pool_omap_osds: 1,
            ..OsdStat::default()
        }
    }

    /// Looks at the disk: the monitor hears at once when its fullness changes, so that clients hold
    /// their writes before there is no room; PGs hear when there is room again.
    pub(crate) fn watch_fullness(
        &mut self,
        now: Now,
        store: &mut dyn ObjectStore,
        out: &mut Outbox,
    ) -> Step {
        let was_full = self.config.pg.disk_full;
        let state = self.fullness(store.room());
        if self.phase.is_active() && state != self.fullness_told {
            self.tell_fullness(state, out);
        }
        if was_full && !self.config.pg.disk_full {
            for id in self.pg_ids() {
                self.with_pg(now, id, store, out, |pg, env| pg.room_again(env))?;
            }
        }
        Ok(())
    }

    /// Tells again as long as the map shows another fullness.
    fn repeat_fullness(&mut self, out: &mut Outbox) {
        let bits = flag::osd::FULL | flag::osd::BACKFILLFULL | flag::osd::NEARFULL;
        let shown = self.map.as_ref().map(|map| map.state(self.config.whoami) & bits);
        if shown.is_some_and(|shown| shown != self.fullness_told) {
            self.tell_fullness(self.fullness_told, out);
        }
    }

    fn tell_fullness(&mut self, state: u32, out: &mut Outbox) {
        self.fullness_told = state;
        let epoch = self.epoch();
        let paxos = Paxos::at(epoch.0.into());
        out.send(Peer::Mon, MOsdFull { paxos, epoch, state, ..MOsdFull::default() });
    }

    /// The bit that the map should show for this OSD, the worst alone. Beyond the failsafe ratio
    /// PGs take nothing more, whatever the map shows.
    fn fullness(&mut self, room: Room) -> u32 {
        let Some(map) = self.map.as_ref().filter(|_| room.total > 0) else { return 0 };
        let used = room.total.saturating_sub(room.available) as f64 / room.total as f64;
        self.config.pg.disk_full = used >= self.config.failsafe_full_ratio;
        let over = |ratio: f32| ratio > 0.0 && used >= f64::from(ratio);
        if over(map.full_ratio) {
            flag::osd::FULL
        } else if over(map.backfillfull_ratio) {
            flag::osd::BACKFILLFULL
        } else if over(map.nearfull_ratio) {
            flag::osd::NEARFULL
        } else {
            0
        }
    }
}
