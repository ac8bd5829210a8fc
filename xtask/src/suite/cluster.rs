//! A cluster for programs: Seabed's or real Ceph's, both with what the suites want of one, and
//! what became of its daemons.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use super::results::Side;
use crate::{
    chroot::{Chroot, Host, Suite},
    oracle::{Oracle, Plan},
    process,
    test::DevCluster,
};

/// First ports of Seabed and of real Ceph: both suites may run at once, on either side.
const fn ports(suite: Suite) -> (u16, u16) {
    match suite {
        Suite::Trixie => (21_900, 41_900),
        Suite::Sid => (22_300, 42_300),
    }
}

/// As upstream's own runs of these programs configure Ceph: every class may be called, pools may be
/// deleted and be of one replica, and many PGs share few OSDs. Clients are many: none of them may
/// ask for the same admin socket. The classic op queue spares the OSDs a bench at every start.
const CEPH_CONFIG: &str = "\
osd_class_load_list = *
osd_class_default_list = *
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 10000
mon_warn_on_pool_no_app = false
osd_op_queue = wpq
[client]
admin_socket =
log_file =
";

/// Of the above what a `seabed dev` cluster does not have by itself.
const SEABED_OPTIONS: &[[&str; 2]] = &[["mon_max_pg_per_osd", "10000"]];

const OSDS: [&str; 3] = ["0", "1", "2"];

enum Daemons {
    Seabed(DevCluster),
    Ceph(Oracle),
}

/// A running cluster; killed when dropped.
pub(crate) struct Cluster {
    daemons: Daemons,
    dir: PathBuf,
}

impl Cluster {
    /// A fresh cluster in `dir`. `seabed` is the binary.
    pub(crate) fn up(
        side: Side,
        suite: Suite,
        chroot: &Chroot,
        seabed: &Path,
        dir: &Path,
    ) -> Result<Self> {
        let daemons = match side {
            Side::Seabed => {
                let more = ["--sparse", "--osd-size", "20G"];
                let cluster = DevCluster::up(seabed, dir, ports(suite).0, &more)?;
                for words in SEABED_OPTIONS {
                    let mut set = chroot.command("ceph");
                    set.arg("-c").arg(cluster.conf()).args(["config", "set", "mon"]).args(*words);
                    process::read(&mut set)?;
                }
                Daemons::Seabed(cluster)
            }
            Side::Ceph => Daemons::Ceph(Oracle::start_as(
                dir,
                ports(suite).1,
                &Plan {
                    host: Host::Chroot(chroot.clone()),
                    mon_release: suite.mon_release(),
                    config: CEPH_CONFIG,
                },
            )?),
        };
        Ok(Self { daemons, dir: dir.to_owned() })
    }

    pub(crate) fn conf(&self) -> PathBuf {
        self.dir.join("ceph.conf")
    }

    /// Kills an OSD with -9; `index` counts on.
    pub(crate) fn kill_osd(&self, index: usize) -> Result<()> {
        let file = self.dir.join(format!("osd.{}.pid", OSDS[index % OSDS.len()]));
        let pid = fs::read_to_string(file)?;
        process::read(Command::new("kill").args(["-9", pid.trim()])).map(drop)
    }

    /// Starts the OSDs that are dead; their names.
    pub(crate) fn revive(&self) -> Result<Vec<String>> {
        let dead = self.dead()?;
        match &self.daemons {
            Daemons::Seabed(cluster) if !dead.is_empty() => {
                process::read(&mut cluster.dev("up"))?;
            }
            Daemons::Seabed(_) => {}
            Daemons::Ceph(oracle) => {
                for daemon in &dead {
                    if let Some(id) = daemon.strip_prefix("osd.") {
                        oracle.start_osd(id)?;
                    }
                }
            }
        }
        Ok(dead)
    }

    /// Daemons that wrote a pid file and do not run.
    fn dead(&self) -> Result<Vec<String>> {
        let mut dead = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned());
            let Some(daemon) = name.as_deref().and_then(|n| n.strip_suffix(".pid")) else {
                continue;
            };
            let pid = fs::read_to_string(&path)?;
            if !runs(pid.trim()) {
                dead.push(daemon.to_owned());
            }
        }
        dead.sort();
        Ok(dead)
    }

    /// Copies the daemons' logs to where they are kept.
    pub(crate) fn keep_logs(&self, to: &Path) -> Result<()> {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            if let (Some("log"), Some(name)) =
                (path.extension().and_then(|e| e.to_str()), path.file_name())
            {
                fs::copy(&path, to.join(name))?;
            }
        }
        Ok(())
    }
}

/// A zombie does not run.
fn runs(pid: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().starts_with(" Z"))
}
