//! Taking away what a dead or stuck owner left: its FUSE connection, its mount, its loop device.
//!
//! Loop devices and FUSE connections belong to the whole kernel. Ours are known by the name of
//! their file and file system, which carries the state folder's mark; no other is touched.

use std::path::PathBuf;

use super::loop_device::{self, LoopDevice, file_name_is};
use super::mount::{self, FSTYPE, Mounted};
use crate::state::{self, Owner, Record};
use crate::{AttachError, StateFolder, sysfs};

/// What was done for one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Healed {
    /// Of the volume.
    pub name: String,
    /// FUSE connections that were ended.
    pub aborted: Vec<u32>,
    /// Folders that were unmounted.
    pub unmounted: Vec<PathBuf>,
    /// Loop devices that were taken away.
    pub freed: Vec<PathBuf>,
    /// Loop devices that go away when their last user (a mount, mostly) does: all their I/O is
    /// an error until then.
    pub still_open: Vec<PathBuf>,
}

/// Heals every volume of this folder whose owner is no more. Those with a living owner are left
/// alone. Returns what was done.
///
/// Blocks: to be called from a thread that may.
pub fn heal_dead(state: &StateFolder) -> Result<Vec<Healed>, AttachError> {
    let mut all = Vec::new();
    for name in state.names()? {
        if let Some((owner, record)) = Owner::take(state, &name)? {
            all.push(take_away(state, &name, record)?);
            owner.release()?;
        }
    }
    Ok(all)
}

/// Heals one volume, whether its owner lives or not: for one that is stuck.
///
/// Blocks: to be called from a thread that may.
pub fn heal_by_force(state: &StateFolder, name: &str) -> Result<Healed, AttachError> {
    state::check_name(name)?;
    let path = state.owner_path(name);
    let record = sysfs::read_if_there(&path)?.and_then(|text| Record::parse(&(text + "\n")));
    take_away(state, name, record)
}

/// Everything of one name, for its owner or by force.
pub(super) fn take_away(
    state: &StateFolder,
    name: &str,
    record: Option<Record>,
) -> Result<Healed, AttachError> {
    let marked = super::marked(state, name);
    let devices = loop_device::in_use()?;
    let record = record.filter(|record| sysfs::boot_id().is_ok_and(|boot| boot == record.boot));
    let plan = plan(&marked, &mount::mounts()?, &devices, record.as_ref());
    // First of all: whatever hangs on the connection gets its error, and the rest cannot hang.
    if !plan.abort.is_empty() {
        mount::need_connections()?;
    }
    for connection in &plan.abort {
        mount::abort(*connection)?;
    }
    for folder in &plan.unmount {
        mount::unmount_lazily(folder)?;
    }
    let mut healed = Healed {
        name: name.to_owned(),
        aborted: plan.abort,
        unmounted: plan.unmount,
        freed: Vec::new(),
        still_open: Vec::new(),
    };
    for device in plan.clear {
        // Looked at again, as short before as can be: it may be another's by now.
        if !device.carries(&marked)? {
            continue;
        }
        device.clear()?;
        let list =
            if device.carries(&marked)? { &mut healed.still_open } else { &mut healed.freed };
        list.push(device.path);
    }
    let folder = state.mount_point(name);
    std::fs::remove_dir(&folder).or_else(state::already_gone).map_err(crate::error::at(&folder))?;
    Ok(healed)
}

#[derive(Debug, PartialEq, Eq)]
struct Plan {
    abort: Vec<u32>,
    unmount: Vec<PathBuf>,
    clear: Vec<LoopDevice>,
}

/// What has to go of what there is.
fn plan(
    marked: &str,
    mounts: &[Mounted],
    devices: &[(LoopDevice, PathBuf)],
    record: Option<&Record>,
) -> Plan {
    let ours = |mount: &&Mounted| mount.fstype == FSTYPE && mount.source == marked;
    // The last one lies on top.
    let mounts: Vec<&Mounted> = mounts.iter().filter(ours).rev().collect();
    let clear: Vec<LoopDevice> = devices
        .iter()
        .filter(|(_, file)| file_name_is(file, marked))
        .map(|(device, _)| device.clone())
        .collect();
    let mut abort: Vec<u32> = mounts.iter().map(|mount| mount.minor).collect();
    // A mount in another namespace is not seen from here. The number noted for it is still its own
    // if the loop device noted with it still has our file, for that file keeps it.
    if let Some(record) = record
        && clear.iter().any(|device| device.number == record.loop_device)
    {
        abort.push(record.connection);
    }
    abort.sort_unstable();
    abort.dedup();
    Plan { abort, unmount: mounts.iter().map(|mount| mount.target.clone()).collect(), clear }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounted(minor: u32, target: &str, fstype: &str, source: &str) -> Mounted {
        let (fstype, source) = (fstype.into(), source.into());
        Mounted { minor, target: target.into(), fstype, source }
    }

    fn device(number: u32, file: &str) -> (LoopDevice, PathBuf) {
        (LoopDevice::numbered(number), file.into())
    }

    fn record(loop_device: u32, connection: u32) -> Record {
        Record { boot: "b".into(), loop_device, connection }
    }

    #[test]
    fn only_what_carries_the_mark_goes() {
        let mounts = [
            mounted(50, "/s/attached/v", FSTYPE, "seabed-aa-v"),
            mounted(51, "/s/attached/w", FSTYPE, "seabed-aa-w"),
            mounted(52, "/t/attached/v", FSTYPE, "seabed-bb-v"),
            mounted(53, "/home", "fuse.sshfs", "seabed-aa-v"),
        ];
        let devices = [
            device(0, "/s/attached/v/seabed-aa-v"),
            device(1, "/s/attached/w/seabed-aa-w"),
            device(2, "/t/attached/v/seabed-bb-v"),
            device(3, "/var/seabed-aa-v.img"),
        ];
        let expected = Plan {
            abort: vec![50],
            unmount: vec!["/s/attached/v".into()],
            clear: vec![LoopDevice::numbered(0)],
        };
        assert_eq!(plan("seabed-aa-v", &mounts, &devices, None), expected);
    }

    #[test]
    fn mounts_on_top_of_each_other_go_from_the_top() {
        let mounts = [
            mounted(50, "/s/attached/v", FSTYPE, "m"),
            mounted(60, "/s/attached/v", FSTYPE, "m"),
            mounted(60, "/other", FSTYPE, "m"),
        ];
        let plan = plan("m", &mounts, &[], None);
        assert_eq!(plan.abort, [50, 60]);
        let order: Vec<_> = plan.unmount.iter().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(order, ["/other", "/s/attached/v", "/s/attached/v"]);
    }

    #[test]
    fn a_noted_connection_is_believed_only_while_its_loop_device_has_our_file() {
        let ours = [device(4, "/seabed-aa-v")];
        assert_eq!(plan("seabed-aa-v", &[], &ours, Some(&record(4, 70))).abort, [70]);
        let others = [device(4, "/var/lib/disk.img"), device(5, "/seabed-aa-v")];
        assert_eq!(plan("seabed-aa-v", &[], &others, Some(&record(4, 70))).abort, [0; 0]);
        assert_eq!(plan("seabed-aa-v", &[], &[], Some(&record(4, 70))).abort, [0; 0]);
    }
}
