//! What an image's header object says, read whole.

use std::collections::BTreeMap;

use seabed_classes::rbd::wire::{ParentImageSpec, SnapshotInfo, SnapshotNamespace, feature};
use seabed_cluster::{Errno, PoolId, SnapId, UTime};
use seabed_denc::Bytes;
use seabed_rados::{Operation, Pool};

use crate::call::{Answers, HEAD, get, rbd, text};
use crate::error::during;
use crate::parallel::in_parallel;
use crate::{Layout, RbdError, names};

/// What an image was cloned from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// Which snapshot of which image.
    pub spec: ParentImageSpec,
    /// How many bytes of it show through.
    pub overlap: u64,
}

/// A snapshot of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its id.
    pub id: SnapId,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub namespace: SnapshotNamespace,
    /// The image's size then.
    pub size: u64,
    /// When it was made.
    pub timestamp: UTime,
    /// Flags of its object map.
    pub flags: u64,
    /// 0 unprotected, 1 being unprotected, 2 protected.
    pub protection: u8,
    /// Clones (of version 2) that need it.
    pub child_count: u32,
    /// How much of the parent shows through it.
    pub parent_overlap: Option<u64>,
}

/// An image, as its header describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Its id.
    pub id: String,
    /// Its size in bytes.
    pub size: u64,
    /// How it is spread over objects.
    pub layout: Layout,
    /// Bits of [`crate::feature_bits`].
    pub features: u64,
    /// Bits of operations in use.
    pub op_features: u64,
    /// Flags of its object map.
    pub flags: u64,
    /// What the names of its data objects begin with.
    pub object_prefix: String,
    /// The pool of its data, if that is another.
    pub data_pool: Option<PoolId>,
    /// The newest snapshot's id, ever.
    pub snap_seq: SnapId,
    /// Its snapshots, newest first.
    pub snapshots: Vec<Snapshot>,
    /// What it was cloned from, if that still shows through the head or a snapshot.
    pub parent: Option<Parent>,
    /// When it was made, and last read and written (as far as that is kept).
    pub created: UTime,
    /// See [`Header::created`].
    pub accessed: UTime,
    /// See [`Header::created`].
    pub modified: UTime,
}

/// Refreshes begin anew when a snapshot went in between; so often.
const ATTEMPTS: u32 = 10;

impl Header {
    /// Reads the header of an image.
    pub(crate) async fn read(pool: &Pool, id: &str) -> Result<Self, RbdError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match Self::read_once(pool, id).await {
                Err(error) if error.is_not_found() && attempt < ATTEMPTS => {
                    // Without a header it is the image that went, not a snapshot.
                    pool.stat(names::header(id)).await.map_err(during("image header"))?;
                }
                result => return result,
            }
        }
    }

    async fn read_once(pool: &Pool, id: &str) -> Result<Self, RbdError> {
        const WHAT: &str = "image header";
        let object = names::header(id);
        let mut ask = rbd(Operation::new(), "get_size", HEAD);
        ask = rbd(ask, "get_object_prefix", ());
        ask = rbd(ask, "get_features", (HEAD, false));
        ask = rbd(ask, "op_features_get", ());
        ask = rbd(ask, "get_flags", HEAD);
        ask = rbd(ask, "get_snapcontext", ());
        ask = rbd(ask, "get_data_pool", ());
        ask = rbd(ask, "parent_get", ());
        ask = rbd(ask, "parent_overlap_get", HEAD);
        ask = rbd(ask, "get_create_timestamp", ());
        ask = rbd(ask, "get_access_timestamp", ());
        ask = rbd(ask, "get_modify_timestamp", ());
        let reply = pool.operate(&object, ask).await.map_err(during(WHAT))?;
        let mut answers = Answers::new(WHAT, reply);
        let (order, size): (u8, u64) = answers.next()?;
        let prefix: Bytes = answers.next()?;
        let (features, _incompatible): (u64, u64) = answers.next()?;
        let op_features = answers.next()?;
        let flags = answers.next()?;
        let (snap_seq, ids): (SnapId, Vec<SnapId>) = answers.next()?;
        let data_pool: i64 = answers.next()?;
        let spec: ParentImageSpec = answers.next()?;
        let overlap: Option<u64> = answers.next()?;
        let (created, accessed, modified) = (answers.next()?, answers.next()?, answers.next()?);
        let (unit, count) = if features & feature::STRIPINGV2 != 0 {
            get(pool, &object, "get_stripe_unit_count", ()).await?
        } else {
            (0, 0)
        };
        let layout = Layout::striped(order, unit, count)?;
        let jobs = ids.into_iter().map(|snap| read_snapshot(pool.clone(), object.clone(), snap));
        let snapshots = in_parallel(jobs).await?;
        let has_parent = spec.pool_id >= 0 && !spec.image_id.is_empty();
        Ok(Header {
            id: id.to_owned(),
            size,
            layout,
            features,
            op_features,
            flags,
            object_prefix: text(&prefix),
            data_pool: (data_pool >= 0).then_some(PoolId(data_pool)),
            snap_seq,
            snapshots,
            parent: has_parent.then(|| Parent { spec, overlap: overlap.unwrap_or_default() }),
            created,
            accessed,
            modified,
        })
    }

    /// The snapshot of users by that name.
    pub fn snapshot(&self, name: &str) -> Option<&Snapshot> {
        self.snapshots.iter().find(|s| s.namespace == SnapshotNamespace::User && s.name == name)
    }

    /// True if the image has all these features.
    pub fn has(&self, features: u64) -> bool {
        self.features & features == features
    }

    /// What writes come after.
    pub(crate) fn snap_context(&self) -> (SnapId, Vec<SnapId>) {
        (self.snap_seq, self.snapshots.iter().map(|s| s.id).collect())
    }

    /// Size, and how much of the parent shows through, of the head or a snapshot.
    pub(crate) fn at(&self, snap: Option<SnapId>) -> Result<(u64, u64), RbdError> {
        match snap {
            None => Ok((self.size, self.parent.as_ref().map_or(0, |parent| parent.overlap))),
            Some(id) => {
                let found = self.snapshots.iter().find(|s| s.id == id);
                let found = found.ok_or_else(|| RbdError::NoSnapshot(id.0.to_string()))?;
                Ok((found.size, found.parent_overlap.unwrap_or_default()))
            }
        }
    }
}

async fn read_snapshot(pool: Pool, object: String, id: SnapId) -> Result<Snapshot, RbdError> {
    const WHAT: &str = "snapshot of an image";
    let mut ask = rbd(Operation::new(), "snapshot_get", id);
    ask = rbd(ask, "get_flags", id);
    ask = rbd(ask, "get_protection_status", id);
    ask = rbd(ask, "parent_overlap_get", id);
    let reply = pool.operate(&object, ask).await.map_err(during(WHAT))?;
    let mut answers = Answers::new(WHAT, reply);
    let info: SnapshotInfo = answers.next()?;
    Ok(Snapshot {
        id,
        name: text(&info.name),
        namespace: info.namespace,
        size: info.image_size,
        timestamp: info.timestamp,
        child_count: info.child_count,
        flags: answers.next()?,
        protection: answers.next()?,
        parent_overlap: answers.next()?,
    })
}

/// All pairs of a listing that is read page by page.
pub(crate) async fn all_pages<K, V>(
    pool: &Pool,
    object: &str,
    method: &'static str,
    first: K,
) -> Result<BTreeMap<K, V>, RbdError>
where
    K: Ord + Clone + seabed_denc::Encode + seabed_denc::Decode,
    V: seabed_denc::Decode,
{
    const PAGE: u64 = 1024;
    let mut all = BTreeMap::new();
    let mut after = first;
    loop {
        let page: Result<BTreeMap<K, V>, RbdError> =
            get(pool, object, method, (after.clone(), PAGE)).await;
        let page = match page {
            Err(error) if error.errno() == Some(Errno::ENOENT) => return Ok(all),
            page => page?,
        };
        let more = page.len() as u64 >= PAGE;
        let Some((last, _)) = page.last_key_value() else { return Ok(all) };
        // A server that answers the same page for ever must not hold us.
        if all.contains_key(last) {
            return Err(RbdError::Malformed(method));
        }
        after = last.clone();
        all.extend(page);
        if !more {
            return Ok(all);
        }
    }
}
