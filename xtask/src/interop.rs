//! Stock Ceph clients against Seabed and against real Ceph: the same scripts, the same answers.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{machine, oracle::Oracle, process, suite, test};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Keep the transcripts and the clusters' folders here instead of in a temporary folder.
    #[arg(long)]
    keep: Option<PathBuf>,
    #[command(flatten)]
    suite: suite::SuiteArgs,
}

/// One script: its label, its interpreter, its file and what it takes besides conf and pool.
struct Script {
    name: &'static str,
    interpreter: &'static str,
    file: &'static str,
    takes_work_dir: bool,
}

/// The interpreter of the bindings is Debian's own, wherever another python3 is first on the PATH.
const DEBIAN_PYTHON: &str = "/usr/bin/python3";

/// The `ceph` commands come first: rates of I/O are fields that only a busy cluster shows.
const SCRIPTS: &[Script] = &[
    Script {
        name: "ceph",
        interpreter: DEBIAN_PYTHON,
        file: "ceph_shape.py",
        takes_work_dir: false,
    },
    Script { name: "rados", interpreter: "bash", file: "rados.sh", takes_work_dir: true },
    Script {
        name: "librados",
        interpreter: DEBIAN_PYTHON,
        file: "librados.py",
        takes_work_dir: false,
    },
];

const SEABED_PORT: u16 = 29_000;
const CEPH_PORT: u16 = 40_900;

pub(crate) fn run(args: &Args) -> Result<()> {
    if let Some(which) = args.suite.suite() {
        return suite::run(which, &args.suite);
    }
    machine::for_testing()?;
    let seabed = test::build_seabed()?;
    compare(&seabed, args.keep.as_deref())
}

/// Runs every script on both clusters and fails on the first transcript that differs.
pub(crate) fn compare(seabed: &Path, keep: Option<&Path>) -> Result<()> {
    let scratch = test::Scratch::new("interop")?;
    let dir = keep.unwrap_or(scratch.path());
    let ours = test::DevCluster::up(seabed, &dir.join("seabed"), SEABED_PORT, &["--sparse"])?;
    let theirs = Oracle::start(&dir.join("ceph"), CEPH_PORT)?;
    let mut differing = Vec::new();
    for script in SCRIPTS {
        let here = transcript(script, &ours.conf(), dir, "seabed")?;
        let there = transcript(script, &theirs.conf(), dir, "ceph")?;
        let diff = process::output(
            Command::new("diff")
                .args(["-U2", "--label", "ceph", "--label", "seabed"])
                .args([&there, &here]),
        )?;
        if diff.status.success() {
            let lines = fs::read_to_string(&here)?.lines().count();
            println!("{}: {lines} lines of answers, all equal", script.name);
        } else {
            println!("{}", String::from_utf8_lossy(&diff.stdout));
            differing.push(script.name);
        }
    }
    for conf in [ours.conf(), theirs.conf()] {
        our_client(seabed, &conf, dir)?;
    }
    println!("seabed object: stores, reads, lists and removes on both clusters");
    if !differing.is_empty() {
        bail!("answers differ from real Ceph's: {}", differing.join(", "));
    }
    Ok(())
}

/// Our own client against a cluster: what it stores comes back, and goes.
fn our_client(seabed: &Path, conf: &Path, dir: &Path) -> Result<()> {
    let object = |words: &[&str]| {
        let mut command = Command::new(seabed);
        command.args(["object", words[0], "-c"]).arg(conf).args(["-p", "rbd"]).args(&words[1..]);
        command
    };
    let (input, output) = (dir.join("object.in"), dir.join("object.out"));
    let data: Vec<u8> = (0..9_000_001u32).map(|i| (i ^ (i >> 9)) as u8).collect();
    fs::write(&input, &data)?;
    let (from, to) = (input.to_string_lossy(), output.to_string_lossy());
    process::run(&mut object(&["put", "ours", &from]))?;
    process::run(&mut object(&["get", "ours", &to]))?;
    if fs::read(&output)? != data {
        bail!("seabed object on {}: what was read is not what was stored", conf.display());
    }
    let stat = process::read(&mut object(&["stat", "ours"]))?;
    let listed = process::read(&mut object(&["ls"]))?;
    if !stat.contains("size 9000001") || listed != "ours\n" {
        bail!("seabed object on {}: stat {stat:?}, ls {listed:?}", conf.display());
    }
    process::run(&mut object(&["rm", "ours"]))?;
    let gone = process::output(&mut object(&["stat", "ours"]))?;
    if gone.status.success() {
        bail!("seabed object on {}: a removed object is still there", conf.display());
    }
    Ok(())
}

fn transcript(script: &Script, conf: &Path, dir: &Path, side: &str) -> Result<PathBuf> {
    let out = dir.join(format!("{}.{side}.txt", script.name));
    let mut command = Command::new(script.interpreter);
    command.arg(Path::new("xtask/interop").join(script.file)).arg(conf).arg("rbd");
    if script.takes_work_dir {
        command.arg(dir.join(format!("work-{side}")));
    }
    let done = process::output(&mut command)?;
    fs::write(&out, &done.stdout)?;
    if !done.status.success() {
        bail!(
            "{} on {side} ended with {}: {}",
            script.file,
            done.status,
            String::from_utf8_lossy(&done.stderr)
        );
    }
    if done.stdout.is_empty() {
        bail!("{} on {side} printed nothing", script.file);
    }
    fs::canonicalize(&out).with_context(|| out.display().to_string())
}
