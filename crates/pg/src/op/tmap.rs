//! Ops on a "trivial map", a sorted map in the data of an object: header, then count, keys and
//! values. What omap replaced; the directory of format 1 images is still one.

use std::collections::BTreeMap;

use seabed_cluster::Errno;
use seabed_denc::{Bytes, BytesMut, Decode, Encode, Reader};
use seabed_messages::{OpCode, OsdOp};

use super::execution::{DONE, Done, Execution, Failure};
use super::read::Extent;

const WHOLE: Extent = Extent { offset: 0, length: 0, truncate_size: 0, truncate_seq: 0 };

/// Header and entries.
#[derive(Default)]
struct Tmap {
    header: Bytes,
    entries: BTreeMap<Bytes, Bytes>,
}

impl Tmap {
    /// An empty object is an empty map. Entries may come in any order.
    fn read(data: Bytes) -> Result<Self, Failure> {
        if data.is_empty() {
            return Ok(Self::default());
        }
        let mut r = Reader::new(data);
        Ok(Self { header: Bytes::decode(&mut r)?, entries: BTreeMap::decode(&mut r)? })
    }

    fn write(&self) -> Bytes {
        let mut out = BytesMut::new();
        self.header.encode(&mut out, 0);
        self.entries.encode(&mut out, 0);
        out.freeze()
    }

    /// One step of an update: a letter, a key, and a value if the letter wants one.
    fn step(&mut self, r: &mut Reader) -> Result<(), Failure> {
        match u8::decode(r)? {
            b'h' => self.header = Bytes::decode(r)?,
            b's' => {
                let (key, value) = <(Bytes, Bytes)>::decode(r)?;
                self.entries.insert(key, value);
            }
            b'c' => {
                let (key, value) = <(Bytes, Bytes)>::decode(r)?;
                if self.entries.insert(key, value).is_some() {
                    return Err(Errno::EEXIST.into());
                }
            }
            b'r' => {
                if self.entries.remove(&Bytes::decode(r)?).is_none() {
                    return Err(Errno::ENOENT.into());
                }
            }
            b'R' => {
                self.entries.remove(&Bytes::decode(r)?);
            }
            _ => return Err(Errno::EINVAL.into()),
        }
        Ok(())
    }
}

impl Execution<'_> {
    /// TMAPGET: the map as it is stored.
    pub(super) fn tmap_get(&mut self) -> Done {
        self.require_omap()?;
        Ok((self.read_range(WHOLE)?, 0))
    }

    /// TMAPPUT: the whole map, which is stored sorted.
    pub(super) fn tmap_put(&mut self, op: &OsdOp) -> Done {
        self.require_omap()?;
        if op.indata.is_empty() {
            return Err(Errno::EINVAL.into());
        }
        self.tmap_store(&Tmap::read(op.indata.clone())?)
    }

    /// TMAPUP: steps one after the other; all of them or none.
    pub(super) fn tmap_update(&mut self, op: &OsdOp) -> Done {
        self.require_omap()?;
        if op.indata.is_empty() {
            return DONE;
        }
        let mut map = Tmap::read(self.read_range(WHOLE)?)?;
        let mut steps = Reader::new(op.indata.clone());
        while !steps.is_empty() {
            map.step(&mut steps)?;
        }
        self.tmap_store(&map)
    }

    fn tmap_store(&mut self, map: &Tmap) -> Done {
        let data = map.write();
        self.write_full(&OsdOp::extent(OpCode::WriteFull, 0, data.len() as u64, data))
    }
}
