//! A run of named steps: each is timed, a failure ends the run, and the end is a table of what ran,
//! what was skipped and why.

use std::time::{Duration, Instant};

use anyhow::Result;

enum Outcome {
    Passed(Duration),
    Failed(Duration),
    Skipped(String),
}

/// How a step that did not fail ended.
pub(crate) enum Ran {
    /// It did what it is there for.
    Whole,
    /// This machine cannot do it; why.
    NotHere(String),
}

/// The steps of one run, in order.
pub(crate) struct Steps {
    only: Vec<String>,
    done: Vec<(&'static str, Outcome)>,
}

impl Steps {
    /// `only` empty: every step; else just the named ones.
    pub(crate) fn new(only: &[String]) -> Self {
        Self { only: only.to_vec(), done: Vec::new() }
    }

    /// Runs a step now; after its failure the table is printed and the error returned.
    pub(crate) fn run(
        &mut self,
        name: &'static str,
        step: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        self.run_if_possible(name, || step().map(|()| Ran::Whole))
    }

    /// The same for a step that finds out itself whether it can run here.
    pub(crate) fn run_if_possible(
        &mut self,
        name: &'static str,
        step: impl FnOnce() -> Result<Ran>,
    ) -> Result<()> {
        if !self.only.is_empty() && !self.only.iter().any(|o| o == name) {
            self.skip(name, "not among --only");
            return Ok(());
        }
        println!("== {name}");
        let start = Instant::now();
        let result = step();
        let took = start.elapsed();
        self.done.push((
            name,
            match &result {
                Ok(Ran::Whole) => Outcome::Passed(took),
                Ok(Ran::NotHere(why)) => Outcome::Skipped(why.clone()),
                Err(_) => Outcome::Failed(took),
            },
        ));
        match &result {
            Ok(Ran::Whole) => {}
            Ok(Ran::NotHere(why)) => println!("!! {name} DID NOT RUN on this machine: {why}"),
            Err(_) => self.print(),
        }
        result.map(drop).map_err(|e| e.context(format!("step `{name}` failed")))
    }

    /// Notes a step that does not belong to this run.
    pub(crate) fn skip(&mut self, name: &'static str, why: &str) {
        self.done.push((name, Outcome::Skipped(why.to_owned())));
    }

    /// The table, and a closing line that counts.
    pub(crate) fn print(&self) {
        println!("\n{:<22} {:>8}  result", "step", "seconds");
        for (name, outcome) in &self.done {
            match outcome {
                Outcome::Passed(t) => println!("{name:<22} {:>8.1}  passed", t.as_secs_f64()),
                Outcome::Failed(t) => println!("{name:<22} {:>8.1}  FAILED", t.as_secs_f64()),
                Outcome::Skipped(why) => println!("{name:<22} {:>8}  skipped: {why}", "-"),
            }
        }
        let count = |f: fn(&Outcome) -> bool| self.done.iter().filter(|d| f(&d.1)).count();
        println!(
            "steps: {} passed, {} failed, {} skipped",
            count(|o| matches!(o, Outcome::Passed(_))),
            count(|o| matches!(o, Outcome::Failed(_))),
            count(|o| matches!(o, Outcome::Skipped(_)))
        );
    }
}
