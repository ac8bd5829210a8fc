//! `cargo xtask interop --suite trixie|sid`: upstream's own test programs against Seabed, judged by
//! what the same programs say of real Ceph of the same release.

mod cluster;
mod gtest;
mod programs;
mod results;
mod runner;
mod table;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, Result, bail};

use self::{
    cluster::Cluster,
    programs::{EVERYDAY, Everyday, FAMILIES, OUTSIDE, ROWS, Row, named},
    results::{Results, Side, Verdict, Verdicts},
    runner::Bench,
    table::{Reasons, differences, unknown},
};
use crate::{
    chroot::{Chroot, Suite},
    process,
    steps::Ran,
    test,
};

#[derive(clap::Args)]
pub(crate) struct SuiteArgs {
    /// Run the test programs of this Debian release's Ceph instead of the scripts.
    #[arg(long)]
    suite: Option<Suite>,
    /// Only these programs; `PROGRAM:FILTER` for some of its tests (a GoogleTest filter).
    #[arg(long = "program", requires = "suite")]
    programs: Vec<String>,
    /// Run on real Ceph too and keep its results as the reference.
    #[arg(long, requires = "suite")]
    reference: bool,
    /// Run on real Ceph only.
    #[arg(long, requires = "suite")]
    real_only: bool,
    /// Run nothing: write the document anew from what is kept.
    #[arg(long, requires = "suite")]
    table: bool,
    /// Test this binary instead of building one.
    #[arg(long, requires = "suite")]
    seabed: Option<PathBuf>,
}

impl SuiteArgs {
    /// The suite that was asked for.
    pub(crate) fn suite(&self) -> Option<Suite> {
        self.suite
    }
}

/// What `--program` picked.
struct Pick<'a> {
    row: &'static Row,
    filter: Option<&'a str>,
}

/// One side of one run.
struct Run<'a> {
    suite: Suite,
    side: Side,
    chroot: &'a Chroot,
    seabed: &'a Path,
    logs: PathBuf,
    /// Goes on to the next program, unless daemons died under it.
    cluster: Option<Cluster>,
    /// Behind the cluster, which must be gone before its folder is.
    scratch: test::Scratch,
    clusters: usize,
}

pub(crate) fn run(suite: Suite, args: &SuiteArgs) -> Result<()> {
    if args.table {
        return table::write();
    }
    let chroot = Chroot::of(suite)?;
    nothing_forgotten(&chroot)?;
    let picks = pick(&args.programs, &chroot)?;
    let sides: &[Side] = match (args.real_only, args.reference) {
        (true, _) => &[Side::Ceph],
        (false, true) => &[Side::Ceph, Side::Seabed],
        (false, false) => &[Side::Seabed],
    };
    let seabed = match &args.seabed {
        Some(path) => path.clone(),
        None if sides.contains(&Side::Seabed) => test::build_seabed()?,
        None => PathBuf::new(),
    };
    for side in sides {
        let mut run = Run::new(suite, *side, &chroot, &seabed)?;
        for pick in &picks {
            run.keep(pick)?;
        }
        run.retire()?;
    }
    table::write()?;
    judge(suite, &Results::load(Side::Seabed, suite)?, &picks)
}

/// The programs on Seabed, all or the everyday ones, judged by the kept reference. Nothing is kept.
pub(crate) fn show(suite: Suite, full: bool, seabed: &Path) -> Result<Ran> {
    let chroot = match Chroot::of(suite) {
        Ok(chroot) => chroot,
        Err(error) => return Ok(Ran::NotHere(format!("{error:#}"))),
    };
    nothing_forgotten(&chroot)?;
    let picks = if full { pick(&[], &chroot)? } else { everyday(&chroot)? };
    let mut run = Run::new(suite, Side::Seabed, &chroot, seabed)?;
    let mut here = Results::default();
    for pick in &picks {
        here.rows.insert(pick.row.name.to_owned(), run.row(pick)?);
    }
    run.retire()?;
    judge(suite, &here, &picks).map(|()| Ran::Whole)
}

/// The everyday choice; all of it must be there.
fn everyday(chroot: &Chroot) -> Result<Vec<Pick<'static>>> {
    EVERYDAY
        .iter()
        .map(|choice| {
            let (row, filter) = match choice {
                Everyday::Tests(name, filter) => {
                    (named(name).with_context(|| format!("no row {name:?}"))?, Some(*filter))
                }
                Everyday::Fewer(row) => (row, None),
            };
            if !chroot.has(row.program) {
                bail!("this release has no {}", row.program);
            }
            Ok(Pick { row, filter })
        })
        .collect()
}

/// Every program of the demanded families is in the table, or stands there as not run.
fn nothing_forgotten(chroot: &Chroot) -> Result<()> {
    let known = |program: &str| {
        ROWS.iter().any(|r| r.program == program) || OUTSIDE.iter().any(|o| o.0 == program)
    };
    let found = chroot.programs()?;
    let forgotten: Vec<&String> =
        found.iter().filter(|p| FAMILIES.iter().any(|f| p.starts_with(f)) && !known(p)).collect();
    if !forgotten.is_empty() {
        bail!("programs that no row runs: {forgotten:?}");
    }
    Ok(())
}

fn pick<'a>(only: &'a [String], chroot: &Chroot) -> Result<Vec<Pick<'a>>> {
    let present = || ROWS.iter().filter(|r| chroot.has(r.program));
    if only.is_empty() {
        return Ok(present().map(|row| Pick { row, filter: None }).collect());
    }
    only.iter()
        .map(|text| {
            let (name, filter) = match text.split_once(':') {
                Some((name, filter)) => (name, Some(filter)),
                None => (text.as_str(), None),
            };
            let row = present()
                .find(|r| r.name == name)
                .with_context(|| format!("this release has no program {name:?} in the table"))?;
            Ok(Pick { row, filter })
        })
        .collect()
}

impl<'a> Run<'a> {
    fn new(suite: Suite, side: Side, chroot: &'a Chroot, seabed: &'a Path) -> Result<Self> {
        let logs = process::target_dir().join("suites").join(suite.name()).join(side.name());
        fs::create_dir_all(&logs)?;
        let scratch = test::Scratch::new("suite")?;
        Ok(Self { suite, side, chroot, seabed, logs, cluster: None, scratch, clusters: 0 })
    }

    /// Runs a row.
    fn row(&mut self, pick: &Pick<'_>) -> Result<Verdicts> {
        let start = Instant::now();
        println!("{} on {} ({})", pick.row.name, self.side.name(), self.suite.name());
        let verdicts = self.verdicts(pick).with_context(|| pick.row.name)?;
        let passed = verdicts.values().filter(|v| **v == Verdict::Passed).count();
        println!(
            "    {passed} of {} passed in {:.0} s",
            verdicts.len(),
            start.elapsed().as_secs_f64()
        );
        Ok(verdicts)
    }

    /// Runs a row and keeps what came of it.
    fn keep(&mut self, pick: &Pick<'_>) -> Result<()> {
        let verdicts = self.row(pick)?;
        // Loaded late: another run may have written meanwhile.
        let mut results = Results::load(self.side, self.suite)?;
        let kept = results.rows.entry(pick.row.name.to_owned()).or_default();
        if pick.filter.is_none() {
            kept.clear();
        }
        kept.extend(verdicts);
        results.save(self.side, self.suite)
    }

    fn verdicts(&mut self, pick: &Pick<'_>) -> Result<Verdicts> {
        if self.cluster.is_none() {
            let dir = self.scratch.path().join(format!("cluster{}", self.clusters));
            self.clusters += 1;
            self.cluster =
                Some(Cluster::up(self.side, self.suite, self.chroot, self.seabed, &dir)?);
        }
        let cluster = self.cluster.as_ref().context("no cluster")?;
        let file: String = pick
            .row
            .name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        let bench = Bench {
            chroot: self.chroot,
            cluster,
            work: &self.scratch.path().join(&file),
            log: &self.logs.join(format!("{file}.log")),
        };
        let verdicts = bench.run(pick.row, pick.filter)?;
        if pick.row.killing || verdicts.get(runner::DAEMONS) != Some(&Verdict::Passed) {
            self.retire()?;
        }
        Ok(verdicts)
    }

    /// Ends the cluster, if there is one, and keeps its daemons' logs.
    fn retire(&mut self) -> Result<()> {
        let Some(cluster) = self.cluster.take() else { return Ok(()) };
        cluster.keep_logs(&self.logs.join(format!("cluster{}", self.clusters)))
    }
}

/// Says what differs among the picked rows; fails where no reason is known. `here` holds what was
/// run now, or what is kept of all runs.
fn judge(suite: Suite, here: &Results, picks: &[Pick<'_>]) -> Result<()> {
    let mut there = Results::load(Side::Ceph, suite)?;
    // Of a row that ran in part, that part is judged.
    for pick in picks.iter().filter(|p| p.filter.is_some()) {
        if let (Some(theirs), Some(ours)) =
            (there.rows.get_mut(pick.row.name), here.rows.get(pick.row.name))
        {
            theirs.retain(|test, _| ours.contains_key(test));
        }
    }
    let picked = |row: &str| picks.iter().any(|p| p.row.name == row);
    let mut unexplained = 0;
    for d in differences(&there, here, &Reasons::load()?).iter().filter(|d| picked(d.row)) {
        let reason = d.reason.as_deref().unwrap_or("NOT EXPLAINED");
        println!("{}: {} {} here: {reason}", d.row, d.test, d.here.word());
        unexplained += usize::from(d.reason.is_none());
    }
    for (row, test, verdict) in unknown(&there, here).filter(|u| picked(u.0)) {
        println!("{row}: {test} {} here: NEVER RUN on real Ceph", verdict.word());
        unexplained += 1;
    }
    if unexplained > 0 {
        bail!("{unexplained} tests pass on real Ceph, or were never run there, and fail here");
    }
    Ok(())
}
