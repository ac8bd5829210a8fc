//! `sim`: runs seeds of the simulator.
//!
//! ```text
//! sim --seed N [--trace]        one seed; with --trace one line for every event
//! sim --seeds K [--first N]     K seeds from N (1) on, on all cores
//! sim --planted [--bound B]     each planted bug until it is found (feature planted-bugs)
//! ```
//!
//! Seeds of one kind of work and of the other take turns; `--work objects|image` makes all the one.
//!
//! The last line is `hash HEX`, of all events of all seeds in their order. A red seed is told with
//! the command that replays it, and the exit code is 1.

use std::collections::BTreeMap;
use std::process::ExitCode;

use seabed_sim::{Bug, Plan, Report, Work, run, run_many};

#[derive(Default)]
struct Arguments {
    seed: Option<u64>,
    seeds: Option<u64>,
    first: Option<u64>,
    bound: Option<u64>,
    trace: bool,
    planted: bool,
    bug: Option<Bug>,
    work: Option<Work>,
}

fn parse() -> Result<Arguments, String> {
    let mut arguments = Arguments::default();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} wants a value"));
        let number = |text: String| text.parse().map_err(|_| format!("{text:?} is no number"));
        match word.as_str() {
            "--seed" => arguments.seed = Some(number(value()?)?),
            "--seeds" => arguments.seeds = Some(number(value()?)?),
            "--first" => arguments.first = Some(number(value()?)?),
            "--bound" => arguments.bound = Some(number(value()?)?),
            "--bug" => {
                let name = value()?;
                let found = Bug::ALL.into_iter().find(|b| format!("{b:?}") == name);
                arguments.bug = Some(found.ok_or(format!("no bug {name:?}"))?);
            }
            "--work" => {
                let name = value()?;
                let found = Work::ALL.into_iter().find(|w| w.name() == name);
                arguments.work = Some(found.ok_or(format!("no work {name:?}"))?);
            }
            "--trace" => arguments.trace = true,
            "--planted" => arguments.planted = true,
            "--" => {}
            "--help" | "-h" => return Err(USAGE.into()),
            _ => return Err(format!("{word:?} is unknown\n{USAGE}")),
        }
    }
    Ok(arguments)
}

const USAGE: &str = "usage: sim --seed N [--trace] | --seeds K [--first N] | --planted [--bound B]
  --seed N      run one seed        --trace   a line for every event
  --seeds K     run K seeds         --first N the first of them (default 1)
  --planted     run each planted bug until it is found (feature planted-bugs)
  --bug NAME    plant one of them in what runs, by the name that --planted tells
  --work NAME   objects or image; else they take turns";

fn plan(seed: u64, arguments: &Arguments) -> Plan {
    let mut plan = match arguments.work {
        Some(work) => Plan::with(seed, work),
        None => Plan::new(seed),
    };
    plan.bug = arguments.bug;
    plan.trace = arguments.trace;
    plan
}

fn tell_red(report: &Report, bug: Option<Bug>) {
    if let Some(why) = &report.red {
        println!("seed {} is red: {why}", report.seed);
        let (features, bug) = match bug {
            Some(bug) => (" --features planted-bugs", format!(" --bug {bug:?}")),
            None => ("", String::new()),
        };
        println!(
            "  replay: cargo run -p seabed-sim{features} --bin sim -- --seed {} --work {}{bug} \
             --trace",
            report.seed,
            report.work.name()
        );
    }
}

fn main() -> ExitCode {
    let arguments = match parse() {
        Ok(arguments) => arguments,
        Err(text) => {
            eprintln!("{text}");
            return ExitCode::from(2);
        }
    };
    // Panics of rules are told as findings, with their seed.
    std::panic::set_hook(Box::new(|panic| {
        if let Some(at) = panic.location() {
            eprintln!("panic at {at}");
        }
    }));
    if (arguments.bug.is_some() || arguments.planted) && !cfg!(feature = "planted-bugs") {
        eprintln!("planted bugs need --features planted-bugs");
        return ExitCode::from(2);
    }
    if arguments.planted {
        return planted(arguments.bound.unwrap_or(300));
    }
    if let Some(seed) = arguments.seed {
        let report = run(plan(seed, &arguments));
        println!("{} events, {:?}", report.events, report.counts);
        tell_red(&report, arguments.bug);
        println!("hash {:016x}", report.hash);
        return if report.red.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    many(&arguments)
}

fn many(arguments: &Arguments) -> ExitCode {
    let first = arguments.first.unwrap_or(1);
    let count = arguments.seeds.unwrap_or(60);
    let plans = (first..first + count).map(|seed| plan(seed, arguments)).collect();
    let mut hash = 0u64;
    let mut events = 0;
    let mut red = Vec::new();
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    run_many(plans, |report| {
        hash = hash.rotate_left(5).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ report.hash;
        events += report.events;
        for (what, n) in &report.counts {
            *counts.entry(what).or_default() += n;
        }
        tell_red(report, arguments.bug);
        if report.red.is_some() {
            red.push(report.seed);
        }
        true
    });
    for (what, n) in counts {
        println!("{n:>10} {what}");
    }
    println!("{count} seeds from {first}, {events} events, {} red {red:?}", red.len());
    println!("hash {hash:016x}");
    if red.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Each planted bug must be found.
fn planted(bound: u64) -> ExitCode {
    let mut missed = false;
    let mut hash = 0u64;
    for bug in Bug::ALL {
        let plans = (1..=bound)
            .map(|seed| {
                let mut plan = Plan::new(seed);
                plan.bug = Some(bug);
                plan
            })
            .collect();
        let mut found = None;
        run_many(plans, |report| {
            hash = hash.rotate_left(5).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ report.hash;
            if report.red.is_some() {
                found = Some(report.clone());
            }
            report.red.is_none()
        });
        match found {
            Some(report) => {
                println!("{bug:?} is found after {} seeds", report.seed);
                tell_red(&report, Some(bug));
            }
            None => {
                println!("{bug:?} is not found in {bound} seeds");
                missed = true;
            }
        }
    }
    println!("hash {hash:016x}");
    if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
