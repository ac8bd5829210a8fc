//! Handles: how volumes and snapshots are named to the orchestrator.
//!
//! A volume's handle is where its image is, `POOL/IMAGE` or `POOL/NAMESPACE/IMAGE`, as `rbd` takes
//! it; so an image that exists is adopted by naming it. A snapshot's is `POOL/NAME` of its record.

use std::fmt;

use super::TEXT_MAX;
use crate::fault::Fault;

/// What names of our images and snapshots begin with.
pub(crate) const IMAGE_PREFIX: &str = "csi-vol-";
/// See [`IMAGE_PREFIX`].
pub(crate) const SNAPSHOT_PREFIX: &str = "csi-snap-";

/// An image's place within its pool.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    /// Empty for the default namespace.
    pub namespace: String,
    pub image: String,
}

impl Place {
    /// As in a handle, behind the pool.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (namespace, image) = text.split_once('/').unwrap_or(("", text));
        let default = !text.contains('/');
        let plain = |part: &str| !part.is_empty() && !part.contains(['/', '@']);
        if !(plain(image) && (default || plain(namespace))) {
            return None;
        }
        Some(Place { namespace: namespace.to_owned(), image: image.to_owned() })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.namespace.is_empty() {
            write!(f, "{}/", self.namespace)?;
        }
        f.write_str(&self.image)
    }
}

/// A volume's handle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VolumeHandle {
    pub pool: String,
    pub place: Place,
}

impl VolumeHandle {
    /// `None`: no volume can have it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (pool, place) = text.split_once('/').filter(|(pool, _)| !pool.is_empty())?;
        let fits = text.len() <= TEXT_MAX;
        Some(VolumeHandle { pool: pool.to_owned(), place: Place::parse(place)? }).filter(|_| fits)
    }

    /// For calls about a volume that must be there.
    pub(crate) fn of_existing(text: &str) -> Result<Self, Fault> {
        Self::parse(text).ok_or_else(|| Fault::not_found(format!("there is no volume {text:?}")))
    }
}

impl fmt::Display for VolumeHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.pool, self.place)
    }
}

/// A snapshot's handle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SnapshotHandle {
    pub pool: String,
    pub name: String,
}

impl SnapshotHandle {
    /// `None`: no snapshot can have it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (pool, name) = text.split_once('/')?;
        let ours = name.starts_with(SNAPSHOT_PREFIX) && !name.contains('/');
        (!pool.is_empty() && ours && text.len() <= TEXT_MAX)
            .then(|| SnapshotHandle { pool: pool.to_owned(), name: name.to_owned() })
    }
}

impl fmt::Display for SnapshotHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.pool, self.name)
    }
}

/// A name with these random bits in it: nobody else draws it.
pub(crate) fn drawn(prefix: &str, random: u128) -> String {
    format!("{prefix}{random:032x}")
}

/// Refuses a pool and namespace whose handles would be too long.
pub(crate) fn check_room(pool: &str, namespace: &str) -> Result<(), Fault> {
    let longest = pool.len() + namespace.len() + 2 + SNAPSHOT_PREFIX.len() + 32;
    if longest > TEXT_MAX {
        return Err(Fault::invalid(format!(
            "the names of pool {pool:?} and namespace {namespace:?} are too long for a handle of \
             {TEXT_MAX} bytes"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_are_read_as_they_are_written() {
        for text in ["rbd/disk", "rbd/space/disk", "a b/csi-vol-1"] {
            assert_eq!(VolumeHandle::parse(text).unwrap().to_string(), text);
        }
        let long = format!("rbd/{}", "x".repeat(125));
        for text in ["", "rbd", "rbd/", "/disk", "rbd//disk", "a/b/c/d", "a/b/", "a/b@c", &long] {
            assert_eq!(VolumeHandle::parse(text), None, "{text:?}");
        }
        let snapshot = format!("rbd/{}", drawn(SNAPSHOT_PREFIX, 1));
        assert_eq!(SnapshotHandle::parse(&snapshot).unwrap().to_string(), snapshot);
        for text in ["rbd/disk", "csi-snap-1", "/csi-snap-1", "a/csi-snap-/b"] {
            assert_eq!(SnapshotHandle::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn drawn_names_have_room() {
        assert_eq!(drawn(IMAGE_PREFIX, 0xab).len(), IMAGE_PREFIX.len() + 32);
        assert!(check_room("rbd", "").is_ok());
        assert!(check_room(&"p".repeat(60), &"n".repeat(30)).is_err());
    }
}
