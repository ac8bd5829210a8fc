//! `cargo xtask compare`: Seabed and real Ceph side by side. Both run at the same time on
//! preallocated device files of one file system; the same fio asks one, then the other, row by row
//! and round by round, so that a noisy machine is noisy to both. What is measured is written into
//! `docs/performance.md` between two marks; the words around them are people's.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{machine, process, side::Side, test};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// How often each side is measured in each row; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only rows whose name contains this.
    #[arg(long, default_value = "")]
    rows: String,
    /// Folder for the clusters: the disk that is measured.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Print the table; leave `docs/performance.md` as it is.
    #[arg(long)]
    print: bool,
}

const SEABED_PORT: u16 = 26_000;
const CEPH_PORT: u16 = 41_000;
const DOCUMENT: &str = "docs/performance.md";
const MARKS: [&str; 2] = ["<!-- measured: begin -->", "<!-- measured: end -->"];
/// Every device of every OSD, of both sides.
const DEVICE_BYTES: u64 = 4 << 30;
const IMAGE: &str = "compare";
const OSDS: [u16; 3] = [0, 1, 2];

#[derive(Clone, Copy, PartialEq)]
enum Through {
    /// librados: 64 objects of 4 MiB.
    Rados,
    /// librbd: an image of 1 GiB that was written once; no cache.
    Rbd,
}

/// One line of the table.
struct Row {
    name: &'static str,
    through: Through,
    rw: &'static str,
    bs: &'static str,
    depth: &'static str,
}

const fn row(
    name: &'static str,
    through: Through,
    rw: &'static str,
    bs: &'static str,
    depth: &'static str,
) -> Row {
    Row { name, through, rw, bs, depth }
}

const ROWS: &[Row] = &[
    row("rados 4 KiB write t=1", Through::Rados, "randwrite", "4k", "1"),
    row("rados 4 KiB write t=16", Through::Rados, "randwrite", "4k", "16"),
    row("rados 4 MiB write t=16", Through::Rados, "write", "4M", "16"),
    row("rbd 4 KiB randwrite q1", Through::Rbd, "randwrite", "4k", "1"),
    row("rbd 4 KiB randwrite q32", Through::Rbd, "randwrite", "4k", "32"),
    row("rbd 4 KiB randread q1", Through::Rbd, "randread", "4k", "1"),
    row("rbd 4 KiB randread q32", Through::Rbd, "randread", "4k", "32"),
    row("rbd 1 MiB write q8", Through::Rbd, "write", "1M", "8"),
    row("rbd 1 MiB read q8", Through::Rbd, "read", "1M", "8"),
];

/// What one run of fio showed.
#[derive(Clone, Copy)]
struct Measured {
    per_second: f64,
    operations: f64,
    p50_us: f64,
    p99_us: f64,
    /// CPU of all OSDs together.
    cpu_seconds: f64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    machine::for_testing()?;
    let seabed = test::build_release()?;
    let scratch = test::Scratch::new("compare")?;
    let dir = args.dir.as_deref().unwrap_or(scratch.path());
    let sides = [
        Side::seabed_preallocated(&seabed, &dir.join("seabed"), SEABED_PORT, DEVICE_BYTES)?,
        Side::ceph_preallocated(&dir.join("ceph"), CEPH_PORT, DEVICE_BYTES)?,
    ];
    let bench = Bench { args, dir };
    for side in &sides {
        bench.prepare(side)?;
    }
    let mut table = String::new();
    for row in ROWS.iter().filter(|r| r.name.contains(&args.rows)) {
        let mut results = [Vec::new(), Vec::new()];
        for _ in 0..args.rounds {
            for (side, result) in sides.iter().zip(&mut results) {
                result.push(bench.measure(side, row)?);
            }
        }
        let raw = bench.raw(row)?;
        let memory = sides.iter().map(memory_mib).collect::<Result<Vec<_>>>()?;
        let line = line(row, &results, &memory, &raw);
        print!("{line}");
        table += &line;
    }
    if table.is_empty() {
        bail!("no row of that name");
    }
    if args.print {
        return Ok(());
    }
    write_document(&head(args)?, &table)
}

struct Bench<'a> {
    args: &'a Args,
    dir: &'a Path,
}

impl Bench<'_> {
    /// The image, written once, and a configuration without librbd's cache.
    fn prepare(&self, side: &Side) -> Result<()> {
        let conf = fs::read_to_string(side.conf())?;
        fs::write(self.conf(side), conf + "\n[client]\nrbd_cache = false\n")?;
        process::read(&mut side.client("rbd", &["create", IMAGE, "--size", "1G"]))?;
        let fill = row("", Through::Rbd, "write", "4M", "8");
        self.fio(self.client(side, &fill).args(["--size=1G"]), &fill).map(drop)
    }

    fn conf(&self, side: &Side) -> PathBuf {
        self.dir.join(format!("client-{}.conf", side.name()))
    }

    /// fio against a cluster, as far as all rows are alike.
    fn client(&self, side: &Side, row: &Row) -> Command {
        let mut fio = Command::new("fio");
        fio.env("CEPH_CONF", self.conf(side));
        // The engine first: fio knows an engine's options only after it.
        match row.through {
            Through::Rbd => fio.args(["--ioengine=rbd", &format!("--rbdname={IMAGE}")]),
            Through::Rados => {
                let conf = format!("--conf={}", self.conf(side).display());
                fio.args(["--ioengine=rados", &conf, "--nrfiles=64", "--size=256M"])
            }
        };
        fio.args(["--clientname=admin", "--pool=rbd"]);
        fio
    }

    fn measure(&self, side: &Side, row: &Row) -> Result<Measured> {
        let before = cpu_seconds(side)?;
        let mut fio = self.client(side, row);
        let mut measured = self.fio(self.timed(&mut fio), row)?;
        measured.cpu_seconds = cpu_seconds(side)? - before;
        Ok(measured)
    }

    /// The disk itself, through a preallocated file beside the clusters' devices.
    fn raw(&self, row: &Row) -> Result<Measured> {
        let file = self.dir.join("raw");
        if !file.exists() {
            process::read(Command::new("fallocate").args(["-l", "1G"]).arg(&file))?;
            let fill = [("oflag", "direct"), ("bs", "4M"), ("count", "256"), ("conv", "notrunc")];
            let mut dd = Command::new("dd");
            dd.args(fill.map(|(key, value)| format!("{key}={value}")));
            process::output(dd.arg("if=/dev/zero").arg(format!("of={}", file.display())))?;
        }
        let mut fio = Command::new("fio");
        fio.args(["--ioengine=io_uring", "--direct=1", "--size=1G"]);
        self.fio(self.timed(fio.arg(format!("--filename={}", file.display()))), row)
    }

    fn timed<'c>(&self, fio: &'c mut Command) -> &'c mut Command {
        fio.args(["--time_based", &format!("--runtime={}", self.args.seconds), "--ramp_time=1"])
    }

    fn fio(&self, fio: &mut Command, row: &Row) -> Result<Measured> {
        let told = process::read(
            fio.args(["--name=compare", "--output-format=json", "--randseed=1"])
                .arg(format!("--rw={}", row.rw))
                .arg(format!("--bs={}", row.bs))
                .arg(format!("--iodepth={}", row.depth)),
        )?;
        // fio may say a word before its JSON.
        let json = told.find("\n{").map_or(told.as_str(), |at| &told[at..]);
        let report: Value = serde_json::from_str(json)?;
        let job = &report["jobs"][0];
        if job["error"] != 0 {
            bail!("fio in `{}`: error {}", row.name, job["error"]);
        }
        let done = &job[if row.rw.ends_with("read") { "read" } else { "write" }];
        let number = |pointer: &str| {
            let found = done.pointer(pointer).and_then(Value::as_f64);
            found.with_context(|| format!("fio's report has no {pointer}"))
        };
        Ok(Measured {
            per_second: number("/iops")?,
            operations: number("/total_ios")?,
            p50_us: number("/clat_ns/percentile/50.000000")? / 1e3,
            p99_us: number("/clat_ns/percentile/99.000000")? / 1e3,
            cpu_seconds: 0.0,
        })
    }
}

/// Processor time of the OSDs so far: user and system, of fields 14 and 15 of their stat files.
fn cpu_seconds(side: &Side) -> Result<f64> {
    let hertz: f64 = process::read(Command::new("getconf").arg("CLK_TCK"))?.trim().parse()?;
    let mut ticks = 0.0;
    for osd in OSDS {
        let stat = fs::read_to_string(format!("/proc/{}/stat", side.pid(osd)?))?;
        let after_name = stat.rsplit_once(") ").context("a strange stat file")?.1;
        for field in after_name.split(' ').skip(11).take(2) {
            ticks += field.parse::<f64>()?;
        }
    }
    Ok(ticks / hertz)
}

/// Resident memory of the OSDs, in MiB, on the average.
fn memory_mib(side: &Side) -> Result<f64> {
    let mut kib = 0.0;
    for osd in OSDS {
        let status = fs::read_to_string(format!("/proc/{}/status", side.pid(osd)?))?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).context("no VmRSS")?;
        kib += line.trim().trim_end_matches(" kB").parse::<f64>()?;
    }
    Ok(kib / 1024.0 / OSDS.len() as f64)
}

/// The run in the middle, by operations per second.
fn median(runs: &[Measured]) -> Measured {
    let mut sorted = runs.to_vec();
    sorted.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    sorted[sorted.len() / 2]
}

fn line(row: &Row, results: &[Vec<Measured>; 2], memory: &[f64], raw: &Measured) -> String {
    let mut line = format!("| {} |", row.name);
    let middles = results.each_ref().map(|runs| median(runs));
    for (runs, (middle, memory)) in results.iter().zip(middles.iter().zip(memory)) {
        let operations: f64 = runs.iter().map(|r| r.operations).sum();
        let cpu: f64 = runs.iter().map(|r| r.cpu_seconds).sum();
        let _ = write!(
            line,
            " {:.0} | {:.0} / {:.0} | {:.1} | {memory:.0} |",
            middle.per_second,
            middle.p50_us,
            middle.p99_us,
            cpu / operations * 1e5,
        );
    }
    let _ = writeln!(
        line,
        " {:.2} | {:.0} | {:.0} / {:.0} |",
        middles[0].per_second / middles[1].per_second,
        raw.per_second,
        raw.p50_us,
        raw.p99_us
    );
    line
}

/// What the table is, and where and how it was measured.
fn head(args: &Args) -> Result<String> {
    let cpu = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpu.lines().find_map(|l| l.strip_prefix("model name")).unwrap_or("unknown");
    let ceph = process::read(Command::new("ceph-osd").arg("--version"))?;
    let commit = process::read(Command::new("git").args(["rev-parse", "--short", "HEAD"]))?;
    let day = process::read(Command::new("date").args(["-u", "+%Y-%m-%d"]))?;
    Ok(format!(
        "Measured {} at commit {} by `cargo xtask compare --seconds {} --rounds {}`: {} processors \
         ({}), {}; three OSDs of {} GiB and three replicas each. CPU is that of all OSDs for \
         100,000 operations, in seconds; memory is an OSD's, in MiB; p50 and p99 in microseconds; \
         the ratio is Seabed's operations per second to Ceph's.\n\n\
         | | Seabed op/s | p50 / p99 | CPU | RSS | Ceph op/s | p50 / p99 | CPU | RSS | ratio | \
         raw disk op/s | p50 / p99 |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|\n",
        day.trim(),
        commit.trim(),
        args.seconds,
        args.rounds,
        std::thread::available_parallelism()?,
        model.trim_start_matches([':', '\t', ' ']),
        ceph.split('(').next().unwrap_or_default().trim(),
        DEVICE_BYTES >> 30
    ))
}

/// Puts the table between the marks.
fn write_document(head: &str, table: &str) -> Result<()> {
    let text = fs::read_to_string(DOCUMENT)?;
    let (before, rest) = text.split_once(MARKS[0]).context("performance.md has no first mark")?;
    let (_, after) = rest.split_once(MARKS[1]).context("performance.md has no last mark")?;
    let new = format!("{before}{}\n{head}{table}{}{after}", MARKS[0], MARKS[1]);
    fs::write(DOCUMENT, new).context(DOCUMENT)
}
