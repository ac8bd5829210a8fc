//! Stored types of an image: parent, snapshot, its namespace; and the specs that name other images.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use seabed_cluster::{SnapId, UTime};
use seabed_denc::{
    Bytes, BytesMut, Decode, DecodeError, Encode, Features, Kept, Reader, decode_versioned,
    encode_versioned, plain, versioned,
};

versioned! {
    /// The snapshot that an image was cloned from, as `parent_get` answers it.
    pub struct ParentImageSpec(1, 1) {
        pool_id: i64 = -1,
        pool_namespace: Bytes,
        image_id: Bytes,
        snap_id: SnapId = SnapId::HEAD,
    }
}

versioned! {
    /// An image that was cloned from a snapshot.
    pub struct ChildImageSpec(2, 1) {
        pool_id: i64 = -1,
        image_id: Bytes,
        pool_namespace: Bytes [since 2],
    }
}

impl PartialOrd for ChildImageSpec {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ChildImageSpec {
    fn cmp(&self, other: &Self) -> Ordering {
        let order = |s: &Self| (s.pool_id, s.pool_namespace.clone(), s.image_id.clone());
        order(self).cmp(&order(other))
    }
}

/// `cls_rbd_parent`: the parent, and how much of it shows through the head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parent {
    pub pool_id: i64,
    pub pool_namespace: Bytes,
    pub image_id: Bytes,
    pub snap_id: SnapId,
    /// `None` if the head is flattened and only snapshots still need the parent.
    pub head_overlap: Option<u64>,
}

impl Default for Parent {
    fn default() -> Self {
        Parent::new(ParentImageSpec::default(), None)
    }
}

impl Parent {
    pub(super) fn new(spec: ParentImageSpec, head_overlap: Option<u64>) -> Self {
        let ParentImageSpec { pool_id, pool_namespace, image_id, snap_id, .. } = spec;
        Parent { pool_id, pool_namespace, image_id, snap_id, head_overlap }
    }

    pub(super) fn exists(&self) -> bool {
        self.pool_id >= 0 && !self.image_id.is_empty() && self.snap_id != SnapId::HEAD
    }

    pub(super) fn spec(&self) -> ParentImageSpec {
        ParentImageSpec {
            pool_id: self.pool_id,
            pool_namespace: self.pool_namespace.clone(),
            image_id: self.image_id.clone(),
            snap_id: self.snap_id,
            ..ParentImageSpec::default()
        }
    }
}

impl Encode for Parent {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        encode_versioned(out, 2, 2, |out| {
            self.pool_id.encode(out, features);
            self.pool_namespace.encode(out, features);
            self.image_id.encode(out, features);
            self.snap_id.encode(out, features);
            self.head_overlap.encode(out, features);
        });
    }
}

/// Version 1, before Nautilus, knew no namespace and had an overlap always.
impl Decode for Parent {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let (parent, _) = decode_versioned(r, "cls_rbd_parent", 2, |r, version| {
            Ok(Parent {
                pool_id: Decode::decode(r)?,
                pool_namespace: if version >= 2 { Decode::decode(r)? } else { Bytes::new() },
                image_id: Decode::decode(r)?,
                snap_id: Decode::decode(r)?,
                head_overlap: if version >= 2 {
                    Decode::decode(r)?
                } else {
                    Some(Decode::decode(r)?)
                },
            })
        })?;
        Ok(parent)
    }
}

plain! {
    /// Which snapshot of a group this snapshot of an image is part of.
    pub struct GroupImageSnapshotNamespace {
        group_pool: i64,
        group_id: Bytes,
        group_snapshot_id: Bytes,
    }
}

plain! {
    /// What a snapshot was before it was removed while clones still needed it.
    pub struct TrashSnapshotNamespace {
        original_name: Bytes,
        original_snapshot_namespace_type: u32,
    }
}

plain! {
    /// What rbd-mirror knows about a snapshot.
    pub struct MirrorSnapshotNamespace {
        /// 0 primary, 1 primary demoted, 2 non-primary, 3 non-primary demoted.
        state: u8,
        complete: bool,
        mirror_peer_uuids: BTreeSet<Bytes>,
        primary_mirror_uuid: Bytes,
        /// Of a primary snapshot: `clean_since_snap_id`.
        primary_snap_id: SnapId,
        last_copied_object_number: u64,
        snap_seqs: BTreeMap<u64, u64>,
    }
}

/// What a snapshot is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum SnapshotNamespace {
    /// Made by a user.
    #[default]
    User,
    /// Part of a snapshot of a group.
    Group(GroupImageSnapshotNamespace),
    /// Removed, and still needed by clones.
    Trash(TrashSnapshotNamespace),
    /// Made by rbd-mirror.
    Mirror(MirrorSnapshotNamespace),
    /// Of a newer release; refused where it comes in.
    Unknown,
}

impl SnapshotNamespace {
    /// `SNAPSHOT_NAMESPACE_TYPE_*`.
    pub fn kind(&self) -> u32 {
        match self {
            SnapshotNamespace::User => 0,
            SnapshotNamespace::Group(_) => 1,
            SnapshotNamespace::Trash(_) => 2,
            SnapshotNamespace::Mirror(_) => 3,
            SnapshotNamespace::Unknown => u32::MAX,
        }
    }

    pub(super) fn is_trash(&self) -> bool {
        matches!(self, SnapshotNamespace::Trash(_))
    }
}

impl Encode for SnapshotNamespace {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        encode_versioned(out, 1, 1, |out| {
            self.kind().encode(out, features);
            match self {
                SnapshotNamespace::User | SnapshotNamespace::Unknown => {}
                SnapshotNamespace::Group(namespace) => namespace.encode(out, features),
                SnapshotNamespace::Trash(namespace) => namespace.encode(out, features),
                SnapshotNamespace::Mirror(namespace) => namespace.encode(out, features),
            }
        });
    }
}

impl Decode for SnapshotNamespace {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let (namespace, _) = decode_versioned(r, "SnapshotNamespace", 1, |r, _| {
            Ok(match u32::decode(r)? {
                0 => SnapshotNamespace::User,
                1 => SnapshotNamespace::Group(Decode::decode(r)?),
                2 => SnapshotNamespace::Trash(Decode::decode(r)?),
                3 => SnapshotNamespace::Mirror(Decode::decode(r)?),
                _ => SnapshotNamespace::Unknown,
            })
        })?;
        Ok(namespace)
    }
}

/// `cls_rbd_snap`: a snapshot of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub id: SnapId,
    pub name: Bytes,
    pub image_size: u64,
    /// Only in records from before Nautilus; written, it moves to the header's `parent`.
    pub parent: Parent,
    pub protection_status: u8,
    pub flags: u64,
    pub namespace: SnapshotNamespace,
    pub timestamp: UTime,
    pub child_count: u32,
    /// How much of the parent shows through the snapshot.
    pub parent_overlap: Option<u64>,
}

impl Default for Snapshot {
    fn default() -> Self {
        Snapshot {
            id: SnapId::HEAD,
            name: Bytes::new(),
            image_size: 0,
            parent: Parent::default(),
            protection_status: 0,
            flags: 0,
            namespace: SnapshotNamespace::default(),
            timestamp: UTime::ZERO,
            child_count: 0,
            parent_overlap: None,
        }
    }
}

impl Snapshot {
    /// It needs the parent, by either form of the record.
    pub(super) fn has_parent(&self) -> bool {
        self.parent.pool_id != -1 || self.parent_overlap.is_some()
    }
}

impl Encode for Snapshot {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        encode_versioned(out, 8, 8, |out| {
            self.id.encode(out, features);
            self.name.encode(out, features);
            self.image_size.encode(out, features);
            self.protection_status.encode(out, features);
            self.flags.encode(out, features);
            self.namespace.encode(out, features);
            self.timestamp.encode(out, features);
            self.child_count.encode(out, features);
            self.parent_overlap.encode(out, features);
        });
    }
}

/// A field, if the version has it.
fn since<T: Decode + Default>(r: &mut Reader, has: bool) -> Result<T, DecodeError> {
    if has { T::decode(r) } else { Ok(T::default()) }
}

impl Decode for Snapshot {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        // It is the compat version that says whether features and parent stand in the record.
        let normalized = r.peek().get(1).is_some_and(|compat| *compat >= 8);
        let (snapshot, _) = decode_versioned(r, "cls_rbd_snap", 8, |r, version| {
            let (id, name, image_size) = Decode::decode(r)?;
            let _features: u64 = since(r, !normalized)?;
            Ok(Snapshot {
                id,
                name,
                image_size,
                parent: since(r, version >= 2 && !normalized)?,
                protection_status: since(r, version >= 3)?,
                flags: since(r, version >= 4)?,
                namespace: since(r, version >= 5)?,
                timestamp: since(r, version >= 6)?,
                child_count: since(r, version >= 7)?,
                parent_overlap: since(r, version >= 8)?,
            })
        })?;
        Ok(snapshot)
    }
}

versioned! {
    /// `SnapshotInfo`: a snapshot as `snapshot_get` answers it.
    pub struct SnapshotInfo(1, 1) {
        id: SnapId = SnapId::HEAD,
        namespace: SnapshotNamespace,
        name: Bytes,
        image_size: u64,
        timestamp: UTime,
        child_count: u32,
    }
}

impl From<Snapshot> for SnapshotInfo {
    fn from(snapshot: Snapshot) -> Self {
        let Snapshot { id, namespace, name, image_size, timestamp, child_count, .. } = snapshot;
        let kept = Kept::default();
        SnapshotInfo { id, namespace, name, image_size, timestamp, child_count, kept }
    }
}
