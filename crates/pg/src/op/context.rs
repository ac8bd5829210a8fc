//! What an execution is given: the object as it stands, and the request's place in the PG.

use std::collections::BTreeMap;

use seabed_cluster::{
    Collection, EVersion, EntityAddr, EntityName, Errno, GhObject, HObject, IntervalSet,
    ObjectInfo, Pool, ReqId, SnapId, SnapSet, UTime,
};
use seabed_denc::Decode;
use seabed_storage::{ObjectStore, StoreError};

use super::{Copied, Shown, WriteEffect};

/// The object as left by all operations submitted so far.
///
/// It is what the store holds under `_` and `snapset`. A PG that has just submitted a write may
/// make the next context from it with [`ObjectContext::after`] instead of reading it back.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectContext {
    /// What is read and written: the head, or for a read of a snapshot the clone that shows it.
    pub object: HObject,
    /// Whether it exists for clients. A whiteout exists in the store only.
    pub exists: bool,
    /// The info of a stored object; otherwise a fresh one.
    pub info: ObjectInfo,
    /// Snapshots of the object, which are kept with the head.
    pub snapset: SnapSet,
}

impl ObjectContext {
    /// The context of an object that does not exist.
    pub fn absent(object: HObject) -> Self {
        let info = ObjectInfo::new(object.clone());
        Self { object, exists: false, info, snapset: SnapSet::default() }
    }

    /// A head as it lies in the store. Attributes that cannot be read are the client's EIO; an
    /// error of the store itself is not the client's.
    pub fn load(
        store: &dyn ObjectStore,
        coll: &Collection,
        head: &HObject,
    ) -> Result<Result<Self, Errno>, StoreError> {
        let attrs = match store.get_attrs(coll, &GhObject::from(head.clone())) {
            Ok(attrs) => attrs,
            Err(e) if e.is_not_found() => return Ok(Ok(Self::absent(head.clone()))),
            Err(StoreError::ChecksumMismatch { .. }) => return Ok(Err(Errno::EIO)),
            Err(e) => return Err(e),
        };
        let info = attrs.get(&b"_"[..]).map(|b| ObjectInfo::from_bytes(b.clone()));
        let snapset = match attrs.get(&b"snapset"[..]) {
            Some(bytes) => SnapSet::from_bytes(bytes.clone()),
            None => Ok(SnapSet::default()),
        };
        let (Some(Ok(info)), Ok(snapset)) = (info, snapset) else { return Ok(Err(Errno::EIO)) };
        let exists = !info.is_whiteout();
        Ok(Ok(Self { object: head.clone(), exists, info, snapset }))
    }

    /// What a request on the object of `head` is executed on: the head itself, or what shows it as
    /// it was.
    pub(crate) fn shown(
        self,
        store: &dyn ObjectStore,
        coll: &Collection,
        what: Shown,
    ) -> Result<Result<Self, Errno>, StoreError> {
        match what {
            Shown::Head => Ok(Ok(self)),
            Shown::Clone(clone) => Self::load_clone(store, coll, &self, clone),
            Shown::Nothing => Ok(Ok(Self::absent(self.object))),
        }
    }

    /// The clone of `head` with this number, to be read. That it is stored follows from the
    /// snapset, so its absence is damage, as attributes are that cannot be read.
    pub(super) fn load_clone(
        store: &dyn ObjectStore,
        coll: &Collection,
        head: &Self,
        clone: SnapId,
    ) -> Result<Result<Self, Errno>, StoreError> {
        let object = head.object.with_snap(clone);
        match store.get_attr(coll, &GhObject::from(object.clone()), b"_") {
            Ok(info) => Ok(ObjectInfo::from_bytes(info).map_err(|_| Errno::EIO).map(|info| Self {
                object,
                exists: true,
                info,
                snapset: head.snapset.clone(),
            })),
            Err(StoreError::ChecksumMismatch { .. } | StoreError::NoAttribute) => {
                Ok(Err(Errno::EIO))
            }
            Err(e) if e.is_not_found() => Ok(Err(Errno::EIO)),
            Err(e) => Err(e),
        }
    }

    /// Whether the store has it: as what clients see, or as a whiteout.
    pub fn is_stored(&self) -> bool {
        self.exists || self.info.is_whiteout()
    }

    /// The context that follows from a write.
    pub fn after(object: HObject, effect: &WriteEffect) -> Self {
        Self {
            object,
            exists: effect.exists,
            info: effect.info.clone(),
            snapset: effect.snapset.clone(),
        }
    }
}

/// Limits of the cluster's configuration, with Ceph's defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpLimits {
    /// `osd_max_object_size`: 128 MiB.
    pub object_size: u64,
    /// `osd_max_attr_name_len`: 100 bytes of the name as the client gives it.
    pub attr_name: usize,
    /// `osd_max_attr_size`: 0 means no limit.
    pub attr_value: usize,
    /// `osd_max_omap_entries_per_request`.
    pub omap_entries: u64,
    /// `osd_max_omap_bytes_per_request`.
    pub omap_bytes: usize,
    /// `osd_max_pgls`: objects of one listing reply.
    pub list_entries: u64,
    /// `osd_max_write_op_reply_len`: output of one op of a write with RETURNVEC.
    pub write_reply: usize,
    /// Watches of one object; Ceph has no limit.
    pub watchers: usize,
    /// `osd_client_watch_timeout`: of watches that do not say.
    pub watch_timeout_seconds: u32,
    /// `osd_default_notify_timeout`: of notifies that do not say.
    pub notify_timeout_seconds: u32,
    /// A bug on purpose, see [`crate::PgConfig`].
    #[cfg(feature = "planted-bugs")]
    pub planted: Option<crate::PlantedBug>,
}

impl Default for OpLimits {
    fn default() -> Self {
        Self {
            object_size: 128 << 20,
            attr_name: 100,
            attr_value: 0,
            omap_entries: 1024,
            omap_bytes: 1 << 30,
            list_entries: 1024,
            write_reply: 64,
            watchers: 10_000,
            watch_timeout_seconds: 30,
            notify_timeout_seconds: 30,
            #[cfg(feature = "planted-bugs")]
            planted: None,
        }
    }
}

/// Requests that changed an object, newest first, with the versions they made; and the results of
/// those that failed, by position.
pub type ReqIds = (Vec<(ReqId, u64)>, BTreeMap<u32, i32>);

/// The request's place in the PG and in time.
#[derive(Debug)]
pub struct OpEnv<'a> {
    /// Wall time: `local_mtime` of what is written.
    pub now: UTime,
    /// The pool, by the PG's map.
    pub pool: &'a Pool,
    /// Snapshots of the pool that are removed and not yet purged everywhere, by the PG's map.
    pub removed_snaps: Option<&'a IntervalSet>,
    /// Snapshots that this PG has purged and the map does not know as purged yet.
    pub purged_snaps: &'a IntervalSet,
    /// The version that the request's first entry gets in the PG log if it writes.
    pub version: EVersion,
    /// `last_user_version` of the PG info.
    pub last_user_version: u64,
    /// Who asks: derived by the PG from the session and the message's tid.
    pub reqid: ReqId,
    /// The name and address of the session that asks, which methods of classes see.
    pub caller: (EntityName, EntityAddr),
    /// `require_osd_release` of the map.
    pub require_osd_release: u8,
    /// Cookies of the caller's watches on the object that the request pings and that are connected.
    pub connected: &'a [u64],
    /// The source of the request's COPY_FROM, once it has been gathered.
    pub copied: Option<&'a Copied>,
    /// Of a request with a COPY_GET: who changed the object last.
    pub reqids: &'a ReqIds,
    /// The id of the request's first notify; others count up from it.
    pub next_notify: u64,
    /// Limits.
    pub limits: &'a OpLimits,
}
