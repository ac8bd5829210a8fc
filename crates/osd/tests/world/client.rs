//! A client that believes nothing.
//!
//! It appends numbers to some objects: each must hold exactly the numbers one to n, each once. It
//! overwrites others, registers, with numbers, and every fifth time removes them. What is read is
//! never older than what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use seabed_cluster::{HObject, ObjectLocator, OsdId, OsdMap, PoolId, SnapId, SpgId, Time};
use seabed_denc::{Bytes, Encode};
use seabed_messages::op::request_flag;
use seabed_messages::{MOsdOp, Message, OpCode, OsdOp, Packet};

use super::Random;

/// What is known of an object.
#[derive(Debug, Default, Clone)]
pub struct Known {
    /// Numbers that were sent.
    pub sent: u32,
    /// Numbers that were acknowledged.
    pub acked: u32,
}

#[derive(Debug, Clone)]
struct Pending {
    object: String,
    /// The number appended, or `None` for a read.
    number: Option<u32>,
    /// What was acknowledged when the read was sent.
    floor: u32,
    /// What a read of a snapshot must show.
    shown: Option<u32>,
    message: MOsdOp,
    target: Option<(usize, u32)>,
    sent_at: Time,
}

#[derive(Debug, Default)]
pub struct Client {
    pub objects: BTreeMap<String, Known>,
    pending: BTreeMap<u64, Pending>,
    last_tid: u64,
    sessions: BTreeSet<usize>,
    pub quiet: bool,
    pub acks: u64,
    pub reads: u64,
    pub count: usize,
    /// Requests of one object on their way at once.
    pub depth: u32,
    /// Registers that are written under snapshots.
    pub images: usize,
    /// Images are not written for the moment.
    pub still: bool,
    /// Snapshots that live, with what each shows of every image.
    pub snaps: BTreeMap<u64, BTreeMap<String, u32>>,
    /// The newest snapshot there was.
    pub snap_seq: u64,
    /// Reads of snapshots that were right.
    pub snap_reads: u64,
}

impl Client {
    pub fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    /// True when no write of an image is on its way.
    pub fn images_rest(&self) -> bool {
        !self.pending.values().any(|p| p.number.is_some() && p.object.starts_with("image"))
    }

    /// A snapshot of all images as they are; no write of one may be on its way.
    pub fn snapshot(&mut self) -> u64 {
        assert!(self.images_rest());
        self.snap_seq += 1;
        let images = self.objects.iter().filter(|(name, _)| name.starts_with("image"));
        let shown = images.map(|(name, known)| (name.clone(), known.sent)).collect();
        self.snaps.insert(self.snap_seq, shown);
        self.snap_seq
    }

    /// Forgets a snapshot that is to be removed. Reads of it no longer have a right answer.
    pub fn forget_snap(&mut self, snap: u64) {
        self.snaps.remove(&snap);
        self.pending.retain(|_, p| p.message.snap != SnapId(snap));
    }

    /// Reads an image at a snapshot.
    pub fn read_snap(&mut self, snap: u64, image: &str, now: Time) {
        let shown = self.snaps[&snap].get(image).copied().unwrap_or(0);
        self.request(image, vec![OsdOp::extent(OpCode::Read, 0, 0, Bytes::new())], None, now);
        if let Some(p) = self.pending.get_mut(&self.last_tid) {
            p.message.snap = SnapId(snap);
            p.shown = Some(shown);
        }
    }

    /// The server has a new life: requests to it are sent again.
    pub fn forget_session(&mut self, n: usize) {
        self.sessions.remove(&n);
        for p in self.pending.values_mut() {
            if p.target.is_some_and(|t| t.0 == n) {
                p.target = None;
            }
        }
    }

    fn request(&mut self, object: &str, ops: Vec<OsdOp>, number: Option<u32>, now: Time) {
        self.last_tid += 1;
        let none = Bytes::new();
        let name = Bytes::from(object.to_owned());
        let hobj = HObject::new(PoolId(1), none.clone(), none, name.clone(), SnapId::HEAD);
        let rw = if number.is_some() { request_flag::WRITE } else { request_flag::READ };
        let message = MOsdOp {
            hash: hobj.hash,
            flags: rw | request_flag::ONDISK,
            locator: ObjectLocator::new(PoolId(1)),
            object: name,
            ops,
            snap: SnapId::HEAD,
            snap_seq: SnapId(self.snap_seq),
            snaps: self.snaps.keys().rev().map(|s| SnapId(*s)).collect(),
            ..MOsdOp::default()
        };
        let floor = self.objects.get(object).map_or(0, |k| k.acked);
        let pending = Pending {
            object: object.into(),
            number,
            floor,
            shown: None,
            message,
            target: None,
            sent_at: now,
        };
        self.pending.insert(self.last_tid, pending);
    }

    pub fn read(&mut self, object: &str, now: Time) {
        self.request(object, vec![OsdOp::extent(OpCode::Read, 0, 0, Bytes::new())], None, now);
    }

    /// The next change of a register: its number as data, attribute and omap, or its removal.
    pub fn overwrite(&mut self, object: &str, now: Time) {
        let known = self.objects.entry(object.into()).or_default();
        known.sent += 1;
        let number = known.sent;
        if number.is_multiple_of(5) {
            let op = OsdOp::plain(OpCode::Delete, Bytes::new());
            return self.request(object, vec![op], Some(number), now);
        }
        let data = Bytes::from(number.to_le_bytes().repeat(1 + number as usize % 40));
        let text = number.to_string();
        let mut omap = BTreeMap::new();
        for n in 0..number % 7 {
            omap.insert(Bytes::from(format!("key{n}")), Bytes::from(text.clone()));
        }
        let ops = vec![
            OsdOp::extent(OpCode::WriteFull, 0, data.len() as u64, data),
            OsdOp::xattr(OpCode::SetXattr, b"number", text.as_bytes()),
            OsdOp::plain(OpCode::OmapSetVals, omap.to_bytes(0)),
        ];
        self.request(object, ops, Some(number), now);
    }

    pub fn append(&mut self, object: &str, now: Time) {
        let known = self.objects.entry(object.into()).or_default();
        known.sent += 1;
        let number = known.sent;
        let data = Bytes::copy_from_slice(&number.to_le_bytes());
        let op = OsdOp::extent(OpCode::Append, 0, 4, data);
        self.request(object, vec![op], Some(number), now);
    }

    /// Forgets where requests were sent if somebody else leads in this map.
    pub fn look_at(&mut self, map: &OsdMap) {
        for p in self.pending.values_mut() {
            let raw = map.object_pg(&p.message.locator, &p.message.object);
            let pg = raw.and_then(|raw| map.raw_to_pg(raw));
            let primary = pg.and_then(|pg| map.map_pg(pg).acting_primary);
            let now = primary.map(|o| (o.0 as usize, map.up_from(o).0));
            if p.target != now {
                p.target = None;
            }
        }
    }

    /// New requests, and those whose primary changed.
    pub fn drive(
        &mut self,
        map: &OsdMap,
        random: &mut Random,
        now: Time,
    ) -> Vec<(usize, Packet, bool)> {
        if !self.quiet && self.count > 0 {
            let object = format!("object{}", random.below(self.count));
            let waiting =
                self.pending.values().filter(|p| p.object == object && p.number.is_some()).count();
            if random.one_in(3) {
                self.read(&object, now);
            } else if waiting < self.depth.max(1) as usize {
                self.append(&object, now);
            }
            let register = format!("register{}", random.below(self.count));
            let waiting = self
                .pending
                .values()
                .filter(|p| p.object == register && p.number.is_some())
                .count();
            if random.one_in(3) {
                self.read(&register, now);
            } else if waiting < self.depth.max(1) as usize {
                self.overwrite(&register, now);
            }
        }
        if !self.quiet && self.images > 0 {
            let image = format!("image{}", random.below(self.images));
            let snap = self.snaps.keys().nth(random.below(self.snaps.len())).copied();
            let busy = self.pending.values().any(|p| p.object == image && p.number.is_some());
            match snap {
                Some(snap) if random.one_in(3) => self.read_snap(snap, &image, now),
                _ if random.one_in(3) => self.read(&image, now),
                _ if !busy && !self.still => self.overwrite(&image, now),
                _ => {}
            }
        }
        let mut out = Vec::new();
        // Many wait for a PG that is away; CRUSH is asked once for each.
        let mut primaries = BTreeMap::new();
        for (tid, p) in &mut self.pending {
            let raw = map.object_pg(&p.message.locator, &p.message.object);
            let Some(pg) = raw.and_then(|raw| map.raw_to_pg(raw)) else { continue };
            let primary = primaries.entry(pg).or_insert_with(|| map.map_pg(pg).acting_primary);
            let Some(OsdId(n)) = *primary else {
                p.target = None;
                continue;
            };
            let n = n as usize;
            let life = map.up_from(OsdId(n as i32)).0;
            if p.target == Some((n, life)) {
                continue;
            }
            p.target = Some((n, life));
            p.message.retry_attempt += 1;
            p.message.epoch = map.epoch;
            p.message.pg = SpgId::replicated(pg);
            let fresh = self.sessions.insert(n);
            out.push((n, Packet::with_tid(*tid, p.message.clone()), fresh));
        }
        out
    }

    /// Checks a reply.
    pub fn reply(&mut self, from: usize, packet: Packet, now: Time) -> Result<(), String> {
        let Message::OsdOpReply(m) = packet.message else { return Ok(()) };
        let Some(p) = self.pending.get(&packet.tid) else { return Ok(()) };
        if p.target.map(|t| t.0) != Some(from) || m.retry_attempt != p.message.retry_attempt {
            return Ok(());
        }
        let p = self.pending.remove(&packet.tid).expect("just seen");
        let _ = (now, p.sent_at);
        let known = self.objects.entry(p.object.clone()).or_default();
        match p.number {
            Some(number) => {
                if m.result != 0 {
                    return Err(format!("append {number} to {}: {}", p.object, m.result));
                }
                if number > known.acked {
                    known.acked = number;
                }
                self.acks += 1;
            }
            None => {
                let data = || m.ops.first().map(|o| o.0.indata.clone()).unwrap_or_default();
                if let Some(shown) = p.shown {
                    self.snap_reads += 1;
                    return check_snap(&p, m.result, &data(), shown);
                }
                if p.object.starts_with("register") || p.object.starts_with("image") {
                    self.reads += 1;
                    return check_register(&p, m.result, &data(), known);
                }
                if m.result == -2 && p.floor == 0 {
                    return Ok(());
                }
                if m.result != 0 {
                    return Err(format!("read of {} (floor {}): {}", p.object, p.floor, m.result));
                }
                let data = &m.ops[0].0.indata;
                let numbers: Vec<u32> = data
                    .chunks(4)
                    .map(|c| c.try_into().map(u32::from_le_bytes).unwrap_or(u32::MAX))
                    .collect();
                let right = numbers.iter().enumerate().all(|(i, n)| *n == i as u32 + 1);
                let len = numbers.len() as u32;
                if !right || len < p.floor || len > known.sent {
                    return Err(format!(
                        "{} holds {numbers:?}; at least {} of {} were acknowledged",
                        p.object, p.floor, known.sent
                    ));
                }
                // What was read must not be undone.
                known.acked = known.acked.max(len);
                self.reads += 1;
            }
        }
        Ok(())
    }
}

/// A snapshot shows what it showed when it was made.
fn check_snap(p: &Pending, result: i32, data: &Bytes, shown: u32) -> Result<(), String> {
    let number = data.first_chunk::<4>().map(|c| u32::from_le_bytes(*c));
    let right = match number {
        None => result == -2 && shown.is_multiple_of(5),
        Some(read) => read == shown && data.len() == 4 * (1 + read as usize % 40),
    };
    if right {
        return Ok(());
    }
    let snap = p.message.snap;
    Err(format!("{} at {snap} reads {result} {number:?}, it was {shown}", p.object))
}

fn check_register(p: &Pending, result: i32, data: &Bytes, known: &mut Known) -> Result<(), String> {
    let number = data.first_chunk::<4>().map(|c| u32::from_le_bytes(*c));
    let seen = (p.floor..=known.sent).find(|n| match number {
        None => result == -2 && n % 5 == 0,
        Some(read) => read == *n && data.len() == 4 * (1 + read as usize % 40),
    });
    match seen {
        Some(n) => {
            if number.is_some() {
                known.acked = known.acked.max(n);
            }
            Ok(())
        }
        None => Err(format!(
            "{} reads {result} {number:?} ({} bytes), acknowledged {} of {}",
            p.object,
            data.len(),
            p.floor,
            known.sent
        )),
    }
}
