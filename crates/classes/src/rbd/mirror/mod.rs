//! Mirroring: `rbd_mirroring` (mode, peers, images and their status), `rbd_mirror_leader`
//! (instances of rbd-mirror, images by instance), and snapshots made for it.

mod image;
mod instance;
mod mode;
mod peer;
mod snapshot;
mod status;

pub(super) use image::{get_image_id, image_get, image_list, image_remove, image_set};
pub(super) use instance::{
    image_map_list, image_map_remove, image_map_update, instances_add, instances_list,
    instances_remove,
};
pub(super) use mode::{
    mode_get, mode_set, remote_namespace_get, remote_namespace_set, uuid_get, uuid_set,
};
pub(super) use peer::{
    peer_add, peer_list, peer_ping, peer_remove, peer_set_client, peer_set_cluster,
    peer_set_direction,
};
pub(super) use snapshot::{snapshot_set_copy_progress, snapshot_unlink_peer};
pub(super) use status::{
    image_instance_get, image_instance_list, status_get, status_get_summary, status_list,
    status_remove, status_remove_down, status_set,
};

pub use image::MirrorImage;
pub use instance::MirrorImageMap;
pub use peer::MirrorPeer;
