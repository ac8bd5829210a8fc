//! `cargo xtask demo`: a cluster on file-backed devices, real data through it, an OSD killed and
//! back. It uses nothing of Ceph's: `seabed object` stores and reads.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{
    machine, process,
    test::{DevCluster, Scratch, cargo},
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave the cluster running in this folder at the end.
    #[arg(long)]
    keep: Option<PathBuf>,
}

const PORT: u16 = 28_000;
const OBJECTS: usize = 24;
/// Long enough for peering and recovery on a slow machine, short enough to notice a hang.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn run(args: &Args) -> Result<()> {
    machine::for_building()?;
    println!("building the binary (release)");
    process::run(cargo("build")?.args(["--release", "--package", "seabed", "--bin", "seabed"]))?;
    let seabed = process::target_dir().join("release/seabed");
    match &args.keep {
        Some(dir) => {
            let demo = play(&seabed, dir)?;
            println!("\nthe cluster is left running: {}", demo.conf().display());
            std::mem::forget(demo);
            Ok(())
        }
        None => show(&seabed),
    }
}

/// Plays the demo with this binary in a temporary folder.
pub(crate) fn show(seabed: &Path) -> Result<()> {
    let scratch = Scratch::new("demo")?;
    play(seabed, &scratch.path().join("cluster")).map(drop)
}

struct Play {
    cluster: DevCluster,
    seabed: PathBuf,
    written: BTreeMap<String, String>,
    start: Instant,
}

fn play(seabed: &Path, dir: &Path) -> Result<DevCluster> {
    let start = Instant::now();
    let cluster = DevCluster::up(seabed, dir, PORT, &["--osd-size", "2G", "--sparse"])?;
    let mut play = Play { cluster, seabed: seabed.to_owned(), written: BTreeMap::new(), start };
    play.say("cluster up: one monitor, three OSDs, pool rbd, all placement groups active+clean");
    play.store("before", OBJECTS)?;
    play.say(&format!("{OBJECTS} objects stored, up to 4 MiB each, sha256 noted"));
    play.verify()?;
    play.say("all read back, checksums equal");
    play.kill("osd.1")?;
    play.say("osd.1 killed with -9");
    play.verify()?;
    play.store("during", OBJECTS)?;
    play.say(&format!("all objects still served by two OSDs; {OBJECTS} more stored meanwhile"));
    play.dev("up")?;
    play.say("osd.1 started again and caught up: all placement groups active+clean");
    play.kill("osd.0")?;
    play.verify()?;
    play.say("osd.0 killed instead: every object still reads right, so osd.1 has what it missed");
    play.dev("up")?;
    play.verify()?;
    play.say(&format!("osd.0 back; {} checksums verified", play.written.len()));
    println!("\n{}", process::read(&mut play.cluster.dev("status"))?.trim_end());
    Ok(play.cluster)
}

impl Play {
    fn say(&self, what: &str) {
        println!("[{:6.1} s] {what}", self.start.elapsed().as_secs_f64());
    }

    fn object(&self, verb: &str, words: &[&str]) -> Command {
        let mut command = Command::new(&self.seabed);
        command.args(["object", verb, "-c"]).arg(self.cluster.conf()).args(["-p", "rbd"]);
        command.args(words);
        command
    }

    fn store(&mut self, prefix: &str, count: usize) -> Result<()> {
        for i in 0..count {
            let name = format!("{prefix}-{i}");
            let file = self.cluster.dir().join("demo.in");
            std::fs::write(&file, content(&name, i))?;
            process::run(&mut self.object("put", &[&name, &file.to_string_lossy()]))?;
            self.written.insert(name, sha256(&file)?);
        }
        Ok(())
    }

    fn verify(&self) -> Result<()> {
        let file = self.cluster.dir().join("demo.out");
        for (name, expected) in &self.written {
            process::run(&mut self.object("get", &[name, &file.to_string_lossy()]))?;
            let found = sha256(&file)?;
            if found != *expected {
                bail!("object {name}: sha256 {found}, stored was {expected}");
            }
        }
        Ok(())
    }

    fn kill(&self, daemon: &str) -> Result<()> {
        let pid = self.cluster.pid(daemon)?;
        process::run(Command::new("kill").args(["-9", &pid]))
    }

    /// `seabed dev VERB`; its own time limit is 120 s, ours only guards against a hang.
    fn dev(&self, verb: &str) -> Result<()> {
        let start = Instant::now();
        process::run(&mut self.cluster.dev(verb))?;
        if start.elapsed() > PATIENCE + Duration::from_secs(10) {
            bail!("seabed dev {verb} took {:?}", start.elapsed());
        }
        Ok(())
    }
}

/// Bytes that differ from object to object: a counter stream seeded by the name; 1 byte to 4 MiB.
fn content(name: &str, i: usize) -> Vec<u8> {
    let length = (i * i * 7919 + 1).min(4 << 20);
    let mut state = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    (0..length)
        .map(|_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 56) as u8
        })
        .collect()
}

fn sha256(file: &Path) -> Result<String> {
    let line = process::read(Command::new("sha256sum").arg(file))?;
    line.split_whitespace().next().map(str::to_owned).context("sha256sum printed nothing")
}
