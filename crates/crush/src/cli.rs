//! `seabed crush`: the reference tool's everyday options, its lines and its exit codes.
//!
//! Invariants: no file is touched but through [`Files`]; options work in the stages of the
//! reference (read or build, tunables, changes, show and test, write), whatever their order.

use std::fmt::Write;

use crate::cli_build::{build, roots_notice};
use crate::cli_edit::{Change, Loc};
use crate::cli_stop::Stop;
use crate::{CrushError, CrushMap, Test};

/// How the caller reads and writes files; errors are errno and text of the system.
pub trait Files {
    /// Reads a whole file.
    fn read(&mut self, path: &str) -> Result<Vec<u8>, (i32, String)>;
    /// Writes a whole file.
    fn write(&mut self, path: &str, content: &[u8]) -> Result<(), (i32, String)>;
}

/// Text of `--help`.
pub const USAGE: &str = "\
usage: seabed crush ...

  -i, --infn FILE            read the crush map from a file
  -o, --outfn FILE           where to write a map or text
  -d, --decompile FILE       write a map as text
  -c, --compile FILE         read a map from text
  --build --num_osds N LAYER ...
                             a new map; a layer is: NAME ALG SIZE
  --set-choose-local-tries N, --set-choose-local-fallback-tries N,
  --set-choose-total-tries N, --set-chooseleaf-descend-once 0|1,
  --set-chooseleaf-vary-r N, --set-chooseleaf-stable 0|1, --set-straw-calc-version N
                             change a tunable
  --add-item ID WEIGHT NAME [--loc TYPE NAME ...]
  --update-item ID WEIGHT NAME [--loc TYPE NAME ...]
  --remove-item NAME
  --reweight-item NAME WEIGHT
  --add-bucket NAME TYPE [--loc TYPE NAME ...]
  --move NAME --loc TYPE NAME ...
  --reweight                 compute all bucket weights anew
  --rebuild-class-roots      make the shadow trees anew
  --create-simple-rule NAME ROOT TYPE firstn|indep
  --create-replicated-rule NAME ROOT TYPE
  --device-class CLASS       for the new rule
  --remove-rule NAME
  --dump                     show the map as JSON
  --tree                     show the hierarchy
  --check [MAX_ID]           look for items without name or type, or beyond an id
  --show-location ID         show where an item is
  --test                     map a range of inputs
    [--min-x X] [--max-x X] [--x X] [--min-rule R] [--max-rule R] [--rule R] [--ruleset S]
    [--num-rep N] [--pool-id P] [--weight ID WEIGHT]
    [--show-mappings] [--show-bad-mappings] [--show-statistics] [--show-utilization]
    [--show-utilization-all] [--show-choose-tries]
";

/// What the arguments ask for.
#[derive(Default)]
struct Request {
    input: Option<String>,
    output: Option<String>,
    decompile: Option<String>,
    compile: Option<String>,
    build: bool,
    num_osds: i32,
    layers: Vec<String>,
    tunables: Vec<(&'static str, u32)>,
    changes: Vec<Change>,
    locations: Loc,
    device_class: Option<String>,
    tree: bool,
    dump: bool,
    check: Option<Option<i32>>,
    show_location: Option<i32>,
    run_test: bool,
    test: Test,
    x: (Option<i32>, Option<i32>),
    rules: (Option<i32>, Option<i32>),
}

/// Runs the tool: arguments without the program's name. Returns the exit code.
pub fn run(
    args: &[String],
    files: &mut dyn Files,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> i32 {
    if args.iter().any(|a| a == "-h" || a == "--help") {
        // As below: there is nobody to tell.
        let _ = out.write_str(USAGE);
        return 0;
    }
    match parse(args).and_then(|request| execute(&request, files, out)) {
        Ok(warning) => {
            // The stream that cannot be written to cannot be told about.
            let _ = err.write_str(&warning);
            0
        }
        Err(stop) => {
            if !stop.said.is_empty() {
                let _ = writeln!(err, "{}", stop.said);
            }
            stop.code
        }
    }
}

/// The arguments left.
struct Args<'a>(std::iter::Peekable<std::slice::Iter<'a, String>>);

impl Args<'_> {
    fn text(&mut self, option: &str) -> Result<String, Stop> {
        let missing = || Stop::usage(format!("Option {option} requires an argument.\n"));
        self.0.next().cloned().ok_or_else(missing)
    }

    fn parsed<T: std::str::FromStr>(&mut self, option: &str) -> Result<T, Stop> {
        let text = self.text(option)?;
        text.parse().map_err(|_| Stop::usage(format!("The option value '{text}' is invalid")))
    }

    fn optional_int(&mut self) -> Option<i32> {
        let n = self.0.peek()?.parse().ok()?;
        self.0.next();
        Some(n)
    }
}

fn parse(args: &[String]) -> Result<Request, Stop> {
    if args.is_empty() {
        return Err(Stop::usage("crushtool: -h or --help for usage"));
    }
    let mut request = Request::default();
    // `--option=value` is `--option value`.
    let split = |a: &String| match a.split_once('=').filter(|_| a.starts_with("--")) {
        Some((option, value)) => vec![option.to_owned(), value.to_owned()],
        None => vec![a.clone()],
    };
    let args: Vec<String> = args.iter().flat_map(split).collect();
    let mut args = Args(args.iter().peekable());
    while let Some(arg) = args.0.next() {
        // Ceph's tools take `_` for `-` in long options.
        let option = match arg.strip_prefix("--") {
            Some(long) => format!("--{}", long.replace('_', "-")),
            None => arg.clone(),
        };
        let known = request.file_option(&option, &mut args)?
            || request.test_option(&option, &mut args)?
            || request.change_option(&option, &mut args)?;
        if !known {
            request.layers.push(arg.clone());
        }
    }
    let unknown = request.layers.iter().any(|l| l.starts_with('-'));
    if !request.layers.is_empty() && (unknown || !request.build) && !request.is_idle() {
        let list = request.layers.join(",");
        return Err(Stop::usage(format!("unrecognized arguments: [{list}]")));
    }
    Ok(request)
}

impl Request {
    fn file_option(&mut self, option: &str, args: &mut Args) -> Result<bool, Stop> {
        match option {
            "-i" | "--infn" => self.input = Some(args.text(option)?),
            "-o" | "--outfn" => self.output = Some(args.text(option)?),
            "-d" | "--decompile" => self.decompile = Some(args.text(option)?),
            "-c" | "--compile" => self.compile = Some(args.text(option)?),
            "-v" | "--verbose" | "--enable-unsafe-tunables" => {}
            "-f" | "--format" => drop(args.text(option)?),
            "--build" => self.build = true,
            "--num-osds" => self.num_osds = args.parsed(option)?,
            "--tree" => self.tree = true,
            "--dump" => self.dump = true,
            "--check" => self.check = Some(args.optional_int()),
            "--show-location" => self.show_location = Some(args.parsed(option)?),
            "--test" => self.run_test = true,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn test_option(&mut self, option: &str, args: &mut Args) -> Result<bool, Stop> {
        match option {
            "--show-mappings" => self.test.mappings = true,
            "--show-bad-mappings" => self.test.bad_mappings = true,
            "--show-statistics" => self.test.statistics = true,
            "--show-choose-tries" => self.test.choose_tries = true,
            "--show-utilization" => {
                (self.test.utilization, self.test.statistics) = (true, true);
            }
            "--show-utilization-all" => {
                (self.test.utilization_all, self.test.statistics) = (true, true);
            }
            "--min-x" => self.x.0 = Some(args.parsed(option)?),
            "--max-x" => self.x.1 = Some(args.parsed(option)?),
            "--x" => {
                let x = args.parsed(option)?;
                self.x = (Some(x), Some(x));
            }
            "--min-rule" => self.rules.0 = Some(args.parsed(option)?),
            "--max-rule" => self.rules.1 = Some(args.parsed(option)?),
            "--rule" => {
                let rule = args.parsed(option)?;
                self.rules = (Some(rule), Some(rule));
            }
            "--ruleset" => self.test.ruleset = Some(args.parsed::<u8>(option)?),
            "--num-rep" => {
                let n = args.parsed::<i32>(option)?;
                self.test.num_rep = u32::try_from(n).ok().map(|n| (n, n));
            }
            "--pool-id" => self.test.pool = Some(args.parsed(option)?),
            "--weight" => {
                let device = args.parsed(option)?;
                let weight = args.parsed::<f32>(option)?.clamp(0.0, 1.0);
                self.test.weights.insert(device, crate::weight_from_f32(weight));
            }
            // One batch or many: only files that this tool does not write tell the difference.
            "--batches" => drop(args.parsed::<i32>(option)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn change_option(&mut self, option: &str, args: &mut Args) -> Result<bool, Stop> {
        if let Some(tunable) = TUNABLES.iter().find(|t| option.strip_prefix("--set-") == Some(**t))
        {
            self.tunables.push((tunable, args.parsed(option)?));
            return Ok(true);
        }
        let change = match option {
            "--add-item" | "--update-item" => Change::Item {
                update: option == "--update-item",
                id: args.parsed(option)?,
                weight: args.parsed(option)?,
                name: args.text(option)?,
            },
            "--remove-item" => Change::RemoveItem(args.text(option)?),
            "--reweight-item" => Change::ReweightItem(args.text(option)?, args.parsed(option)?),
            "--add-bucket" => Change::AddBucket(args.text(option)?, args.text(option)?),
            "--move" => Change::Move(args.text(option)?),
            "--reweight" => Change::Reweight,
            "--rebuild-class-roots" => Change::RebuildClassRoots,
            "--create-simple-rule" => Change::SimpleRule {
                name: args.text(option)?,
                root: args.text(option)?,
                kind: args.text(option)?,
                mode: Some(args.text(option)?),
            },
            "--create-replicated-rule" => Change::SimpleRule {
                name: args.text(option)?,
                root: args.text(option)?,
                kind: args.text(option)?,
                mode: None,
            },
            "--remove-rule" => Change::RemoveRule(args.text(option)?),
            "--loc" => {
                self.locations.push((args.text(option)?, args.text(option)?));
                return Ok(true);
            }
            "--device-class" => {
                self.device_class = Some(args.text(option)?);
                return Ok(true);
            }
            _ => return Ok(false),
        };
        self.changes.push(change);
        Ok(true)
    }

    fn is_idle(&self) -> bool {
        let shows = self.tree || self.dump || self.check.is_some() || self.show_location.is_some();
        let makes = self.build || self.compile.is_some() || self.decompile.is_some();
        let changes = !self.tunables.is_empty() || !self.changes.is_empty();
        !(shows || makes || changes || self.run_test)
    }

    /// The test, its ranges complete only if both ends are given.
    fn complete_test(&self) -> Test {
        let both = |(a, b): (Option<i32>, Option<i32>)| {
            Some((a.filter(|n| *n >= 0)?, b.filter(|n| *n >= 0)?))
        };
        let unsigned = |range| both(range).map(|(a, b)| (a as u32, b as u32));
        Test {
            x: both(self.x),
            rules: unsigned(self.rules),
            pool: self.test.pool.filter(|p| *p != -1),
            ..self.test.clone()
        }
    }
}

const TUNABLES: [&str; 7] = [
    "choose-local-tries",
    "choose-local-fallback-tries",
    "choose-total-tries",
    "chooseleaf-descend-once",
    "chooseleaf-vary-r",
    "chooseleaf-stable",
    "straw-calc-version",
];

fn execute(request: &Request, files: &mut dyn Files, out: &mut dyn Write) -> Result<String, Stop> {
    if request.is_idle() {
        return Err(Stop::usage("no action specified; -h for help"));
    }
    let mut map = load(request, files)?;
    for (tunable, value) in &request.tunables {
        set_tunable(&mut map, tunable, *value);
    }
    for change in &request.changes {
        let class = request.device_class.as_deref();
        crate::cli_edit::apply(change, &mut map, &request.locations, class, out)?;
    }
    if !(request.changes.is_empty() && request.tunables.is_empty()) {
        // As the reference: a change counts the devices anew.
        let devices = map.iter_buckets().flat_map(|b| b.items.iter().copied());
        map.max_devices = devices.max().map_or(0, |id| id.saturating_add(1).max(0));
    }
    if request.dump {
        writeln!(out, "{}\n", crate::dump::pretty(&map.dump()))?;
    }
    if request.tree {
        out.write_str(&crate::cli_edit::tree_table(&map))?;
    }
    if let Some(max_id) = request.check {
        check(&map, max_id, out)?;
    }
    if let Some(item) = request.show_location {
        let mut location = map.location(item);
        location.sort();
        for (kind, name) in location {
            writeln!(out, "{kind}\t{name}")?;
        }
    }
    if request.decompile.is_some() {
        let text = map.to_text();
        match &request.output {
            Some(path) => write_file(files, path, text.as_bytes())?,
            None => out.write_str(&text)?,
        }
    }
    let mut warning = if request.build { roots_notice(&map) } else { String::new() };
    if request.run_test {
        let test = request.complete_test();
        warning += &test.notice(&map);
        test.run(&map, out)?;
    }
    let made = request.compile.is_some() || request.build;
    if made || !request.tunables.is_empty() || !request.changes.is_empty() {
        match &request.output {
            Some(path) => write_file(files, path, &map.encode())?,
            None => writeln!(
                out,
                "crushtool successfully built or modified map.  Use '-o <file>' to write it out."
            )?,
        }
    }
    Ok(warning)
}

fn load(request: &Request, files: &mut dyn Files) -> Result<CrushMap, Stop> {
    if let Some(path) = &request.compile {
        let missing = |_| Stop::errno(format!("input file {path} not found"), 2);
        let bytes = files.read(path).map_err(missing)?;
        return CrushMap::from_text(&String::from_utf8_lossy(&bytes)).map_err(|e| match e {
            CrushError::Text { line, message } if message.starts_with("error: ") => {
                Stop::usage(format!("{path}:{line} {message}"))
            }
            CrushError::Text { message, .. } => Stop::usage(message),
            e => Stop::usage(e.to_string()),
        });
    }
    if request.build {
        return build(request.num_osds, &request.layers);
    }
    let Some(path) = request.decompile.as_ref().or(request.input.as_ref()) else {
        return Ok(CrushMap::default());
    };
    let bytes = files.read(path).map_err(|(errno, text)| {
        // Rust's own words end with the number once more.
        let text = text.split(" (os error").next().unwrap_or_default();
        let said = format!("can't open {path}: ({errno}) {text}");
        Stop::usage(format!("crushtool: error reading '{path}': {said}"))
    })?;
    let refuse = |_| Stop::usage(format!("crushtool: unable to decode {path}"));
    let mut map = CrushMap::decode(bytes.into()).map_err(refuse)?;
    map.drop_dead_choose_args();
    map.choose_args.sort();
    Ok(map)
}

fn write_file(files: &mut dyn Files, path: &str, content: &[u8]) -> Result<(), Stop> {
    files.write(path, content).map_err(|(errno, text)| {
        Stop::usage(format!("crushtool: error writing '{path}': ({errno}) {text}"))
    })
}

fn set_tunable(map: &mut CrushMap, name: &str, value: u32) {
    let t = &mut map.tunables;
    match name {
        "choose-local-tries" => t.choose_local_tries = value,
        "choose-local-fallback-tries" => t.choose_local_fallback_tries = value,
        "choose-total-tries" => t.choose_total_tries = value,
        "chooseleaf-descend-once" => t.chooseleaf_descend_once = value,
        // These are a byte each.
        "chooseleaf-vary-r" => t.chooseleaf_vary_r = value as u8,
        "chooseleaf-stable" => t.chooseleaf_stable = value as u8,
        _ => t.straw_calc_version = value as u8,
    }
}

fn check(map: &CrushMap, max_id: Option<i32>, out: &mut dyn Write) -> Result<(), Stop> {
    if let Some((id, what)) = map.unknown_names().first() {
        writeln!(out, "unknown {what} name: item#{id}")?;
        return Err(Stop { said: String::new(), code: 1 });
    }
    let beyond = max_id.and_then(|max| {
        map.walk(false).into_iter().map(|node| node.id).find(|id| *id >= max.max(0))
    });
    if let Some(id) = beyond {
        writeln!(out, "item id too large: item#{id}")?;
        return Err(Stop { said: String::new(), code: 1 });
    }
    Ok(())
}
