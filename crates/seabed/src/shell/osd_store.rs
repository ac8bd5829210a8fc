//! The store of an OSD on this machine: its device, its RocksDB, its identity; made once, opened
//! each time.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use seabed_blockstore::{BlockStore, MkfsOptions};
use seabed_cluster::{OsdId, Uuid};
use seabed_rados::Conf;
use seabed_rocks::{Limits, RocksKv};
use seabed_storage::ObjectStore;
use seabed_uring::{Device, Wake};

use super::daemon;

/// The block store on RocksDB and io_uring.
pub(crate) type Store = BlockStore<RocksKv, Device>;

/// What the configuration says of an OSD.
pub(crate) struct Setup {
    pub(crate) entity: String,
    pub(crate) id: OsdId,
    pub(crate) fsid: Uuid,
    pub(crate) folder: PathBuf,
    pub(crate) device: PathBuf,
}

impl Setup {
    /// Reads what belongs to `osd.ID`.
    pub(crate) fn read(conf: &Conf, id: i32) -> Result<Self> {
        let entity = format!("osd.{id}");
        let fsid = conf.get(&entity, "fsid").context("fsid is not set")?;
        let device = conf
            .get(&entity, "seabed_device")
            .with_context(|| format!("seabed_device is not set for {entity}"))?;
        Ok(Setup {
            id: OsdId(id),
            fsid: fsid.parse().ok().with_context(|| format!("fsid {fsid:?} is no UUID"))?,
            folder: daemon::data_folder(conf, &entity)?,
            device: device.into(),
            entity,
        })
    }

    /// Makes device file (if there is none), store and superblock. With `size` the device file
    /// belongs to us, and what a preparation left behind that did not come to its end is made anew.
    pub(crate) fn mkfs(&self, size: Option<u64>, sparse: bool) -> Result<()> {
        let ready = daemon::ready_file(&self.folder);
        if ready.exists() {
            bail!("{} holds an OSD already", self.folder.display());
        }
        let records = self.folder.join("db");
        if records.exists() {
            std::fs::remove_dir_all(&records)?;
        }
        std::fs::create_dir_all(&self.folder)?;
        if let Some(size) = size {
            if self.device.exists() {
                std::fs::remove_file(&self.device)?;
            }
            seabed_uring::create(&self.device, size, sparse)?;
        }
        let wake = Wake::new()?;
        let mut kv = self.records(&wake)?;
        let mut device = seabed_uring::open_waking(&self.device, &wake)?;
        let uuid = daemon::fresh_uuid()?;
        let options = MkfsOptions { uuid, fsid: self.fsid, osd: self.id, force: false };
        seabed_blockstore::mkfs(&mut kv, &mut device, &options)?;
        let mut store = BlockStore::open(kv, device, Some(uuid))?;
        let tx = seabed_osd::mkfs(&mut store, self.fsid, self.id, uuid)?;
        while !store.committed()?.contains(&tx) {
            std::thread::sleep(Duration::from_millis(1));
        }
        daemon::write_whole(&ready, &format!("{uuid}\n"))
    }

    /// Whether the kernel says that the disk below turns. A device that it does not know does not.
    pub(crate) fn rotational(&self) -> bool {
        use std::os::unix::fs::{FileTypeExt, MetadataExt};
        let Ok(meta) = std::fs::metadata(&self.device) else { return false };
        let number = if meta.file_type().is_block_device() { meta.rdev() } else { meta.dev() };
        let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
        // A partition has its disk's queue one folder up.
        ["queue/rotational", "../queue/rotational"].iter().any(|file| {
            let path = format!("/sys/dev/block/{major}:{minor}/{file}");
            std::fs::read_to_string(path).is_ok_and(|text| text.trim() == "1")
        })
    }

    fn records(&self, wake: &Wake) -> Result<RocksKv> {
        Ok(RocksKv::open(&self.folder.join("db"), Limits::default(), wake.waker())?)
    }

    /// Opens the store; news of it raise `wake`.
    pub(crate) fn open(&self, wake: &Wake) -> Result<Store> {
        let ready = daemon::ready_file(&self.folder);
        let text = std::fs::read_to_string(&ready).with_context(|| {
            format!("{} holds no OSD: prepare it with --mkfs", self.folder.display())
        })?;
        let uuid = text.trim().parse().ok().with_context(|| ready.display().to_string())?;
        let device = seabed_uring::open_waking(&self.device, wake)?;
        Ok(BlockStore::open(self.records(wake)?, device, Some(uuid))?)
    }
}
