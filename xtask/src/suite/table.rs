//! `docs/compatibility.md`, made from the kept results of both sides and the table of reasons: the
//! same files always make the same document.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
};

use anyhow::{Context, Result};
use toml::Value;

use super::{
    programs::{OUTSIDE, ROWS, Row},
    results::{Results, Side, Verdict, Verdicts},
};
use crate::chroot::Suite;

const DOCUMENT: &str = "docs/compatibility.md";
const REASONS: &str = "xtask/interop/reasons.toml";

/// Why a test that passes on real Ceph does not pass here.
pub(crate) struct Reasons(Vec<Reason>);

struct Reason {
    row: String,
    /// A whole name, or a beginning with `*`.
    test: String,
    why: String,
}

impl Reasons {
    pub(crate) fn load() -> Result<Self> {
        Self::parse(&fs::read_to_string(REASONS)?).context(REASONS)
    }

    fn parse(text: &str) -> Result<Self> {
        let file: Value = toml::from_str(text)?;
        let list = match file.get("difference") {
            Some(list) => list.as_array().context("difference is no list")?.as_slice(),
            None => &[],
        };
        let mut reasons = Vec::new();
        for entry in list {
            let field = |name: &str| {
                let value = entry.get(name).and_then(Value::as_str);
                value.map(str::to_owned).with_context(|| format!("a difference without {name}"))
            };
            reasons.push(Reason {
                row: field("program")?,
                test: field("test")?,
                why: field("reason")?,
            });
        }
        Ok(Self(reasons))
    }

    fn of(&self, row: &str, test: &str) -> Option<&str> {
        let fits = |pattern: &str, name: &str| match pattern.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == pattern,
        };
        self.0.iter().find(|r| fits(&r.row, row) && fits(&r.test, test)).map(|r| r.why.as_str())
    }
}

/// A test that passes there and not here.
pub(crate) struct Difference {
    pub(crate) row: &'static str,
    pub(crate) test: String,
    pub(crate) here: Verdict,
    pub(crate) reason: Option<String>,
}

/// The differences of the rows that ran on both sides.
pub(crate) fn differences(there: &Results, here: &Results, reasons: &Reasons) -> Vec<Difference> {
    let mut found = Vec::new();
    for row in ROWS {
        let (Some(there), Some(here)) = (there.rows.get(row.name), here.rows.get(row.name)) else {
            continue;
        };
        for (test, verdict) in there {
            let ours = here.get(test).copied().unwrap_or(Verdict::NotReached);
            if *verdict == Verdict::Passed && ours != Verdict::Passed {
                found.push(Difference {
                    row: row.name,
                    test: test.clone(),
                    here: ours,
                    reason: reasons.of(row.name, test).map(str::to_owned),
                });
            }
        }
    }
    found
}

/// Tests that did not pass here (skipping apart) and that real Ceph was never asked.
pub(crate) fn unknown<'a>(
    there: &'a Results,
    here: &'a Results,
) -> impl Iterator<Item = (&'a str, &'a str, Verdict)> {
    let all = here
        .rows
        .iter()
        .flat_map(|(row, tests)| tests.iter().map(|(test, v)| (row.as_str(), test.as_str(), *v)));
    all.filter(|(row, test, verdict)| {
        let asked = there.rows.get(*row).is_some_and(|tests| tests.contains_key(*test));
        !asked && !matches!(verdict, Verdict::Passed | Verdict::Skipped)
    })
}

/// Writes the document anew.
pub(crate) fn write() -> Result<()> {
    fs::write(DOCUMENT, text()?).context(DOCUMENT)
}

const HEAD: &str = "# Compatibility: upstream's own test programs

Written by `cargo xtask interop --suite trixie|sid`; do not edit. The programs of Debian's package
`ceph-test` (trixie: Ceph 18.2, sid: Ceph 20.2), one by one on a cluster of three OSDs: once of real
Ceph of the same release, once of Seabed. What passes there must pass here; each difference has its
reason below. `daemons live` is one test more of every program: no daemon died unasked. A test that
is skipped counts as not passed.
";

fn text() -> Result<String> {
    let reasons = Reasons::load()?;
    let mut out = HEAD.to_owned();
    for suite in Suite::ALL {
        let there = Results::load(Side::Ceph, suite)?;
        let here = Results::load(Side::Seabed, suite)?;
        section(&mut out, suite, &there, &here, &reasons)?;
    }
    outside(&mut out)?;
    Ok(out)
}

fn passed(verdicts: &Verdicts) -> usize {
    verdicts.values().filter(|v| **v == Verdict::Passed).count()
}

fn section(
    out: &mut String,
    suite: Suite,
    there: &Results,
    here: &Results,
    reasons: &Reasons,
) -> Result<()> {
    writeln!(out, "\n## {}\n", suite.title())?;
    writeln!(out, "| program | tests | pass there | pass here | pass there, not here |")?;
    writeln!(out, "|---|---:|---:|---:|---:|")?;
    let found = differences(there, here, reasons);
    let mut sums = [0; 4];
    let shown = |n: Option<usize>| n.map_or("not run".to_owned(), |n| n.to_string());
    let mut one_sided = Vec::new();
    for row in ROWS {
        let (theirs, ours) = (there.rows.get(row.name), here.rows.get(row.name));
        let tests: BTreeSet<&String> =
            [theirs, ours].into_iter().flatten().flat_map(|v| v.keys()).collect();
        if tests.is_empty() {
            continue;
        }
        let differing = found.iter().filter(|d| d.row == row.name).count();
        let pass = [theirs.map(passed), ours.map(passed)];
        writeln!(
            out,
            "| {} | {} | {} | {} | {differing} |",
            row.name,
            tests.len(),
            shown(pass[0]),
            shown(pass[1])
        )?;
        let numbers = [tests.len(), pass[0].unwrap_or(0), pass[1].unwrap_or(0), differing];
        for (sum, n) in sums.iter_mut().zip(numbers) {
            *sum += n;
        }
        if let (Some(theirs), Some(ours)) = (theirs, ours) {
            let [only_there, only_here] = [(theirs, ours), (ours, theirs)]
                .map(|(a, b)| a.keys().filter(|t| !b.contains_key(*t)).count());
            if only_there + only_here > 0 {
                one_sided.push((row.name, only_there, only_here));
            }
        }
    }
    writeln!(out, "| **all** | {} | {} | {} | {} |", sums[0], sums[1], sums[2], sums[3])?;
    if !one_sided.is_empty() {
        writeln!(out, "\n### Tests run on one side only so far ({})\n", suite.name())?;
    }
    for (row, only_there, only_here) in one_sided {
        writeln!(out, "- {row}: {only_there} only there, {only_here} only here")?;
    }
    if !found.is_empty() {
        writeln!(out, "\n### Differences ({})\n", suite.name())?;
    }
    // One line for all tests of a program with one reason.
    let mut grouped: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for d in &found {
        let reason = d.reason.as_deref().unwrap_or("**not explained yet**");
        let test = format!("{} ({})", d.test, d.here.word());
        grouped.entry((d.row, reason)).or_default().push(test);
    }
    for ((row, reason), tests) in grouped {
        writeln!(out, "- {row}: {reason}: {}", tests.join(", "))?;
    }
    Ok(())
}

fn outside(out: &mut String) -> Result<()> {
    writeln!(out, "\n## Not run\n")?;
    for (program, why) in OUTSIDE {
        writeln!(out, "- {program}: {why}")?;
    }
    let mut patterns: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for Row { name, outside, .. } in ROWS {
        for pattern in *outside {
            patterns.entry(*pattern).or_default().push(*name);
        }
    }
    for ((pattern, why), rows) in patterns {
        let of = match rows.as_slice() {
            [.., _, _, _] => format!("{} programs", rows.len()),
            few => few.join(" and "),
        };
        writeln!(out, "- tests `{pattern}` of {of}: {why}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_passes_there_is_demanded_and_reasons_are_found() {
        let verdicts = |pairs: &[(&str, Verdict)]| {
            pairs.iter().map(|(t, v)| ((*t).to_owned(), *v)).collect::<Verdicts>()
        };
        let row = ROWS[0].name;
        let mut there = Results::default();
        let mut here = Results::default();
        there.rows.insert(
            row.to_owned(),
            verdicts(&[
                ("A.both", Verdict::Passed),
                ("A.here", Verdict::Failed),
                ("A.there", Verdict::Passed),
                ("B.there", Verdict::Passed),
            ]),
        );
        here.rows.insert(
            row.to_owned(),
            verdicts(&[
                ("A.both", Verdict::Passed),
                ("A.here", Verdict::Passed),
                ("A.there", Verdict::Hung),
            ]),
        );
        let reasons = Reasons::parse(&format!(
            "[[difference]]\nprogram = \"{row}\"\ntest = \"A.*\"\nreason = \"because\"\n"
        ))
        .unwrap();
        let found = differences(&there, &here, &reasons);
        let seen: Vec<_> =
            found.iter().map(|d| (d.test.as_str(), d.here, d.reason.as_deref())).collect();
        assert_eq!(
            seen,
            [("A.there", Verdict::Hung, Some("because")), ("B.there", Verdict::NotReached, None)]
        );
    }

    #[test]
    fn the_document_is_what_the_results_make() {
        std::env::set_current_dir(crate::process::repo_root()).unwrap();
        assert_eq!(fs::read_to_string(DOCUMENT).unwrap(), text().unwrap());
    }
}
