//! Class `journal`: the header of a journal of entries, and the guard of its data objects.
//!
//! Whoever writes a journal takes tags (`tag`), which say what the entries under them are; whoever
//! reads it is a client (`client`) that commits how far it has come. Everything is in the header
//! object's omap: one value a key. Entries lie in data objects, of which sets of `splay_width` are
//! written at once; the header knows the oldest and the newest set in use.

mod client;
mod header;
mod tag;

use std::collections::{BTreeMap, BTreeSet};

use seabed_cluster::Errno;
use seabed_denc::{Bytes, Decode, Encode, Reader};

use crate::{Access, Class, Level, Method, Object};

/// The class.
pub(crate) const CLASS: Class = Class {
    name: "journal",
    methods: &[
        Method { name: "create", access: Access::RDWR, run: header::create },
        Method { name: "get_order", access: Access::RD, run: header::get_order },
        Method { name: "get_splay_width", access: Access::RD, run: header::get_splay_width },
        Method { name: "get_pool_id", access: Access::RD, run: header::get_pool_id },
        Method { name: "get_minimum_set", access: Access::RD, run: header::get_minimum_set },
        Method { name: "set_minimum_set", access: Access::RDWR, run: header::set_minimum_set },
        Method { name: "get_active_set", access: Access::RD, run: header::get_active_set },
        Method { name: "set_active_set", access: Access::RDWR, run: header::set_active_set },
        Method { name: "get_client", access: Access::RD, run: client::get },
        Method { name: "client_register", access: Access::RDWR, run: client::register },
        Method { name: "client_update_data", access: Access::RDWR, run: client::update_data },
        Method { name: "client_update_state", access: Access::RDWR, run: client::update_state },
        Method { name: "client_unregister", access: Access::RDWR, run: client::unregister },
        Method { name: "client_commit", access: Access::RDWR, run: client::commit },
        Method { name: "client_list", access: Access::RD, run: client::list },
        Method { name: "get_next_tag_tid", access: Access::RD, run: tag::get_next_tid },
        Method { name: "get_tag", access: Access::RD, run: tag::get },
        Method { name: "tag_create", access: Access::RDWR, run: tag::create },
        Method { name: "tag_list", access: Access::RD, run: tag::list },
        Method { name: "guard_append", access: Access::RDWR, run: header::guard_append },
        Method { name: "append", access: Access::RDWR, run: header::append },
    ],
};

/// Keys that a walk over the omap fetches at once.
const PAGE: u64 = 64;

/// The value of a key: ENOENT if there is none, EINVAL if it cannot be read.
fn read_key<T: Decode>(object: &mut dyn Object, key: &[u8]) -> Result<T, Errno> {
    let value = object.omap_val(key)?;
    T::decode(&mut Reader::new(value)).map_err(|e| {
        object.log(Level::Error, format!("journal: {}: {e}", String::from_utf8_lossy(key)));
        Errno::EINVAL
    })
}

fn write_key(object: &mut dyn Object, key: &[u8], value: &impl Encode) -> Result<(), Errno> {
    let entry = (Bytes::copy_from_slice(key), value.to_bytes(0));
    object.omap_set(BTreeMap::from([entry]))
}

fn remove_key(object: &mut dyn Object, key: Bytes) -> Result<(), Errno> {
    object.omap_rm(BTreeSet::from([key]))
}

/// EEXIST if the key has a value.
fn require_absent(object: &mut dyn Object, key: &[u8]) -> Result<(), Errno> {
    match object.omap_val(key) {
        Ok(_) => Err(Errno::EEXIST),
        Err(Errno::ENOENT) => Ok(()),
        Err(e) => Err(e),
    }
}

/// What one entry of a list has become: EIO if it cannot be read.
fn decode_entry<T: Decode>(object: &mut dyn Object, key: &[u8], value: Bytes) -> Result<T, Errno> {
    crate::codec::stored(object, key, value)
}
