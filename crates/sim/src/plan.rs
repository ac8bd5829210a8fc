//! What a seed means: the cluster's shape, its times, and what will go wrong.

use std::time::Duration;

use crate::chance::Chance;
use crate::run::Bug;
use crate::work::Work;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// An OSD's process dies; its machine answers that nobody listens.
    KillOsd,
    /// An OSD's machine loses power; nobody answers.
    PowerOff,
    /// Several OSDs die at once.
    KillMany,
    /// The monitor dies.
    KillMon,
    /// A client's process dies, and another takes its place; what it asked may happen or not.
    KillClient,
    /// A process is stopped and goes on later, not knowing it.
    Pause,
    /// Nothing passes between two nodes.
    Cut,
    /// Nothing passes in one direction.
    CutOneWay,
    /// A node is cut off from all others.
    Isolate,
    /// A connection breaks.
    Reset,
    /// A link is slow for a while.
    Slow,
    /// A disk is slow for a while.
    SlowDisk,
    /// The administrator marks an OSD out, or in again.
    OutIn,
    /// The administrator marks a living OSD down.
    MarkDown,
    /// The administrator changes an OSD's weight.
    Reweight,
    /// An OSD's disk is replaced by an empty one, while all is clean.
    NewDisk,
}

/// All kinds.
pub(crate) const FAULTS: [Fault; 16] = [
    Fault::KillOsd,
    Fault::PowerOff,
    Fault::KillMany,
    Fault::KillMon,
    Fault::KillClient,
    Fault::Pause,
    Fault::Cut,
    Fault::CutOneWay,
    Fault::Isolate,
    Fault::Reset,
    Fault::Slow,
    Fault::SlowDisk,
    Fault::OutIn,
    Fault::MarkDown,
    Fault::Reweight,
    Fault::NewDisk,
];

/// See the module's head.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// What clients do.
    pub work: Work,
    /// OSDs.
    pub osds: usize,
    /// Clients.
    pub clients: usize,
    /// Copies.
    pub size: u32,
    /// Copies without which nothing is served.
    pub min_size: u32,
    /// PGs.
    pub pg_num: u32,
    /// Objects the clients use.
    pub objects: usize,
    /// Operations a client has on their way at most.
    pub depth: usize,
    /// Pause between a client's operations at most, in milliseconds.
    pub think: u64,
    /// Delay of messages, in microseconds.
    pub delay: (u64, u64),
    /// Delay of commits, in microseconds.
    pub disk: (u64, u64),
    /// Entries above which the log is trimmed, and that stay.
    pub log: (usize, usize),
    /// Bytes and omap entries of a push.
    pub push: (u64, usize),
    /// Objects compared at once in backfill.
    pub scan: usize,
    /// How long a primary may serve without hearing from its replicas.
    pub lease: Duration,
    /// Heartbeats: interval and grace in seconds.
    pub heartbeat: (u64, u64),
    /// Seconds after which an OSD that is down is marked out; 0: never.
    pub down_out: u64,
    /// Reporters that make an OSD down.
    pub reporters: u64,
    /// How long faults happen.
    pub faults_for: Duration,
    /// Pause between faults at most, in milliseconds.
    pub fault_pause: u64,
    /// Which faults.
    pub faults: Vec<Fault>,
    /// A bug on purpose.
    pub bug: Option<Bug>,
    /// Print every event.
    pub trace: bool,
}

impl Plan {
    /// What the seed means: the two kinds of work take turns.
    pub fn new(seed: u64) -> Plan {
        let work = if seed.is_multiple_of(2) { Work::Image } else { Work::Objects };
        Plan::with(seed, work)
    }

    /// What the seed means for one kind of work.
    pub fn with(seed: u64, work: Work) -> Plan {
        let mut c = Chance::new(seed, 0);
        let osds = 3 + c.index(3);
        let size = c.pick(&[2, 3, 3, 3]);
        let min_size = match size {
            3 => c.pick(&[1, 2, 2, 2]),
            _ => c.pick(&[1, 2]),
        };
        let long_log = c.one_in(3);
        let slow = c.one_in(4);
        Plan {
            seed,
            work,
            osds,
            clients: 1 + c.index(3),
            size,
            min_size,
            pg_num: c.pick(&[1, 2, 4, 8]),
            objects: 3 + c.index(14),
            depth: 1 + c.index(5),
            think: c.pick(&[20, 100, 400]),
            delay: if slow { (500, 40_000) } else { (50, 1_000) },
            disk: c.pick(&[(50, 500), (500, 10_000), (5_000, 100_000)]),
            log: if long_log { (3000, 2500) } else { c.pick(&[(6, 4), (12, 8), (30, 20)]) },
            push: c.pick(&[(24, 2), (64, 3), (8 << 20, 8096)]),
            scan: c.pick(&[2, 3, 256]),
            lease: Duration::from_millis(c.pick(&[2_000, 4_800, 16_000])),
            heartbeat: c.pick(&[(1, 6), (1, 3), (6, 20)]),
            down_out: c.pick(&[0, 10, 30, 600]),
            reporters: 1 + c.below(2),
            faults_for: Duration::from_secs(c.between(30, 120)),
            fault_pause: c.pick(&[2_000, 8_000, 20_000]),
            faults: faults(&mut c),
            bug: None,
            trace: false,
        }
    }
}

/// Few kinds make each frequent; all kinds make their meetings.
fn faults(c: &mut Chance) -> Vec<Fault> {
    if c.one_in(3) {
        return FAULTS.to_vec();
    }
    let mut some: Vec<Fault> = (0..2 + c.index(4)).map(|_| c.pick(&FAULTS)).collect();
    some.push(c.pick(&[Fault::KillOsd, Fault::PowerOff]));
    some.sort();
    some.dedup();
    some
}
