//! `cargo xtask test`: what CI checks, step by step, cheapest first.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, bail};

use crate::{
    chroot::{Chroot, Host, Suite},
    csi, demo, faults, images,
    interop::{Part, Show},
    machine, process, rocksdb,
    steps::{Ran, Steps},
    suite, tidy,
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The long set: more simulator seeds, longer fuzzing.
    #[arg(long)]
    full: bool,
    /// Run only these steps.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

#[derive(clap::Args)]
pub(crate) struct SimArgs {
    /// Arguments of the simulator: `--seed N`, or `--seeds K [--first N]`; see `--help` after `--`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Seeds of the simulator in the everyday run and in the full one.
const SIM_SEEDS: [&str; 2] = ["300", "2000"];
/// Operations on images beside their model, while OSDs are killed.
const IMAGE_OPS: [u64; 2] = [1000, 10_000];
/// Seconds of fuzzing each target in the everyday run and in the full one.
const FUZZ_SECONDS: [&str; 2] = ["3", "60"];

pub(crate) fn run(args: &Args) -> Result<()> {
    let long = usize::from(args.full);
    let mut steps = Steps::new(&args.only);
    steps.run("machine", machine::for_testing)?;
    steps.run("rocksdb", || rocksdb::environment().map(drop))?;
    steps.run("fmt", || process::run(Command::new("cargo").args(["fmt", "--all", "--check"])))?;
    steps.run("tidy", tidy::run)?;
    steps.run("clippy", || {
        process::run(cargo("clippy")?.args([
            "--workspace",
            "--all-targets",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ]))
    })?;
    steps.run("tests", || process::run(cargo("test")?.args(["--workspace", "--quiet"])))?;
    steps.run("sim", || simulate(&["--seeds", SIM_SEEDS[long]]))?;
    steps.run("sim planted bugs", planted)?;
    steps.run("fuzz smoke", || fuzz(FUZZ_SECONDS[long]))?;
    steps.run("interop", || shown(&[Part::Objects], args.full, Host::Here))?;
    steps.run("interop block", || {
        shown(&[Part::Block, Part::Migration, Part::Kernel], args.full, Host::Here)
    })?;
    steps.run_if_possible("file system", || {
        if !machine::is_root()? {
            return Ok(Ran::NotHere("needs root: it mounts".to_owned()));
        }
        shown(&[Part::Filesystem], args.full, Host::Here).map(|()| Ran::Whole)
    })?;
    steps.run_if_possible("csi-sanity", || {
        if !machine::is_root()? {
            return Ok(Ran::NotHere("needs root: it mounts".to_owned()));
        }
        csi::show(&build_seabed()?, None).map(|()| Ran::Whole)
    })?;
    if args.full {
        steps.run("block tools of other releases", || {
            Suite::ALL.into_iter().try_for_each(|release| {
                shown(&[Part::Block], true, Host::Chroot(Chroot::of(release)?))
            })
        })?;
    }
    let releases: &[Suite] = if args.full { &Suite::ALL } else { &[Suite::Trixie] };
    for suite in releases {
        let programs = || suite::show(*suite, args.full, &build_seabed()?);
        steps.run_if_possible(suite.step(), programs)?;
    }
    steps.run("faults", || faults::play_all(&build_seabed()?, None, None))?;
    steps.run("images", || images::play(IMAGE_OPS[long], None))?;
    steps.run("demo", || demo::show(&build_seabed()?))?;
    if !args.full {
        let why = "only with --full: 2000 simulator seeds, a minute a fuzz target, 10,000 \
                   operations on images, all of upstream's programs of two releases";
        steps.skip("long runs", why);
    }
    steps.print();
    Ok(())
}

fn shown(parts: &[Part], full: bool, tools: Host) -> Result<()> {
    Show { parts, full, tools }.run(&build_seabed()?, None)
}

pub(crate) fn sim(args: &SimArgs) -> Result<()> {
    let rest: Vec<&str> = args.rest.iter().map(String::as_str).collect();
    simulate(&rest)
}

/// A `cargo` call that links the cached RocksDB.
pub(crate) fn cargo(verb: &str) -> Result<Command> {
    let mut command = Command::new("cargo");
    command.arg(verb).arg("--locked").envs(rocksdb::environment()?);
    Ok(command)
}

/// Builds the one binary in the profile of the tests and returns its path.
pub(crate) fn build_seabed() -> Result<PathBuf> {
    process::run(cargo("build")?.args(["--quiet", "--package", "seabed", "--bin", "seabed"]))?;
    Ok(process::target_dir().join("debug/seabed"))
}

/// Builds the one binary as it is shipped and returns its path.
pub(crate) fn build_release() -> Result<PathBuf> {
    process::run(cargo("build")?.args([
        "--quiet",
        "--release",
        "--package",
        "seabed",
        "--bin",
        "seabed",
    ]))?;
    Ok(process::target_dir().join("release/seabed"))
}

fn simulate(args: &[&str]) -> Result<()> {
    process::run(
        Command::new("cargo")
            .args(["run", "--locked", "--quiet", "--package", "seabed-sim", "--bin", "sim", "--"])
            .args(args),
    )
}

/// Each planted bug must be found: a simulator that finds none proves nothing.
fn planted() -> Result<()> {
    process::run(Command::new("cargo").args([
        "run",
        "--locked",
        "--quiet",
        "--package",
        "seabed-sim",
        "--features",
        "planted-bugs",
        "--bin",
        "sim",
        "--",
        "--planted",
    ]))
}

fn fuzz(seconds: &str) -> Result<()> {
    process::run(
        Command::new("cargo")
            .args(["run", "--locked", "--quiet", "--manifest-path", "fuzz/Cargo.toml"])
            .args(["--bin", "smoke", "--", "--seconds", seconds])
            .env("CARGO_TARGET_DIR", process::target_dir().join("fuzz")),
    )
}

/// A temporary folder on the disk that holds the target folder; removed at the end.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Result<Self> {
        let dir = std::env::temp_dir().join(format!("seabed-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir)?;
        Ok(Self(dir))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("cannot remove {}: {error}", self.0.display());
        }
    }
}

/// A cluster started by `seabed dev up`; brought down when dropped.
pub(crate) struct DevCluster {
    seabed: PathBuf,
    dir: PathBuf,
}

impl DevCluster {
    pub(crate) fn up(seabed: &Path, dir: &Path, port: u16, more: &[&str]) -> Result<Self> {
        let cluster = Self { seabed: seabed.to_owned(), dir: dir.to_owned() };
        process::run(cluster.dev("up").args(["--base-port", &port.to_string()]).args(more))?;
        Ok(cluster)
    }

    /// `seabed dev VERB --dir DIR`.
    pub(crate) fn dev(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.seabed);
        command.args(["dev", verb, "--dir"]).arg(&self.dir);
        command
    }

    pub(crate) fn conf(&self) -> PathBuf {
        self.dir.join("ceph.conf")
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The pid of a daemon, from its pid file.
    pub(crate) fn pid(&self, daemon: &str) -> Result<String> {
        let pid = fs::read_to_string(self.dir.join(format!("{daemon}.pid")))?;
        match pid.trim().parse::<u32>() {
            Ok(_) => Ok(pid.trim().to_owned()),
            Err(_) => bail!("{daemon}.pid holds {pid:?}"),
        }
    }
}

impl Drop for DevCluster {
    fn drop(&mut self) {
        if let Err(error) = process::run(&mut self.dev("down")) {
            eprintln!("bringing the cluster down: {error:#}");
        }
    }
}
