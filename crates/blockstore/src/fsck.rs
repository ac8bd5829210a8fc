//! The check of a whole store: every record decodes, every block has as many owners as are
//! recorded and is free exactly if it has none, every checksum holds.

use std::collections::BTreeMap;

use seabed_cluster::{Collection, GhObject};
use seabed_denc::Decode;
use seabed_storage::{BlockDevice, KeyValue, ObjectStore, StoreError};

use crate::onode::{Onode, Super};
use crate::owners::{Owners, walk};
use crate::store::BlockStore;
use crate::{BLOCK, RESERVED, keys};

/// Bytes of an object read at a time.
const READ_STEP: u64 = 4 << 20;

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// A key or a record of this kind is no such thing.
    Undecodable(&'static str),
    /// Two objects have this number.
    SameNumber(u64),
    /// A number that the super record does not know to be taken.
    NumberBeyondLimit(u64),
    /// An object in no collection.
    NoCollection(Box<GhObject>),
    /// Extents without an object.
    ExtentsWithoutObject(u64),
    /// Omap records without an object, or with one that says it has none.
    OmapWithoutObject(u64),
    /// An extent that names a block outside the data area.
    Outside(u64),
    /// A block with more or fewer owners than recorded.
    Owners {
        /// Which.
        block: u64,
        /// As counted.
        owners: u32,
        /// As recorded.
        recorded: u32,
    },
    /// A block without owner that is not free.
    Leaked(u64),
    /// A block with an owner that is free.
    FreeButOwned(u64),
    /// A block of an object behind its end.
    BehindEnd(Box<GhObject>),
    /// Bytes of the last block behind the object's end that are not zero.
    DirtyEnd(Box<GhObject>),
    /// A block that is not what was written.
    Checksum {
        /// Of which object.
        object: Box<GhObject>,
        /// Where in it.
        offset: u64,
    },
}

/// What the check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FsckReport {
    /// Objects seen.
    pub objects: u64,
    /// Blocks that objects own, each owner counted.
    pub slots: u64,
    /// Omap entries seen.
    pub omap_entries: u64,
    /// Everything wrong.
    pub problems: Vec<Problem>,
}

impl FsckReport {
    /// Nothing wrong.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }
}

impl<K: KeyValue, D: BlockDevice> BlockStore<K, D> {
    /// Checks the whole store; with `read_data`, every block too. Nothing may be in flight.
    pub fn fsck(&self, read_data: bool) -> Result<FsckReport, StoreError> {
        if ObjectStore::in_flight(self) > 0 {
            return Err(StoreError::Inconsistent("a check while transactions are in flight"));
        }
        let mut report = FsckReport::default();
        let objects = self.check_onodes(&mut report)?;
        self.check_extents(&objects, &mut report)?;
        self.check_omap(&objects, &mut report)?;
        self.check_blocks(&mut report)?;
        for (o, onode) in objects.values().filter(|_| read_data) {
            self.check_data(o, onode, &mut report)?;
        }
        Ok(report)
    }

    fn check_onodes(
        &self,
        report: &mut FsckReport,
    ) -> Result<BTreeMap<u64, (GhObject, Onode)>, StoreError> {
        let record = self.kv.get(keys::SUPER)?.unwrap_or_default();
        let limit = Super::from_bytes(record).unwrap_or_default().object_id_limit;
        let mut objects = BTreeMap::new();
        let problems = &mut report.problems;
        walk(&self.kv, keys::OBJECT, |key, value| {
            let (Some((home, o)), Ok(onode)) = (keys::parse_object(&key), Onode::from_bytes(value))
            else {
                problems.push(Problem::Undecodable("onode"));
                return Ok(());
            };
            let mut collections = self.collections.iter();
            let at_home = match home {
                keys::Home::Named(c) => self.collections.contains_key(&c),
                keys::Home::ByHash => collections
                    .any(|(c, &bits)| matches!(c, Collection::Pg(_)) && c.may_hold(bits, &o)),
            };
            if !at_home {
                problems.push(Problem::NoCollection(Box::new(o.clone())));
            }
            if onode.id >= limit {
                problems.push(Problem::NumberBeyondLimit(onode.id));
            }
            if objects.insert(onode.id, (o, onode.clone())).is_some() {
                problems.push(Problem::SameNumber(onode.id));
            }
            Ok(())
        })?;
        report.objects = objects.len() as u64;
        Ok(objects)
    }

    fn check_extents(
        &self,
        objects: &BTreeMap<u64, (GhObject, Onode)>,
        report: &mut FsckReport,
    ) -> Result<(), StoreError> {
        walk(&self.kv, keys::EXTENTS, |key, value| {
            let segment = crate::extent::Segment::from_bytes(value);
            let (Some((id, number)), Ok(segment)) = (keys::parse_extents(&key), segment) else {
                report.problems.push(Problem::Undecodable("extents"));
                return Ok(());
            };
            let Some((o, onode)) = objects.get(&id) else {
                report.problems.push(Problem::ExtentsWithoutObject(id));
                return Ok(());
            };
            let last = segment.slots.keys().last().copied().map_or(0, u64::from);
            let last = u64::from(number) * crate::extent::SEGMENT_BLOCKS + last;
            if segment.slots.is_empty() || last * BLOCK >= onode.size {
                report.problems.push(Problem::BehindEnd(Box::new(o.clone())));
            }
            report.slots += segment.slots.len() as u64;
            Ok(())
        })
    }

    fn check_omap(
        &self,
        objects: &BTreeMap<u64, (GhObject, Onode)>,
        report: &mut FsckReport,
    ) -> Result<(), StoreError> {
        walk(&self.kv, keys::OMAP, |key, _| {
            let Some(id) = keys::parse_number(&key) else {
                report.problems.push(Problem::Undecodable("omap key"));
                return Ok(());
            };
            if !objects.get(&id).is_some_and(|(_, onode)| onode.has_omap) {
                report.problems.push(Problem::OmapWithoutObject(id));
            }
            report.omap_entries += 1;
            Ok(())
        })
    }

    /// Owners against the stored shared runs and against the allocator in memory.
    fn check_blocks(&self, report: &mut FsckReport) -> Result<(), StoreError> {
        let owners = Owners::count(&self.kv, self.label.size)?;
        let problems = &mut report.problems;
        problems.extend(owners.outside.iter().map(|&b| Problem::Outside(b)));
        let stored = crate::open::read_shared(&self.kv)?;
        for map in [&stored, &self.shared] {
            let differences = owners.differences(map).into_iter();
            problems.extend(differences.map(|(block, owners, recorded)| Problem::Owners {
                block,
                owners,
                recorded,
            }));
        }
        for block in RESERVED / BLOCK..self.label.size / BLOCK {
            match (owners.of(block), self.allocator.is_free(block)) {
                (0, false) => problems.push(Problem::Leaked(block)),
                (1.., true) => problems.push(Problem::FreeButOwned(block)),
                _ => {}
            }
        }
        Ok(())
    }

    fn check_data(
        &self,
        o: &GhObject,
        onode: &Onode,
        report: &mut FsckReport,
    ) -> Result<(), StoreError> {
        // To the end of the last block, as if the object were that long.
        let size = onode.size.next_multiple_of(BLOCK);
        let whole = Onode { size, ..onode.clone() };
        let extents = match size {
            0 => Vec::new(),
            _ => self.slots(onode.id, 0, (size - 1) / BLOCK)?,
        };
        let mut at = 0;
        while let Some(next) = extents.iter().map(|(logical, _)| logical * BLOCK).find(|b| *b >= at)
        {
            at = next;
            match self.read_onode(o, &whole, at, READ_STEP.min(size - at)) {
                Ok(bytes) => {
                    let tail = onode.size.saturating_sub(at) as usize;
                    if bytes.iter().skip(tail).any(|&b| b != 0) {
                        report.problems.push(Problem::DirtyEnd(Box::new(o.clone())));
                    }
                    at += READ_STEP;
                }
                Err(StoreError::ChecksumMismatch { object, offset, .. }) => {
                    report.problems.push(Problem::Checksum { object, offset });
                    at = offset + BLOCK;
                }
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}
