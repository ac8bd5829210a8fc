//! Ops on the omap.
//!
//! An object whose info lacks the OMAP flag has no omap: reads answer empty without asking the
//! store. One that gets its omap, and itself, from the same request is not in the store: ENOENT,
//! as from Ceph.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use seabed_cluster::{Errno, object_flag};
use seabed_denc::{Bytes, BytesMut, Decode, Encode, Reader};
use seabed_messages::OsdOp;
use seabed_storage::TxOp;

use super::execution::{DONE, Done, Execution, Failure};

/// Entries fetched from the store at once.
const PAGE: usize = 256;

/// Which entries a reader wants.
pub(super) struct Wanted {
    pub(super) after: Bytes,
    pub(super) max: u64,
    pub(super) prefix: Bytes,
}

impl Execution<'_> {
    fn has_omap(&self) -> bool {
        self.info.has(object_flag::OMAP)
    }

    fn touch_omap(&mut self) {
        self.info.omap_digest = u32::MAX;
        self.info.set(object_flag::OMAP_DIGEST, false);
        self.clean.clean_omap = false;
    }

    /// OMAPGETKEYS.
    pub(super) fn omap_get_keys(&mut self, op: &OsdOp) -> Done {
        let mut r = Reader::new(op.indata.clone());
        let (after, max) = (Bytes::decode(&mut r)?, u64::decode(&mut r)?);
        self.omap_list(&Wanted { after, max, prefix: Bytes::new() }, false)
    }

    /// OMAPGETVALS.
    pub(super) fn omap_get_vals(&mut self, op: &OsdOp) -> Done {
        let mut r = Reader::new(op.indata.clone());
        let (after, max) = (Bytes::decode(&mut r)?, u64::decode(&mut r)?);
        let prefix = Bytes::decode(&mut r)?;
        self.omap_list(&Wanted { after, max, prefix }, true)
    }

    /// Count, entries, and whether more would follow.
    fn omap_list(&mut self, wanted: &Wanted, values: bool) -> Done {
        let mut body = BytesMut::new();
        let mut count = 0u32;
        let more = self.omap_each(wanted, |key, value| {
            count += 1;
            key.encode(&mut body, 0);
            if values {
                value.encode(&mut body, 0);
            }
            body.len()
        })?;
        let mut out = BytesMut::with_capacity(5 + body.len());
        count.encode(&mut out, 0);
        out.extend_from_slice(&body);
        more.encode(&mut out, 0);
        self.count_read(out.len());
        Ok((out.freeze(), 0))
    }

    /// Gives the entries wanted to `take`, which answers how many bytes it has by now, and tells
    /// whether more would follow. The caller counts the read.
    pub(super) fn omap_each(
        &mut self,
        wanted: &Wanted,
        mut take: impl FnMut(Bytes, Bytes) -> usize,
    ) -> Result<bool, Failure> {
        if !self.has_omap() {
            return Ok(false);
        }
        let max = wanted.max.min(self.env.limits.omap_entries);
        let (mut count, mut bytes) = (0u64, 0);
        let mut from = if wanted.prefix > wanted.after {
            Bound::Included(wanted.prefix.clone())
        } else {
            Bound::Excluded(wanted.after.clone())
        };
        loop {
            let start = from.as_ref().map(|b| &b[..]);
            let page = PAGE.min(usize::try_from(max - count).unwrap_or(PAGE) + 1);
            let got = self.store.omap_range(self.coll, &self.object, start, page);
            let (entries, more) = got.map_err(|e| self.failed(&e))?;
            let Some((last, _)) = entries.last().cloned() else { return Ok(false) };
            for (key, value) in entries {
                if !key.starts_with(&wanted.prefix) {
                    return Ok(false);
                }
                if count >= max || bytes >= self.env.limits.omap_bytes {
                    return Ok(true);
                }
                bytes = take(key, value);
                count += 1;
            }
            if !more {
                return Ok(false);
            }
            from = Bound::Excluded(last);
        }
    }

    /// OMAPGETHEADER.
    pub(super) fn omap_get_header(&mut self) -> Done {
        if !self.has_omap() {
            self.stats.num_rd += 1;
            return DONE;
        }
        let header = self.store.omap_header(self.coll, &self.object);
        let header = header.map_err(|e| self.failed(&e))?;
        self.count_read(header.len());
        Ok((header, 0))
    }

    /// Those of the keys that exist; the caller counts the read.
    pub(super) fn omap_values(
        &mut self,
        keys: &[Bytes],
    ) -> Result<BTreeMap<Bytes, Bytes>, Failure> {
        if !self.has_omap() {
            return Ok(BTreeMap::new());
        }
        self.store.omap_get(self.coll, &self.object, keys).map_err(|e| self.failed(&e))
    }

    /// OMAPGETVALSBYKEYS: those that exist.
    pub(super) fn omap_get_vals_by_keys(&mut self, op: &OsdOp) -> Done {
        let keys = BTreeSet::<Bytes>::decode(&mut Reader::new(op.indata.clone()))?;
        let keys: Vec<Bytes> = keys.into_iter().collect();
        let out = self.omap_values(&keys)?.to_bytes(0);
        self.count_read(out.len());
        Ok((out, 0))
    }

    /// OMAP_CMP: `stored <op> value` for each key; an absent key is empty.
    pub(super) fn omap_compare(&mut self, op: &OsdOp) -> Done {
        self.require_object()?;
        let wanted = BTreeMap::<Bytes, (Bytes, i32)>::decode(&mut Reader::new(op.indata.clone()))?;
        let keys: Vec<Bytes> = wanted.keys().cloned().collect();
        let stored = self.omap_values(&keys)?;
        self.stats.num_rd += 1;
        for (key, (value, cmp_op)) in &wanted {
            let order = stored.get(key).map_or(&[][..], |v| v).cmp(value);
            let holds = match cmp_op {
                1 => order.is_eq(),
                3 => order.is_gt(),
                5 => order.is_lt(),
                _ => return Err(Errno::EINVAL.into()),
            };
            if !holds {
                return Err(Errno::ECANCELED.into());
            }
        }
        DONE
    }

    /// OMAPSETVALS.
    pub(super) fn omap_set_vals(&mut self, op: &OsdOp) -> Done {
        self.require_omap()?;
        let entries = BTreeMap::decode(&mut Reader::new(op.indata.clone()))?;
        self.omap_put(entries, op.indata.len())
    }

    /// Sets entries; `bytes` is their length as an op's input, which counts.
    pub(super) fn omap_put(&mut self, entries: BTreeMap<Bytes, Bytes>, bytes: usize) -> Done {
        self.make_object();
        self.change().omap(TxOp::OmapSetKeys(entries));
        self.info.set(object_flag::OMAP, true);
        self.touch_omap();
        self.count_write(bytes as u64);
        DONE
    }

    /// OMAPSETHEADER.
    pub(super) fn omap_set_header(&mut self, op: &OsdOp) -> Done {
        self.require_omap()?;
        self.make_object();
        self.change().omap_set_header(op.indata.clone());
        self.info.set(object_flag::OMAP, true);
        self.touch_omap();
        self.stats.num_wr += 1;
        DONE
    }

    /// OMAPCLEAR: keys and header.
    pub(super) fn omap_clear(&mut self) -> Done {
        self.require_omap()?;
        self.require_object()?;
        if self.info.has(object_flag::OMAP) {
            self.change().omap_clear();
            self.info.set(object_flag::OMAP, false);
            self.touch_omap();
            self.stats.num_wr += 1;
        }
        DONE
    }

    /// OMAPRMKEYS.
    pub(super) fn omap_rm_keys(&mut self, op: &OsdOp) -> Done {
        self.require_omap()?;
        self.require_object()?;
        let keys = BTreeSet::decode(&mut Reader::new(op.indata.clone()))?;
        self.omap_drop(keys)
    }

    /// Removes entries; absent ones are no error.
    pub(super) fn omap_drop(&mut self, keys: BTreeSet<Bytes>) -> Done {
        self.change().omap(TxOp::OmapRmKeys(keys.into_iter().collect()));
        self.touch_omap();
        self.stats.num_wr += 1;
        DONE
    }

    /// OMAPRMKEYRANGE: the last key is not in it.
    pub(super) fn omap_rm_key_range(&mut self, op: &OsdOp) -> Done {
        self.require_omap()?;
        self.require_object()?;
        let mut r = Reader::new(op.indata.clone());
        let (first, last) = (Bytes::decode(&mut r)?, Bytes::decode(&mut r)?);
        self.omap_drop_range(first, last)
    }

    /// Removes the entries from `first` to `last`, which is not among them.
    pub(super) fn omap_drop_range(&mut self, first: Bytes, last: Bytes) -> Done {
        self.change().omap(TxOp::OmapRmKeyRange { first, last });
        self.touch_omap();
        self.stats.num_wr += 1;
        DONE
    }
}
