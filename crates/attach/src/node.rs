//! A look at the node, for [`crate::choose`].

use std::fs::OpenOptions;
use std::path::Path;

use rustix::fs::StatVfsMountFlags;
use rustix::thread::CapabilitySet;

use crate::error::during;
use crate::{AttachError, KernelRbd, NodeFacts, Release, krbd};

/// What this node has. Nothing is loaded, mounted or set up by looking.
pub fn survey() -> Result<NodeFacts, AttachError> {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy().into_owned();
    let parsed = Release::parse(&release).ok_or_else(|| AttachError::NotAsAsked {
        what: "uname".into(),
        found: release.clone(),
        wanted: "a kernel's release",
    })?;
    let capabilities = rustix::thread::capabilities(None).map_err(during("capabilities"))?;
    Ok(NodeFacts {
        release: parsed,
        admin: capabilities.effective.contains(CapabilitySet::SYS_ADMIN),
        krbd: kernel_rbd(&release),
        sysfs_writable: sysfs_writable(),
        fuse: opens("/dev/fuse"),
        loop_control: opens("/dev/loop-control"),
        flusher: capabilities.effective.contains(CapabilitySet::SYS_RESOURCE),
        lock_memory: capabilities.effective.contains(CapabilitySet::IPC_LOCK),
    })
}

fn opens(path: &str) -> bool {
    OpenOptions::new().read(true).write(true).open(path).is_ok()
}

fn sysfs_writable() -> bool {
    let flags = |path: &str| rustix::fs::statvfs(path).map(|found| found.f_flag);
    flags("/sys").is_ok_and(|flags| !flags.contains(StatVfsMountFlags::RDONLY))
}

fn kernel_rbd(release: &str) -> KernelRbd {
    if Path::new(krbd::SYSFS).exists() {
        return KernelRbd::Loaded;
    }
    let folder = Path::new("/lib/modules").join(release);
    let lists =
        |name: &str| std::fs::read_to_string(folder.join(name)).is_ok_and(|text| names_rbd(&text));
    if lists("modules.dep") { KernelRbd::Loadable } else { KernelRbd::Absent }
}

/// Does a list of modules (`path[.xz|.zst]: its dependencies`) have `rbd`?
fn names_rbd(modules: &str) -> bool {
    modules.lines().any(|line| {
        let path = line.split(':').next().unwrap_or_default();
        let file = path.rsplit('/').next().unwrap_or_default();
        file.strip_prefix("rbd.ko").is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

#[cfg(test)]
mod tests {
    use super::names_rbd;

    #[test]
    fn the_module_is_found_by_its_own_line() {
        assert!(names_rbd(
            "a/nbd.ko:\nkernel/drivers/block/rbd.ko.xz: kernel/net/ceph/libceph.ko\n"
        ));
        assert!(names_rbd("kernel/drivers/block/rbd.ko:"));
        assert!(!names_rbd("kernel/drivers/block/drbd.ko: kernel/lib/lru_cache.ko"));
        assert!(!names_rbd("kernel/x.ko: kernel/drivers/block/rbd.ko"));
        assert!(!names_rbd("kernel/drivers/block/rbd.kobold:"));
    }

    #[test]
    fn a_look_at_this_node_works() {
        super::survey().unwrap();
    }
}
