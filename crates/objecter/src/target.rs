//! Where an operation goes under a given map.

use seabed_cluster::osdmap::flag::map as map_flag;
use seabed_cluster::osdmap::pool_flag;
use seabed_cluster::{HObject, ObjectLocator, OsdId, OsdMap, PgId, SnapId, SpgId};
use seabed_denc::Bytes;
use seabed_messages::op::request_flag;

use crate::{OpRequest, OpTarget};

/// The answer to "where?", with all that makes a resend necessary when it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// The PG the object falls into.
    pub(crate) pg: PgId,
    /// The whole hash.
    pub(crate) hash: u32,
    /// Who serves; `None`: nobody at present.
    pub(crate) primary: Option<OsdId>,
    up: Vec<OsdId>,
    acting: Vec<OsdId>,
    pg_num: u32,
    size: u32,
    min_size: u32,
}

/// Why there is no target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoPool;

impl Target {
    /// Computes the target of `request`.
    pub(crate) fn of(map: &OsdMap, request: &OpRequest) -> Result<Target, NoPool> {
        let pool = map.pools.get(&request.target.pool()).ok_or(NoPool)?;
        let (pg, hash) = match &request.target {
            OpTarget::Object { locator, name } => {
                let raw = map.object_pg(locator, name).ok_or(NoPool)?;
                (map.raw_to_pg(raw).ok_or(NoPool)?, raw.seed)
            }
            OpTarget::Pg { pg, .. } => (*pg, pg.seed),
        };
        let mapping = map.map_pg(pg);
        Ok(Target {
            pg,
            hash,
            primary: mapping.acting_primary,
            up: mapping.up,
            acting: mapping.acting,
            pg_num: pool.pg_num,
            size: pool.size,
            min_size: pool.min_size,
        })
    }

    /// The PG as messages name it.
    pub(crate) fn spg(&self) -> SpgId {
        SpgId::replicated(self.pg)
    }
}

/// True while the map asks that such operations wait: paused, or no room for a write.
pub(crate) fn must_wait(map: &OsdMap, request: &OpRequest) -> bool {
    if !request.is_write() {
        return map.has_flag(map_flag::PAUSERD);
    }
    let pool_full =
        map.pools.get(&request.target.pool()).is_some_and(|p| p.has_flag(pool_flag::FULL));
    let in_spite = request.flags & (request_flag::FULL_TRY | request_flag::FULL_FORCE) != 0;
    map.has_flag(map_flag::PAUSEWR) || (!in_spite && (map.has_flag(map_flag::FULL) || pool_full))
}

/// The object of an operation as back-offs name it.
pub(crate) fn hobject(request: &OpRequest, hash: u32) -> Option<HObject> {
    let OpTarget::Object { locator, name } = &request.target else { return None };
    let key = if locator.key == *name { Bytes::new() } else { locator.key.clone() };
    Some(HObject {
        pool: locator.pool,
        hash,
        namespace: locator.namespace.clone(),
        key,
        name: name.clone(),
        snap: SnapId::HEAD,
        max: false,
    })
}

/// The locator that goes on the wire.
pub(crate) fn locator(target: &OpTarget) -> ObjectLocator {
    match target {
        OpTarget::Object { locator, .. } => locator.clone(),
        OpTarget::Pg { pg, namespace } => ObjectLocator {
            pool: pg.pool,
            key: Bytes::new(),
            namespace: namespace.clone(),
            hash: i64::from(pg.seed),
        },
    }
}
