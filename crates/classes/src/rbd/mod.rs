//! Class `rbd`: everything about images that is not a data object's bytes.
//!
//! Clients (librbd, the kernel) keep an image's metadata in omaps that only this class reads and
//! writes: its header, the directories of names and ids, trash, groups, mirroring, the object map.
//! Keys, values and encodings are Ceph's, as are error numbers and the order in which rules are
//! checked. Records of releases before Nautilus are read, and written in today's form.
//!
//! One module for each kind of object or record; [`store`] is how all of them read input and omap.

mod bit_vector;
mod children;
mod data;
mod directory;
mod group;
mod group_snapshot;
mod header;
mod image;
mod legacy;
mod metadata;
mod migration;
mod mirror;
mod namespace;
mod object_map;
mod parent;
mod snapshot;
mod store;
mod trash;
pub mod wire;

pub use group::{GroupImageSpec, GroupImageStatus, GroupSpec};
pub use group_snapshot::{GroupSnapshot, ImageSnapshotSpec};
pub use image::{
    ChildImageSpec, GroupImageSnapshotNamespace, MirrorSnapshotNamespace, ParentImageSpec,
    TrashSnapshotNamespace,
};
pub use migration::MigrationSpec;
pub use mirror::{MirrorImage, MirrorImageMap, MirrorPeer};
pub use trash::TrashImageSpec;

use crate::{Access, Class, Method};

macro_rules! methods {
    ($($access:ident $name:ident = $run:path;)*) => {
        &[$(Method { name: stringify!($name), access: Access::$access, run: $run }),*]
    };
}

/// The class.
pub const CLASS: Class = Class {
    name: "rbd",
    methods: methods! {
        RDWR create = header::create;
        RD get_all_features = header::get_all_features;
        RD get_features = header::get_features;
        RDWR set_features = header::set_features;
        RD op_features_get = header::op_features_get;
        RDWR op_features_set = header::op_features_set;
        RD get_size = header::get_size;
        RDWR set_size = header::set_size;
        RD get_object_prefix = header::get_object_prefix;
        RD get_data_pool = header::get_data_pool;
        RD get_flags = header::get_flags;
        RDWR set_flags = header::set_flags;
        RD get_stripe_unit_count = header::get_stripe_unit_count;
        RDWR set_stripe_unit_count = header::set_stripe_unit_count;
        RD get_create_timestamp = header::get_create_timestamp;
        RD get_access_timestamp = header::get_access_timestamp;
        RD get_modify_timestamp = header::get_modify_timestamp;
        RDWR set_access_timestamp = header::set_access_timestamp;
        RDWR set_modify_timestamp = header::set_modify_timestamp;

        RD get_snapcontext = snapshot::get_snapcontext;
        RD snapshot_get = snapshot::snapshot_get;
        RD get_snapshot_name = snapshot::get_snapshot_name;
        RD get_snapshot_timestamp = snapshot::get_snapshot_timestamp;
        RDWR snapshot_add = snapshot::snapshot_add;
        RDWR snapshot_rename = snapshot::snapshot_rename;
        RDWR snapshot_remove = snapshot::snapshot_remove;
        RDWR snapshot_trash_add = snapshot::snapshot_trash_add;
        RD snapshot_get_limit = snapshot::snapshot_get_limit;
        RDWR snapshot_set_limit = snapshot::snapshot_set_limit;
        RD get_protection_status = snapshot::get_protection_status;
        RDWR set_protection_status = snapshot::set_protection_status;

        RD parent_get = parent::parent_get;
        RD parent_overlap_get = parent::parent_overlap_get;
        RDWR parent_attach = parent::parent_attach;
        RDWR parent_detach = parent::parent_detach;
        RD get_parent = parent::get_parent;
        RDWR set_parent = parent::set_parent;
        RDWR remove_parent = parent::remove_parent;

        RDWR child_attach = children::child_attach;
        RDWR child_detach = children::child_detach;
        RD children_list = children::children_list;
        RDWR add_child = children::add_child;
        RDWR remove_child = children::remove_child;
        RD get_children = children::get_children;

        RD get_id = directory::get_id;
        RDWR set_id = directory::set_id;
        RD dir_get_id = directory::dir_get_id;
        RD dir_get_name = directory::dir_get_name;
        RD dir_list = directory::dir_list;
        RDWR dir_add_image = directory::dir_add;
        RDWR dir_remove_image = directory::dir_remove;
        RDWR dir_rename_image = directory::dir_rename;
        RD dir_state_assert = directory::dir_state_assert;
        RDWR dir_state_set = directory::dir_state_set;

        RD object_map_load = object_map::load;
        RDWR object_map_save = object_map::save;
        RDWR object_map_resize = object_map::resize;
        RDWR object_map_update = object_map::update;
        RDWR object_map_snap_add = object_map::snap_add;
        RDWR object_map_snap_remove = object_map::snap_remove;

        RD metadata_list = metadata::list;
        RDWR metadata_set = metadata::set;
        RDWR metadata_remove = metadata::remove_one;
        RD metadata_get = metadata::get;

        RDWR migration_set = migration::migration_set;
        RDWR migration_set_state = migration::migration_set_state;
        RD migration_get = migration::migration_get;
        RDWR migration_remove = migration::migration_remove;

        RD snap_list = legacy::snap_list;
        RDWR snap_add = legacy::snap_add;
        RDWR snap_remove = legacy::snap_remove;
        RDWR snap_rename = legacy::snap_rename;

        RD group_dir_list = directory::dir_list;
        RDWR group_dir_add = directory::dir_add;
        RDWR group_dir_remove = directory::dir_remove;
        RDWR group_dir_rename = directory::dir_rename;
        RDWR group_image_set = group::group_image_set;
        RDWR group_image_remove = group::group_image_remove;
        RD group_image_list = group::group_image_list;
        RDWR image_group_add = group::image_group_add;
        RDWR image_group_remove = group::image_group_remove;
        RD image_group_get = group::image_group_get;
        RDWR group_snap_set = group_snapshot::group_snap_set;
        RDWR group_snap_remove = group_snapshot::group_snap_remove;
        RD group_snap_get_by_id = group_snapshot::group_snap_get_by_id;
        RD group_snap_list = group_snapshot::group_snap_list;
        RD group_snap_list_order = group_snapshot::group_snap_list_order;

        RDWR trash_add = trash::trash_add;
        RDWR trash_remove = trash::trash_remove;
        RD trash_list = trash::trash_list;
        RD trash_get = trash::trash_get;
        RDWR trash_state_set = trash::trash_state_set;

        RDWR namespace_add = namespace::namespace_add;
        RDWR namespace_remove = namespace::namespace_remove;
        RD namespace_list = namespace::namespace_list;

        RD mirror_uuid_get = mirror::uuid_get;
        RDWR mirror_uuid_set = mirror::uuid_set;
        RD mirror_mode_get = mirror::mode_get;
        RDWR mirror_mode_set = mirror::mode_set;
        RD mirror_remote_namespace_get = mirror::remote_namespace_get;
        RDWR mirror_remote_namespace_set = mirror::remote_namespace_set;
        RDWR mirror_peer_ping = mirror::peer_ping;
        RD mirror_peer_list = mirror::peer_list;
        RDWR mirror_peer_add = mirror::peer_add;
        RDWR mirror_peer_remove = mirror::peer_remove;
        RDWR mirror_peer_set_client = mirror::peer_set_client;
        RDWR mirror_peer_set_cluster = mirror::peer_set_cluster;
        RDWR mirror_peer_set_direction = mirror::peer_set_direction;
        RD mirror_image_list = mirror::image_list;
        RD mirror_image_get_image_id = mirror::get_image_id;
        RD mirror_image_get = mirror::image_get;
        RDWR mirror_image_set = mirror::image_set;
        RDWR mirror_image_remove = mirror::image_remove;
        RDWR mirror_image_status_set = mirror::status_set;
        RDWR mirror_image_status_remove = mirror::status_remove;
        RD mirror_image_status_get = mirror::status_get;
        RD mirror_image_status_list = mirror::status_list;
        RD mirror_image_status_get_summary = mirror::status_get_summary;
        RDWR mirror_image_status_remove_down = mirror::status_remove_down;
        RD mirror_image_instance_get = mirror::image_instance_get;
        RD mirror_image_instance_list = mirror::image_instance_list;
        RD mirror_instances_list = mirror::instances_list;
        RDWR mirror_instances_add = mirror::instances_add;
        RDWR mirror_instances_remove = mirror::instances_remove;
        RD mirror_image_map_list = mirror::image_map_list;
        WR mirror_image_map_update = mirror::image_map_update;
        WR mirror_image_map_remove = mirror::image_map_remove;
        RDWR mirror_image_snapshot_unlink_peer = mirror::snapshot_unlink_peer;
        RDWR mirror_image_snapshot_set_copy_progress = mirror::snapshot_set_copy_progress;

        RDWR copyup = data::copyup;
        RDWR sparse_copyup = data::sparse_copyup;
        RDWR assert_snapc_seq = data::assert_snapc_seq;
        RDWR sparsify = data::sparsify;
    },
};
