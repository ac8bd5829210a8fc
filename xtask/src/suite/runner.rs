//! Runs one row on one cluster: watches the program's output, ends what hangs, goes on behind what
//! died, and notes which daemons the program took with it.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{
    cluster::Cluster,
    gtest::{self, Event},
    programs::{Kind, Row},
    results::{Verdict, Verdicts},
};
use crate::{chroot::Chroot, process};

/// A program that dies or hangs more often than this is given up.
const BAD_ENDS_MAX: usize = 6;
/// Between two kills of OSDs, of which one is up again before the next dies.
const BETWEEN_KILLS: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(200);
/// The one test of a program that counts none itself.
const WHOLE: &str = "exit code 0";
/// Passed if no daemon died unasked.
pub(super) const DAEMONS: &str = "daemons live";

/// Everything that a run needs.
pub(crate) struct Bench<'a> {
    pub(crate) chroot: &'a Chroot,
    pub(crate) cluster: &'a Cluster,
    /// Below /tmp, so that it is the same in the chroot.
    pub(crate) work: &'a Path,
    /// What the program prints goes there.
    pub(crate) log: &'a Path,
}

impl Bench<'_> {
    /// Runs the row; `filter` picks among a gtest program's tests.
    pub(crate) fn run(&self, row: &Row, filter: Option<&str>) -> Result<Verdicts> {
        fs::create_dir_all(self.work)?;
        let mut log = fs::File::create(self.log)?;
        let mut verdicts = match row.kind {
            Kind::Gtest => self.gtest(row, filter, &mut log)?,
            Kind::Script(lines) => self.script(row, lines, &mut log)?,
        };
        let dead = self.cluster.revive()?;
        self.note_dead(&dead, &mut verdicts, &mut log)?;
        verdicts.entry(DAEMONS.to_owned()).or_insert(Verdict::Passed);
        Ok(verdicts)
    }

    fn note_dead(
        &self,
        dead: &[String],
        verdicts: &mut Verdicts,
        log: &mut fs::File,
    ) -> Result<()> {
        if !dead.is_empty() {
            verdicts.insert(DAEMONS.to_owned(), Verdict::Failed);
            writeln!(log, "\n== daemons died: {}", dead.join(" "))?;
            println!("    daemons died: {}", dead.join(" "));
        }
        Ok(())
    }

    fn command(&self, row: &Row, words: &[&str]) -> Command {
        let conf = self.cluster.conf();
        let mut command = self.chroot.command("env");
        command
            .arg("--chdir")
            .arg(self.work)
            .arg(format!("CEPH_CONF={}", conf.display()))
            .args(row.env.iter().map(|(name, value)| format!("{name}={value}")))
            .args(words)
            .stdin(Stdio::null())
            .process_group(0);
        command
    }

    fn script(&self, row: &Row, lines: &str, log: &mut fs::File) -> Result<Verdicts> {
        let mut command = self.command(row, &["sh", "-e", "-c", lines, row.program]);
        let mut child = command
            .stdout(log.try_clone()?)
            .stderr(log.try_clone()?)
            .spawn()
            .with_context(|| format!("starting {}", row.name))?;
        let deadline = Instant::now() + Duration::from_secs(row.limit);
        let mut next_kill = Instant::now() + BETWEEN_KILLS;
        let mut kills = 0;
        let verdict = loop {
            if let Some(status) = child.try_wait()? {
                writeln!(log, "\n== {status}")?;
                break if status.success() { Verdict::Passed } else { Verdict::Failed };
            }
            if Instant::now() > deadline {
                end(&mut child)?;
                break Verdict::Hung;
            }
            if row.killing && Instant::now() > next_kill {
                self.cluster.revive()?;
                self.cluster.kill_osd(kills)?;
                kills += 1;
                next_kill = Instant::now() + BETWEEN_KILLS;
            }
            std::thread::sleep(POLL);
        };
        if row.killing {
            self.cluster.revive()?;
            if kills == 0 && verdict == Verdict::Passed {
                bail!("{} ended before an OSD was killed", row.name);
            }
        }
        Ok(Verdicts::from([(WHOLE.to_owned(), verdict)]))
    }

    fn gtest(&self, row: &Row, filter: Option<&str>, log: &mut fs::File) -> Result<Verdicts> {
        let outside: Vec<&str> = row.outside.iter().map(|o| o.0).collect();
        let filter = format!("{}-{}", filter.unwrap_or("*"), outside.join(":"));
        let mut left = self.list(row, &filter)?;
        if left.is_empty() {
            bail!("{} has no test {filter}", row.name);
        }
        let mut verdicts = Verdicts::new();
        let mut bad_ends = 0;
        let mut filter = filter;
        while !left.is_empty() {
            if bad_ends > BAD_ENDS_MAX {
                verdicts.extend(left.drain(..).map(|t| (t, Verdict::NotReached)));
                break;
            }
            let finished = self.attempt(row, &filter, log)?;
            let done = verdicts.len();
            for (test, verdict) in finished.ended {
                verdicts.insert(test, verdict);
            }
            if let Some((bad, verdict)) = finished.bad_end {
                bad_ends += 1;
                // Outside any test: the set-up of the next suite.
                let suite_of = |t: &str| t.rsplit_once('.').map(|s| s.0.to_owned());
                let first = left.iter().find(|t| !verdicts.contains_key(*t)).cloned();
                match (bad, first) {
                    (Some(test), _) => drop(verdicts.insert(test, verdict)),
                    (None, Some(first)) => {
                        for test in left.iter().filter(|t| suite_of(t) == suite_of(&first)) {
                            verdicts.entry(test.clone()).or_insert(verdict);
                        }
                    }
                    (None, None) => {}
                }
                let dead = self.cluster.revive()?;
                self.note_dead(&dead, &mut verdicts, log)?;
            }
            left.retain(|t| !verdicts.contains_key(t));
            if verdicts.len() == done && !left.is_empty() {
                // It ended well and did not run them: the list and the filter disagree.
                bail!("{} did not run {}", row.name, left.join(" "));
            }
            filter = left.join(":");
        }
        Ok(verdicts)
    }

    /// Some programs ask the cluster before they can list.
    fn list(&self, row: &Row, filter: &str) -> Result<Vec<String>> {
        let output = process::read(
            self.command(row, &["timeout", "60", row.program, "--gtest_list_tests"])
                .arg(format!("--gtest_filter={filter}")),
        )?;
        let disabled = |t: &String| t.contains("DISABLED_");
        Ok(gtest::listed(&output).into_iter().filter(|t| !disabled(t)).collect())
    }

    fn attempt(&self, row: &Row, filter: &str, log: &mut fs::File) -> Result<Attempt> {
        let mut child = self
            .command(row, &[row.program])
            .arg(format!("--gtest_filter={filter}"))
            .stdout(Stdio::piped())
            .stderr(log.try_clone()?)
            .spawn()
            .with_context(|| format!("starting {}", row.name))?;
        let stdout = child.stdout.take().context("no standard output")?;
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || {
            // Output is not always UTF-8.
            for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
                if send.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    break;
                }
            }
        });
        let limit = Duration::from_secs(row.limit);
        let mut attempt = Attempt { ended: Vec::new(), bad_end: None };
        let mut current: Option<String> = None;
        let mut deadline = Instant::now() + limit;
        loop {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    writeln!(log, "{line}")?;
                    match gtest::event(&line) {
                        Some(Event::Began(test)) => current = Some(test.to_owned()),
                        Some(Event::Ended(test, verdict)) if current.as_deref() == Some(test) => {
                            attempt.ended.push((test.to_owned(), verdict));
                            current = None;
                        }
                        _ => continue,
                    }
                    deadline = Instant::now() + limit;
                }
                Err(RecvTimeoutError::Timeout) => {
                    end(&mut child)?;
                    writeln!(log, "\n== hangs: {current:?}")?;
                    attempt.bad_end = Some((current, Verdict::Hung));
                    return Ok(attempt);
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let status = child.wait()?;
        writeln!(log, "\n== {status}")?;
        // 1 is GoogleTest's word for failed tests, and the programs' for a set-up that failed.
        let ran = !attempt.ended.is_empty() && matches!(status.code(), Some(0 | 1));
        if current.is_some() || !ran {
            attempt.bad_end = Some((current, Verdict::Died));
        }
        Ok(attempt)
    }
}

/// What one start of a gtest program came to.
struct Attempt {
    ended: Vec<(String, Verdict)>,
    /// The test it was in (none between tests) when it died or hung.
    bad_end: Option<(Option<String>, Verdict)>,
}

/// Kills it with all that it started.
fn end(child: &mut Child) -> Result<()> {
    process::read(Command::new("kill").args(["-9", "--", &format!("-{}", child.id())]))?;
    child.wait().map(drop).context("waiting for a killed program")
}
