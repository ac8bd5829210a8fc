//! Names of the objects that make up an image.

use crate::RbdError;

/// Names and ids of the images of a pool.
pub(crate) const DIRECTORY: &str = "rbd_directory";
/// Says that a pool was found fit for images.
pub(crate) const INFO: &str = "rbd_info";
/// Clones of version 1, by what they were cloned from.
pub(crate) const CHILDREN: &str = "rbd_children";
/// Images that are to be deleted, or are being deleted.
pub(crate) const TRASH: &str = "rbd_trash";

/// Names and ids of the groups of a pool.
pub(crate) const GROUPS: &str = "rbd_group_directory";

/// The header of a group.
pub(crate) fn group(id: &str) -> String {
    format!("rbd_group_header.{id}")
}

pub(crate) fn id_of(name: &str) -> String {
    format!("rbd_id.{name}")
}

/// The header of an image of format 1, which is not read here.
pub(crate) fn format_1(name: &str) -> String {
    format!("{name}.rbd")
}

pub(crate) fn header(id: &str) -> String {
    format!("rbd_header.{id}")
}

/// The object map of the head, or of a snapshot.
pub(crate) fn object_map(id: &str, snap: Option<u64>) -> String {
    match snap {
        None => format!("rbd_object_map.{id}"),
        Some(snap) => format!("rbd_object_map.{id}.{snap:016x}"),
    }
}

pub(crate) fn data(prefix: &str, object: u64) -> String {
    format!("{prefix}.{object:016x}")
}

/// Ceph takes any name but an empty one; `/` and `@` would part it where people write it.
pub(crate) fn check(name: &str) -> Result<(), RbdError> {
    let reason = match name {
        "" => "a name may not be empty",
        _ if name.contains(['/', '@']) => "a name may contain neither '/' nor '@'",
        _ => return Ok(()),
    };
    Err(RbdError::Invalid { what: format!("{name:?}"), reason })
}

/// An id that nobody else gives: the client's number and a random one, of at most 14 characters.
pub(crate) fn fresh_id(client: u64, random: u32) -> String {
    let id = format!("{client:x}{random:x}");
    id[id.len().saturating_sub(14)..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_short_enough() {
        assert_eq!(fresh_id(0x1269, 0xb571_a3a1), "1269b571a3a1");
        assert_eq!(fresh_id(u64::MAX, u32::MAX), "ffffffffffffff");
        assert_eq!(data("rbd_data.1", 26), "rbd_data.1.000000000000001a");
        assert!(check("a@b").is_err() && check("").is_err() && check("a b").is_ok());
    }
}
