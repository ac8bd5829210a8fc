//! `seabed store`: look into the store of an OSD that does not run, as ceph-objectstore-tool does.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Subcommand;
use seabed_cluster::{Collection, GhObject};
use seabed_rados::Conf;
use seabed_storage::ObjectStore;
use seabed_uring::Wake;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{
    output::say,
    shell::osd_store::{Setup, Store},
};

/// Which OSD.
#[derive(clap::Args)]
pub(crate) struct Where {
    /// The cluster's configuration.
    #[arg(short, long)]
    conf: PathBuf,
    /// The OSD's number.
    #[arg(long)]
    id: i32,
}

/// Verbs of `seabed store`.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// One JSON line an object: PG, names, size, checksums of data, attributes and omap.
    List {
        #[command(flatten)]
        place: Where,
    },
    /// Check every record and every block.
    Fsck {
        #[command(flatten)]
        place: Where,
    },
}

/// Objects and keys read at a time.
const PAGE: usize = 512;
/// Bytes read at a time.
const PIECE: u64 = 4 << 20;

/// Runs one verb.
pub(crate) fn run(verb: Verb) -> Result<()> {
    match verb {
        Verb::List { place } => list(&open(&place)?),
        Verb::Fsck { place } => fsck(&open(&place)?),
    }
}

fn open(place: &Where) -> Result<Store> {
    let conf = Conf::load(&place.conf)?;
    Setup::read(&conf, place.id)?.open(&Wake::new()?)
}

fn fsck(store: &Store) -> Result<()> {
    let report = store.fsck(true)?;
    say!("{report:#?}");
    if !report.is_clean() {
        bail!("{} problems", report.problems.len());
    }
    Ok(())
}

fn list(store: &Store) -> Result<()> {
    for collection in store.collections()? {
        let Collection::Pg(pg) = collection else { continue };
        let mut cursor = GhObject::min();
        while !cursor.is_max() {
            let (objects, next) = store.list(&collection, &cursor, &GhObject::max(), PAGE)?;
            for object in objects.iter().filter(|o| !o.is_pg_meta()) {
                say!("{}", describe(store, &collection, &pg.pg.to_string(), object)?);
            }
            cursor = next;
        }
    }
    Ok(())
}

fn describe(
    store: &Store,
    collection: &Collection,
    pg: &str,
    object: &GhObject,
) -> Result<serde_json::Value> {
    let size = store.stat(collection, object)?.size;
    let mut data = crc32c::crc32c(&[]);
    let mut sha = Sha256::new();
    let mut offset = 0;
    while offset < size {
        let piece = store.read(collection, object, offset, PIECE)?;
        data = crc32c::crc32c_append(data, &piece);
        sha.update(&piece);
        offset += PIECE;
    }
    let attrs = store.get_attrs(collection, object)?;
    let mut attrs_crc = 0;
    for (name, value) in &attrs {
        attrs_crc = crc32c::crc32c_append(crc32c::crc32c_append(attrs_crc, name), value);
    }
    let mut omap = crc32c::crc32c(&store.omap_header(collection, object)?);
    let mut after = None;
    loop {
        use std::ops::Bound;
        let start = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let (pairs, more) = store.omap_range(collection, object, start, PAGE)?;
        for (key, value) in &pairs {
            omap = crc32c::crc32c_append(crc32c::crc32c_append(omap, key), value);
        }
        after = pairs.last().map(|(key, _)| key.to_vec());
        if !more {
            break;
        }
    }
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    let o = &object.hobj;
    Ok(json!({
        "pg": pg, "namespace": text(&o.namespace), "name": text(&o.name), "key": text(&o.key),
        "snap": o.snap.0, "size": size, "data_crc32c": data, "sha256": hex(&sha.finalize()),
        "attrs": attrs.len(), "attrs_crc32c": attrs_crc, "omap_crc32c": omap,
    }))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
