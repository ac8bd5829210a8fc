//! OSDs killed with -9 under stock clients: `rados bench` and a writer of known data run to their
//! end without an error, and afterwards every acknowledged object is right on every replica, each
//! read by itself from its OSD's stopped store.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    machine, process,
    test::{self, DevCluster, Scratch},
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only the scenario of this name.
    #[arg(long)]
    scenario: Option<String>,
    /// Keep the clusters' folders here.
    #[arg(long)]
    keep: Option<PathBuf>,
}

/// What is done to the cluster while the clients run.
enum Act {
    Kill(&'static [&'static str]),
    /// `seabed dev up`: starts what is dead and waits until all is active+clean.
    Up,
}

struct Scenario {
    name: &'static str,
    acts: &'static [Act],
}

const SCENARIOS: &[Scenario] = &[
    Scenario { name: "one-osd", acts: &[Act::Kill(&["osd.0"]), Act::Up] },
    Scenario {
        name: "two-in-turn",
        acts: &[Act::Kill(&["osd.1"]), Act::Up, Act::Kill(&["osd.2"]), Act::Up],
    },
    Scenario {
        name: "two-at-once",
        acts: &[Act::Kill(&["osd.2"]), Act::Kill(&["osd.0"]), Act::Up],
    },
    Scenario { name: "all", acts: &[Act::Kill(&["osd.0", "osd.1", "osd.2"]), Act::Up] },
];

const PORT: u16 = 27_000;
/// How long the clients run, and the time between two acts.
const CLIENT_SECONDS: u64 = 20;
const BETWEEN: Duration = Duration::from_secs(3);
/// A client that has not ended by then hangs.
const PATIENCE: Duration = Duration::from_secs(180);

pub(crate) fn run(args: &Args) -> Result<()> {
    machine::for_testing()?;
    let seabed = test::build_seabed()?;
    play_all(&seabed, args.scenario.as_deref(), args.keep.as_deref())
}

/// Plays every scenario (or the named one).
pub(crate) fn play_all(seabed: &Path, only: Option<&str>, keep: Option<&Path>) -> Result<()> {
    let scratch = Scratch::new("faults")?;
    let dir = keep.unwrap_or(scratch.path());
    let mut played = 0;
    for scenario in SCENARIOS.iter().filter(|s| only.is_none_or(|o| o == s.name)) {
        play(seabed, scenario, &dir.join(scenario.name))
            .with_context(|| format!("scenario {}", scenario.name))?;
        played += 1;
    }
    if played == 0 {
        bail!("no scenario of that name");
    }
    Ok(())
}

fn play(seabed: &Path, scenario: &Scenario, dir: &Path) -> Result<()> {
    let start = Instant::now();
    let cluster = DevCluster::up(seabed, dir, PORT, &["--osd-size", "2G", "--sparse"])?;
    let conf = cluster.conf();
    let seconds = CLIENT_SECONDS.to_string();
    let bench = Client::start(
        dir,
        "bench",
        Command::new("rados").arg("-c").arg(&conf).args([
            "-p",
            "rbd",
            "bench",
            &seconds,
            "write",
            "-b",
            "65536",
            "-t",
            "8",
            "--no-cleanup",
        ]),
    )?;
    let writer = Client::start(
        dir,
        "writer",
        Command::new("/usr/bin/python3")
            .arg("xtask/interop/writer.py")
            .arg(&conf)
            .args(["rbd", &seconds, "known-"]),
    )?;
    for act in scenario.acts {
        std::thread::sleep(BETWEEN);
        match act {
            Act::Kill(daemons) => {
                for daemon in *daemons {
                    process::run(Command::new("kill").args(["-9", &cluster.pid(daemon)?]))?;
                }
            }
            Act::Up => process::run(&mut cluster.dev("up"))?,
        }
    }
    bench.finish()?;
    let acknowledged = acknowledged(&writer.finish()?)?;
    process::run(&mut cluster.dev("up"))?;
    process::run(&mut cluster.dev("down"))?;
    let stored = check_replicas(seabed, &conf, &acknowledged)?;
    println!(
        "{}: {} acknowledged objects of the writer and {} objects in all, right and equal on 3 \
         replicas ({:.0} s)",
        scenario.name,
        acknowledged.len(),
        stored,
        start.elapsed().as_secs_f64()
    );
    Ok(())
}

/// A client in the background, its output in files.
struct Client {
    name: &'static str,
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Client {
    fn start(dir: &Path, name: &'static str, command: &mut Command) -> Result<Self> {
        let out = dir.join(format!("{name}.out"));
        let err = dir.join(format!("{name}.err"));
        let child = command
            .stdin(Stdio::null())
            .stdout(fs::File::create(&out)?)
            .stderr(fs::File::create(&err)?)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        Ok(Self { name, child, out, err })
    }

    /// Waits for its end; returns what it printed.
    fn finish(mut self) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if Instant::now() > deadline {
                self.child.kill()?;
                self.child.wait()?;
                bail!("{} hangs", self.name);
            }
            std::thread::sleep(Duration::from_millis(100));
        };
        let err = fs::read_to_string(&self.err)?;
        if !status.success() || err.contains("error") {
            bail!("{} ended with {status}: {err}", self.name);
        }
        Ok(fs::read_to_string(&self.out)?)
    }
}

/// Name to sha256.
fn acknowledged(lines: &str) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for line in lines.lines() {
        let value: Value = serde_json::from_str(line)?;
        let text = |key: &str| value[key].as_str().map(str::to_owned);
        let name = text("name").context("a line without name")?;
        found.insert(name, text("sha256").context("a line without sha256")?);
    }
    if found.is_empty() {
        bail!("the writer had nothing acknowledged");
    }
    Ok(found)
}

/// Lists every OSD's store by itself; compares all of them with each other and with what was
/// acknowledged. Returns the number of objects.
fn check_replicas(
    seabed: &Path,
    conf: &Path,
    acknowledged: &BTreeMap<String, String>,
) -> Result<usize> {
    let mut replicas: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for id in ["0", "1", "2"] {
        let mut list = Command::new(seabed);
        list.args(["store", "list", "--id", id, "--conf"]).arg(conf);
        for line in process::read(&mut list)?.lines() {
            let object: Value = serde_json::from_str(line)?;
            let name = object["name"].as_str().context("an object without name")?.to_owned();
            replicas.entry(name).or_default().push(object);
        }
        let mut fsck = Command::new(seabed);
        fsck.args(["store", "fsck", "--id", id, "--conf"]).arg(conf);
        process::read(&mut fsck).with_context(|| format!("fsck of osd.{id}"))?;
    }
    for (name, copies) in &replicas {
        if copies.len() != 3 {
            bail!("{name} has {} copies", copies.len());
        }
        if copies.iter().any(|c| c != &copies[0]) {
            bail!("the copies of {name} differ: {copies:#?}");
        }
    }
    for (name, sha256) in acknowledged {
        let copies = replicas.get(name).with_context(|| format!("{name} is lost"))?;
        if copies[0]["sha256"].as_str() != Some(sha256) {
            bail!("{name} is not what was acknowledged last");
        }
    }
    Ok(replicas.len())
}
