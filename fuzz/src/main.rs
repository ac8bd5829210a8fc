//! `smoke [--seconds N] [--iterations N] [--seed N] [--target NAME] [--replay FILE] [--list]`
//!
//! Tries every target for so many seconds (5) or inputs: its seeds first, then mutations of them.
//! Prints the seed; the same seed and iterations try the same inputs. An input that fails is
//! written to `fuzz/artifacts/` with the command that replays it. A canary that must fail goes
//! first: if it is not found, the run is worth nothing and fails.

use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use seabed_fuzz::mutate::{Random, mutate};
use seabed_fuzz::{CANARY, TARGETS, Target};

/// A single input may take this long. The machine may be busy; decoders take microseconds.
const INPUT_TIME_MAX: Duration = Duration::from_secs(5);
/// Peak memory of the whole run: seeds, and what honest lengths warrant.
const MEMORY_KIB_MAX: u64 = 1 << 20;
/// The canary is reached within some thousands of mutations.
const CANARY_ITERATIONS: u64 = 2_000_000;

/// While a target runs its panics are caught, and told with the input that caused them.
static TRYING: AtomicBool = AtomicBool::new(false);

struct Options {
    seconds: u64,
    iterations: u64,
    seed: u64,
    target: Option<String>,
    replay: Option<PathBuf>,
    list: bool,
}

fn options() -> Result<Options, String> {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut o = Options {
        seconds: 5,
        iterations: u64::MAX,
        seed: clock.as_nanos() as u64,
        target: None,
        replay: None,
        list: false,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        if arg == "--list" {
            o.list = true;
            continue;
        }
        let value = args.next().ok_or_else(|| format!("{arg} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|e| format!("{arg} {value}: {e}"));
        match arg.as_str() {
            "--seconds" => o.seconds = number()?,
            "--iterations" => o.iterations = number()?,
            "--seed" => o.seed = number()?,
            "--target" => o.target = Some(value),
            "--replay" => o.replay = Some(value.into()),
            _ => return Err(format!("unknown option {arg}")),
        }
    }
    Ok(o)
}

/// One input. `Err`: why it failed.
fn try_one(target: &Target, input: &[u8]) -> Result<(), String> {
    let start = Instant::now();
    TRYING.store(true, Ordering::Relaxed);
    let result = panic::catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    TRYING.store(false, Ordering::Relaxed);
    if let Err(panic) = result {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        return Err(format!("panic: {}", text.unwrap_or_default()));
    }
    match start.elapsed() {
        took if took > INPUT_TIME_MAX => Err(format!("took {took:?}")),
        _ => Ok(()),
    }
}

/// `Ok`: how many inputs were tried. `Err`: the input that failed, and why.
fn fuzz(target: &Target, o: &Options) -> Result<u64, (Vec<u8>, String)> {
    let seeds = (target.seeds)();
    assert!(!seeds.is_empty(), "{}: no seeds", target.name);
    for seed in &seeds {
        try_one(target, seed).map_err(|why| (seed.clone(), why))?;
    }
    let mut random = Random::new(o.seed);
    let end = Instant::now() + Duration::from_secs(o.seconds);
    let mut tried = seeds.len() as u64;
    for _ in 0..o.iterations {
        // Looking at the clock costs more than a small input.
        if tried.is_multiple_of(64) && Instant::now() >= end {
            break;
        }
        let mut input = seeds[random.below(seeds.len())].clone();
        let other = &seeds[random.below(seeds.len())];
        mutate(&mut random, &mut input, other);
        try_one(target, &input).map_err(|why| (input, why))?;
        tried += 1;
    }
    Ok(tried)
}

fn memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn save(target: &Target, input: &[u8]) -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("artifacts");
    let file = dir.join(format!("{}-{}.bin", target.name, std::process::id()));
    if let Err(e) = std::fs::create_dir_all(&dir).and_then(|()| std::fs::write(&file, input)) {
        eprintln!("{}: {e}", file.display());
    }
    file
}

fn replay(o: &Options, file: &Path) -> Result<(), String> {
    let name = o.target.as_deref().ok_or("--replay needs --target")?;
    let target = TARGETS.iter().find(|t| t.name == name).ok_or("no such target")?;
    let input = std::fs::read(file).map_err(|e| format!("{}: {e}", file.display()))?;
    (target.run)(&input);
    println!("{name}: {} bytes passed", input.len());
    Ok(())
}

fn smoke(o: &Options) -> Result<(), String> {
    println!("seed {}", o.seed);
    let loud = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !TRYING.load(Ordering::Relaxed) {
            loud(info);
        }
    }));
    let (target, replay) = (None, None);
    let (iterations, seconds) = (CANARY_ITERATIONS, 60);
    let canary = Options { iterations, seconds, seed: o.seed, target, replay, list: false };
    match fuzz(&CANARY, &canary) {
        Ok(tried) => return Err(format!("the canary lives after {tried} inputs")),
        Err(_) => println!("{:<14} found, as it must be", CANARY.name),
    }
    let mut failed = Vec::new();
    for target in TARGETS.iter().filter(|t| o.target.as_deref().is_none_or(|n| n == t.name)) {
        match fuzz(target, o) {
            Ok(tried) => println!("{:<14} {tried} inputs", target.name),
            Err((input, why)) => {
                let file = save(target, &input);
                println!("{:<14} FAILED on {} bytes: {why}", target.name, input.len());
                let (name, file) = (target.name, file.display());
                println!("  replay: cargo run --bin smoke -- --target {name} --replay {file}");
                failed.push(target.name);
            }
        }
        let peak = memory_kib();
        if peak > MEMORY_KIB_MAX {
            return Err(format!("{}: {peak} KiB of memory", target.name));
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(" "))) }
}

fn main() -> ExitCode {
    let run = options().and_then(|o| {
        if o.list {
            TARGETS.iter().for_each(|t| println!("{}", t.name));
            return Ok(());
        }
        match &o.replay {
            Some(file) => replay(&o, file),
            None => smoke(&o),
        }
    });
    match run {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("smoke: {why}");
            ExitCode::FAILURE
        }
    }
}
