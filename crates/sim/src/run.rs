//! A run: faults first, then peace, then the reckoning. Many runs: one for each seed, on threads.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use seabed_objecter::MonAnswer;

use crate::net::Node;
use crate::plan::Plan;
use crate::work::{POOL, Work};
use crate::world::{Event, World};

/// Virtual time within which everything must be clean after the faults.
const PEACE: Duration = Duration::from_secs(300);
/// And within which the monitor must have heard of it, and every client of its last operation.
const NEWS: Duration = Duration::from_secs(60);
/// And within which an image is at rest: dead watches run out, snapshots are trimmed.
const CLOSING: Duration = Duration::from_secs(150);

/// A bug on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A write is acknowledged before any copy is durable.
    AckBeforeCommit,
    /// A copy whose backfill has only begun counts as complete.
    IncompleteIsWhole,
    /// A replica applies changes without their log entries.
    SkippedLogEntry,
    /// A snapset does not learn what a clone no longer shares with its head.
    OverlapKept,
    /// The snap mapper keeps a clone that was trimmed.
    MappingKept,
    /// A new primary does not look for watches in the infos of objects.
    WatchForgotten,
    /// Clients that are shut out are served.
    BlocklistIgnored,
    /// A head is not cloned when it first changes after a snapshot.
    CloneSkipped,
}

impl Bug {
    /// All of them.
    pub const ALL: [Bug; 8] = [
        Bug::AckBeforeCommit,
        Bug::IncompleteIsWhole,
        Bug::SkippedLogEntry,
        Bug::OverlapKept,
        Bug::MappingKept,
        Bug::WatchForgotten,
        Bug::BlocklistIgnored,
        Bug::CloneSkipped,
    ];

    #[cfg(feature = "planted-bugs")]
    pub(crate) fn planted(self) -> seabed_pg::PlantedBug {
        match self {
            Bug::AckBeforeCommit => seabed_pg::PlantedBug::AckBeforeCommit,
            Bug::IncompleteIsWhole => seabed_pg::PlantedBug::IncompleteIsWhole,
            Bug::SkippedLogEntry => seabed_pg::PlantedBug::SkippedLogEntry,
            Bug::OverlapKept => seabed_pg::PlantedBug::OverlapKept,
            Bug::MappingKept => seabed_pg::PlantedBug::MappingKept,
            Bug::WatchForgotten => seabed_pg::PlantedBug::WatchForgotten,
            Bug::BlocklistIgnored => seabed_pg::PlantedBug::BlocklistIgnored,
            Bug::CloneSkipped => seabed_pg::PlantedBug::CloneSkipped,
        }
    }
}

/// What came of a seed.
#[derive(Debug, Clone)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// What clients did.
    pub work: Work,
    /// The hash over its events.
    pub hash: u64,
    /// How many events there were.
    pub events: u64,
    /// The first thing that must not be.
    pub red: Option<String>,
    /// How often what happened.
    pub counts: BTreeMap<&'static str, u64>,
}

/// Runs one plan to its end.
pub fn run(plan: Plan) -> Report {
    let (seed, work) = (plan.seed, plan.work);
    let mut world = World::new(plan);
    // A panic of a rule is a finding like any other.
    let end = catch_unwind(AssertUnwindSafe(|| live(&mut world)));
    if let Err(panic) = end {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_string()));
        world.fail(format!("panic: {}", text.unwrap_or_default()));
    }
    world.trace.flush();
    Report {
        seed,
        work,
        hash: world.trace.hash(),
        events: world.trace.events,
        red: world.red.take(),
        counts: std::mem::take(&mut world.counts),
    }
}

fn live(world: &mut World) {
    begin(world);
    if world.red.is_some() {
        return;
    }
    world.working = true;
    world.faulting = true;
    for n in 0..world.plan.clients {
        world.later(Duration::from_millis(n as u64), Event::Work(n));
    }
    world.later(Duration::from_secs(1), Event::Fault);
    let time = world.plan.faults_for;
    world.run_for(time);
    world.working = false;
    world.end_faults();
    settle(world, "after the faults");
    if world.plan.work == Work::Image && world.red.is_none() {
        close(world);
    }
    if world.red.is_some() {
        return;
    }
    world.read_all();
    content(world, "the last reads");
    if world.red.is_none() {
        judge(world);
    }
}

/// A cluster with a pool, clean.
fn begin(world: &mut World) {
    world.make_cluster();
    world.start_mon();
    for n in 0..world.plan.osds {
        world.start(Node::Osd(n));
    }
    for n in 0..world.plan.clients {
        let end = world.client_end(n);
        world.later(Duration::ZERO, Event::CallMon(end));
    }
    world.run_for(Duration::from_secs(5));
    let pg_num = world.plan.pg_num;
    let text = format!(r#"{{"prefix":"osd pool create","pool":"{POOL}","pg_num":{pg_num}}}"#);
    let id = world.ask_mon(text);
    world.run_for(Duration::from_secs(5));
    match world.clients[0].answers.get(&id) {
        Some(MonAnswer::Command { code: 0, .. }) => {
            world.pool = world.mon.map().and_then(|map| map.pool_by_name(POOL));
            settle(world, "at the beginning");
        }
        Some(MonAnswer::Command { code, text, .. }) => {
            world.fail(format!("the pool is not made: {code} {text}"));
        }
        _ => world.fail("the pool is not made: no answer"),
    }
}

/// Everything is clean within bounded time.
fn settle(world: &mut World, when: &str) {
    let end = world.now + PEACE;
    let mut why = None;
    while world.now < end && world.red.is_none() {
        world.run_for(Duration::from_millis(500));
        why = world.unsettled();
        if why.is_none() {
            break;
        }
    }
    if let Some(why) = why.filter(|_| world.red.is_none()) {
        return world.fail(format!("{when}, not clean within {PEACE:?}: {why}"));
    }
    content(world, when);
    let end = world.now + NEWS;
    while world.now < end && world.red.is_none() && world.unreported().is_some() {
        world.run_for(Duration::from_millis(500));
    }
    if let Some(why) = world.unreported().filter(|_| world.red.is_none()) {
        world.fail(format!("{when}, not reported within {NEWS:?}: {why}"));
    }
}

/// The image has an owner, some of its snapshots are removed and trimmed to the end, the dead watch
/// no more, and everybody answers a notify: all within bounded time.
fn close(world: &mut World) {
    world.working = true;
    world.closing = true;
    world.doom_every_other();
    for n in 0..world.plan.clients {
        world.later(Duration::from_millis(n as u64), Event::Work(n));
    }
    let end = world.now + CLOSING;
    let mut why = None;
    while world.now < end && world.red.is_none() {
        world.run_for(Duration::from_millis(500));
        why = world.unclosed();
        if why.is_none() {
            break;
        }
    }
    world.working = false;
    if let Some(why) = why.filter(|_| world.red.is_none()) {
        return world.fail(format!("at the end, not at rest within {CLOSING:?}: {why}"));
    }
    world.ring_all();
    content(world, "the last notifies");
}

/// Every operation is answered within bounded time.
fn content(world: &mut World, when: &str) {
    let end = world.now + NEWS;
    while world.now < end && world.red.is_none() && !world.clients_are_content() {
        world.run_for(Duration::from_millis(100));
    }
    if !world.clients_are_content() && world.red.is_none() {
        let open: Vec<_> =
            world.clients.iter().map(|c| c.pending.keys().collect::<Vec<_>>()).collect();
        world.fail(format!("{when}, not answered within {NEWS:?}: {open:?}"));
    }
}

fn judge(world: &mut World) {
    for judged in [world.history.check(), world.judge_notifies()] {
        if let Err(why) = judged {
            world.fail(why);
        }
    }
    // What was read last may have brought commits that are still on their way.
    world.run_for(Duration::from_secs(2));
    if let Some(why) = world.differing_copies().or_else(|| world.unsound_copies()) {
        world.fail(why);
    }
}

/// Runs plans on all cores; `each` hears of the reports in the order of the plans. Stops beginning
/// new ones when `each` says false.
pub fn run_many(plans: Vec<Plan>, mut each: impl FnMut(&Report) -> bool) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = AtomicUsize::new(0);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let done: Mutex<BTreeMap<usize, Report>> = Mutex::new(BTreeMap::new());
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (sender, next, stop, plans, done) = (sender.clone(), &next, &stop, &plans, &done);
            scope.spawn(move || {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    if i >= plans.len() || stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let report = run(plans[i].clone());
                    if let Ok(mut done) = done.lock() {
                        done.insert(i, report);
                    }
                    let _ = sender.send(());
                }
            });
        }
        drop(sender);
        let mut told = 0;
        while receiver.recv().is_ok() {
            let take = |i: usize| done.lock().ok().and_then(|mut reports| reports.remove(&i));
            while let Some(report) = take(told) {
                told += 1;
                if !stop.load(Ordering::Relaxed) && !each(&report) {
                    stop.store(true, Ordering::Relaxed);
                }
            }
        }
    });
}
