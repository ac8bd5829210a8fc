//! Clusters that this one is mirrored from or to.

use seabed_cluster::{Errno, UTime};
use seabed_denc::{Bytes, Kept, versioned};

use super::super::snapshot::random_uuid;
use super::super::store::{answer, args, decode, done, get, key, put, remove_any, scan};
use super::mode;
use crate::{Done, Object};

const PREFIX: &str = "mirror_peer_";

/// `MIRROR_PEER_DIRECTION_*`: which way images go, seen from here.
pub(super) mod direction {
    pub(crate) const RX: u8 = 0;
    pub(crate) const TX: u8 = 1;
    pub(crate) const RX_TX: u8 = 2;
}

versioned! {
    /// A peer.
    pub struct MirrorPeer(2, 1) {
        uuid: Bytes,
        site_name: Bytes,
        client_name: Bytes,
        /// Formerly its pool.
        pool_id: i64 = -1,
        /// 0 from it, 1 to it, 2 both.
        mirror_peer_direction: u8 [since 2],
        /// Its pool's own id.
        mirror_uuid: Bytes [since 2],
        last_seen: UTime [since 2],
    }
}

impl MirrorPeer {
    fn is_valid(&self) -> bool {
        let reachable = match self.mirror_peer_direction {
            direction::TX => true,
            direction::RX | direction::RX_TX => !self.client_name.is_empty(),
            _ => false,
        };
        reachable && !self.uuid.is_empty() && !self.site_name.is_empty()
    }
}

/// All peers, by uuid.
pub(super) fn read_all(object: &mut dyn Object) -> Result<Vec<MirrorPeer>, Errno> {
    let mut peers = Vec::new();
    scan(object, PREFIX, b"", |object, uuid, value| {
        peers.push(decode(object, &uuid, value)?);
        Ok(true)
    })?;
    Ok(peers)
}

fn read(object: &mut dyn Object, uuid: &Bytes) -> Result<MirrorPeer, Errno> {
    get(object, key(PREFIX, uuid))
}

/// In this release's form, whatever the peer came in.
fn write(object: &mut dyn Object, peer: MirrorPeer) -> Done {
    let peer = MirrorPeer { pool_id: -1, kept: Kept::default(), ..peer };
    put(object, key(PREFIX, &peer.uuid), &peer)?;
    done()
}

fn require_enabled(object: &mut dyn Object) -> Result<(), Errno> {
    if mode::is_enabled(object)? { Ok(()) } else { Err(Errno::EINVAL) }
}

pub(in super::super) fn peer_list(object: &mut dyn Object, _: Bytes) -> Done {
    let peers = read_all(object)?;
    answer(&peers)
}

/// A peer that mirrors from here says that it is there; it need not have been added.
pub(in super::super) fn peer_ping(object: &mut dyn Object, input: Bytes) -> Done {
    let (site_name, mirror_uuid, direction): (Bytes, Bytes, u8) = args(input)?;
    if direction != direction::TX {
        return Err(Errno::EINVAL);
    }
    require_enabled(object)?;
    if site_name.is_empty() || mirror_uuid.is_empty() {
        return Err(Errno::EINVAL);
    }
    let peers = read_all(object)?;
    let by_site = peers.iter().find(|peer| peer.site_name == site_name);
    let sure = by_site.is_some_and(|p| p.mirror_uuid.is_empty() || p.mirror_uuid == mirror_uuid);
    let by_uuid = peers.iter().find(|peer| !sure && peer.mirror_uuid == mirror_uuid);
    let mut peer = match (by_site, by_uuid) {
        // Two peers: the site keeps its name.
        (Some(_), Some(peer)) => peer.clone(),
        (None, Some(peer)) => MirrorPeer { site_name, ..peer.clone() },
        (Some(peer), None) => MirrorPeer { mirror_uuid, ..peer.clone() },
        (None, None) => MirrorPeer {
            uuid: random_uuid(object),
            mirror_peer_direction: direction::TX,
            site_name,
            mirror_uuid,
            ..MirrorPeer::default()
        },
    };
    if peer.mirror_peer_direction == direction::RX {
        peer.mirror_peer_direction = direction::RX_TX;
    }
    peer.last_seen = object.now();
    if !peer.is_valid() {
        return Err(Errno::EINVAL);
    }
    write(object, peer)
}

pub(in super::super) fn peer_add(object: &mut dyn Object, input: Bytes) -> Done {
    let peer: MirrorPeer = args(input)?;
    require_enabled(object)?;
    if !peer.is_valid() {
        return Err(Errno::EINVAL);
    }
    if peer.uuid == mode::uuid(object)? || peer.mirror_peer_direction == direction::TX {
        return Err(Errno::EINVAL);
    }
    for other in read_all(object)? {
        if other.uuid == peer.uuid {
            return Err(Errno::ESTALE);
        }
        let same_pool = !peer.mirror_uuid.is_empty() && other.mirror_uuid == peer.mirror_uuid;
        if other.site_name == peer.site_name || same_pool {
            return Err(Errno::EEXIST);
        }
    }
    write(object, peer)
}

pub(in super::super) fn peer_remove(object: &mut dyn Object, input: Bytes) -> Done {
    let uuid: Bytes = args(input)?;
    remove_any(object, key(PREFIX, &uuid))?;
    done()
}

pub(in super::super) fn peer_set_client(object: &mut dyn Object, input: Bytes) -> Done {
    let (uuid, client_name): (Bytes, Bytes) = args(input)?;
    let peer = read(object, &uuid)?;
    write(object, MirrorPeer { client_name, ..peer })
}

pub(in super::super) fn peer_set_cluster(object: &mut dyn Object, input: Bytes) -> Done {
    let (uuid, site_name): (Bytes, Bytes) = args(input)?;
    let (mine, others): (Vec<_>, Vec<_>) =
        read_all(object)?.into_iter().partition(|peer| peer.uuid == uuid);
    if others.iter().any(|other| other.site_name == site_name) {
        return Err(Errno::EEXIST);
    }
    let peer = mine.into_iter().next().ok_or(Errno::ENOENT)?;
    write(object, MirrorPeer { site_name, ..peer })
}

pub(in super::super) fn peer_set_direction(object: &mut dyn Object, input: Bytes) -> Done {
    let (uuid, mirror_peer_direction): (Bytes, u8) = args(input)?;
    let peer = read(object, &uuid)?;
    write(object, MirrorPeer { mirror_peer_direction, ..peer })
}
