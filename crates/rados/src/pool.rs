//! A pool: objects read, written, listed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use seabed_cluster::{Errno, HObject, ObjectLocator, PgId, PoolId, SnapId, UTime};
use seabed_denc::{Bytes, Decode, DecodeError, Encode, Reader, decode_versioned};
use seabed_messages::op::request_flag;
use seabed_messages::{OpArgs, OpCode, OsdOp, pool_op};
use seabed_objecter::{OpReply, OpRequest, OpTarget};

use crate::driver::wall;
use crate::watch::read_watchers;
use crate::{Cluster, NotifyEnd, Operation, RadosError, Watch, Watcher};

/// Entries asked for at a time when listing (Ceph's osd_max_pgls).
const LIST_MAX: u64 = 1024;
/// The namespace that stands for all, when listing.
const ALL_NAMESPACES: &[u8] = &[1];

/// Size and time of last change of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Bytes.
    pub size: u64,
    /// As given by the client that wrote last.
    pub mtime: UTime,
}

/// An object found by listing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Its namespace, empty for the default.
    pub namespace: Bytes,
    /// Its name.
    pub name: Bytes,
    /// Its locator key, empty if it has none.
    pub key: Bytes,
}

/// A pool, and the namespace and locator key that operations on it use.
#[derive(Debug, Clone)]
pub struct Pool {
    cluster: Cluster,
    id: PoolId,
    name: String,
    namespace: Bytes,
    key: Bytes,
    /// What is read.
    snap: SnapId,
    /// What writes come after; shared, since every operation carries it.
    snap_context: Arc<(SnapId, Vec<SnapId>)>,
    flags: u32,
}

impl Pool {
    pub(crate) fn new(cluster: Cluster, id: PoolId, name: &str) -> Self {
        Pool {
            cluster,
            id,
            name: name.to_owned(),
            namespace: Bytes::new(),
            key: Bytes::new(),
            snap: SnapId::HEAD,
            snap_context: Arc::new((SnapId(0), Vec::new())),
            flags: 0,
        }
    }

    /// The cluster it is of.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The namespace of its operations.
    pub fn namespace(&self) -> &Bytes {
        &self.namespace
    }

    /// Its id.
    pub fn id(&self) -> PoolId {
        self.id
    }

    /// Its name when it was opened.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same pool, in a namespace.
    pub fn with_namespace(&self, namespace: impl Into<Bytes>) -> Self {
        Pool { namespace: namespace.into(), ..self.clone() }
    }

    /// The same pool; objects are placed by this key instead of their names.
    pub fn with_locator_key(&self, key: impl Into<Bytes>) -> Self {
        Pool { key: key.into(), ..self.clone() }
    }

    /// The same pool, read as it was at a snapshot.
    pub fn at_snap(&self, snap: SnapId) -> Self {
        Pool { snap, ..self.clone() }
    }

    /// The same pool; writes come after these snapshots (newest first) of an application.
    pub fn with_snap_context(&self, seq: SnapId, snaps: Vec<SnapId>) -> Self {
        Pool { snap_context: Arc::new((seq, snaps)), ..self.clone() }
    }

    /// The same pool; operations go where no space is left too, or fail: what frees space must.
    pub fn when_full(&self) -> Self {
        Pool { flags: self.flags | request_flag::FULL_TRY, ..self.clone() }
    }

    /// A new id for a snapshot that an application keeps itself.
    pub async fn create_snap_id(&self) -> Result<SnapId, RadosError> {
        let op = pool_op::CREATE_UNMANAGED_SNAP;
        let data = self.cluster.pool_op("create_snap_id", self.id, op, SnapId(0)).await?;
        SnapId::from_bytes(data).map_err(|_| RadosError::Malformed("create_snap_id"))
    }

    /// Gives a snapshot's id up: what only it holds is removed.
    pub async fn remove_snap_id(&self, snap: SnapId) -> Result<(), RadosError> {
        let op = pool_op::DELETE_UNMANAGED_SNAP;
        self.cluster.pool_op("remove_snap_id", self.id, op, snap).await.map(drop)
    }

    fn locator(&self) -> ObjectLocator {
        ObjectLocator {
            pool: self.id,
            key: self.key.clone(),
            namespace: self.namespace.clone(),
            hash: -1,
        }
    }

    /// Runs a compound operation. The answer has a result and an output per op.
    ///
    /// Errors: [`RadosError::Refused`] with the operation's own errno.
    pub async fn operate(
        &self,
        name: impl AsRef<[u8]>,
        operation: Operation,
    ) -> Result<OpReply, RadosError> {
        self.run("operate", name.as_ref(), operation).await
    }

    async fn run(
        &self,
        what: &'static str,
        name: &[u8],
        operation: Operation,
    ) -> Result<OpReply, RadosError> {
        let name = Bytes::copy_from_slice(name);
        let request = OpRequest {
            flags: self.flags,
            snap: self.snap,
            snap_context: (*self.snap_context).clone(),
            ..OpRequest::on_object(self.locator(), name, operation.ops, wall())
        };
        let reply = self.cluster.operate(what, request).await?;
        match Errno::from_wire(reply.result) {
            Some(errno) => Err(RadosError::Refused { what, errno }),
            None => Ok(reply),
        }
    }

    fn target(&self, name: &[u8]) -> OpTarget {
        OpTarget::Object { locator: self.locator(), name: Bytes::copy_from_slice(name) }
    }

    /// Watches an object: whoever notifies is heard by [`Watch::next`].
    ///
    /// Errors: ENOENT if there is no such object.
    pub async fn watch(&self, name: impl AsRef<[u8]>) -> Result<Watch, RadosError> {
        self.cluster.watch(self.target(name.as_ref())).await
    }

    /// Tells an object's watchers and waits until all have answered, or `timeout_seconds` (0: the
    /// OSD's choice).
    pub async fn notify(
        &self,
        name: impl AsRef<[u8]>,
        payload: impl Into<Bytes>,
        timeout_seconds: u32,
    ) -> Result<NotifyEnd, RadosError> {
        let on = self.target(name.as_ref());
        self.cluster.notify(on, timeout_seconds, payload.into()).await
    }

    /// Who watches an object.
    pub async fn watchers(&self, name: impl AsRef<[u8]>) -> Result<Vec<Watcher>, RadosError> {
        let op = OsdOp::plain(OpCode::ListWatchers, Bytes::new());
        let reply = self.run("list_watchers", name.as_ref(), Operation::new().op(op)).await?;
        let output = reply.ops.into_iter().next().map(|(_, out)| out).unwrap_or_default();
        read_watchers(output).map_err(|_| RadosError::Malformed("list_watchers"))
    }

    /// Replaces an object's data; makes it if need be.
    pub async fn write_full(
        &self,
        name: impl AsRef<[u8]>,
        data: impl Into<Bytes>,
    ) -> Result<(), RadosError> {
        let operation = Operation::new().write_full(data);
        self.run("write_full", name.as_ref(), operation).await.map(drop)
    }

    /// Writes at an offset; makes the object if need be.
    pub async fn write(
        &self,
        name: impl AsRef<[u8]>,
        offset: u64,
        data: impl Into<Bytes>,
    ) -> Result<(), RadosError> {
        let operation = Operation::new().write(offset, data);
        self.run("write", name.as_ref(), operation).await.map(drop)
    }

    /// Writes at the end; makes the object if need be.
    pub async fn append(
        &self,
        name: impl AsRef<[u8]>,
        data: impl Into<Bytes>,
    ) -> Result<(), RadosError> {
        let operation = Operation::new().append(data);
        self.run("append", name.as_ref(), operation).await.map(drop)
    }

    /// Reads a range; fewer bytes come back where the object ends. `length` 0: to the end.
    pub async fn read(
        &self,
        name: impl AsRef<[u8]>,
        offset: u64,
        length: u64,
    ) -> Result<Bytes, RadosError> {
        let operation = Operation::new().read(offset, length);
        first_output("read", self.run("read", name.as_ref(), operation).await?)
    }

    /// Size and time of last change.
    pub async fn stat(&self, name: impl AsRef<[u8]>) -> Result<Stat, RadosError> {
        let reply = self.run("stat", name.as_ref(), Operation::new().stat()).await?;
        let mut r = Reader::new(first_output("stat", reply)?);
        let decode = |r: &mut Reader| Ok(Stat { size: u64::decode(r)?, mtime: UTime::decode(r)? });
        decode(&mut r).map_err(|_: DecodeError| RadosError::Malformed("stat"))
    }

    /// Removes an object.
    pub async fn remove(&self, name: impl AsRef<[u8]>) -> Result<(), RadosError> {
        self.run("remove", name.as_ref(), Operation::new().remove()).await.map(drop)
    }

    /// One attribute.
    pub async fn get_xattr(
        &self,
        name: impl AsRef<[u8]>,
        attr: impl AsRef<[u8]>,
    ) -> Result<Bytes, RadosError> {
        let operation = Operation::new().get_xattr(attr);
        first_output("get_xattr", self.run("get_xattr", name.as_ref(), operation).await?)
    }

    /// All attributes.
    pub async fn get_xattrs(
        &self,
        name: impl AsRef<[u8]>,
    ) -> Result<BTreeMap<Bytes, Bytes>, RadosError> {
        let operation = Operation::new().get_xattrs();
        let reply = self.run("get_xattrs", name.as_ref(), operation).await?;
        let output = first_output("get_xattrs", reply)?;
        BTreeMap::from_bytes(output).map_err(|_| RadosError::Malformed("get_xattrs"))
    }

    /// All omap entries.
    pub async fn omap(&self, name: impl AsRef<[u8]>) -> Result<BTreeMap<Bytes, Bytes>, RadosError> {
        let mut all = BTreeMap::new();
        let mut after = Bytes::new();
        loop {
            let (page, more) = self.omap_page(name.as_ref(), &after, LIST_MAX, b"").await?;
            let Some((last, _)) = page.last_key_value() else { return Ok(all) };
            after = last.clone();
            all.extend(page);
            if !more {
                return Ok(all);
            }
        }
    }

    /// At most `max` omap entries behind the key `after` whose keys begin with `prefix`; true:
    /// there are more.
    pub async fn omap_page(
        &self,
        name: impl AsRef<[u8]>,
        after: &[u8],
        max: u64,
        prefix: &[u8],
    ) -> Result<(BTreeMap<Bytes, Bytes>, bool), RadosError> {
        let operation = Operation::new().omap_get(after, max, prefix);
        let reply = self.run("omap", name.as_ref(), operation).await?;
        let mut r = Reader::new(first_output("omap", reply)?);
        let malformed = |_: DecodeError| RadosError::Malformed("omap");
        let page = BTreeMap::<Bytes, Bytes>::decode(&mut r).map_err(malformed)?;
        Ok((page, bool::decode(&mut r).map_err(malformed)?))
    }

    /// The omap values of keys; those that are not there are left out.
    pub async fn omap_values(
        &self,
        name: impl AsRef<[u8]>,
        keys: &BTreeSet<Bytes>,
    ) -> Result<BTreeMap<Bytes, Bytes>, RadosError> {
        let operation = Operation::new().omap_get_keys(keys);
        let reply = self.run("omap_values", name.as_ref(), operation).await?;
        let output = first_output("omap_values", reply)?;
        BTreeMap::from_bytes(output).map_err(|_| RadosError::Malformed("omap_values"))
    }

    /// Removes omap keys.
    pub async fn omap_rm(
        &self,
        name: impl AsRef<[u8]>,
        keys: &BTreeSet<Bytes>,
    ) -> Result<(), RadosError> {
        let operation = Operation::new().omap_rm(keys);
        self.run("omap_rm", name.as_ref(), operation).await.map(drop)
    }

    /// All objects of this namespace, PG by PG in the order of their hashes.
    pub async fn list(&self) -> Result<Vec<Listed>, RadosError> {
        self.list_in(self.namespace.clone()).await
    }

    /// All objects of all namespaces.
    pub async fn list_all_namespaces(&self) -> Result<Vec<Listed>, RadosError> {
        self.list_in(Bytes::from_static(ALL_NAMESPACES)).await
    }

    async fn list_in(&self, namespace: Bytes) -> Result<Vec<Listed>, RadosError> {
        let map = self.cluster.map().await?;
        let missing = || RadosError::NoPool(self.name.clone());
        let pg_num = map.pools.get(&self.id).ok_or_else(missing)?.pg_num;
        let mut found = Vec::new();
        for seed in 0..pg_num {
            let pg = PgId { pool: self.id, seed };
            self.list_pg(pg, &namespace, &mut found).await?;
        }
        Ok(found)
    }

    async fn list_pg(
        &self,
        pg: PgId,
        namespace: &Bytes,
        found: &mut Vec<Listed>,
    ) -> Result<(), RadosError> {
        let mut cursor = pg.object_start();
        loop {
            let args = OpArgs::List { count: LIST_MAX, start_epoch: 0 };
            let request = OpRequest {
                target: OpTarget::Pg { pg, namespace: namespace.clone() },
                ops: vec![OsdOp::new(OpCode::PgNls, args, cursor.to_bytes(0))],
                flags: 0,
                snap: SnapId::HEAD,
                snap_context: (SnapId(0), Vec::new()),
                mtime: UTime::default(),
            };
            let reply = self.cluster.operate("list", request).await?;
            if let Some(errno) = Errno::from_wire(reply.result) {
                return Err(RadosError::Refused { what: "list", errno });
            }
            let end = reply.result == 1;
            let (next, page) = decode_page(first_output("list", reply)?)
                .map_err(|_| RadosError::Malformed("list"))?;
            found.extend(page);
            if end || next.max || next <= cursor {
                return Ok(());
            }
            cursor = next;
        }
    }
}

fn decode_page(output: Bytes) -> Result<(HObject, Vec<Listed>), DecodeError> {
    let mut r = Reader::new(output);
    let (page, _) = decode_versioned(&mut r, "pg_nls_response_t", 1, |r, _| {
        let next = HObject::decode(r)?;
        let count = r.count("objects", 12)?;
        let mut page = Vec::with_capacity(count);
        for _ in 0..count {
            let namespace = Bytes::decode(r)?;
            let name = Bytes::decode(r)?;
            page.push(Listed { namespace, name, key: Bytes::decode(r)? });
        }
        Ok((next, page))
    })?;
    Ok(page)
}

fn first_output(what: &'static str, reply: OpReply) -> Result<Bytes, RadosError> {
    let mut ops = reply.ops.into_iter();
    ops.next().map(|(_, output)| output).ok_or(RadosError::Malformed(what))
}
