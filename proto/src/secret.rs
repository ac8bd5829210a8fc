//! Messages with secrets show themselves without them.
//!
//! `prost` knows nothing of the specification's mark for secret fields: their messages get no
//! `Debug` from the generator (`proto/build.rs`), but one from here.

use std::fmt;

use crate::csi::*;

/// Shows the named fields and hides the rest.
macro_rules! hiding {
    ($($message:ident { $($field:ident),+ })+) => {
        $(impl fmt::Debug for $message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($message))
                    $(.field(stringify!($field), &self.$field))+
                    .finish_non_exhaustive()
            }
        })+
    };
}

hiding! {
    CreateVolumeRequest {
        name, capacity_range, volume_capabilities, parameters, volume_content_source,
        accessibility_requirements, mutable_parameters
    }
    DeleteVolumeRequest { volume_id }
    ControllerPublishVolumeRequest {
        volume_id, node_id, volume_capability, readonly, volume_context
    }
    ControllerUnpublishVolumeRequest { volume_id, node_id }
    ValidateVolumeCapabilitiesRequest {
        volume_id, volume_context, volume_capabilities, parameters, mutable_parameters
    }
    ControllerModifyVolumeRequest { volume_id, mutable_parameters }
    CreateSnapshotRequest { source_volume_id, name, parameters }
    DeleteSnapshotRequest { snapshot_id }
    ListSnapshotsRequest { max_entries, starting_token, source_volume_id, snapshot_id }
    GetSnapshotRequest { snapshot_id }
    ControllerExpandVolumeRequest { volume_id, capacity_range, volume_capability }
    NodeStageVolumeRequest {
        volume_id, publish_context, staging_target_path, volume_capability, volume_context
    }
    NodePublishVolumeRequest {
        volume_id, publish_context, staging_target_path, target_path, volume_capability, readonly,
        volume_context
    }
    NodeExpandVolumeRequest {
        volume_id, volume_path, capacity_range, staging_target_path, volume_capability
    }
    CreateVolumeGroupSnapshotRequest { name, source_volume_ids, parameters }
    DeleteVolumeGroupSnapshotRequest { group_snapshot_id, snapshot_ids }
    GetVolumeGroupSnapshotRequest { group_snapshot_id, snapshot_ids }
    GetMetadataAllocatedRequest { snapshot_id, starting_offset, max_results }
    GetMetadataDeltaRequest { base_snapshot_id, target_snapshot_id, starting_offset, max_results }
}

/// Mount options are secret too.
impl fmt::Debug for volume_capability::MountVolume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MountVolume")
            .field("fs_type", &self.fs_type)
            .field("volume_mount_group", &self.volume_mount_group)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_mount_options_are_not_shown() {
        let mount = volume_capability::MountVolume {
            fs_type: "ext4".into(),
            mount_flags: vec!["password=hush".into()],
            ..Default::default()
        };
        let capability = VolumeCapability {
            access_type: Some(volume_capability::AccessType::Mount(mount)),
            access_mode: None,
        };
        let request = NodeStageVolumeRequest {
            volume_id: "v".into(),
            volume_capability: Some(capability),
            secrets: [("key".to_owned(), "hush".to_owned())].into(),
            ..Default::default()
        };
        let shown = format!("{request:?}");
        assert!(shown.contains("ext4") && shown.contains("volume_id: \"v\""), "{shown}");
        assert!(!shown.contains("hush"), "{shown}");
    }
}
