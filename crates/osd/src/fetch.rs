//! Objects that this OSD's PGs copy: gathered piece by piece from whoever leads their PGs, as a
//! client would read them, and handed over whole.
//!
//! The OSD is its own client for PGs that it leads itself: what is said to them does not leave the
//! process. The objecter follows the OSD's maps; it has no monitor.
//!
//! Invariants: a PG that has not given up is told exactly once; the oldest come first, and those
//! behind them wait while there is no room; what was handed over takes room until it is on disk;
//! nothing is said to an OSD in the pause after its session was lost.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use seabed_cluster::{Errno, Now, OsdId, OsdMap, SpgId, Time, UTime, Uuid};
use seabed_denc::{Decode, Reader};
use seabed_messages::{CopyData, Packet};
use seabed_objecter::{Config, Failure, Input, Objecter, OpReply, OpRequest, Output, RequestId};
use seabed_pg::op::{Copied, CopySource};
use seabed_pg::{FetchId, Level, Outbox, Peer, SessionId, Step};
use seabed_storage::ObjectStore;

use crate::Osd;
use crate::config::CopyLimits;

/// The session of this OSD with itself.
pub(crate) const OURSELVES: SessionId = SessionId(u64::MAX);

/// How an object was gathered, for the PG that wanted it.
type Gathered = (SpgId, FetchId, Result<Box<Copied>, Errno>);

/// An object that a PG waits for.
#[derive(Debug)]
struct Fetch {
    pg: SpgId,
    source: Box<CopySource>,
    copied: Copied,
    /// The question for its next piece.
    asked: Option<RequestId>,
}

impl Fetch {
    /// The room it takes, or may take for all that is known.
    fn weight(&self, chunk: u64) -> u64 {
        if self.copied.is_begun() { self.copied.weight() } else { chunk }
    }

    fn ask(&self, chunk: u64) -> OpRequest {
        let source = &self.source;
        let (locator, name) = (source.locator.clone(), source.object.clone());
        let ops = self.copied.next_read(source, chunk);
        let request = OpRequest::on_object(locator, name, ops, UTime::ZERO);
        OpRequest { flags: source.flags, snap: source.snap, ..request }
    }

    /// Takes an answer; true if the object is whole now.
    fn take(&mut self, answer: Result<OpReply, Failure>, max: u64) -> Result<bool, Errno> {
        let reply = answer.map_err(Failure::errno)?;
        if let Some(error) = Errno::from_wire(reply.result) {
            return Err(error);
        }
        let piece = reply.ops.last().map(|(_, piece)| piece.clone()).unwrap_or_default();
        let piece = CopyData::decode(&mut Reader::new(piece)).map_err(|_| Errno::EIO)?;
        self.copied.add(piece, reply.user_version, max)
    }
}

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Fetches {
    objecter: Objecter,
    /// What the objecter wishes, until it is done.
    outputs: Vec<Output>,
    /// By age.
    wanted: BTreeMap<FetchId, Fetch>,
    asked: BTreeMap<RequestId, FetchId>,
    /// What is over already, and nobody was told.
    over: Vec<Gathered>,
    /// OSDs whose sessions were lost: until then the objecter does not hear of it.
    lost: BTreeMap<OsdId, Time>,
    /// What was handed over: its weight, and how many transactions are durable when it is.
    handed: VecDeque<(u64, u64)>,
    handed_weight: u64,
    committed: u64,
}

impl Fetches {
    pub(crate) fn new(fsid: Uuid, features: u64) -> Self {
        let config = Config { fsid, incarnation: 0, features, op_timeout: None };
        Fetches {
            objecter: Objecter::new(config),
            outputs: Vec::new(),
            wanted: BTreeMap::new(),
            asked: BTreeMap::new(),
            over: Vec::new(),
            lost: BTreeMap::new(),
            handed: VecDeque::new(),
            handed_weight: 0,
            committed: 0,
        }
    }

    /// True if there is nothing to do, whatever happens.
    fn rests(&self) -> bool {
        self.wanted.is_empty() && self.outputs.is_empty() && self.over.is_empty()
    }

    /// A PG wants an object.
    pub(crate) fn want(&mut self, pg: SpgId, id: FetchId, source: Box<CopySource>) {
        if !self.has_pool(&source) {
            // Who named the pool knew it from a map that is not newer than ours.
            return self.over.push((pg, id, Err(Errno::ENOENT)));
        }
        let copied = Copied::of_version(source.version);
        self.wanted.insert(id, Fetch { pg, source, copied, asked: None });
    }

    fn has_pool(&self, source: &CopySource) -> bool {
        self.objecter.map().is_some_and(|m| m.pools.contains_key(&source.locator.pool))
    }

    /// A PG does not want it any more.
    pub(crate) fn stop(&mut self, id: FetchId) {
        self.over.retain(|(_, over, _)| *over != id);
        if let Some(Fetch { asked: Some(asked), .. }) = self.wanted.remove(&id) {
            self.asked.remove(&asked);
            self.objecter.cancel(asked);
        }
    }

    /// The PG is gone.
    pub(crate) fn forget(&mut self, pg: SpgId) {
        let ids: Vec<FetchId> =
            self.wanted.iter().filter(|(_, f)| f.pg == pg).map(|(id, _)| *id).collect();
        ids.into_iter().for_each(|id| self.stop(id));
    }

    /// The OSD has these maps now.
    pub(crate) fn follow(&mut self, now: Now, maps: Vec<Arc<OsdMap>>) {
        let Some(newest) = maps.last().cloned() else { return };
        let pools = &newest.pools;
        let gone = |f: &Fetch| !pools.contains_key(&f.source.locator.pool);
        let gone: Vec<(FetchId, SpgId)> =
            self.wanted.iter().filter(|(_, f)| gone(f)).map(|(id, f)| (*id, f.pg)).collect();
        for (id, pg) in gone {
            self.stop(id);
            self.over.push((pg, id, Err(Errno::ENOENT)));
        }
        self.step(now, Input::Maps(maps));
        self.lost.retain(|osd, _| newest.is_up(*osd));
    }

    /// An OSD said something, be it ourselves.
    pub(crate) fn heard(&mut self, now: Now, osd: OsdId, packet: Packet) {
        self.step(now, Input::FromOsd(osd, packet));
    }

    /// The session with an OSD is gone.
    pub(crate) fn lost(&mut self, osd: OsdId, until: Time) {
        self.lost.entry(osd).or_insert(until);
    }

    /// So many transactions became durable.
    pub(crate) fn committed(&mut self, count: usize) {
        self.committed += count as u64;
        while let Some((weight, durable)) = self.handed.front().copied()
            && durable <= self.committed
        {
            self.handed.pop_front();
            self.handed_weight -= weight;
        }
    }

    /// OSDs that had their pause are asked again.
    pub(crate) fn tick(&mut self, now: Now) {
        let over: Vec<OsdId> = self
            .lost
            .iter()
            .filter(|(_, until)| **until <= now.mono)
            .map(|(osd, _)| *osd)
            .collect();
        for osd in over {
            self.lost.remove(&osd);
            self.step(now, Input::OsdLost(osd));
        }
    }

    pub(crate) fn wake_at(&self) -> Option<Time> {
        self.lost.values().copied().min()
    }

    fn step(&mut self, now: Now, input: Input) {
        self.objecter.step(now, input, &mut self.outputs);
    }

    /// Asks for the next pieces, as far as there is room.
    fn ask(&mut self, now: Now, limits: &CopyLimits) {
        let mut room = limits.bytes_max.saturating_sub(self.handed_weight);
        for (n, (id, fetch)) in self.wanted.iter_mut().enumerate() {
            let weight = fetch.weight(limits.chunk);
            // One alone goes on in any case: it cannot wait for anybody.
            if weight > room && (n > 0 || self.handed_weight > 0) {
                return;
            }
            room = room.saturating_sub(weight);
            if fetch.asked.is_none() {
                let request = fetch.ask(limits.chunk);
                let asked = self.objecter.submit(now, request, &mut self.outputs);
                fetch.asked = Some(asked);
                self.asked.insert(asked, *id);
            }
        }
    }

    /// Takes an answer; what that ends, if it ends something.
    fn answered(
        &mut self,
        request: RequestId,
        answer: Result<OpReply, Failure>,
        max: u64,
    ) -> Option<Gathered> {
        let id = self.asked.remove(&request)?;
        let fetch = self.wanted.get_mut(&id)?;
        fetch.asked = None;
        let taken = fetch.take(answer, max);
        if taken == Ok(false) {
            return None;
        }
        let Fetch { pg, copied, .. } = self.wanted.remove(&id)?;
        Some((pg, id, taken.map(|_| Box::new(copied))))
    }

    /// An object of this weight was handed over; the disk has so many transactions before it that
    /// are not durable, and its own.
    fn hand(&mut self, weight: u64, in_flight: usize) {
        if in_flight > 0 {
            self.handed.push_back((weight, self.committed + in_flight as u64));
            self.handed_weight += weight;
        }
    }
}

impl Osd {
    /// Goes on with what PGs want until nothing more can be done. False if there was nothing to do.
    pub(crate) fn gather(
        &mut self,
        now: Now,
        store: &mut dyn ObjectStore,
        out: &mut Outbox,
        mark: usize,
    ) -> Step<bool> {
        if self.fetches.rests() {
            return Ok(false);
        }
        let mut some = false;
        loop {
            self.fetches.ask(now, &self.config.copies);
            for packet in said_to_ourselves(out, mark) {
                self.fetches.heard(now, self.config.whoami, packet);
            }
            let outputs = std::mem::take(&mut self.fetches.outputs);
            let over = std::mem::take(&mut self.fetches.over);
            if outputs.is_empty() && over.is_empty() {
                return Ok(some);
            }
            some = true;
            for over in over {
                self.hand_over(now, over, store, out)?;
            }
            for output in outputs {
                self.perform(now, output, store, out)?;
            }
        }
    }

    fn perform(
        &mut self,
        now: Now,
        output: Output,
        store: &mut dyn ObjectStore,
        out: &mut Outbox,
    ) -> Step {
        match output {
            Output::ToOsd(osd, _, packet) if osd == self.config.whoami => {
                let epoch = self.epoch();
                if let Some(ourselves) = self.sessions.get_mut(&OURSELVES) {
                    // We have every map that we could be shown.
                    ourselves.epoch = epoch;
                }
                self.message(now, Peer::Client(OURSELVES), packet, store, out)?;
            }
            // It is asked again after the pause.
            Output::ToOsd(osd, ..) if self.fetches.lost.contains_key(&osd) => {}
            Output::ToOsd(osd, _, packet) => out.send(Peer::OsdPublic(osd), packet),
            Output::Done(request, answer) => {
                let max = self.config.pg.write_max;
                if let Some(over) = self.fetches.answered(request, answer, max) {
                    self.hand_over(now, over, store, out)?;
                }
            }
            Output::Note(text) => self.log(out, Level::Warn, format_args!("{text}")),
            // The caller ends sessions with OSDs that are down or elsewhere in the map. Watches,
            // notifies and the monitor's answers: there are none.
            _ => {}
        }
        Ok(())
    }

    /// Tells a PG what became of the object it wants.
    fn hand_over(
        &mut self,
        now: Now,
        (pg, id, result): Gathered,
        store: &mut dyn ObjectStore,
        out: &mut Outbox,
    ) -> Step {
        let weight = result.as_ref().map_or(0, |copied| copied.weight());
        self.with_pg(now, pg, store, out, |pg, env| pg.fetched(env, id, result))?;
        self.fetches.hand(weight, store.in_flight());
        Ok(())
    }
}

/// Takes out of the box what is said to ourselves.
fn said_to_ourselves(out: &mut Outbox, mark: usize) -> Vec<Packet> {
    let ours = |(to, _): &mut (Peer, Packet)| *to == Peer::Client(OURSELVES);
    out.sent.extract_if(mark.., ours).map(|(_, packet)| packet).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use seabed_cluster::{EntityAddrVec, Epoch, ObjectLocator, Pool, PoolId, SnapId, feature};
    use seabed_crush::CrushMap;
    use seabed_denc::{Bytes, Encode};
    use seabed_messages::{CopyCursor, MOsdOp, MOsdOpReply};

    const LIMITS: CopyLimits =
        CopyLimits { chunk: 10, bytes_max: 25, pause: std::time::Duration::from_secs(1) };

    fn at(seconds: u64) -> Now {
        Now { mono: Time(seconds * 1_000_000_000), wall: UTime::ZERO }
    }

    /// One OSD leads everything.
    fn map(pool: Option<PoolId>) -> Arc<OsdMap> {
        let mut map = OsdMap::empty(Uuid::default(), UTime::ZERO);
        map.epoch = Epoch(if pool.is_some() { 5 } else { 6 });
        map.set_max_osd(1).unwrap();
        map.crush = CrushMap::new_default();
        let place = [("root", "default"), ("host", "host")];
        map.crush.insert_item(0, 0x10000, "osd.0", &place).unwrap();
        let spec = Pool::new_replicated(1, 1, 0, 1, Epoch(5), UTime::ZERO);
        map.pools.extend(pool.map(|id| (id, spec)));
        (map.osd_state[0], map.osd_weight[0]) = (3, 0x10000);
        map.osd_addrs[0].client = EntityAddrVec::default();
        Arc::new(map)
    }

    fn fetches() -> Fetches {
        let mut fetches = Fetches::new(Uuid::default(), feature::PACIFIC_ALL);
        fetches.follow(at(0), vec![map(Some(PoolId(1)))]);
        fetches
    }

    fn want(fetches: &mut Fetches, id: u64, pool: PoolId) {
        let source = CopySource {
            locator: ObjectLocator::new(pool),
            object: Bytes::from(format!("source{id}")),
            snap: SnapId::HEAD,
            version: 0,
            flags: 0,
            op_flags: 0,
        };
        fetches.want(SpgId::default(), FetchId(id), Box::new(source));
        fetches.ask(at(0), &LIMITS);
    }

    /// The requests that leave.
    fn sent(fetches: &mut Fetches) -> Vec<(u64, MOsdOp)> {
        let lost = fetches.lost.contains_key(&OsdId(0));
        let all = std::mem::take(&mut fetches.outputs).into_iter().filter_map(|o| match o {
            Output::ToOsd(
                _,
                _,
                Packet { tid, message: seabed_messages::Message::OsdOp(m), .. },
            ) if !lost => Some((tid, *m)),
            _ => None,
        });
        all.collect()
    }

    /// Answers a request with the whole of an object of so many bytes.
    fn answer(fetches: &mut Fetches, (tid, asked): &(u64, MOsdOp), size: usize) -> Vec<Gathered> {
        let cursor = CopyCursor {
            attr_complete: true,
            data_complete: true,
            omap_complete: true,
            data_offset: size as u64,
            ..CopyCursor::default()
        };
        let data = Bytes::from(vec![1; size]);
        let piece = CopyData { size: size as u64, data, cursor, ..CopyData::default() };
        let mut reply = MOsdOpReply::to(asked, 0, Epoch(5));
        reply.ops[0].0.indata = piece.to_bytes(feature::PACIFIC_ALL);
        fetches.heard(at(0), OsdId(0), Packet::with_tid(*tid, reply));
        let outputs = std::mem::take(&mut fetches.outputs);
        let over = outputs.into_iter().filter_map(|o| match o {
            Output::Done(request, answer) => fetches.answered(request, answer, 1000),
            _ => None,
        });
        over.collect()
    }

    #[test]
    fn the_oldest_come_first_and_what_is_not_on_disk_takes_room() {
        let mut f = fetches();
        (1..=5).for_each(|id| want(&mut f, id, PoolId(1)));
        let first = sent(&mut f);
        let names: Vec<&[u8]> = first.iter().map(|(_, m)| &m.object[..]).collect();
        assert_eq!(names, [b"source1", b"source2"]);
        let [(_, FetchId(2), Ok(copied))] = &answer(&mut f, &first[1], 9)[..] else { panic!() };
        assert_eq!(copied.weight(), 9);
        f.hand(9, 1);
        f.ask(at(0), &LIMITS);
        assert!(sent(&mut f).is_empty(), "10 and 9 of 25 are taken");
        f.stop(FetchId(1));
        f.ask(at(0), &LIMITS);
        let next = sent(&mut f);
        assert_eq!((next.len(), &next[0].1.object[..]), (1, &b"source3"[..]));
        assert!(answer(&mut f, &first[0], 9).is_empty(), "nobody waits for it");
        f.committed(1);
        f.ask(at(0), &LIMITS);
        assert_eq!(sent(&mut f).len(), 1);
        // What is heavier than all room goes on when it is alone.
        f.hand(30, 2);
        (3..=4).for_each(|id| f.stop(FetchId(id)));
        f.ask(at(0), &LIMITS);
        assert!(sent(&mut f).is_empty());
        f.committed(2);
        f.ask(at(0), &CopyLimits { bytes_max: 1, ..LIMITS });
        let last = sent(&mut f);
        assert!(matches!(answer(&mut f, &last[0], 30)[..], [(_, FetchId(5), Ok(_))]));
        assert!(f.rests());
    }

    #[test]
    fn a_lost_osd_has_its_pause() {
        let mut f = fetches();
        want(&mut f, 1, PoolId(1));
        assert_eq!(sent(&mut f).len(), 1);
        for second in [3, 4] {
            // A second loss does not make it longer.
            f.lost(OsdId(0), at(second).mono);
        }
        want(&mut f, 2, PoolId(1));
        f.tick(at(2));
        assert!(sent(&mut f).is_empty());
        assert_eq!(f.wake_at(), Some(at(3).mono));
        f.tick(at(3));
        let again = sent(&mut f);
        assert_eq!((again.len(), f.wake_at()), (2, None));
        assert_eq!(answer(&mut f, &again[0], 1).len(), 1);
    }

    #[test]
    fn without_its_pool_there_is_no_object() {
        let mut f = fetches();
        want(&mut f, 1, PoolId(2));
        let over = std::mem::take(&mut f.over);
        assert!(matches!(over[..], [(_, FetchId(1), Err(Errno::ENOENT))]));
        want(&mut f, 2, PoolId(1));
        f.follow(at(0), vec![map(None)]);
        assert!(matches!(f.over[..], [(_, FetchId(2), Err(Errno::ENOENT))]));
        f.stop(FetchId(2));
        f.outputs.clear();
        assert!(f.rests(), "given up before it was told");
    }
}
