//! At rest all copies of a PG are the same: objects, data, attributes and omap, on the disks; and
//! no disk holds a PG that does not belong there.

use std::collections::BTreeMap;
use std::ops::Bound;

use seabed_cluster::{Collection, GhObject, PgId, SpgId};
use seabed_denc::Bytes;
use seabed_storage::ObjectStore;
use seabed_storage::mem::MemStore;

use crate::world::World;

#[derive(Debug, PartialEq)]
struct Content {
    data: Bytes,
    attrs: BTreeMap<Bytes, Bytes>,
    header: Bytes,
    omap: Vec<(Bytes, Bytes)>,
}

fn contents(store: &MemStore, pg: PgId) -> Result<BTreeMap<GhObject, Content>, String> {
    let coll = Collection::Pg(SpgId::replicated(pg));
    let text = |e: seabed_storage::StoreError| e.to_string();
    let all = store.list(&coll, &GhObject::min(), &GhObject::max(), usize::MAX).map_err(text)?.0;
    let mut out = BTreeMap::new();
    for object in all.into_iter().filter(|o| !o.is_pg_meta()) {
        let content = Content {
            data: store.read(&coll, &object, 0, u64::MAX).map_err(text)?,
            attrs: store.get_attrs(&coll, &object).map_err(text)?,
            header: store.omap_header(&coll, &object).map_err(text)?,
            omap: store
                .omap_range(&coll, &object, Bound::Unbounded, usize::MAX)
                .map_err(text)?
                .0
                .into_iter()
                .collect(),
        };
        out.insert(object, content);
    }
    Ok(out)
}

impl World {
    /// The first difference between copies.
    pub(crate) fn differing_copies(&self) -> Option<String> {
        let map = self.mon.map()?;
        for (pool, spec) in &map.pools {
            for pg in (0..spec.pg_num).map(|seed| PgId::new(*pool, seed)) {
                let acting = map.map_pg(pg).acting;
                let mut first = None;
                for osd in &acting {
                    let copy = match contents(&self.osds[osd.0 as usize].store, pg) {
                        Ok(copy) => copy,
                        Err(why) => return Some(format!("pg {pg} on osd.{}: {why}", osd.0)),
                    };
                    match &first {
                        None => first = Some((osd, copy)),
                        Some((one, known)) => {
                            if let Some(what) = difference(known, &copy) {
                                return Some(format!(
                                    "pg {pg}: osd.{} and osd.{} differ in {what}",
                                    one.0, osd.0
                                ));
                            }
                        }
                    }
                }
            }
        }
        None
    }
}

fn difference(a: &BTreeMap<GhObject, Content>, b: &BTreeMap<GhObject, Content>) -> Option<String> {
    let name = |o: &GhObject| String::from_utf8_lossy(&o.hobj.name).into_owned();
    for (object, content) in a {
        let Some(other) = b.get(object) else { return Some(format!("{}: one only", name(object))) };
        let parts = [
            ("data", content.data != other.data),
            ("attributes", content.attrs != other.attrs),
            ("omap header", content.header != other.header),
            ("omap", content.omap != other.omap),
        ];
        if let Some((part, _)) = parts.iter().find(|(_, differs)| *differs) {
            return Some(format!("{}: {part}: {content:?} and {other:?}", name(object)));
        }
    }
    b.keys().find(|o| !a.contains_key(o)).map(|o| format!("{}: other only", name(o)))
}
