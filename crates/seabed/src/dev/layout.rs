//! What lies where in the folder of a dev cluster.
//!
//! Whoever changes something there holds the folder's lock. `dev.json` is written first and deleted
//! last: while it is there, the folder holds a cluster, whole or not.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::fs::FlockOperation;

use super::settings::{Flags, Settings};
use crate::shell::daemon::{partial, write_whole};

/// Ports of an OSD: public, cluster, heartbeat back, heartbeat front.
pub(crate) const PORTS_PER_OSD: u16 = 4;
/// All ports lie below base + 100; the monitor has the base itself, OSDs begin four above.
const FIRST_OSD_PORT: u16 = 4;
const FLAGS_FILE: &str = "dev.json";
const LOCK_FILE: &str = "dev.lock";
const LOCK_POLL: Duration = Duration::from_millis(50);

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

impl Lock {
    /// Takes the lock of an existing folder, until the deadline.
    pub(crate) async fn take(dir: &Path, deadline: Instant) -> Result<Self> {
        let path = dir.join(LOCK_FILE);
        loop {
            let file = fs::File::create(&path).with_context(|| path.display().to_string())?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                // A `wipe` may have deleted what was locked here.
                Ok(()) if is_same(&file, &path) => return Ok(Lock(file)),
                Ok(()) => continue,
                Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < deadline => {}
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    bail!("another `seabed dev` is at work in {}", dir.display())
                }
                Err(error) => return Err(error).context(path.display().to_string()),
            }
            tokio::time::sleep(LOCK_POLL).await;
        }
    }
}

fn is_same(file: &fs::File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

impl Layout {
    /// The cluster that lies in `dir`.
    pub(crate) fn load(dir: &Path) -> Result<Self> {
        let file = dir.join(FLAGS_FILE);
        let text = fs::read_to_string(&file)
            .with_context(|| format!("no dev cluster in {}", dir.display()))?;
        let settings = serde_json::from_str(&text).with_context(|| file.display().to_string())?;
        Ok(Self { dir: dir.to_owned(), settings })
    }

    /// True if a cluster lies in `dir`.
    pub(crate) fn exists(dir: &Path) -> bool {
        dir.join(FLAGS_FILE).exists()
    }

    /// The cluster that lies in `dir`, or a new one described there. The caller holds the lock.
    pub(crate) fn load_or_make(dir: &Path, flags: &Flags, fsid: String) -> Result<Self> {
        let layout = if Self::exists(dir) {
            let layout = Self::load(dir)?;
            layout.settings.refuse_changes(flags)?;
            layout
        } else {
            let layout = Self { dir: dir.to_owned(), settings: Settings::new(flags, fsid)? };
            layout.refuse_odd_names()?;
            layout.refuse_without_room()?;
            layout.remember()?;
            layout
        };
        // Not when it is right: what people changed in it stays. A folder that was moved has a
        // wrong one.
        let conf = fs::read_to_string(layout.conf_path()).unwrap_or_default();
        if !conf.contains(&layout.data_lines()) {
            layout.refuse_odd_names()?;
            write_whole(&layout.conf_path(), &layout.conf())?;
        }
        Ok(layout)
    }

    fn remember(&self) -> Result<()> {
        write_whole(&self.dir.join(FLAGS_FILE), &serde_json::to_string_pretty(&self.settings)?)
    }

    /// Remembers that the pool was made.
    pub(crate) fn remember_pool(&self) -> Result<()> {
        let mut made = self.clone();
        made.settings.pool_made = true;
        made.remember()
    }

    /// The path stands in `ceph.conf`, where some characters mean something.
    fn refuse_odd_names(&self) -> Result<()> {
        let odd = |c: char| c.is_control() || "\"#;$\\".contains(c);
        match self.dir.to_str() {
            Some(text) if !text.contains(odd) => Ok(()),
            _ => bail!(
                "{:?} cannot stand in a ceph.conf: UTF-8 without \" # ; $ \\ and control \
                 characters can",
                self.dir
            ),
        }
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

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
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
        let (dir, data) = (self.dir.display(), self.data_lines());
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
{data}",
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

    fn data_lines(&self) -> String {
        let dir = self.dir.display();
        format!("osd_data = {dir}/osd.$id\npid_file = {dir}/$name.pid\n")
    }

    /// Deletes what `up` and the daemons made, and nothing else.
    pub(crate) fn delete_files(&self) -> Result<()> {
        for daemon in self.daemons() {
            let pid = self.pid_path(daemon);
            // The name under which a daemon that was killed just then wrote it.
            remove_file(&partial(&pid))?;
            remove_file(&pid)?;
            remove_file(&self.log_path(daemon))?;
            let data = self.data_path(daemon);
            if data.exists() {
                fs::remove_dir_all(&data).with_context(|| data.display().to_string())?;
            }
            if let Daemon::Osd(id) = daemon {
                remove_file(&self.device_path(id))?;
            }
        }
        for path in [self.conf_path(), self.dir.join(FLAGS_FILE)] {
            remove_file(&partial(&path))?;
            remove_file(&path)?;
        }
        Ok(())
    }
}

/// Removes the lock file, and the folder if nothing of anybody else's is in it.
pub(crate) fn delete_folder(dir: &Path) -> Result<()> {
    remove_file(&dir.join(LOCK_FILE))?;
    if fs::read_dir(dir)?.next().is_none() {
        fs::remove_dir(dir)?;
    }
    Ok(())
}

fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| path.display().to_string())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::settings::OSDS_MAX, *};

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

    #[test]
    fn a_changed_conf_stays_and_a_missing_one_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let flags = Flags { sparse: true, ..Flags::default() };
        let layout = Layout::load_or_make(dir.path(), &flags, "f".into()).unwrap();
        let text = fs::read_to_string(layout.conf_path()).unwrap() + "debug = 1\n";
        fs::write(layout.conf_path(), &text).unwrap();
        Layout::load_or_make(dir.path(), &flags, "g".into()).unwrap();
        assert_eq!(fs::read_to_string(layout.conf_path()).unwrap(), text);
        fs::remove_file(layout.conf_path()).unwrap();
        Layout::load_or_make(dir.path(), &flags, "h".into()).unwrap();
        assert!(fs::read_to_string(layout.conf_path()).unwrap().contains("fsid = f\n"));
    }

    #[test]
    fn a_name_that_breaks_the_conf_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let odd = dir.path().join("a#b");
        fs::create_dir(&odd).unwrap();
        let flags = Flags { sparse: true, ..Flags::default() };
        assert!(Layout::load_or_make(&odd, &flags, "f".into()).is_err());
        assert!(!Layout::exists(&odd));
    }
}
