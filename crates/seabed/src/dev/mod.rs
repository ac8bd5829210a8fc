//! `seabed dev`: a cluster on one machine. One monitor and N OSDs as separate processes on
//! 127.0.0.1.
//!
//! Everything lies in one folder. The names of the verbs, flags and files are a contract with other
//! people's scripts: `ceph.conf`, `mon.a.pid`, `osd.N.pid`, `osd.N.dev`.

mod layout;
mod process;
mod settings;
mod settled;
mod status;
mod up;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Subcommand;

use layout::{Layout, Lock};
pub(crate) use settings::Flags;

/// Verbs of `seabed dev`.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Start the cluster (or what of it is dead) and wait until all PGs are active+clean.
    Up {
        #[command(flatten)]
        dir: Dir,
        #[command(flatten)]
        flags: Flags,
    },
    /// Stop all daemons; the data stays.
    Down {
        #[command(flatten)]
        dir: Dir,
    },
    /// Show daemons, ports, pools and the state of the PGs.
    Status {
        #[command(flatten)]
        dir: Dir,
    },
    /// Stop all daemons and delete everything that `up` made.
    Wipe {
        #[command(flatten)]
        dir: Dir,
    },
}

/// The cluster's folder.
#[derive(clap::Args)]
pub(crate) struct Dir {
    /// Folder that holds the cluster.
    #[arg(long)]
    dir: PathBuf,
}

/// How long `down` and `wipe` wait for an `up` that is at work, which itself ends after 120 s.
const LOCK_PATIENCE: Duration = Duration::from_secs(130);

/// Runs one verb.
pub(crate) async fn run(verb: Verb) -> Result<()> {
    match verb {
        Verb::Up { dir, flags } => up::run(&absolute(&dir.dir)?, &flags).await,
        Verb::Down { dir } => {
            let layout = Layout::load(&absolute(&dir.dir)?)?;
            let _lock = Lock::take(layout.dir(), Instant::now() + LOCK_PATIENCE).await?;
            process::stop_all(&layout).await
        }
        Verb::Status { dir } => status::run(&Layout::load(&absolute(&dir.dir)?)?).await,
        Verb::Wipe { dir } => wipe(&absolute(&dir.dir)?).await,
    }
}

/// Where no cluster is, there is nothing to do.
async fn wipe(dir: &Path) -> Result<()> {
    if !Layout::exists(dir) {
        return Ok(());
    }
    let lock = Lock::take(dir, Instant::now() + LOCK_PATIENCE).await?;
    if Layout::exists(dir) {
        let layout = Layout::load(dir)?;
        process::stop_all(&layout).await?;
        layout.delete_files()?;
    }
    let result = layout::delete_folder(dir);
    drop(lock);
    result
}

/// The folder as an absolute path (daemons change their working directory), and the same one
/// however it was called: daemons are known by it.
fn absolute(dir: &Path) -> Result<PathBuf> {
    if dir.as_os_str().is_empty() {
        bail!("--dir is empty");
    }
    let path = if dir.exists() { dir.canonicalize() } else { std::path::absolute(dir) };
    path.with_context(|| format!("the folder {}", dir.display()))
}
