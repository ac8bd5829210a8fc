//! From a start to being up in the map, and back there when the map says that we are down.

use seabed_cluster::{Epoch, Now, Time};
use seabed_messages::{
    MMonGetVersion, MMonSubscribe, MOsdBeacon, MOsdBoot, MOsdMarkMeDown, Paxos, Subscription,
};
use seabed_pg::{Level, Outbox, Peer};

use crate::Osd;

/// How far the OSD is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Phase {
    /// No monitor, or its maps are not known yet.
    #[default]
    Learning,
    /// The monitor was asked to mark us up.
    Booting {
        /// When it is asked again.
        again_at: Time,
    },
    /// The map shows us up, with our addresses, since this epoch.
    Active {
        /// `up_from`.
        since: Epoch,
    },
}

impl Phase {
    pub(crate) fn is_active(self) -> bool {
        matches!(self, Phase::Active { .. })
    }

    /// Ceph's word for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Phase::Learning => "preboot",
            Phase::Booting { .. } => "booting",
            Phase::Active { .. } => "active",
        }
    }
}

impl Osd {
    /// A monitor listens: everything that it may not know is told again.
    pub(crate) fn mon_connected(&mut self, now: Now, out: &mut Outbox) {
        self.mon_connected = true;
        self.introduce_options(out);
        let mut subscribe = MMonSubscribe::default();
        subscribe.what.insert("config".into(), Subscription { start: 0, flags: 0 });
        out.send(Peer::Mon, subscribe);
        self.ask_for_maps(now, out);
        self.ask_version(out);
        if self.phase.is_active() {
            self.beacon(now, out);
            self.report_soon(now);
            self.heartbeat.report_again();
        }
    }

    fn ask_version(&self, out: &mut Outbox) {
        let what = "osdmap".to_string();
        out.send(Peer::Mon, MMonGetVersion { handle: 1, what, ..MMonGetVersion::default() });
    }

    /// Subscribes to every map after ours.
    pub(crate) fn ask_for_maps(&mut self, now: Now, out: &mut Outbox) {
        let start = u64::from(self.maps.newest().0) + 1;
        let mut subscribe = MMonSubscribe::default();
        subscribe.what.insert("osdmap".into(), Subscription { start, flags: 0 });
        subscribe.what.insert("osd_pg_creates".into(), Subscription { start: 0, flags: 0 });
        out.send(Peer::Mon, subscribe);
        self.maps_asked = Some(now.mono + self.config.retry);
    }

    /// The monitor's newest map has this epoch.
    pub(crate) fn version_told(&mut self, now: Now, newest: u64, out: &mut Outbox) {
        if self.phase.is_active() {
            return;
        }
        let has_all = u64::from(self.maps.newest().0) >= newest && newest > 0;
        if has_all && self.knows_purged(out) {
            self.boot(now, out);
        }
    }

    pub(crate) fn boot(&mut self, now: Now, out: &mut Outbox) {
        let newest = self.maps.newest();
        self.log(out, Level::Info, format_args!("boots with map {newest}"));
        let message = MOsdBoot {
            paxos: Paxos::at(newest.0.into()),
            superblock: self.maps.superblock.clone(),
            heartbeat_back: self.config.addrs.heartbeat_back.clone(),
            cluster: self.config.addrs.cluster.clone(),
            heartbeat_front: self.config.addrs.heartbeat_front.clone(),
            metadata: self.config.metadata.clone(),
            features: self.config.features,
            ..MOsdBoot::default()
        };
        out.send(Peer::Mon, message);
        self.phase = Phase::Booting { again_at: now.mono + self.config.retry };
    }

    /// Looks for ourselves in a new map.
    pub(crate) fn look_for_us(&mut self, now: Now, out: &mut Outbox) {
        let Some(map) = self.map.clone() else { return };
        let me = self.config.whoami;
        let ours =
            map.is_up(me) && map.addrs(me).is_some_and(|a| a.cluster == self.config.addrs.cluster);
        match (self.phase, ours) {
            (Phase::Active { since }, true) if since == map.up_from(me) => {}
            (Phase::Booting { .. }, true) => {
                let since = map.up_from(me);
                self.phase = Phase::Active { since };
                self.log(out, Level::Info, format_args!("is up since epoch {since}"));
                self.plan_look(now);
                self.beacon(now, out);
                self.report_soon(now);
            }
            (Phase::Active { .. }, _) if self.leaving => {
                out.stop.get_or_insert_with(|| "marked down as asked".into());
            }
            (Phase::Active { .. }, _) => {
                self.log(out, Level::Warn, format_args!("epoch {} says we are down", map.epoch));
                self.phase = Phase::Learning;
                self.heartbeat.forget();
                self.ask_version(out);
            }
            (Phase::Learning, _) if self.mon_connected => self.ask_version(out),
            _ => {}
        }
    }

    pub(crate) fn boot_tick(&mut self, now: Now, out: &mut Outbox) {
        if !self.mon_connected {
            return;
        }
        if let Phase::Booting { again_at } = self.phase
            && now.mono >= again_at
        {
            self.phase = Phase::Booting { again_at: now.mono + self.config.retry };
            self.ask_for_maps(now, out);
            self.ask_version(out);
        }
        if self.maps_asked.is_some_and(|at| now.mono >= at) && !self.phase.is_active() {
            self.ask_for_maps(now, out);
            self.ask_version(out);
        }
        if self.beacon_at.is_some_and(|at| now.mono >= at) && self.phase.is_active() {
            self.beacon(now, out);
        }
    }

    pub(crate) fn boot_wake(&self) -> Option<Time> {
        match self.phase {
            Phase::Booting { again_at } => Some(again_at),
            Phase::Learning if self.mon_connected => self.maps_asked,
            _ => None,
        }
    }

    /// Asks to be marked down, and dead: then nobody waits for promises made to us.
    pub(crate) fn leave(&mut self, out: &mut Outbox) {
        let Some(map) = self.map.clone().filter(|_| self.phase.is_active()) else {
            out.stop = Some("stopped before it was up".into());
            return;
        };
        let message = MOsdMarkMeDown {
            paxos: Paxos::at(map.epoch.0.into()),
            fsid: self.config.fsid,
            target: self.config.whoami,
            target_addrs: self.config.addrs.client.clone(),
            epoch: map.epoch,
            request_ack: true,
            down_and_dead: true,
            ..MOsdMarkMeDown::default()
        };
        out.send(Peer::Mon, message);
        self.leaving = true;
    }

    /// Tells the monitor that we live, and how old a map our PGs may still need.
    fn beacon(&mut self, now: Now, out: &mut Outbox) {
        let led = self.pgs.values().filter(|pg| pg.is_primary());
        let clean = led.map(|pg| pg.info().history.last_epoch_clean).min();
        let message = MOsdBeacon {
            paxos: Paxos::at(self.epoch().0.into()),
            min_last_epoch_clean: clean.unwrap_or(self.epoch()),
            last_purged_snaps_scrub: self.maps.superblock.last_purged_snaps_scrub,
            report_interval: i32::try_from(self.config.beacon_interval.as_secs()).unwrap_or(300),
            ..MOsdBeacon::default()
        };
        out.send(Peer::Mon, message);
        self.beacon_at = Some(now.mono + self.config.beacon_interval);
    }
}
