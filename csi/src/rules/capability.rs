//! What a volume is wanted for: as a file system or a raw device, by one node or many.

use serde::{Deserialize, Serialize};

use seabed_proto::csi::VolumeCapability;
use seabed_proto::csi::volume_capability::AccessType;
use seabed_proto::csi::volume_capability::access_mode;

use crate::fault::Fault;

/// A file system that is made and grown here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Filesystem {
    Ext4,
    Xfs,
}

impl Filesystem {
    /// As `mount -t` takes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Filesystem::Ext4 => "ext4",
            Filesystem::Xfs => "xfs",
        }
    }
}

/// How the volume is seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Access {
    Block,
    Mount { filesystem: Filesystem, flags: Vec<String> },
}

/// Who may use it at a time, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    SingleNodeWriter,
    SingleNodeReaderOnly,
    MultiNodeReaderOnly,
    MultiNodeMultiWriter,
    SingleNodeSingleWriter,
    SingleNodeMultiWriter,
}

impl Mode {
    /// Nobody writes: the device is read-only.
    pub(crate) fn read_only(self) -> bool {
        matches!(self, Mode::SingleNodeReaderOnly | Mode::MultiNodeReaderOnly)
    }

    /// At most one node at a time.
    pub(crate) fn single_node(self) -> bool {
        !matches!(self, Mode::MultiNodeReaderOnly | Mode::MultiNodeMultiWriter)
    }

    /// At most one target path on the node.
    pub(crate) fn single_target(self) -> bool {
        self == Mode::SingleNodeSingleWriter
    }
}

/// A capability that can be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Capability {
    pub access: Access,
    pub mode: Mode,
}

impl Capability {
    /// Of a request; whatever cannot be had is refused with its reason.
    pub(crate) fn read(asked: Option<&VolumeCapability>) -> Result<Self, Fault> {
        let asked = asked.ok_or_else(|| Fault::invalid("volume_capability is missing"))?;
        let access = match &asked.access_type {
            None => return Err(Fault::invalid("volume_capability.access_type is missing")),
            Some(AccessType::Block(_)) => Access::Block,
            Some(AccessType::Mount(mount)) => {
                if !mount.volume_mount_group.is_empty() {
                    let what = "volume_mount_group is not supported; use the pod's fsGroup";
                    return Err(Fault::invalid(what));
                }
                let filesystem = filesystem(&mount.fs_type)?;
                Access::Mount { filesystem, flags: mount.mount_flags.clone() }
            }
        };
        let mode = asked.access_mode.as_ref().map(|mode| mode.mode()).unwrap_or_default();
        let mode = self::mode(mode)?;
        if mode == Mode::MultiNodeMultiWriter && access != Access::Block {
            return Err(Fault::invalid(
                "MULTI_NODE_MULTI_WRITER is for raw block volumes only: a file system on a block \
                 device bears one writer; use volumeMode Block, or a file server",
            ));
        }
        Ok(Capability { access, mode })
    }

    /// All of a request, of which there must be one at least.
    pub(crate) fn read_all(asked: &[VolumeCapability]) -> Result<Vec<Self>, Fault> {
        if asked.is_empty() {
            return Err(Fault::invalid("volume_capabilities are missing"));
        }
        asked.iter().map(|one| Self::read(Some(one))).collect()
    }
}

fn filesystem(name: &str) -> Result<Filesystem, Fault> {
    match name {
        "" | "ext4" => Ok(Filesystem::Ext4),
        "xfs" => Ok(Filesystem::Xfs),
        other => {
            Err(Fault::invalid(format!("file system {other:?} is not supported; ext4 and xfs are")))
        }
    }
}

fn mode(asked: access_mode::Mode) -> Result<Mode, Fault> {
    use access_mode::Mode as Asked;
    Ok(match asked {
        Asked::SingleNodeWriter => Mode::SingleNodeWriter,
        Asked::SingleNodeReaderOnly => Mode::SingleNodeReaderOnly,
        Asked::MultiNodeReaderOnly => Mode::MultiNodeReaderOnly,
        Asked::MultiNodeMultiWriter => Mode::MultiNodeMultiWriter,
        Asked::SingleNodeSingleWriter => Mode::SingleNodeSingleWriter,
        Asked::SingleNodeMultiWriter => Mode::SingleNodeMultiWriter,
        Asked::Unknown => return Err(Fault::invalid("volume_capability.access_mode is missing")),
        Asked::MultiNodeSingleWriter => {
            return Err(Fault::invalid(
                "MULTI_NODE_SINGLE_WRITER is not supported; use SINGLE_NODE_WRITER",
            ));
        }
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use seabed_proto::csi::volume_capability::{AccessMode, BlockVolume, MountVolume};

    use super::*;

    pub(crate) fn asked(access: AccessType, mode: access_mode::Mode) -> VolumeCapability {
        VolumeCapability {
            access_type: Some(access),
            access_mode: Some(AccessMode { mode: mode.into() }),
        }
    }

    fn mount(fs_type: &str) -> AccessType {
        AccessType::Mount(MountVolume { fs_type: fs_type.into(), ..Default::default() })
    }

    #[test]
    fn what_can_be_had() {
        use access_mode::Mode as Asked;
        let block = || AccessType::Block(BlockVolume {});
        let read = |access, mode| Capability::read(Some(&asked(access, mode)));
        let ext4 = read(mount(""), Asked::SingleNodeWriter).unwrap();
        assert_eq!(ext4.access, Access::Mount { filesystem: Filesystem::Ext4, flags: vec![] });
        assert!(read(mount("xfs"), Asked::MultiNodeReaderOnly).unwrap().mode.read_only());
        assert!(!read(block(), Asked::MultiNodeMultiWriter).unwrap().mode.single_node());
        assert!(read(block(), Asked::SingleNodeSingleWriter).unwrap().mode.single_target());
        assert!(read(mount("xfs"), Asked::MultiNodeMultiWriter).is_err());
        assert!(read(block(), Asked::MultiNodeSingleWriter).is_err());
        assert!(read(block(), Asked::Unknown).is_err());
        assert!(read(mount("btrfs"), Asked::SingleNodeWriter).is_err());
        assert!(Capability::read(None).is_err());
        assert!(Capability::read_all(&[]).is_err());
        let untyped = VolumeCapability { access_type: None, ..asked(block(), Asked::Unknown) };
        assert!(Capability::read(Some(&untyped)).is_err());
    }
}
