//! The image client under fire: random operations on images beside a model of them
//! (`crates/rbd/examples/model.rs`), while OSDs are killed with -9 and started again; and the
//! examples of the client crates, run.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::test::{self, DevCluster, Scratch};
use crate::{machine, process};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Operations.
    #[arg(long, default_value_t = 10_000)]
    ops: u64,
    /// The seed of a run that is to be seen again; without one it is random, and printed.
    #[arg(long)]
    seed: Option<u64>,
    /// Another cluster's configuration (real Ceph's, say); nothing is killed there.
    #[arg(long)]
    conf: Option<PathBuf>,
    /// The pool.
    #[arg(long, default_value = "rbd")]
    pool: String,
}

const PORT: u16 = 27_200;
/// Between a cluster that is whole and the next kill; and how long an OSD stays dead.
const WHOLE: Duration = Duration::from_secs(3);
const DEAD: Duration = Duration::from_secs(2);
/// Time for one operation, when all goes as slowly as it may: one that hangs is found.
const PATIENCE: Duration = Duration::from_secs(1);

pub(crate) fn run(args: &Args) -> Result<()> {
    machine::for_testing()?;
    match &args.conf {
        Some(conf) => {
            let model = model(conf, &args.pool, args.ops, args.seed)?;
            wait(model, args.ops, || Ok(()))
        }
        None => play(args.ops, args.seed),
    }
}

/// The examples, then the model on a cluster of its own that is hurt meanwhile.
pub(crate) fn play(ops: u64, seed: Option<u64>) -> Result<()> {
    let seabed = test::build_seabed()?;
    let scratch = Scratch::new("images")?;
    let dir = scratch.path().join("cluster");
    let cluster = DevCluster::up(&seabed, &dir, PORT, &["--osd-size", "4G", "--sparse"])?;
    for (package, name) in [("seabed-rados", "objects"), ("seabed-rbd", "image")] {
        let mut example = Command::new(built(package, name)?);
        process::run(example.arg(cluster.conf()).arg("rbd"))?;
    }
    let model = model(&cluster.conf(), "rbd", ops, seed)?;
    let mut killed = 0;
    wait(model, ops, || {
        std::thread::sleep(WHOLE);
        let osd = format!("osd.{}", killed % 3);
        process::run(Command::new("kill").args(["-9", &cluster.pid(&osd)?]))?;
        killed += 1;
        std::thread::sleep(DEAD);
        process::run(&mut cluster.dev("up"))
    })?;
    if killed == 0 {
        bail!("the model ended before an OSD was killed: give it more operations");
    }
    println!("images: {ops} operations over {killed} killed OSDs");
    Ok(())
}

/// Starts the model.
fn model(conf: &Path, pool: &str, ops: u64, seed: Option<u64>) -> Result<Child> {
    let mut command = Command::new(built("seabed-rbd", "model")?);
    command.arg(conf).arg(pool).arg(ops.to_string());
    if let Some(seed) = seed {
        command.arg(seed.to_string());
    }
    command.spawn().context("starting the model")
}

/// Waits for the model; does something to the cluster again and again meanwhile.
fn wait(mut model: Child, ops: u64, mut meanwhile: impl FnMut() -> Result<()>) -> Result<()> {
    let patience = PATIENCE * u32::try_from(ops).unwrap_or(u32::MAX) + Duration::from_secs(60);
    let deadline = Instant::now() + patience;
    let ended = loop {
        if let Some(status) = model.try_wait()? {
            break Ok(status);
        }
        if Instant::now() > deadline {
            break Err(anyhow::anyhow!("the model has not ended after {patience:?}"));
        }
        if let Err(error) = meanwhile() {
            break Err(error);
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => bail!("the model ended with {status}; its seed is above"),
        Err(error) => {
            model.kill()?;
            model.wait()?;
            Err(error)
        }
    }
}

/// Builds an example; returns where it is.
fn built(package: &str, name: &str) -> Result<PathBuf> {
    let mut build = test::cargo("build")?;
    process::run(build.args(["--quiet", "-p", package, "--example", name]))?;
    Ok(process::target_dir().join("debug/examples").join(name))
}
