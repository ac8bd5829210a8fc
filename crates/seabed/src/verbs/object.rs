//! `seabed object`: store, read, list and remove objects; a small benchmark.

use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use clap::Subcommand;
use seabed_rados::{Cluster, Conf, Listed, Pool};

use crate::output::say;

/// Where the cluster and the pool are.
#[derive(clap::Args)]
pub(crate) struct Where {
    /// The cluster's configuration.
    #[arg(short, long, default_value = "/etc/ceph/ceph.conf")]
    conf: PathBuf,
    /// The pool.
    #[arg(short, long)]
    pool: String,
    /// The namespace within the pool.
    #[arg(short = 'N', long, default_value = "")]
    namespace: String,
}

/// Verbs of `seabed object`.
#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Store a file (`-`: standard input) as an object.
    Put {
        #[command(flatten)]
        place: Where,
        /// Name of the object.
        name: String,
        /// The file.
        file: PathBuf,
    },
    /// Write an object to a file (`-`: standard output).
    Get {
        #[command(flatten)]
        place: Where,
        /// Name of the object.
        name: String,
        /// The file.
        file: PathBuf,
    },
    /// List objects.
    Ls {
        #[command(flatten)]
        place: Where,
        /// Of all namespaces: `namespace<TAB>name`.
        #[arg(long)]
        all: bool,
    },
    /// Show size and time of last change.
    Stat {
        #[command(flatten)]
        place: Where,
        /// Name of the object.
        name: String,
    },
    /// Remove objects.
    Rm {
        #[command(flatten)]
        place: Where,
        /// Names of the objects.
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Write objects for some seconds, read them back, remove them; show throughput and latency.
    Bench {
        #[command(flatten)]
        place: Where,
        /// Seconds of writing.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// Bytes of an object.
        #[arg(short = 'b', long, default_value_t = 4 << 20)]
        size: usize,
        /// Operations in flight.
        #[arg(short = 't', long, default_value_t = 16)]
        threads: usize,
    },
}

/// Objects are written and read in pieces of this size, so that memory stays bounded.
const PIECE: usize = 4 << 20;

/// Runs one verb.
pub(crate) async fn run(verb: Verb) -> Result<()> {
    match verb {
        Verb::Put { place, name, file } => {
            let (cluster, pool) = open(&place).await?;
            let result = put(&pool, &name, &file).await;
            cluster.shutdown().await;
            result
        }
        Verb::Get { place, name, file } => {
            let (cluster, pool) = open(&place).await?;
            let result = get(&pool, &name, &file).await;
            cluster.shutdown().await;
            result
        }
        Verb::Ls { place, all } => {
            let (_, pool) = open(&place).await?;
            ls(&pool, all).await
        }
        Verb::Stat { place, name } => {
            let (_, pool) = open(&place).await?;
            let stat = pool.stat(&name).await.with_context(|| name.clone())?;
            say!("{}/{name} mtime {}, size {}", place.pool, stat.mtime, stat.size);
            Ok(())
        }
        Verb::Rm { place, names } => {
            let (_, pool) = open(&place).await?;
            for name in names {
                pool.remove(&name).await.with_context(|| name.clone())?;
            }
            Ok(())
        }
        Verb::Bench { place, seconds, size, threads } => {
            let (_, pool) = open(&place).await?;
            bench(&pool, Duration::from_secs(seconds), size, threads).await
        }
    }
}

async fn open(place: &Where) -> Result<(Cluster, Pool)> {
    let conf = Conf::load(&place.conf)?;
    let cluster = Cluster::connect(&conf).await?;
    let pool = cluster.pool(&place.pool).await?;
    let pool = pool.with_namespace(place.namespace.clone());
    Ok((cluster, pool))
}

async fn put(pool: &Pool, name: &str, file: &Path) -> Result<()> {
    let mut input: Box<dyn Read> = if file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(file).with_context(|| file.display().to_string())?)
    };
    let mut offset = 0;
    loop {
        let mut piece = Vec::new();
        input.by_ref().take(PIECE as u64).read_to_end(&mut piece)?;
        let length = piece.len();
        if offset == 0 {
            pool.write_full(name, piece).await.with_context(|| name.to_owned())?;
        } else if length > 0 {
            pool.write(name, offset, piece).await.with_context(|| name.to_owned())?;
        }
        if length < PIECE {
            return Ok(());
        }
        offset += length as u64;
    }
}

async fn get(pool: &Pool, name: &str, file: &Path) -> Result<()> {
    // Asked before the file is made: a missing object must not leave an empty file behind.
    let mut piece = pool.read(name, 0, PIECE as u64).await.with_context(|| name.to_owned())?;
    let mut output: Box<dyn Write> = if file == Path::new("-") {
        Box::new(std::io::stdout())
    } else {
        Box::new(std::fs::File::create(file).with_context(|| file.display().to_string())?)
    };
    let mut offset = 0;
    loop {
        output.write_all(&piece)?;
        if piece.len() < PIECE {
            return Ok(output.flush()?);
        }
        offset += piece.len() as u64;
        piece = pool.read(name, offset, PIECE as u64).await.with_context(|| name.to_owned())?;
    }
}

async fn ls(pool: &Pool, all: bool) -> Result<()> {
    let found = if all { pool.list_all_namespaces().await? } else { pool.list().await? };
    let mut out = std::io::stdout().lock();
    for Listed { namespace, name, key } in found {
        if all {
            out.write_all(&namespace)?;
            out.write_all(b"\t")?;
        }
        out.write_all(&name)?;
        if !key.is_empty() {
            out.write_all(b"\t")?;
            out.write_all(&key)?;
        }
        out.write_all(b"\n")?;
    }
    Ok(())
}

async fn bench(pool: &Pool, time: Duration, size: usize, threads: usize) -> Result<()> {
    if size == 0 || threads == 0 {
        bail!("--size and --threads must not be 0");
    }
    let prefix = format!("seabed_bench_{}", std::process::id());
    let data = Bytes::from(vec![0x5a; size]);
    let deadline = Instant::now() + time;
    let writes = in_flight(threads, |i| {
        let (pool, data, name) = (pool.clone(), data.clone(), format!("{prefix}_{i}"));
        (Instant::now() < deadline).then_some(async move { pool.write_full(name, data).await })
    });
    let written = report("write", size, writes.await?)?;
    let reads = in_flight(threads, |i| {
        let (pool, name) = (pool.clone(), format!("{prefix}_{i}"));
        (i < written).then_some(async move { pool.read(name, 0, 0).await.map(drop) })
    });
    report("read", size, reads.await?)?;
    let removes = in_flight(threads, |i| {
        let (pool, name) = (pool.clone(), format!("{prefix}_{i}"));
        (i < written).then_some(async move { pool.remove(name).await })
    });
    removes.await.map(drop)
}

/// Runs numbered operations, `threads` at a time, until `next` gives none; how long each took, and
/// all.
async fn in_flight<F>(
    threads: usize,
    mut next: impl FnMut(usize) -> Option<F>,
) -> Result<(Vec<Duration>, Duration)>
where
    F: Future<Output = Result<(), seabed_rados::RadosError>> + Send + 'static,
{
    let start = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    let mut took = Vec::new();
    let mut number = 0;
    loop {
        while running.len() < threads
            && let Some(operation) = next(number)
        {
            number += 1;
            running.spawn(async move {
                let start = Instant::now();
                operation.await.map(|()| start.elapsed())
            });
        }
        match running.join_next().await {
            Some(done) => took.push(done??),
            None => return Ok((took, start.elapsed())),
        }
    }
}

/// Prints a line of figures; returns how many operations there were.
fn report(what: &str, size: usize, (mut took, all): (Vec<Duration>, Duration)) -> Result<usize> {
    took.sort();
    let at = |share: f64| {
        let index = ((took.len() as f64 - 1.0) * share).max(0.0) as usize;
        took.get(index).copied().unwrap_or_default().as_secs_f64() * 1e3
    };
    let seconds = all.as_secs_f64().max(1e-9);
    let rate = took.len() as f64 / seconds;
    let mib = rate * size as f64 / f64::from(1 << 20);
    let mark = if std::io::stdout().is_terminal() { "" } else { "bench " };
    say!(
        "{mark}{what}: {} ops in {seconds:.2} s, {rate:.0} op/s, {mib:.1} MiB/s, \
         latency ms p50 {:.2} p99 {:.2} max {:.2}",
        took.len(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
    Ok(took.len())
}
