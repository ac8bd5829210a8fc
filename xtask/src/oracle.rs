//! A real Ceph cluster on loopback (Debian's packages, auth none, BlueStore on sparse files): the
//! judge of every doubt. `cargo xtask oracle up DIR` starts one of this machine's 16.2, `down DIR`
//! kills it; the suites start one of their chroot's release.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::Subcommand;

use crate::{chroot::Host, machine, process};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Start a monitor, a manager and three OSDs.
    Up {
        /// Folder for everything the cluster writes.
        dir: PathBuf,
        /// The monitor's port.
        #[arg(long, default_value_t = 40900)]
        port: u16,
    },
    /// Kill every daemon of the cluster.
    Down {
        /// The folder given to `up`.
        dir: PathBuf,
    },
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.verb {
        Verb::Up { dir, port } => {
            machine::for_testing()?;
            let cluster = Oracle::start(dir, *port)?;
            println!("{}", cluster.conf().display());
            std::mem::forget(cluster);
            Ok(())
        }
        Verb::Down { dir } => kill(dir),
    }
}

/// How to make a cluster.
pub(crate) struct Plan<'a> {
    /// Whose Ceph.
    pub(crate) host: Host,
    /// The release that the first monitor takes for granted.
    pub(crate) mon_release: &'a str,
    /// More lines of `ceph.conf`.
    pub(crate) config: &'a str,
}

impl Plan<'static> {
    /// This machine's Ceph as it is.
    const PLAIN: Self = Self { host: Host::Here, mon_release: "pacific", config: "" };
}

/// A running real cluster; killed when dropped.
pub(crate) struct Oracle {
    dir: PathBuf,
    host: Host,
}

impl Drop for Oracle {
    fn drop(&mut self) {
        if let Err(error) = kill(&self.dir) {
            eprintln!("killing the real Ceph cluster: {error:#}");
        }
    }
}

impl Oracle {
    /// The path of its `ceph.conf`.
    pub(crate) fn conf(&self) -> PathBuf {
        self.dir.join("ceph.conf")
    }

    /// Makes a fresh cluster with pool `rbd` and waits until its PGs are active+clean.
    pub(crate) fn start(dir: &Path, port: u16) -> Result<Self> {
        Self::start_as(dir, port, &Plan::PLAIN)
    }

    /// The same with more configuration.
    pub(crate) fn start_with(dir: &Path, port: u16, config: &str) -> Result<Self> {
        Self::start_as(dir, port, &Plan { config, ..Plan::PLAIN })
    }

    /// The same of another host's Ceph, or with more configuration.
    pub(crate) fn start_as(dir: &Path, port: u16, plan: &Plan<'_>) -> Result<Self> {
        if dir.join("ceph.conf").exists() {
            bail!("{} holds a cluster already", dir.display());
        }
        fs::create_dir_all(dir)?;
        let fsid = fs::read_to_string("/proc/sys/kernel/random/uuid")?.trim().to_owned();
        fs::write(dir.join("ceph.conf"), config(dir, port, &fsid) + plan.config)?;
        fs::write(dir.join("keyring"), "")?;
        let cluster = Self { dir: dir.to_owned(), host: plan.host.clone() };
        cluster.monitor(port, &fsid, plan.mon_release)?;
        fs::create_dir_all(dir.join("mgr.x"))?;
        process::read(&mut cluster.daemon("ceph-mgr", "x"))?;
        for id in ["0", "1", "2"] {
            cluster.osd(id)?;
        }
        for words in ["osd pool create rbd 32 32", "osd pool application enable rbd rbd"] {
            cluster.ceph(words)?;
        }
        cluster.wait_clean(Duration::from_secs(120))?;
        Ok(cluster)
    }

    fn daemon(&self, program: &str, id: &str) -> Command {
        let mut command = self.host.command(program);
        command.arg("-c").arg(self.conf()).args(["-i", id]);
        command
    }

    fn monitor(&self, port: u16, fsid: &str, release: &str) -> Result<()> {
        let monmap = self.dir.join("monmap");
        process::read(
            self.host
                .command("monmaptool")
                .args(["--create", "--fsid", fsid, "--addv", "a"])
                .arg(format!("[v2:127.0.0.1:{port}]"))
                .args(["--set-min-mon-release", release])
                .arg(&monmap),
        )?;
        process::read(self.daemon("ceph-mon", "a").args(["--mkfs", "--monmap"]).arg(&monmap))?;
        process::read(&mut self.daemon("ceph-mon", "a")).map(drop)
    }

    fn osd(&self, id: &str) -> Result<()> {
        fs::create_dir_all(self.dir.join(format!("osd.{id}")))?;
        let uuid = fs::read_to_string("/proc/sys/kernel/random/uuid")?.trim().to_owned();
        self.ceph(&format!("osd new {uuid} {id}"))?;
        process::read(self.daemon("ceph-osd", id).args(["--mkfs", "--osd-uuid", &uuid]))?;
        self.start_osd(id)
    }

    /// Starts an OSD that was made before.
    pub(crate) fn start_osd(&self, id: &str) -> Result<()> {
        process::read(&mut self.daemon("ceph-osd", id)).map(drop)
    }

    /// The pid of a daemon, from its pid file.
    pub(crate) fn pid(&self, daemon: &str) -> Result<String> {
        let pid = fs::read_to_string(self.dir.join(format!("{daemon}.pid")))?;
        Ok(pid.trim().to_owned())
    }

    /// Runs the `ceph` command with these words.
    pub(crate) fn ceph(&self, words: &str) -> Result<String> {
        process::read(
            self.host.command("ceph").arg("-c").arg(self.conf()).args(words.split_whitespace()),
        )
    }

    fn wait_clean(&self, limit: Duration) -> Result<()> {
        let start = Instant::now();
        loop {
            let stat: serde_json::Value = serde_json::from_str(&self.ceph("pg stat -f json")?)?;
            let summary = &stat["pg_summary"];
            let states = summary["num_pg_by_state"].as_array().context("no PG states")?;
            let clean = states.len() == 1 && states[0]["name"] == "active+clean";
            if clean && summary["num_pgs"].as_u64() >= Some(32) {
                return Ok(());
            }
            if start.elapsed() > limit {
                bail!("real Ceph did not become active+clean: {states:?}");
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

fn config(dir: &Path, port: u16, fsid: &str) -> String {
    let dir = dir.display();
    format!(
        "[global]
fsid = {fsid}
mon_host = [v2:127.0.0.1:{port}]
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
run_dir = {dir}
admin_socket = {dir}/$name.asok
log_file = {dir}/$name.log
pid_file = {dir}/$name.pid
keyring = {dir}/keyring
mon_data = {dir}/mon.$id
mgr_data = {dir}/mgr.$id
osd_data = {dir}/osd.$id
osd_pool_default_size = 3
osd_pool_default_min_size = 2
osd_crush_chooseleaf_type = 0
osd_pool_default_pg_autoscale_mode = off
mon_allow_pool_delete = true
mon_data_avail_warn = 1
mon_data_avail_crit = 1
mon_warn_on_insecure_global_id_reclaim_allowed = false
mgr_initial_modules =
osd_objectstore = bluestore
bluestore_block_size = 4294967296
bluestore_block_db_create = false
bluestore_block_wal_create = false
osd_memory_target = 939524096
ms_bind_msgr1 = false
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
"
    )
}

fn kill(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_none_or(|e| e != "pid") {
            continue;
        }
        let pid = fs::read_to_string(&path)?.trim().to_owned();
        // A daemon that is gone already is fine; its pid is not reused within a test.
        let _ = process::output(Command::new("kill").args(["-9", &pid]))?;
    }
    Ok(())
}
