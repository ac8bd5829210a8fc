//! `seabed volume bench`: reads or writes an image and says how fast that went.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use bytes::Bytes;
use rand::{Rng, RngCore, SeedableRng};
use seabed_rbd::Image;
use serde_json::json;
use tokio::task::JoinSet;

use super::output::Format;
use super::progress::Bar;

/// What is measured.
#[derive(clap::Args)]
pub(super) struct Load {
    /// What is done.
    #[arg(long, value_enum, default_value = "write")]
    io_type: IoType,
    /// Bytes of one operation.
    #[arg(long, default_value = "4K", value_parser = super::place::size)]
    io_size: u64,
    /// Operations in flight.
    #[arg(long, default_value_t = 16)]
    io_threads: usize,
    /// Bytes of all operations.
    #[arg(long, default_value = "1G", value_parser = super::place::size)]
    io_total: u64,
    /// Where they go.
    #[arg(long, value_enum, default_value = "seq")]
    io_pattern: Pattern,
    /// The chance's seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum IoType {
    Read,
    Write,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Pattern {
    Seq,
    Rand,
}

impl Load {
    /// True if the image is changed.
    pub(super) fn writes(&self) -> bool {
        self.io_type == IoType::Write
    }

    /// Runs it.
    pub(super) async fn run(&self, image: &Image, output: Format) -> Result<()> {
        let size = image.size().await?;
        if self.io_size == 0 || self.io_threads == 0 || self.io_size > size {
            bail!("--io-size must be between 1 and the image's {size} bytes, --io-threads above 0");
        }
        let mut chance = rand::rngs::StdRng::seed_from_u64(self.seed);
        let mut data = vec![0; usize::try_from(self.io_size)?];
        chance.fill_bytes(&mut data);
        let data = Bytes::from(data);
        let (slots, all) = (size / self.io_size, self.io_total / self.io_size);
        let bar =
            Bar::bytes(if self.writes() { "writing" } else { "reading" }, Some(self.io_total));
        let mut running: JoinSet<Result<Duration, seabed_rbd::RbdError>> = JoinSet::new();
        let mut times = Vec::new();
        let begun = Instant::now();
        for number in 0..all {
            if running.len() >= self.io_threads
                && let Some(done) = running.join_next().await
            {
                times.push(done??);
                bar.add(self.io_size);
            }
            let slot = match self.io_pattern {
                Pattern::Seq => number % slots,
                Pattern::Rand => chance.random_range(0..slots),
            };
            let (image, data, offset) = (image.clone(), data.clone(), slot * self.io_size);
            let (writes, length) = (self.writes(), self.io_size);
            running.spawn(async move {
                let begun = Instant::now();
                match writes {
                    true => image.write(offset, data).await?,
                    false => drop(image.read(offset, length).await?),
                }
                Ok(begun.elapsed())
            });
        }
        while let Some(done) = running.join_next().await {
            times.push(done??);
            bar.add(self.io_size);
        }
        drop(bar);
        let elapsed = begun.elapsed().as_secs_f64().max(f64::EPSILON);
        times.sort_unstable();
        let quantile = |of: usize| {
            let index = (times.len() * of / 1000).min(times.len().saturating_sub(1));
            times.get(index).map_or(0.0, |time| time.as_secs_f64() * 1e3)
        };
        let bytes = all * self.io_size;
        output.show(&json!({
            "ops": all,
            "bytes": bytes,
            "seconds": rounded(elapsed),
            "ops_per_second": rounded(all as f64 / elapsed),
            "bytes_per_second": rounded(bytes as f64 / elapsed),
            "p50_ms": rounded(quantile(500)),
            "p99_ms": rounded(quantile(990)),
            "p999_ms": rounded(quantile(999)),
        }))
    }
}

fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}
