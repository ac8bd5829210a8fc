//! `seabed osdmap`: the everyday options of `osdmaptool`, as a function from arguments to text.
//!
//! The text equals that of 16.2's program, so that anyone can compare the two.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use bytes::Bytes;

use crate::osdmap::Scratch;
use crate::text::{Commas, Short};
use crate::{Mapping, ObjectLocator, OsdId, OsdMap, PgId, PoolId};

/// What `--help` says.
pub const HELP: &str = "\
usage: seabed osdmap FILE ACTION

Reads an encoded OSDMap (as `ceph osd getmap` gives it) and shows what is in it.

  --print                         the map as text
  --dump plain|json|json-pretty   the map as text or JSON
  --test-map-pgs                  how PGs spread over OSDs
  --test-map-pgs-dump             the same, and the acting set of each PG
  --test-map-pgs-dump-all         the same, and raw, up and acting set of each PG
  --test-map-pg PGID              where one PG is
  --test-map-object NAME          the PG and the OSDs of an object
  --pool ID                       only this pool; the pool of the object
";

/// Which lines `--test-map-pgs` prints for each PG.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lines {
    None,
    Acting,
    All,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    Print,
    Dump(String),
    Pgs(Lines),
    Pg(PgId),
    Object(String),
}

/// Why there is no text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CliError {
    /// The arguments make no sense; the text says which.
    #[error("{0}\n\n{HELP}")]
    Usage(String),
    /// The file cannot be read.
    #[error("{file}: {reason}")]
    File {
        /// Which file.
        file: String,
        /// What the system or the decoder said.
        reason: String,
    },
    /// The map has no such pool.
    #[error("There is no pool {0}")]
    NoPool(PoolId),
}

fn usage(text: impl Into<String>) -> CliError {
    CliError::Usage(text.into())
}

struct Options {
    file: String,
    actions: Vec<Action>,
    pool: Option<PoolId>,
}

impl Options {
    fn parse(args: &[String]) -> Result<Options, CliError> {
        let mut file = None;
        let mut actions = Vec::new();
        let mut pool = None;
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            let (name, inline) = match arg.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
                _ => (arg.as_str(), None),
            };
            let mut value = || {
                let next = inline.clone().or_else(|| rest.next().cloned());
                next.ok_or_else(|| usage(format!("{name} needs a value")))
            };
            match name {
                "--print" | "-p" => actions.push(Action::Print),
                "--dump" => actions.push(Action::Dump(value()?)),
                "--test-map-pgs" => actions.push(Action::Pgs(Lines::None)),
                "--test-map-pgs-dump" => actions.push(Action::Pgs(Lines::Acting)),
                "--test-map-pgs-dump-all" => actions.push(Action::Pgs(Lines::All)),
                "--test-map-pg" => {
                    let text = value()?;
                    let pg = text.parse().map_err(|_| usage(format!("{text}: not a PG")))?;
                    actions.push(Action::Pg(pg));
                }
                "--test-map-object" => actions.push(Action::Object(value()?)),
                "--pool" => {
                    let text = value()?;
                    pool = Some(text.parse().map_err(|_| usage(format!("{text}: not a pool")))?);
                }
                name if name.starts_with('-') => {
                    return Err(usage(format!("unknown option {name}")));
                }
                _ if file.is_some() => return Err(usage(format!("too many files: {arg}"))),
                _ => file = Some(arg.clone()),
            }
        }
        let file = file.ok_or_else(|| usage("which file?"))?;
        if actions.is_empty() {
            return Err(usage("no action given"));
        }
        Ok(Options { file, actions, pool })
    }
}

/// Runs `seabed osdmap ARGS`: `read` gives the contents of the file that the arguments name.
/// The text is what goes to standard output.
pub fn osdmap(
    args: &[String],
    read: impl FnOnce(&str) -> Result<Bytes, String>,
) -> Result<String, CliError> {
    if args.iter().any(|a| a == "--help" || a == "-h") {
        return Ok(HELP.to_owned());
    }
    let options = Options::parse(args)?;
    let file = options.file.clone();
    let broken = |reason: String| CliError::File { file: file.clone(), reason };
    let bytes = read(&file).map_err(broken)?;
    let map = OsdMap::decode(bytes).map_err(|e| broken(e.to_string()))?;
    let mut out = String::new();
    for action in &options.actions {
        match action {
            Action::Print => out.push_str(&map.print()),
            Action::Dump(format) => out.push_str(&dump(&map, format)?),
            Action::Pgs(lines) => out.push_str(&map_pgs(&map, options.pool, *lines)?),
            Action::Pg(pg) => out.push_str(&map_pg(&map, *pg)),
            Action::Object(name) => out.push_str(&map_object(&map, options.pool, name)?),
        }
    }
    Ok(out)
}

fn dump(map: &OsdMap, format: &str) -> Result<String, CliError> {
    match format {
        "plain" => Ok(map.print()),
        "json" => Ok(format!("{}\n", map.dump())),
        "json-pretty" => Ok(format!("{:#}\n", map.dump())),
        _ => Err(usage(format!("--dump {format}: plain, json or json-pretty"))),
    }
}

/// A set and its primary.
struct Set<'a>(&'a [OsdId], Option<OsdId>);

impl fmt::Display for Set<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "([{}], p{})", Commas(self.0), primary(self.1))
    }
}

fn primary(osd: Option<OsdId>) -> OsdId {
    osd.unwrap_or(OsdId(-1))
}

#[derive(Default)]
struct Counts {
    all: BTreeMap<OsdId, u64>,
    first: BTreeMap<OsdId, u64>,
    primary: BTreeMap<OsdId, u64>,
    sizes: BTreeMap<usize, u64>,
}

impl Counts {
    fn add(&mut self, m: &Mapping) {
        *self.sizes.entry(m.acting.len()).or_default() += 1;
        for &osd in m.acting.iter().filter(|&&o| o != OsdId::NONE) {
            *self.all.entry(osd).or_default() += 1;
        }
        if let Some(&osd) = m.acting.first() {
            *self.first.entry(osd).or_default() += 1;
        }
        if let Some(osd) = m.acting_primary {
            *self.primary.entry(osd).or_default() += 1;
        }
    }
}

fn map_pgs(map: &OsdMap, only: Option<PoolId>, lines: Lines) -> Result<String, CliError> {
    if let Some(pool) = only.filter(|id| !map.pools.contains_key(id)) {
        return Err(CliError::NoPool(pool));
    }
    let mut out = String::new();
    let mut counts = Counts::default();
    let mut scratch = Scratch::default();
    for (&id, pool) in map.pools.iter().filter(|(id, _)| only.is_none_or(|o| o == **id)) {
        let _ = writeln!(out, "pool {id} pg_num {}", pool.pg_num);
        for seed in 0..pool.pg_num {
            let pg = PgId::new(id, seed);
            let m = map.map_pg_with(pg, &mut scratch);
            let _ = match lines {
                Lines::None => Ok(()),
                Lines::Acting => {
                    let osds = Commas(&m.acting);
                    writeln!(out, "{pg}\t[{osds}]\t{}", primary(m.acting_primary))
                }
                Lines::All => {
                    let raw = map.map_pg_raw(pg, &mut scratch);
                    let raw_primary = raw.iter().copied().find(|&o| o != OsdId::NONE);
                    let (raw, up) = (Set(&raw, raw_primary), Set(&m.up, m.up_primary));
                    let acting = Set(&m.acting, m.acting_primary);
                    writeln!(out, "{pg} raw {raw} up {up} acting {acting}")
                }
            };
            counts.add(&m);
        }
    }
    let _ = spread(map, &counts, &mut out);
    Ok(out)
}

/// The weight where CRUSH first mentions the device; `None` where it does not, or is zero.
fn crush_weight(map: &OsdMap, osd: OsdId) -> Option<u32> {
    map.crush.iter_buckets().find_map(|bucket| {
        let at = bucket.items.iter().position(|&item| item == osd.0)?;
        Some(bucket.item_weight(at))
    })
}

/// The table of OSDs and how even it is.
fn spread(map: &OsdMap, counts: &Counts, out: &mut String) -> fmt::Result {
    out.push_str("#osd\tcount\tfirst\tprimary\tc wt\twt\n");
    let get = |m: &BTreeMap<OsdId, u64>, osd| m.get(&osd).copied().unwrap_or(0);
    let mut rows: Vec<(OsdId, u64)> = Vec::new();
    for osd in map.osds().filter(|&o| map.is_in(o)) {
        // Signed in Ceph: what overflows 31 bits is no weight.
        let weight = crush_weight(map, osd).unwrap_or(0);
        if weight as i32 <= 0 {
            continue;
        }
        let (c, w) = (fixed(weight), fixed(map.weight(osd)));
        let n = get(&counts.all, osd);
        let (first, leads) = (get(&counts.first, osd), get(&counts.primary, osd));
        writeln!(out, "osd.{osd}\t{n}\t{first}\t{leads}\t{}\t{}", Short(c), Short(w))?;
        rows.push((osd, n));
    }
    let total: u64 = rows.iter().map(|r| r.1).sum();
    let devices = rows.len() as f64;
    let avg = total.checked_div(rows.len() as u64).unwrap_or(0) as f64;
    let squares: f64 = rows.iter().map(|r| (avg - r.1 as f64).powi(2)).sum();
    let deviation = (squares / devices).sqrt();
    let expected = (total as f64 / devices * (1.0 - 1.0 / devices)).sqrt();
    writeln!(out, " in {}", rows.len())?;
    write!(out, " avg {avg} stddev {} ({}x)", Short(deviation), Short(deviation / avg))?;
    writeln!(out, " (expected {} {}x))", Short(expected), Short(expected / avg))?;
    let used = || rows.iter().filter(|r| r.1 > 0);
    // The first of equals, both times.
    if let Some((osd, n)) = used().min_by_key(|r| r.1) {
        writeln!(out, " min osd.{osd} {n}")?;
    }
    if let Some((osd, n)) = used().rev().max_by_key(|r| r.1) {
        writeln!(out, " max osd.{osd} {n}")?;
    }
    for (size, n) in &counts.sizes {
        writeln!(out, "size {size}\t{n}")?;
    }
    Ok(())
}

fn fixed(weight: u32) -> f64 {
    f64::from(weight as f32 / 65536.0f32)
}

fn map_pg(map: &OsdMap, pg: PgId) -> String {
    let mut scratch = Scratch::default();
    let raw = map.map_pg_raw(pg, &mut scratch);
    let raw_primary = raw.iter().copied().find(|&o| o != OsdId::NONE);
    let m = map.map_pg_with(pg, &mut scratch);
    let (raw, up) = (Set(&raw, raw_primary), Set(&m.up, m.up_primary));
    let acting = Set(&m.acting, m.acting_primary);
    format!(" parsed '{pg}' -> {pg}\n{pg} raw {raw} up {up} acting {acting}\n")
}

fn map_object(map: &OsdMap, pool: Option<PoolId>, name: &str) -> Result<String, CliError> {
    let mut out = String::new();
    let pool = pool.unwrap_or_else(|| {
        out.push_str("assuming pool 1 (use --pool to override)\n");
        PoolId(1)
    });
    let raw = map.object_pg(&ObjectLocator::new(pool), name.as_bytes());
    let raw = raw.ok_or(CliError::NoPool(pool))?;
    let pg = map.raw_to_pg(raw).unwrap_or(raw);
    let m = map.map_pg(pg);
    let _ = writeln!(out, " object '{name}' -> {pg} -> [{}]", Commas(&m.acting));
    Ok(out)
}
