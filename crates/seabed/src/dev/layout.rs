//! What lies where in the folder of a dev cluster, and the flags it remembers.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

/// Ports of an OSD: public, cluster, heartbeat back, heartbeat front.
pub(crate) const PORTS_PER_OSD: u16 = 4;
/// All ports lie below base + 100; the monitor has the base itself, OSDs begin four above.
const FIRST_OSD_PORT: u16 = 4;
const OSDS_MAX: u16 = 24;
const FLAGS_FILE: &str = "dev.json";

/// Flags of `seabed dev up`. What is left out is remembered, or has its default on a new cluster.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Flags {
    /// Number of OSDs [default: 3].
    #[arg(long)]
    pub(crate) osds: Option<u16>,
    /// The monitor's port; all ports lie within base+100 [default: 21000].
    #[arg(long)]
    pub(crate) base_port: Option<u16>,
    /// Size of each OSD's device file: bytes, or a number with K, M, G or T [default: 10G].
    #[arg(long)]
    pub(crate) osd_size: Option<String>,
    /// Replicas of the pool [default: 3].
    #[arg(long)]
    pub(crate) size: Option<u32>,
    /// Replicas that must be up for the pool to serve [default: 2].
    #[arg(long)]
    pub(crate) min_size: Option<u32>,
    /// Name of the pool [default: rbd].
    #[arg(long)]
    pub(crate) pool: Option<String>,
    /// Placement groups of the pool [default: 32].
    #[arg(long)]
    pub(crate) pg_num: Option<u32>,
    /// Do not preallocate the device files.
    #[arg(long)]
    pub(crate) sparse: bool,
}

/// The flags with all gaps filled, as remembered in the folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) fsid: String,
    pub(crate) osds: u16,
    pub(crate) base_port: u16,
    pub(crate) osd_size: u64,
    pub(crate) size: u32,
    pub(crate) min_size: u32,
    pub(crate) pool: String,
    pub(crate) pg_num: u32,
    pub(crate) sparse: bool,
}

impl Settings {
    /// Settings of a new cluster.
    pub(crate) fn new(flags: &Flags, fsid: String) -> Result<Self> {
        let osds = flags.osds.unwrap_or(3);
        let size = flags.size.unwrap_or(3);
        let settings = Self {
            fsid,
            osds,
            base_port: flags.base_port.unwrap_or(21_000),
            osd_size: bytes(flags.osd_size.as_deref().unwrap_or("10G"))?,
            size,
            min_size: flags.min_size.unwrap_or(if size > 1 { size / 2 + size % 2 } else { 1 }),
            pool: flags.pool.clone().unwrap_or_else(|| "rbd".to_owned()),
            pg_num: flags.pg_num.unwrap_or(32),
            sparse: flags.sparse,
        };
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<()> {
        if self.osds == 0 || self.osds > OSDS_MAX {
            bail!("--osds {}: between 1 and {OSDS_MAX}", self.osds);
        }
        if self.base_port < 1024 || self.base_port > u16::MAX - 100 {
            bail!("--base-port {}: between 1024 and {}", self.base_port, u16::MAX - 100);
        }
        if self.size == 0 || self.size > 10 {
            bail!("--size {}: between 1 and 10", self.size);
        }
        if self.size > u32::from(self.osds) {
            bail!("--size {} needs as many OSDs, --osds is {}", self.size, self.osds);
        }
        if self.min_size == 0 || self.min_size > self.size {
            bail!("--min-size {}: between 1 and --size {}", self.min_size, self.size);
        }
        if self.pg_num == 0 || self.pg_num > 65_536 {
            bail!("--pg-num {}: between 1 and 65536", self.pg_num);
        }
        if self.pool.is_empty() || self.pool.contains('/') || self.pool.contains('@') {
            bail!("--pool {:?}: not empty, and without / or @", self.pool);
        }
        const SMALLEST: u64 = 256 << 20;
        if self.osd_size < SMALLEST {
            bail!("--osd-size {}: at least 256M", self.osd_size);
        }
        Ok(())
    }

    /// Refuses flags that contradict what the cluster was made with.
    fn refuse_changes(&self, flags: &Flags) -> Result<()> {
        let size = flags.osd_size.as_deref().map(bytes).transpose()?;
        let differ = |name: &str, given: Option<String>, made: String| match given {
            Some(g) if g != made => bail!(
                "the cluster was made with {name} {made}, not {g}; `seabed dev wipe` starts anew"
            ),
            _ => Ok(()),
        };
        let text = |v: Option<u32>| v.map(|v| v.to_string());
        differ("--osds", flags.osds.map(|v| v.to_string()), self.osds.to_string())?;
        let port = flags.base_port.map(|v| v.to_string());
        differ("--base-port", port, self.base_port.to_string())?;
        differ("--osd-size", size.map(|v| v.to_string()), self.osd_size.to_string())?;
        differ("--size", text(flags.size), self.size.to_string())?;
        differ("--min-size", text(flags.min_size), self.min_size.to_string())?;
        differ("--pool", flags.pool.clone(), self.pool.clone())?;
        differ("--pg-num", text(flags.pg_num), self.pg_num.to_string())
    }
}

/// A number of bytes: digits, then nothing or one of K, M, G, T (powers of 1024; an `iB` or `B` may
/// follow).
fn bytes(text: &str) -> Result<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 =
        text[..end].parse().with_context(|| format!("{text:?} is no number of bytes"))?;
    let unit = text[end..].trim().to_ascii_uppercase();
    let shift = match unit.trim_end_matches('B').trim_end_matches('I') {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => bail!("{text:?}: the unit is one of K, M, G, T"),
    };
    number.checked_mul(1 << shift).with_context(|| format!("{text:?} is too large"))
}

/// A daemon of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Daemon {
    Mon,
    Osd(u16),
}

impl std::fmt::Display for Daemon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Daemon::Mon => f.write_str("mon.a"),
            Daemon::Osd(id) => write!(f, "osd.{id}"),
        }
    }
}

/// The folder and its settings.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    dir: PathBuf,
    pub(crate) settings: Settings,
}

/// Held while a verb changes the cluster; a second `seabed dev` on the folder waits.
pub(crate) struct Lock(#[expect(dead_code, reason = "holds the lock until dropped")] fs::File);

impl Layout {
    /// The cluster that lies in `dir`.
    pub(crate) fn load(dir: &Path) -> Result<Self> {
        let file = dir.join(FLAGS_FILE);
        let text = fs::read_to_string(&file)
            .with_context(|| format!("no dev cluster in {}", dir.display()))?;
        let settings = serde_json::from_str(&text).with_context(|| file.display().to_string())?;
        Ok(Self { dir: dir.to_owned(), settings })
    }

    /// The cluster that lies in `dir`, or a new one described there.
    pub(crate) fn load_or_make(dir: &Path, flags: &Flags, fsid: String) -> Result<Self> {
        if dir.join(FLAGS_FILE).exists() {
            let layout = Self::load(dir)?;
            layout.settings.refuse_changes(flags)?;
            return Ok(layout);
        }
        let layout = Self { dir: dir.to_owned(), settings: Settings::new(flags, fsid)? };
        fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
        layout.refuse_without_room()?;
        let text = serde_json::to_string_pretty(&layout.settings)?;
        write_whole(&dir.join("ceph.conf"), &layout.conf())?;
        write_whole(&dir.join(FLAGS_FILE), &text)?;
        Ok(layout)
    }

    /// Takes the folder's lock.
    pub(crate) fn lock(&self) -> Result<Lock> {
        let file = fs::File::create(self.dir.join("dev.lock"))?;
        rustix::fs::flock(&file, FlockOperation::LockExclusive)?;
        Ok(Lock(file))
    }

    fn refuse_without_room(&self) -> Result<()> {
        if self.settings.sparse {
            return Ok(());
        }
        // What RocksDB, logs and maps beside the devices may take.
        const BESIDE: u64 = 256 << 20;
        let room = rustix::fs::statvfs(&self.dir)?;
        let free = room.f_bavail * room.f_frsize;
        let need = u64::from(self.settings.osds) * (self.settings.osd_size + BESIDE);
        if need > free {
            bail!(
                "no room: {} OSDs of {} bytes need {need} bytes, {} has {free} free \
                 (smaller --osd-size, or --sparse)",
                self.settings.osds,
                self.settings.osd_size,
                self.dir.display()
            );
        }
        Ok(())
    }

    /// All daemons, the monitor first.
    pub(crate) fn daemons(&self) -> impl Iterator<Item = Daemon> + use<> {
        std::iter::once(Daemon::Mon).chain((0..self.settings.osds).map(Daemon::Osd))
    }

    pub(crate) fn conf_path(&self) -> PathBuf {
        self.dir.join("ceph.conf")
    }

    pub(crate) fn pid_path(&self, daemon: Daemon) -> PathBuf {
        self.dir.join(format!("{daemon}.pid"))
    }

    pub(crate) fn log_path(&self, daemon: Daemon) -> PathBuf {
        self.dir.join(format!("{daemon}.log"))
    }

    /// The folder of a daemon's own state (RocksDB).
    pub(crate) fn data_path(&self, daemon: Daemon) -> PathBuf {
        self.dir.join(daemon.to_string())
    }

    pub(crate) fn device_path(&self, id: u16) -> PathBuf {
        self.dir.join(format!("osd.{id}.dev"))
    }

    /// First port of a daemon.
    pub(crate) fn port(&self, daemon: Daemon) -> u16 {
        match daemon {
            Daemon::Mon => self.settings.base_port,
            Daemon::Osd(id) => self.settings.base_port + FIRST_OSD_PORT + id * PORTS_PER_OSD,
        }
    }

    /// The text of `ceph.conf`: enough for stock clients, and what our daemons need.
    fn conf(&self) -> String {
        let Settings { fsid, size, min_size, pg_num, .. } = &self.settings;
        let dir = self.dir.display();
        let mut text = format!(
            "# Written by `seabed dev up`.
[global]
fsid = {fsid}
mon_host = [v2:127.0.0.1:{}]
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
osd_pool_default_size = {size}
osd_pool_default_min_size = {min_size}
osd_pool_default_pg_num = {pg_num}
osd_pool_default_pgp_num = {pg_num}
osd_crush_chooseleaf_type = 0
mon_allow_pool_delete = true
mon_osd_min_down_reporters = 1
osd_heartbeat_interval = 1
osd_heartbeat_grace = 6

[client]
admin_socket =
log_file =

[mon]
mon_data = {dir}/mon.$id
pid_file = {dir}/$name.pid

[osd]
osd_data = {dir}/osd.$id
pid_file = {dir}/$name.pid
",
            self.port(Daemon::Mon)
        );
        for id in 0..self.settings.osds {
            let first = self.port(Daemon::Osd(id));
            text += &format!(
                "
[osd.{id}]
seabed_device = {}
ms_bind_port_min = {first}
ms_bind_port_max = {}
",
                self.device_path(id).display(),
                first + PORTS_PER_OSD - 1
            );
        }
        text
    }

    /// Deletes what `up` and the daemons made, and nothing else.
    pub(crate) fn delete_files(&self) -> Result<()> {
        for daemon in self.daemons() {
            remove_file(&self.pid_path(daemon))?;
            remove_file(&self.log_path(daemon))?;
            let data = self.data_path(daemon);
            if data.exists() {
                fs::remove_dir_all(&data).with_context(|| data.display().to_string())?;
            }
            if let Daemon::Osd(id) = daemon {
                remove_file(&self.device_path(id))?;
            }
        }
        remove_file(&self.conf_path())?;
        remove_file(&self.dir.join(FLAGS_FILE))
    }

    /// Removes the lock file, and the folder if nothing of anybody else's is in it.
    pub(crate) fn delete_folder(&self) -> Result<()> {
        remove_file(&self.dir.join("dev.lock"))?;
        if fs::read_dir(&self.dir)?.next().is_none() {
            fs::remove_dir(&self.dir)?;
        }
        Ok(())
    }
}

fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| path.display().to_string())
        }
        _ => Ok(()),
    }
}

/// Writes beside, syncs and renames: a reader sees the old file or the new one.
fn write_whole(path: &Path, text: &str) -> Result<()> {
    let partial = path.with_extension("partial");
    let mut file = fs::File::create(&partial)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&partial, path).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_with_units() {
        assert_eq!(bytes("10G").unwrap(), 10 << 30);
        assert_eq!(bytes("512MiB").unwrap(), 512 << 20);
        assert_eq!(bytes("4096").unwrap(), 4096);
        assert!(bytes("G").is_err());
        assert!(bytes("1X").is_err());
        assert!(bytes("99999999999T").is_err());
    }

    #[test]
    fn a_cluster_remembers_its_flags_and_refuses_others() {
        let dir = tempfile::tempdir().unwrap();
        let flags = Flags {
            osds: Some(4),
            osd_size: Some("300M".into()),
            sparse: true,
            ..Flags::default()
        };
        let made = Layout::load_or_make(dir.path(), &flags, "f".into()).unwrap();
        let again = Layout::load_or_make(dir.path(), &Flags::default(), "g".into()).unwrap();
        assert_eq!(made.settings, again.settings);
        let other = Flags { osds: Some(5), ..Flags::default() };
        let error = Layout::load_or_make(dir.path(), &other, "h".into()).unwrap_err();
        assert!(error.to_string().contains("--osds 4"), "{error}");
    }

    #[test]
    fn ports_stay_within_a_hundred() {
        let dir = tempfile::tempdir().unwrap();
        let flags = Flags { osds: Some(OSDS_MAX), sparse: true, ..Flags::default() };
        let layout = Layout::load_or_make(dir.path(), &flags, "f".into()).unwrap();
        let last = layout.port(Daemon::Osd(OSDS_MAX - 1)) + PORTS_PER_OSD - 1;
        assert!(last <= layout.settings.base_port + 100);
    }
}
