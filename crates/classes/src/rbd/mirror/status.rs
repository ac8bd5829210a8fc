//! How replication of an image is going, as the rbd-mirror of each site says.
//!
//! A status holds as long as the rbd-mirror that set it watches the object.

use std::collections::{BTreeMap, BTreeSet};

use seabed_cluster::{AddrKind, EntityAddr, EntityName, Errno, UTime};
use seabed_denc::{
    Bytes, BytesMut, Decode, DecodeError, Encode, Features, Reader, decode_versioned,
    encode_versioned,
};

use super::super::store::{
    Trailing, answer, args, decode, done, get, key, names, optional, put_raw, remove_any, scan,
};
use super::image::{ENABLED, IMAGE, MirrorImage, by_global_id};
use super::peer::{MirrorPeer, direction};
use crate::{Done, Object};

/// Of this site's rbd-mirror.
const LOCAL: &str = "status_global_";
/// Of others: the mirror uuid of the site follows behind the id.
const REMOTE: &str = "remote_status_global_";

/// `MIRROR_IMAGE_STATUS_STATE_UNKNOWN`.
const UNKNOWN: u8 = 0;
/// `MIRROR_IMAGE_STATUS_STATE_ERROR`.
const ERROR: u8 = 1;

/// `MirrorImageSiteStatus`: what one site says. It is the local one without a mirror uuid.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct SiteStatus {
    mirror_uuid: Bytes,
    state: u8,
    description: Bytes,
    last_update: UTime,
    up: bool,
}

impl SiteStatus {
    fn encode_fields(&self, out: &mut BytesMut, version: u8) {
        if version >= 2 {
            self.mirror_uuid.encode(out, 0);
        }
        self.state.encode(out, 0);
        self.description.encode(out, 0);
        self.last_update.encode(out, 0);
        self.up.encode(out, 0);
    }
}

impl Encode for SiteStatus {
    fn encode(&self, out: &mut BytesMut, _: Features) {
        let version = if self.mirror_uuid.is_empty() { 1 } else { 2 };
        encode_versioned(out, version, version, |out| self.encode_fields(out, version));
    }
}

impl Decode for SiteStatus {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let (status, _) = decode_versioned(r, "MirrorImageSiteStatus", 2, |r, version| {
            Ok(SiteStatus {
                mirror_uuid: if version >= 2 { Decode::decode(r)? } else { Bytes::new() },
                state: Decode::decode(r)?,
                description: Decode::decode(r)?,
                last_update: Decode::decode(r)?,
                up: Decode::decode(r)?,
            })
        })?;
        Ok(status)
    }
}

/// `entity_inst_t` without the type of its address, which is not the same on all paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Instance(EntityName, EntityAddr);

impl Instance {
    fn new((name, addr): (EntityName, EntityAddr)) -> Self {
        Instance(name, EntityAddr { kind: AddrKind::Any, ..addr })
    }
}

impl Encode for Instance {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        (self.0, self.1).encode(out, features);
    }
}

/// `MirrorImageSiteStatusOnDisk`: who set the status, and the status.
#[derive(Debug)]
struct Stored {
    origin: Instance,
    status: SiteStatus,
}

impl Encode for Stored {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        encode_versioned(out, 1, 1, |out| self.origin.encode(out, features));
        self.status.encode(out, features);
    }
}

impl Decode for Stored {
    fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let (origin, _) =
            decode_versioned(r, "MirrorImageSiteStatusOnDisk", 1, |r, _| Decode::decode(r))?;
        Ok(Stored { origin: Instance::new(origin), status: Decode::decode(r)? })
    }
}

/// `MirrorImageStatus`: what all sites say.
#[derive(Debug, Default)]
struct ImageStatus {
    local: Option<SiteStatus>,
    remote: Vec<SiteStatus>,
}

impl Encode for ImageStatus {
    fn encode(&self, out: &mut BytesMut, features: Features) {
        encode_versioned(out, 2, 1, |out| {
            let none = SiteStatus::default();
            self.local.as_ref().unwrap_or(&none).encode_fields(out, 1);
            self.local.is_some().encode(out, features);
            (self.remote.len() as u32).encode(out, features);
            for status in &self.remote {
                status.encode_fields(out, 2);
            }
        });
    }
}

impl ImageStatus {
    /// One state for the image: of the local rbd-mirror where images come in, of the peers that
    /// they go to, of both; an error before all, and unknown while a peer is silent.
    fn summary(&self, way: u8, peers: &BTreeSet<Bytes>) -> u8 {
        let local = self.local.as_ref().filter(|status| status.up).map(|status| status.state);
        let mut state = local.filter(|_| way != direction::TX);
        let mut silent = 0;
        if way != direction::RX {
            silent = peers.len();
            for status in &self.remote {
                if silent > 0 && peers.contains(&status.mirror_uuid) {
                    silent -= 1;
                }
                let said = if status.up { status.state } else { UNKNOWN };
                state = Some(match state {
                    _ if status.state == ERROR => ERROR,
                    Some(ERROR) => ERROR,
                    Some(state) => state.min(said),
                    None => said,
                });
            }
        }
        state.filter(|_| silent == 0).unwrap_or(UNKNOWN)
    }
}

fn local_key(global_id: &Bytes) -> Vec<u8> {
    key(LOCAL, global_id)
}

/// What the keys of other sites' statuses begin with.
fn remote_prefix(global_id: &Bytes) -> Result<String, Errno> {
    let id = std::str::from_utf8(global_id).map_err(|_| Errno::EINVAL)?;
    Ok(format!("{REMOTE}{id}_"))
}

fn watchers(object: &mut dyn Object) -> Result<Vec<Instance>, Errno> {
    let watchers = optional(object.watchers())?.unwrap_or_default();
    Ok(watchers.into_iter().map(Instance::new).collect())
}

/// ENOENT if no site says anything.
fn read(
    object: &mut dyn Object,
    watchers: &[Instance],
    global_id: &Bytes,
) -> Result<ImageStatus, Errno> {
    let seen = |stored: Stored, mirror_uuid| SiteStatus {
        up: watchers.contains(&stored.origin),
        mirror_uuid,
        ..stored.status
    };
    let local = optional(get(object, local_key(global_id)))?;
    let local = local.map(|stored| seen(stored, Bytes::new()));
    let mut remote = Vec::new();
    scan(object, &remote_prefix(global_id)?, b"", |object, mirror_uuid, value| {
        remote.push(seen(decode(object, &mirror_uuid, value)?, mirror_uuid));
        Ok(true)
    })?;
    if local.is_none() && remote.is_empty() {
        return Err(Errno::ENOENT);
    }
    Ok(ImageStatus { local, remote })
}

/// Forgets what all sites said.
pub(super) fn remove_all(object: &mut dyn Object, global_id: &Bytes) -> Result<(), Errno> {
    let prefix = remote_prefix(global_id)?;
    for mirror_uuid in names(object, &prefix)? {
        remove_any(object, key(&prefix, &mirror_uuid))?;
    }
    remove_any(object, local_key(global_id))
}

pub(in super::super) fn status_set(object: &mut dyn Object, input: Bytes) -> Done {
    let (global_id, status): (Bytes, SiteStatus) = args(input)?;
    let key = match &status.mirror_uuid[..] {
        b"" => local_key(&global_id),
        mirror_uuid => key(&remote_prefix(&global_id)?, mirror_uuid),
    };
    // An image that is no longer mirrored gets no status that nobody would remove.
    if !by_global_id(object, &global_id).is_ok_and(|image| image.state == ENABLED) {
        return done();
    }
    let stored = Stored {
        origin: Instance::new(object.caller()),
        status: SiteStatus {
            mirror_uuid: Bytes::new(),
            up: false,
            last_update: object.now(),
            ..status
        },
    };
    let value = stored.to_bytes(object.features());
    put_raw(object, key, value)?;
    done()
}

pub(in super::super) fn status_remove(object: &mut dyn Object, input: Bytes) -> Done {
    let global_id: Bytes = args(input)?;
    remove_all(object, &global_id)?;
    done()
}

pub(in super::super) fn status_get(object: &mut dyn Object, input: Bytes) -> Done {
    let global_id: Bytes = args(input)?;
    let watchers = watchers(object)?;
    answer(&read(object, &watchers, &global_id)?)
}

pub(in super::super) fn status_list(object: &mut dyn Object, input: Bytes) -> Done {
    let (after, max): (Bytes, u64) = args(input)?;
    let watchers = watchers(object)?;
    let images: BTreeMap<Bytes, MirrorImage> =
        super::super::store::list(object, IMAGE, &after, max)?;
    let mut statuses = BTreeMap::new();
    for (id, image) in &images {
        // An image whose status cannot be read is listed without one.
        if let Ok(status) = read(object, &watchers, &image.global_image_id) {
            statuses.insert(id.clone(), status);
        }
    }
    answer(&(images, statuses))
}

pub(in super::super) fn status_get_summary(object: &mut dyn Object, input: Bytes) -> Done {
    let Trailing(peers): Trailing<Vec<MirrorPeer>> = args(input)?;
    let peers = peers.unwrap_or_default();
    let mut way = peers.first().map_or(direction::RX, |peer| peer.mirror_peer_direction);
    let mut senders = BTreeSet::new();
    for peer in peers.iter().filter(|peer| peer.mirror_peer_direction != direction::RX) {
        senders.insert(peer.mirror_uuid.clone());
        if way != peer.mirror_peer_direction {
            way = direction::RX_TX;
        }
    }
    let watchers = watchers(object)?;
    let mut states: BTreeMap<u8, i32> = BTreeMap::new();
    scan(object, IMAGE, b"", |object, id, value| {
        let image: MirrorImage = decode(object, &id, value)?;
        let status = optional(read(object, &watchers, &image.global_image_id))?;
        *states.entry(status.unwrap_or_default().summary(way, &senders)).or_default() += 1;
        Ok(true)
    })?;
    answer(&states)
}

pub(in super::super) fn status_remove_down(object: &mut dyn Object, _: Bytes) -> Done {
    let watchers = watchers(object)?;
    for prefix in [LOCAL, REMOTE] {
        scan(object, prefix, b"", |object, name, value| {
            let stored: Stored = decode(object, &name, value)?;
            if !watchers.contains(&stored.origin) {
                remove_any(object, key(prefix, &name))?;
            }
            Ok(true)
        })?;
    }
    done()
}

/// The rbd-mirror that replicates the image; ESTALE if it no longer watches.
fn instance(
    object: &mut dyn Object,
    watchers: &[Instance],
    global_id: &Bytes,
) -> Result<Instance, Errno> {
    let stored: Stored = get(object, local_key(global_id))?;
    if watchers.contains(&stored.origin) { Ok(stored.origin) } else { Err(Errno::ESTALE) }
}

pub(in super::super) fn image_instance_get(object: &mut dyn Object, input: Bytes) -> Done {
    let global_id: Bytes = args(input)?;
    let watchers = watchers(object)?;
    let instance = instance(object, &watchers, &global_id)?;
    Ok(instance.to_bytes(object.features()).into())
}

pub(in super::super) fn image_instance_list(object: &mut dyn Object, input: Bytes) -> Done {
    let (after, max): (Bytes, u64) = args(input)?;
    let watchers = watchers(object)?;
    let mut instances = BTreeMap::new();
    if max > 0 {
        scan(object, IMAGE, &after, |object, id, value| {
            let image: MirrorImage = decode(object, &id, value)?;
            if let Ok(instance) = instance(object, &watchers, &image.global_image_id) {
                instances.insert(id, instance);
            }
            Ok((instances.len() as u64) < max)
        })?;
    }
    Ok(instances.to_bytes(object.features()).into())
}
