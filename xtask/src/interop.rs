//! Stock Ceph clients against Seabed and against real Ceph: the same scripts, the same answers.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{
    chroot::{Chroot, Host, Suite},
    filesystem, kernel, machine, migration, process,
    side::Side,
    suite, test,
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Keep the transcripts and the clusters' folders here instead of in a temporary folder.
    #[arg(long)]
    keep: Option<PathBuf>,
    /// The whole of the block tools' script, not its short form.
    #[arg(long)]
    full: bool,
    /// Only these parts.
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Part>,
    /// The block tools of this release of Debian, run in its chroot, instead of this machine's.
    #[arg(long, value_enum)]
    tools: Option<Suite>,
    #[command(flatten)]
    suite: suite::SuiteArgs,
}

/// What is shown to clients, part by part.
#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
pub(crate) enum Part {
    /// `ceph`, `rados`, python3-rados and our own client.
    Objects,
    /// `rbd`, `qemu-img`, fio, `rbd-fuse`, python3-rbd; our own volumes beside stock `rbd`.
    Block,
    /// Volumes moved from real Ceph to Seabed and back.
    Migration,
    /// A file system on an image, written while OSDs die.
    Filesystem,
    /// The Linux kernel's client in a QEMU guest.
    Kernel,
}

impl Part {
    const ALL: [Self; 5] =
        [Self::Objects, Self::Block, Self::Migration, Self::Filesystem, Self::Kernel];
}

/// What a script takes besides conf and pool.
#[derive(PartialEq)]
enum Takes {
    Nothing,
    /// A folder to work in.
    WorkDir,
    /// A folder to work in, and `short` or `full`.
    WorkDirAndForm,
}

/// One script: its label, its interpreter, its file.
struct Script {
    name: &'static str,
    interpreter: &'static str,
    file: &'static str,
    takes: Takes,
}

/// The interpreter of the bindings is Debian's own, wherever another python3 is first on the PATH.
const DEBIAN_PYTHON: &str = "/usr/bin/python3";

/// The `ceph` commands come first: rates of I/O are fields that only a busy cluster shows. The
/// monitor's conversations come last: they move weights about.
const OBJECTS: &[Script] = &[
    Script {
        name: "ceph",
        interpreter: DEBIAN_PYTHON,
        file: "ceph_shape.py",
        takes: Takes::Nothing,
    },
    Script {
        name: "osd_tell",
        interpreter: DEBIAN_PYTHON,
        file: "osd_tell.py",
        takes: Takes::Nothing,
    },
    Script { name: "rados", interpreter: "bash", file: "rados.sh", takes: Takes::WorkDir },
    Script {
        name: "librados",
        interpreter: DEBIAN_PYTHON,
        file: "librados.py",
        takes: Takes::Nothing,
    },
    Script {
        name: "monitor",
        interpreter: DEBIAN_PYTHON,
        file: "mon_talk.py",
        takes: Takes::Nothing,
    },
];

const BLOCK: &[Script] = &[
    Script { name: "rbd", interpreter: "bash", file: "rbd.sh", takes: Takes::WorkDirAndForm },
    Script { name: "librbd", interpreter: DEBIAN_PYTHON, file: "librbd.py", takes: Takes::Nothing },
];

const SEABED_PORT: u16 = 29_000;
const CEPH_PORT: u16 = 40_900;

pub(crate) fn run(args: &Args) -> Result<()> {
    if let Some(which) = args.suite.suite() {
        return suite::run(which, &args.suite);
    }
    machine::for_testing()?;
    let host = match args.tools {
        Some(release) => Host::Chroot(Chroot::of(release)?),
        None => Host::Here,
    };
    let parts = if args.only.is_empty() { &Part::ALL[..] } else { &args.only };
    let show = Show { parts, full: args.full, tools: host };
    show.run(&test::build_seabed()?, args.keep.as_deref())
}

/// What is shown, and with whose tools.
pub(crate) struct Show<'a> {
    pub(crate) parts: &'a [Part],
    pub(crate) full: bool,
    /// Where the block tools come from.
    pub(crate) tools: Host,
}

impl Show<'_> {
    /// Shows the parts on a fresh cluster of each kind; every part is tried, whatever fails.
    pub(crate) fn run(&self, seabed: &Path, keep: Option<&Path>) -> Result<()> {
        let scratch = test::Scratch::new("interop")?;
        let dir = keep.unwrap_or(scratch.path());
        copy_scripts(dir)?;
        let ours = Side::seabed(seabed, &dir.join("seabed"), SEABED_PORT)?;
        let theirs = Side::ceph(&dir.join("ceph"), CEPH_PORT)?;
        let mut failures = Vec::new();
        let mut note = |part: &str, result: Result<()>| {
            if let Err(error) = result {
                println!("{part}: {error:#}");
                failures.push(part.to_owned());
            }
        };
        for part in Part::ALL.iter().filter(|p| self.parts.contains(p)) {
            match part {
                Part::Objects => {
                    for script in OBJECTS {
                        note(script.name, self.compare(script, &ours, &theirs, dir));
                    }
                    for side in [&ours, &theirs] {
                        note("seabed object", our_client(seabed, &side.conf(), dir));
                    }
                }
                Part::Block => {
                    for side in [&ours, &theirs] {
                        note("preparing block", prepare_block(side));
                    }
                    for script in BLOCK {
                        note(script.name, self.compare(script, &ours, &theirs, dir));
                    }
                    for side in [&ours, &theirs] {
                        note("seabed volume", volumes(seabed, side, dir));
                    }
                }
                Part::Migration => {
                    note("migration to Seabed", migration::play(&theirs, &ours, dir));
                    note("migration to Ceph", migration::play(&ours, &theirs, dir));
                }
                Part::Filesystem => note("filesystem", filesystem::play(&ours, dir)),
                Part::Kernel => note("kernel", kernel::play(&ours, seabed, dir)),
            }
        }
        if !failures.is_empty() {
            bail!("not as with real Ceph: {}", failures.join(", "));
        }
        Ok(())
    }

    /// Runs a script on both clusters; the transcripts must be equal, line by line.
    fn compare(&self, script: &Script, ours: &Side, theirs: &Side, dir: &Path) -> Result<()> {
        let here = self.transcript(script, ours, dir)?;
        let there = self.transcript(script, theirs, dir)?;
        let diff = process::output(
            Command::new("diff")
                .args(["-U2", "--label", "ceph", "--label", "seabed"])
                .args([&there, &here]),
        )?;
        if !diff.status.success() {
            println!("{}", String::from_utf8_lossy(&diff.stdout));
            bail!("answers differ from real Ceph's");
        }
        let lines = fs::read_to_string(&here)?.lines().count();
        println!("{}: {lines} lines of answers, all equal", script.name);
        Ok(())
    }

    fn transcript(&self, script: &Script, side: &Side, dir: &Path) -> Result<PathBuf> {
        let out = dir.join(format!("{}.{}.txt", script.name, side.name()));
        let file = dir.join(script.file);
        let mut command = self.tools.command(script.interpreter);
        command.arg(&file).arg(side.conf()).arg("rbd");
        if script.takes != Takes::Nothing {
            command.arg(dir.join(format!("work-{}-{}", script.name, side.name())));
        }
        if script.takes == Takes::WorkDirAndForm {
            command.arg(if self.full { "full" } else { "short" });
        }
        let done = process::output(&mut command)?;
        fs::write(&out, &done.stdout)?;
        if !done.status.success() {
            bail!(
                "{} on {} ended with {}: {}",
                script.file,
                side.name(),
                done.status,
                String::from_utf8_lossy(&done.stderr)
            );
        }
        if done.stdout.is_empty() {
            bail!("{} on {} printed nothing", script.file, side.name());
        }
        fs::canonicalize(&out).with_context(|| out.display().to_string())
    }
}

/// A chroot shares only the folder worked in: the scripts, and what they have in common, go there.
fn copy_scripts(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir)?;
    for entry in fs::read_dir("xtask/interop")? {
        let path = entry?.path();
        if path.extension().is_some_and(|kind| kind == "py" || kind == "sh") {
            let name = path.file_name().context("a script has no name")?;
            fs::copy(&path, dir.join(name))?;
        }
    }
    Ok(())
}

/// The block tools use two pools. Ceph's clusters still admit clients older than mimic, so that
/// their clones are of format 1 by default; Seabed's are born without these clients.
fn prepare_block(side: &Side) -> Result<()> {
    let since = ["osd", "set-require-min-compat-client", "mimic", "--yes-i-really-mean-it"];
    process::read(&mut side.client("ceph", &since))?;
    process::read(&mut side.client("ceph", &["osd", "pool", "create", "rbd2", "8", "8"]))?;
    let enable = ["osd", "pool", "application", "enable", "rbd2", "rbd"];
    process::read(&mut side.client("ceph", &enable)).map(drop)
}

/// Our image client beside the stock `rbd` of this machine, in a pool of its own.
fn volumes(seabed: &Path, side: &Side, dir: &Path) -> Result<()> {
    const POOL: &str = "volumes";
    process::read(&mut side.client("ceph", &["osd", "pool", "create", POOL, "8", "8"]))?;
    let enable = ["osd", "pool", "application", "enable", POOL, "rbd"];
    process::read(&mut side.client("ceph", &enable))?;
    let work = dir.join(format!("work-volume-{}", side.name()));
    let mut command = Command::new("bash");
    command.arg("xtask/interop/volume.sh").arg(seabed).arg(side.conf()).arg(POOL).arg(work);
    process::run(&mut command)?;
    println!("seabed volume on {}: shares images with stock rbd", side.name());
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
    println!("seabed object on {}: stores, reads, lists and removes", conf.display());
    Ok(())
}
