//! Kernel `rbd`: the image mapped by the kernel's own client. No process of ours does its I/O.
//!
//! Everything goes through `/sys/bus/rbd`. The client's address is read back for fencing before
//! the device is handed out.

mod request;

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

pub use request::{ClientAddr, MapRequest};

use crate::error::{at, during};
use crate::{AttachError, Device, KernelRbd, LOGICAL_BLOCK, Release, StateFolder, Way, sysfs};

/// Where the kernel is spoken to.
pub const SYSFS: &str = "/sys/bus/rbd";
/// The oldest kernel: `ms_mode` is known since then.
pub const KERNEL_MIN: Release = Release(5, 11);
/// Longest chain of parents that the kernel follows.
pub const PARENTS_MAX: usize = 16;
/// Most snapshots an image may have: their list is one page in the kernel.
pub const SNAPSHOTS_MAX: usize = 510;
/// Features (Ceph's bits) that the kernel has since [`KERNEL_MIN`]: layering, striping, exclusive
/// lock, object map, fast diff, deep flatten, data pool, operations.
pub const FEATURES: u64 = 0x1bf;

/// The kernel's client, as found on this node.
#[derive(Debug, Clone)]
pub struct Kernel {
    bus: PathBuf,
    block: PathBuf,
    dev: PathBuf,
}

impl Kernel {
    /// The one of this node; its module is loaded if need be.
    pub fn open() -> Result<Self, AttachError> {
        if !Path::new(SYSFS).exists() {
            load_module()?;
        }
        Self::at(SYSFS.into(), "/sys/block".into(), "/dev".into())
    }

    fn at(bus: PathBuf, block: PathBuf, dev: PathBuf) -> Result<Self, AttachError> {
        if bus.exists() {
            return Ok(Kernel { bus, block, dev });
        }
        let what = format!("{} is not there: the kernel's module rbd is not loaded", bus.display());
        Err(AttachError::Missing { what, remedy: "modprobe rbd, and show this process /sys" })
    }

    /// Maps an image. Blocks until the kernel has it, or says no: up to a minute if the cluster
    /// cannot be reached.
    pub fn map(
        &self,
        state: &StateFolder,
        request: &MapRequest,
    ) -> Result<KernelDevice, AttachError> {
        let line = request.line()?;
        // What the kernel makes has to be found afterwards: one at a time.
        let _alone = lock(&state.dir().join("krbd.lock"))?;
        let before = self.ids()?;
        let what = || format!("map {}/{}", request.pool, request.image);
        self.say(&["add_single_major", "add"], &line, what())?;
        let mut new = self.ids()?;
        new.retain(|id| !before.contains(id));
        new.retain(|id| self.is_of(*id, request).unwrap_or(false));
        let &[id] = new.as_slice() else {
            // None: gone again. More: another program mapped the same image meanwhile.
            let found = format!("{} new devices of that image", new.len());
            return Err(AttachError::NotAsAsked { what: what(), found, wanted: "one" });
        };
        match self.check(id, request.snapshot.is_some() || request.read_only) {
            Ok(client) => {
                Ok(KernelDevice { kernel: self.clone(), id, client, path: self.node(id) })
            }
            Err(error) => {
                self.unmap(id, false)?;
                Err(error)
            }
        }
    }

    /// A device that was mapped before, by this process or another.
    pub fn find(&self, id: u32) -> Result<Option<KernelDevice>, AttachError> {
        if !self.ids()?.contains(&id) {
            return Ok(None);
        }
        let client = self.client_addr(id)?;
        Ok(Some(KernelDevice { kernel: self.clone(), id, client, path: self.node(id) }))
    }

    /// All devices of an image (or of that snapshot of it), whoever mapped them.
    pub fn find_image(&self, request: &MapRequest) -> Result<Vec<KernelDevice>, AttachError> {
        let mut found = Vec::new();
        for id in self.ids()? {
            if self.is_of(id, request)? {
                found.extend(self.find(id)?);
            }
        }
        Ok(found)
    }

    /// Numbers of all that is mapped.
    fn ids(&self) -> Result<Vec<u32>, AttachError> {
        let names = sysfs::names(&self.bus.join("devices"))?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    fn attribute(&self, id: u32, name: &str) -> PathBuf {
        self.bus.join("devices").join(id.to_string()).join(name)
    }

    fn node(&self, id: u32) -> PathBuf {
        self.dev.join(format!("rbd{id}"))
    }

    fn is_of(&self, id: u32, request: &MapRequest) -> Result<bool, AttachError> {
        let is = |name: &str, wanted: &str| {
            sysfs::read(&self.attribute(id, name)).map(|found| found == wanted)
        };
        Ok(is("pool", &request.pool)?
            && is("pool_ns", &request.namespace)?
            && is("name", &request.image)?
            && is("current_snap", request.snapshot.as_deref().unwrap_or("-"))?)
    }

    fn client_addr(&self, id: u32) -> Result<ClientAddr, AttachError> {
        let path = self.attribute(id, "client_addr");
        let text = sysfs::read(&path)?;
        ClientAddr::parse(&text).ok_or_else(|| AttachError::NotAsAsked {
            what: path.display().to_string(),
            found: text,
            wanted: "ADDRESS:PORT/NONCE",
        })
    }

    /// Is it what was asked for?
    fn check(&self, id: u32, read_only: bool) -> Result<ClientAddr, AttachError> {
        let block = self.block.join(format!("rbd{id}"));
        let is = |file: &str, wanted: u64, words: &'static str| {
            let found = sysfs::number(&block.join(file))?;
            if found == wanted {
                return Ok(());
            }
            let what = block.display().to_string();
            Err(AttachError::NotAsAsked { what, found: format!("{file} {found}"), wanted: words })
        };
        is("queue/logical_block_size", LOGICAL_BLOCK.into(), "blocks of 512 bytes")?;
        is("ro", read_only.into(), if read_only { "read-only" } else { "writable" })?;
        let node = self.node(id);
        let found = std::fs::metadata(&node).map_err(at(&node))?;
        let (major, minor) = (rustix::fs::major(found.rdev()), rustix::fs::minor(found.rdev()));
        let said = sysfs::read(&block.join("dev"))?;
        if !found.file_type().is_block_device() || said != format!("{major}:{minor}") {
            let (what, found) = (node.display().to_string(), format!("{major}:{minor}"));
            return Err(AttachError::NotAsAsked { what, found, wanted: "the mapped device" });
        }
        self.client_addr(id)
    }

    fn unmap(&self, id: u32, force: bool) -> Result<(), AttachError> {
        let words = if force { format!("{id} force") } else { id.to_string() };
        let what = format!("unmap rbd{id}");
        match self.say(&["remove_single_major", "remove"], &words, what) {
            Err(AttachError::System { what, source })
                if source.raw_os_error() == Some(Errno::BUSY.raw_os_error()) =>
            {
                Err(AttachError::Busy { what, reason: "mounted, or held by another" })
            }
            // It is gone.
            Err(AttachError::System { source, .. })
                if source.raw_os_error() == Some(Errno::NOENT.raw_os_error()) =>
            {
                Ok(())
            }
            result => result,
        }
    }

    /// Writes a line to the first of these files that is there.
    fn say(&self, files: &[&str], line: &str, what: String) -> Result<(), AttachError> {
        let all: Vec<PathBuf> = files.iter().map(|file| self.bus.join(file)).collect();
        let Some(path) = all.iter().find(|path| path.exists()) else {
            let what = format!("{}: none of {}", self.bus.display(), files.join(", "));
            return Err(AttachError::Missing { what, remedy: "load the kernel's module rbd" });
        };
        let mut file = OpenOptions::new().write(true).open(path).map_err(at(path))?;
        // In one call: the kernel takes each write for a request.
        let written = file.write(line.as_bytes()).map_err(during(what.clone()))?;
        if written == line.len() {
            return Ok(());
        }
        let found = format!("{written} bytes of {} taken", line.len());
        Err(AttachError::NotAsAsked { what, found, wanted: "the whole line" })
    }
}

/// An image mapped by the kernel.
#[derive(Debug, Clone)]
pub struct KernelDevice {
    kernel: Kernel,
    id: u32,
    client: ClientAddr,
    path: PathBuf,
}

impl KernelDevice {
    /// The number in its name.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The client that does its I/O, as it is fenced. It stays dead once it was.
    pub fn client(&self) -> ClientAddr {
        self.client
    }

    /// Takes the device away whoever uses it; their I/O is an error from then on.
    pub fn detach_by_force(&self) -> Result<(), AttachError> {
        self.kernel.unmap(self.id, true)
    }
}

impl Device for KernelDevice {
    fn way(&self) -> Way {
        Way::KernelRbd
    }

    fn path(&self) -> &Path {
        &self.path
    }

    async fn grow(&self) -> Result<u64, AttachError> {
        let (kernel, id) = (self.kernel.clone(), self.id);
        crate::blocking(move || {
            let refresh = kernel.attribute(id, "refresh");
            std::fs::write(&refresh, "1").map_err(at(&refresh))?;
            sysfs::number(&kernel.attribute(id, "size"))
        })
        .await
    }

    async fn detach(&self) -> Result<(), AttachError> {
        let (kernel, id) = (self.kernel.clone(), self.id);
        crate::blocking(move || kernel.unmap(id, false)).await
    }
}

/// Holds a lock for as long as the file is open.
fn lock(path: &Path) -> Result<File, AttachError> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).open(path).map_err(at(path))?;
    flock(&file, FlockOperation::LockExclusive).map_err(at(path))?;
    Ok(file)
}

fn load_module() -> Result<(), AttachError> {
    let remedy = "install the kernel's extra modules, or attach by fuse-loop";
    let missing = |what: String| AttachError::Missing { what, remedy };
    if crate::node::survey()?.krbd == KernelRbd::Absent {
        return Err(missing("this kernel has no module rbd".into()));
    }
    let output = Command::new("modprobe")
        // All devices by one number, and under the names that are written to above.
        .args(["rbd", "single_major=Y"])
        .output()
        .map_err(|error| missing(format!("modprobe: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(missing(format!("modprobe rbd: {said}")))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;

    /// A folder that looks like sysfs where nothing answers: what is written can be read.
    fn still_life(add: &str) -> (tempfile::TempDir, Kernel, StateFolder) {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir_all(path("bus/devices")).unwrap();
        for file in [add, "remove_single_major"] {
            fs::write(path("bus").join(file), "").unwrap();
        }
        let kernel = Kernel::at(path("bus"), path("block"), path("dev")).unwrap();
        let state = StateFolder::open(&path("state")).unwrap();
        (dir, kernel, state)
    }

    fn device(kernel: &Kernel, id: u32) {
        for (name, text) in [
            ("pool", "rbd\n"),
            ("pool_ns", "\n"),
            ("name", "v\n"),
            ("current_snap", "-\n"),
            ("client_addr", "10.0.0.5:0/77\n"),
        ] {
            let path = kernel.attribute(id, name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    fn request() -> MapRequest {
        MapRequest {
            monitors: vec!["10.0.0.1:3300".parse().unwrap()],
            user: "admin".into(),
            secret: None,
            pool: "rbd".into(),
            namespace: String::new(),
            image: "v".into(),
            snapshot: None,
            read_only: false,
            io_timeout: Duration::from_secs(120),
        }
    }

    #[test]
    fn without_the_module_it_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bus");
        let refused = Kernel::at(path.clone(), path.clone(), path).unwrap_err();
        assert!(matches!(refused, AttachError::Missing { .. }));
        assert!(
            refused.to_string().contains("module rbd is not loaded; modprobe rbd"),
            "{refused}"
        );
    }

    #[test]
    fn the_kernel_hears_the_line_and_no_device_is_made_up() {
        for add in ["add_single_major", "add"] {
            let (_dir, kernel, state) = still_life(add);
            // One that was there before is not taken for the new one.
            device(&kernel, 0);
            let refused = kernel.map(&state, &request()).unwrap_err();
            assert!(refused.to_string().contains("0 new devices"), "{refused}");
            let said = fs::read_to_string(kernel.bus.join(add)).unwrap();
            assert_eq!(said, request().line().unwrap());
        }
    }

    #[test]
    fn a_mapped_device_is_found_with_its_client_and_unmapped() {
        let (_dir, kernel, _state) = still_life("add_single_major");
        assert!(kernel.find(3).unwrap().is_none());
        device(&kernel, 3);
        let found = kernel.find(3).unwrap().unwrap();
        assert_eq!(found.client().to_string(), "10.0.0.5:0/77");
        assert!(kernel.is_of(3, &request()).unwrap());
        assert_eq!(kernel.find_image(&request()).unwrap()[0].id(), 3);
        assert!(!kernel.is_of(3, &MapRequest { image: "w".into(), ..request() }).unwrap());
        let snapshot = Some("s".to_owned());
        assert!(!kernel.is_of(3, &MapRequest { snapshot, ..request() }).unwrap());
        found.detach_by_force().unwrap();
        let said = fs::read_to_string(kernel.bus.join("remove_single_major")).unwrap();
        assert_eq!(said, "3 force");
    }

    #[test]
    fn a_device_without_an_address_to_fence_is_not_handed_out() {
        let (_dir, kernel, _state) = still_life("add_single_major");
        device(&kernel, 1);
        fs::write(kernel.attribute(1, "client_addr"), "10.0.0.5:0/0\n").unwrap();
        assert!(matches!(kernel.find(1), Err(AttachError::NotAsAsked { .. })));
    }
}
