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
struct Wanted {
    after: Bytes,
    max: u64,
    prefix: Bytes,
    values: bool,
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
        self.omap_list(Wanted { after, max, prefix: Bytes::new(), values: false })
    }

    /// OMAPGETVALS.
    pub(super) fn omap_get_vals(&mut self, op: &OsdOp) -> Done {
        let mut r = Reader::new(op.indata.clone());
        let (after, max) = (Bytes::decode(&mut r)?, u64::decode(&mut r)?);
        let prefix = Bytes::decode(&mut r)?;
        self.omap_list(Wanted { after, max, prefix, values: true })
    }

    /// Count, entries, and whether more would follow.
    fn omap_list(&mut self, wanted: Wanted) -> Done {
        let max = wanted.max.min(self.env.limits.omap_entries);
        let mut body = BytesMut::new();
        let (mut count, mut more) = (0u32, false);
        if self.has_omap() {
            (count, more) = self.omap_fill(&wanted, max, &mut body)?;
        }
        let mut out = BytesMut::with_capacity(5 + body.len());
        count.encode(&mut out, 0);
        out.extend_from_slice(&body);
        more.encode(&mut out, 0);
        self.count_read(out.len());
        Ok((out.freeze(), 0))
    }

    fn omap_fill(
        &mut self,
        wanted: &Wanted,
        max: u64,
        body: &mut BytesMut,
    ) -> Result<(u32, bool), Failure> {
        let mut count = 0;
        let mut from = if wanted.prefix > wanted.after {
            Bound::Included(wanted.prefix.clone())
        } else {
            Bound::Excluded(wanted.after.clone())
        };
        loop {
            let start = from.as_ref().map(|b| &b[..]);
            let page = PAGE.min(usize::try_from(max - u64::from(count)).unwrap_or(PAGE) + 1);
            let got = self.store.omap_range(self.coll, &self.object, start, page);
            let (entries, more) = got.map_err(|e| self.failed(&e))?;
            let Some((last, _)) = entries.last().cloned() else { return Ok((count, false)) };
            for (key, value) in entries {
                if !key.starts_with(&wanted.prefix) {
                    return Ok((count, false));
                }
                if u64::from(count) >= max || body.len() >= self.env.limits.omap_bytes {
                    return Ok((count, true));
                }
                key.encode(body, 0);
                if wanted.values {
                    value.encode(body, 0);
                }
                count += 1;
            }
            if !more {
                return Ok((count, false));
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

    fn omap_values(&mut self, keys: &[Bytes]) -> Result<BTreeMap<Bytes, Bytes>, Failure> {
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
        let mut r = Reader::new(op.indata.clone());
        let keys = BTreeMap::decode(&mut r)?;
        self.make_object();
        self.change().omap(TxOp::OmapSetKeys(keys));
        self.info.set(object_flag::OMAP, true);
        self.touch_omap();
        self.count_write(op.indata.len() as u64);
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
        let keys = BTreeSet::<Bytes>::decode(&mut Reader::new(op.indata.clone()))?;
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
        self.change().omap(TxOp::OmapRmKeyRange { first, last });
        self.touch_omap();
        self.stats.num_wr += 1;
        DONE
    }
}
