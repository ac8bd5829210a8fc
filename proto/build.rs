//! Generates the Rust of every interface in this folder; no protoc needed.

use std::error::Error;

const INTERFACES: &[&str] = &["attachd.proto", "csi.proto"];

/// Messages with secret fields: `src/secret.rs` says how they are shown.
const SECRET: &[&str] = &[
    ".csi.v1.CreateVolumeRequest",
    ".csi.v1.DeleteVolumeRequest",
    ".csi.v1.ControllerPublishVolumeRequest",
    ".csi.v1.ControllerUnpublishVolumeRequest",
    ".csi.v1.ValidateVolumeCapabilitiesRequest",
    ".csi.v1.ControllerModifyVolumeRequest",
    ".csi.v1.CreateSnapshotRequest",
    ".csi.v1.DeleteSnapshotRequest",
    ".csi.v1.ListSnapshotsRequest",
    ".csi.v1.GetSnapshotRequest",
    ".csi.v1.ControllerExpandVolumeRequest",
    ".csi.v1.NodeStageVolumeRequest",
    ".csi.v1.NodePublishVolumeRequest",
    ".csi.v1.NodeExpandVolumeRequest",
    ".csi.v1.CreateVolumeGroupSnapshotRequest",
    ".csi.v1.DeleteVolumeGroupSnapshotRequest",
    ".csi.v1.GetVolumeGroupSnapshotRequest",
    ".csi.v1.GetMetadataAllocatedRequest",
    ".csi.v1.GetMetadataDeltaRequest",
    ".csi.v1.VolumeCapability.MountVolume",
];

fn main() -> Result<(), Box<dyn Error>> {
    for interface in INTERFACES {
        println!("cargo:rerun-if-changed={interface}");
    }
    let files = protox::compile(INTERFACES, ["."])?;
    tonic_prost_build::configure().btree_map(".").skip_debug(SECRET).compile_fds(files)?;
    Ok(())
}
