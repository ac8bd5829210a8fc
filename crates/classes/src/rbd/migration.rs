//! Live migration: where an image comes from or goes to, in the headers of both.
//!
//! An image of format 1 has no features: there the text at the head of the header object says that
//! it is migrating.

use std::collections::BTreeMap;

use seabed_cluster::Errno;
use seabed_denc::{Bytes, Envelope, Kept, versioned};

use super::store::{answer, args, done, find, get, optional, put, remove_any};
use super::wire::feature;
use crate::{Done, Object};

const KEY: &str = "migration";

const TEXT: &[u8] = b"<<< Rados Block Device Image >>>\n\0";
const MIGRATING_TEXT: &[u8] = b"<<< Migrating RBD Image      >>>\n\0";

/// `MIGRATION_HEADER_TYPE_SRC`: this is the image that is left behind.
const SOURCE: u8 = 1;
/// `MIGRATION_HEADER_TYPE_DST`.
const DESTINATION: u8 = 2;

versioned! {
    /// The other side of a migration, and how far it is.
    pub struct MigrationSpec(3, 1) {
        header_type: u8 = SOURCE,
        pool_id: i64 = -1,
        pool_namespace: Bytes,
        image_name: Bytes,
        image_id: Bytes,
        snap_seqs: BTreeMap<u64, u64>,
        overlap: u64,
        flatten: bool,
        mirroring: bool,
        state: u8,
        state_description: Bytes,
        mirror_image_mode: u8 [since 2],
        source_spec: Bytes [since 3],
    }
}

/// Stores the spec in this release's form. One with `source_spec` needs readers that know it.
fn write(object: &mut dyn Object, spec: MigrationSpec) -> Done {
    let compat = if spec.source_spec.is_empty() { 1 } else { 3 };
    let form = Envelope { version: 3, compat, ..Envelope::default() };
    put(object, KEY, &MigrationSpec { kept: Kept::new(form, 3, 1), ..spec })?;
    done()
}

/// Whether the text at the head of a format 1 image says that it is migrating.
fn text_says_migrating(object: &mut dyn Object) -> Result<bool, Errno> {
    match &object.read(0, TEXT.len() as u64)?[..] {
        TEXT => Ok(false),
        MIGRATING_TEXT => Ok(true),
        _ => Err(Errno::ENXIO),
    }
}

fn write_text(object: &mut dyn Object, text: &'static [u8]) -> Result<(), Errno> {
    object.write(0, Bytes::from_static(&text[..text.len() - 1]), 0)
}

pub(super) fn migration_set(object: &mut dyn Object, input: Bytes) -> Done {
    let spec: MigrationSpec = args(input)?;
    if optional(object.omap_val(KEY.as_bytes()))?.is_some() {
        return Err(Errno::EEXIST);
    }
    match find::<u64>(object, "features")? {
        None if text_says_migrating(object)? => return Err(Errno::EEXIST),
        None if spec.header_type != SOURCE => return Err(Errno::EINVAL),
        None => write_text(object, MIGRATING_TEXT)?,
        Some(features) if features & feature::MIGRATING == 0 => {
            put(object, "features", &(features | feature::MIGRATING))?;
        }
        // A destination is created with the feature.
        Some(_) if spec.header_type != DESTINATION => return Err(Errno::EEXIST),
        Some(_) => {}
    }
    write(object, spec)
}

fn read(object: &mut dyn Object) -> Result<MigrationSpec, Errno> {
    let migrating = match find::<u64>(object, "features")? {
        None => text_says_migrating(object)?,
        Some(features) => features & feature::MIGRATING != 0,
    };
    if migrating { get(object, KEY) } else { Err(Errno::EINVAL) }
}

pub(super) fn migration_set_state(object: &mut dyn Object, input: Bytes) -> Done {
    let (state, state_description) = args(input)?;
    let spec = read(object)?;
    write(object, MigrationSpec { state, state_description, ..spec })
}

pub(super) fn migration_get(object: &mut dyn Object, _: Bytes) -> Done {
    answer(&read(object)?)
}

pub(super) fn migration_remove(object: &mut dyn Object, _: Bytes) -> Done {
    remove_any(object, KEY)?;
    match find::<u64>(object, "features")? {
        None if !text_says_migrating(object)? => return Err(Errno::EINVAL),
        None => write_text(object, TEXT)?,
        Some(features) if features & feature::MIGRATING != 0 => {
            put(object, "features", &(features & !feature::MIGRATING))?;
        }
        Some(_) => {}
    }
    done()
}
