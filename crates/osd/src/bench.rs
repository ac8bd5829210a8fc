//! `ceph tell osd.N bench`: writes to the store by its ordinary way, tells how fast that was, and
//! takes the objects away again.
//!
//! Invariants: what is on its way to the store at once is bounded; clients' requests go between;
//! before the first object is written a marker says durably how many there may be, so that an OSD
//! that dies takes them away when it starts again; one benchmark at a time.

use std::collections::VecDeque;

use bytes::Bytes;
use seabed_cluster::admin::{Command, Format, Refusal};
use seabed_cluster::{Collection, Errno, GhObject, Now, Time};
use seabed_denc::{Decode, Encode};
use seabed_pg::{Outbox, SessionId, Step};
use seabed_storage::{ObjectStore, StoreError, Transaction, TxId};
use serde_json::{Value, json};

use crate::maps::meta;
use crate::{Osd, OsdConfig, WIRE};

/// Bytes and transactions on their way at once; one transaction always is.
const BYTES_MAX: u64 = 64 << 20;
const TRANSACTIONS_MAX: usize = 32;
/// Objects removed in one transaction.
const REMOVED_AT_ONCE: u64 = 256;
/// Bytes of writes that count as small.
const SMALL: u64 = 1 << 20;
/// Objects of a benchmark that writes into some made before.
const OBJECTS_MAX: u64 = 65_536;

/// Who asked, and how the answer is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker {
    pub(crate) session: SessionId,
    pub(crate) tid: u64,
    pub(crate) format: Format,
}

/// What is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Plan {
    /// Bytes in all.
    count: u64,
    /// Bytes of one write.
    size: u64,
    /// Objects made before, and their size; else every write makes one.
    made: Option<(u64, u64)>,
}

impl Plan {
    fn parse(command: &Command, config: &OsdConfig) -> Result<Plan, Refusal> {
        let number = |name: &str, default: u64| match command.int(name)? {
            None => Ok(default),
            Some(n) => u64::try_from(n)
                .map_err(|_| Refusal::invalid(format!("'{name}' must not be negative"))),
        };
        let (count, size) = (number("count", 1 << 30)?, number("size", 4 << 20)?);
        let (object_size, objects) = (number("object_size", 0)?, number("object_num", 0)?);
        let limits = &config.bench;
        if size > limits.block_max {
            let max = limits.block_max;
            let text = format!("'size' is capped at {max} bytes by 'osd_bench_max_block_size'");
            return Err(Refusal::invalid(text));
        }
        let (most, option) = if size < SMALL {
            (size.saturating_mul(limits.small_iops), "osd_bench_small_size_max_iops")
        } else {
            (limits.large_throughput, "osd_bench_large_size_max_throughput")
        };
        let most = most.saturating_mul(limits.seconds);
        if count > most || size == 0 {
            let text = format!(
                "'count' is at most {most} for writes of {size} bytes, as 'osd_bench_duration' and \
                 '{option}' have it"
            );
            return Err(Refusal::invalid(text));
        }
        if object_size > config.pg.limits.object_size || objects > OBJECTS_MAX {
            let max = config.pg.limits.object_size;
            let text = format!(
                "'object_size' is at most {max} ('osd_max_object_size'), 'object_num' {OBJECTS_MAX}"
            );
            return Err(Refusal::invalid(text));
        }
        let made = (object_size > 0 && objects > 0).then_some((objects, object_size));
        Ok(Plan { count, size, made })
    }

    fn writes(&self) -> u64 {
        self.count.div_ceil(self.size)
    }

    fn objects(&self) -> u64 {
        self.made.map_or(self.writes(), |(objects, _)| objects)
    }

    /// Bytes that it may take on the disk.
    fn room(&self) -> u64 {
        let bytes = self.writes().saturating_mul(self.size);
        match self.made {
            Some((n, size)) => bytes.min(n.saturating_mul(size.saturating_add(self.size))),
            None => bytes,
        }
    }

    /// Where the write of that number goes: scattered over the objects made before.
    fn place(&self, write: u64) -> (u64, u64) {
        let Some((objects, size)) = self.made else { return (write, 0) };
        // A step of a generator with a full period; its high half is well mixed.
        let mixed = write.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let slots = (size / self.size).max(1);
        (mixed % objects, mixed / objects % slots * self.size)
    }
}

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Objects made before, from this number on.
    Make(u64),
    /// Writes that are timed, from this number on.
    Write(u64),
    /// Objects taken away, from this number on.
    Remove(u64),
    /// The marker is on its way out.
    End,
}

/// A benchmark, or what one has left behind.
#[derive(Debug)]
pub(crate) struct Bench {
    asker: Option<Asker>,
    plan: Plan,
    objects: u64,
    stage: Stage,
    block: Bytes,
    begun: Time,
    in_flight: VecDeque<(TxId, u64)>,
}

fn marker() -> GhObject {
    meta("osd_bench".into())
}

fn object(number: u64) -> GhObject {
    meta(format!("osd_bench.{number}"))
}

fn no_room() -> Refusal {
    Refusal::new(Errno::ENOSPC, "the disk has no room for that")
}

fn write(object: &GhObject, offset: u64, data: Bytes) -> Transaction {
    let mut tx = Transaction::new();
    tx.touch(&Collection::Meta, object);
    tx.write(&Collection::Meta, object, offset, data);
    tx
}

impl Bench {
    /// What a benchmark of a former life left behind is taken away.
    pub(crate) fn leftovers(store: &dyn ObjectStore) -> Step<Option<Bench>> {
        let bytes = match store.read(&Collection::Meta, &marker(), 0, u64::MAX) {
            Ok(bytes) => bytes,
            Err(e) if e.is_not_found() => return Ok(None),
            Err(e) => return Err(e),
        };
        let objects = u64::from_bytes(bytes)
            .map_err(|source| StoreError::Corrupt { what: "benchmark's marker", source })?;
        let plan = Plan { count: 0, size: 1, made: None };
        Ok(Some(Bench::new(None, plan, objects, Stage::Remove(0), Time::ZERO)))
    }

    fn new(asker: Option<Asker>, plan: Plan, objects: u64, stage: Stage, begun: Time) -> Self {
        let block = match stage {
            Stage::Remove(_) | Stage::End => Bytes::new(),
            Stage::Make(_) | Stage::Write(_) => Bytes::from(vec![0x5a; plan.size as usize]),
        };
        Bench { asker, plan, objects, stage, block, begun, in_flight: VecDeque::new() }
    }

    fn has_room(&self) -> bool {
        let bytes: u64 = self.in_flight.iter().map(|(_, bytes)| bytes).sum();
        self.in_flight.is_empty()
            || self.in_flight.len() < TRANSACTIONS_MAX && bytes + self.plan.size <= BYTES_MAX
    }

    fn submit(&mut self, store: &mut dyn ObjectStore, tx: Transaction, bytes: u64) -> Step {
        let id = store.submit(tx)?;
        self.in_flight.push_back((id, bytes));
        Ok(())
    }

    /// Writes; a disk that others have filled meanwhile ends it.
    fn write(
        &mut self,
        store: &mut dyn ObjectStore,
        tx: Transaction,
        bytes: u64,
        next: Stage,
    ) -> Step<Option<Refusal>> {
        match self.submit(store, tx, bytes) {
            Ok(()) => {
                self.stage = next;
                Ok(None)
            }
            Err(StoreError::NoSpace { .. }) => {
                self.stage = Stage::Remove(0);
                Ok(Some(no_room()))
            }
            Err(error) => Err(error),
        }
    }

    /// Goes on as far as there is room; the answer when all is written, or cannot be.
    fn go_on(
        &mut self,
        now: Now,
        store: &mut dyn ObjectStore,
    ) -> Step<Option<Result<Value, Refusal>>> {
        let mut answer = None;
        while self.has_room() {
            match self.stage {
                Stage::Make(number) if number < self.objects => {
                    let size = self.plan.made.map_or(0, |(_, size)| size);
                    let tx = write(&object(number), 0, Bytes::from(vec![0x5a; size as usize]));
                    let refusal = self.write(store, tx, size, Stage::Make(number + 1))?;
                    answer = refusal.map(Err).or(answer);
                }
                Stage::Write(number) if number < self.plan.writes() => {
                    let (at, offset) = self.plan.place(number);
                    let tx = write(&object(at), offset, self.block.clone());
                    let (size, next) = (self.plan.size, Stage::Write(number + 1));
                    answer = self.write(store, tx, size, next)?.map(Err).or(answer);
                }
                Stage::Remove(number) if number < self.objects => {
                    let end = self.objects.min(number + REMOVED_AT_ONCE);
                    let mut tx = Transaction::new();
                    for n in number..end {
                        tx.remove(&Collection::Meta, &object(n));
                    }
                    self.submit(store, tx, 0)?;
                    self.stage = Stage::Remove(end);
                }
                // The next stage begins when the disk has all of this one.
                _ if !self.in_flight.is_empty() => break,
                Stage::Make(_) => {
                    self.begun = now.mono;
                    self.stage = Stage::Write(0);
                }
                Stage::Write(_) => {
                    answer = Some(Ok(self.result(now)));
                    self.block = Bytes::new();
                    self.stage = Stage::Remove(0);
                }
                Stage::Remove(_) => {
                    let mut tx = Transaction::new();
                    tx.remove(&Collection::Meta, &marker());
                    self.submit(store, tx, 0)?;
                    self.stage = Stage::End;
                }
                Stage::End => break,
            }
        }
        Ok(answer)
    }

    fn result(&self, now: Now) -> Value {
        let elapsed = now.mono.saturating_sub(self.begun).as_secs_f64();
        let rate = if elapsed > 0.0 { self.plan.count as f64 / elapsed } else { 0.0 };
        json!({
            "bytes_written": self.plan.count,
            "blocksize": self.plan.size,
            "elapsed_sec": elapsed,
            "bytes_per_sec": rate,
            "iops": rate / self.plan.size as f64,
        })
    }

    fn is_over(&self) -> bool {
        self.stage == Stage::End && self.in_flight.is_empty()
    }
}

impl Osd {
    /// Begins a benchmark; it is answered when it has written all.
    pub(crate) fn begin_bench(
        &mut self,
        now: Now,
        asker: Asker,
        command: &Command,
        store: &mut dyn ObjectStore,
        out: &mut Outbox,
    ) -> Step<Result<(), Refusal>> {
        if self.bench.is_some() {
            return Ok(Err(Refusal::new(Errno::EBUSY, "a benchmark is running")));
        }
        let plan = match Plan::parse(command, &self.config) {
            Ok(plan) => plan,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let space = store.room();
        let reserve = space.total as f64 * (1.0 - self.config.failsafe_full_ratio);
        if plan.room().saturating_add(reserve as u64) > space.available {
            return Ok(Err(no_room()));
        }
        let stage = if plan.made.is_some() { Stage::Make(0) } else { Stage::Write(0) };
        let objects = plan.objects();
        let mut bench = Bench::new(Some(asker), plan, objects, stage, now.mono);
        bench.submit(store, write(&marker(), 0, objects.to_bytes(WIRE)), 0)?;
        self.bench = Some(bench);
        self.bench_goes_on(now, store, out)?;
        Ok(Ok(()))
    }

    /// Transactions up to `committed` are durable: it goes on.
    pub(crate) fn bench_goes_on(
        &mut self,
        now: Now,
        store: &mut dyn ObjectStore,
        out: &mut Outbox,
    ) -> Step {
        let Some(bench) = &mut self.bench else { return Ok(()) };
        while bench.in_flight.front().is_some_and(|(tx, _)| *tx <= self.committed) {
            bench.in_flight.pop_front();
        }
        if let Some(answer) = bench.go_on(now, store)?
            && let Some(asker) = bench.asker.take()
        {
            self.answer(asker, answer.map(|value| vec![value]), out);
        }
        if self.bench.as_ref().is_some_and(Bench::is_over) {
            self.bench = None;
        }
        Ok(())
    }

    /// Who asked for a benchmark is gone: what was written is taken away.
    pub(crate) fn leave_bench(&mut self, session: SessionId) {
        if let Some(bench) = &mut self.bench
            && bench.asker.is_some_and(|a| a.session == session)
        {
            bench.asker = None;
            bench.stage = Stage::Remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use seabed_cluster::{OsdAddrs, OsdId, Uuid};

    fn plan(args: &str) -> Result<Plan, String> {
        let config = OsdConfig::new(Uuid::default(), OsdId(0), OsdAddrs::default());
        let command = Command::parse(&[format!(r#"{{"prefix":"bench"{args}}}"#)]).unwrap();
        Plan::parse(&command, &config).map_err(|e| e.text)
    }

    #[test]
    fn limits() {
        let plain = Plan { count: 1 << 30, size: 4 << 20, made: None };
        assert_eq!(plan(""), Ok(plain));
        assert_eq!((plain.writes(), plain.objects(), plain.room()), (256, 256, 1 << 30));
        let odd = plan(r#","count":10000,"size":4096"#).unwrap();
        assert_eq!((odd.writes(), odd.room()), (3, 3 * 4096));
        assert!(plan(r#","count":12288000,"size":4096"#).is_ok());
        assert!(plan(r#","count":0,"size":4096"#).is_ok());
        for (args, names) in [
            (r#","size":67108865"#, "osd_bench_max_block_size"),
            (r#","count":12288001,"size":4096"#, "osd_bench_small_size_max_iops"),
            (r#","count":4000000000"#, "osd_bench_large_size_max_throughput"),
            (r#","count":1,"size":0"#, "osd_bench_duration"),
            (r#","count":-5"#, "negative"),
            (r#","count":4096,"size":4096,"object_size":10000000000"#, "osd_max_object_size"),
            (r#","count":"abc""#, "integer"),
        ] {
            let refused = plan(args).unwrap_err();
            assert!(refused.contains(names), "{args}: {refused}");
        }
    }

    #[test]
    fn scattered_writes_stay_in_the_objects_that_were_made() {
        let scattered = plan(r#","count":1048576,"size":4096,"object_size":65536,"object_num":4"#);
        let scattered = scattered.unwrap();
        let places: std::collections::BTreeSet<_> =
            (0..scattered.writes()).map(|n| scattered.place(n)).collect();
        assert!(places.iter().all(|(n, at)| *n < 4 && *at <= 65536 - 4096 && at % 4096 == 0));
        assert!(places.len() > 32, "{}", places.len());
    }
}
