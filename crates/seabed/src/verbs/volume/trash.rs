//! `seabed volume trash`.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::Subcommand;
use seabed_cluster::UTime;
use seabed_rados::Cluster;
use serde_json::{Value, json};

use super::interruptible;
use super::output::Format;
use super::place::{ImageSpec, PoolSpec};
use super::progress::Bar;

/// What is done with the trash.
#[derive(Subcommand)]
pub(super) enum Verb {
    /// Move an image to the trash; its name is free at once.
    Mv {
        /// POOL/NAME.
        image: ImageSpec,
        /// Seconds for which it is to be kept.
        #[arg(long, default_value_t = 0)]
        keep: u64,
    },
    /// List what users have moved there.
    Ls {
        /// POOL or POOL/NAMESPACE.
        pool: PoolSpec,
        /// What removals that were stopped have left, too.
        #[arg(long)]
        all: bool,
        #[arg(short, long, default_value = "plain")]
        output: Format,
    },
    /// Give an image its name back.
    Restore {
        /// POOL/ID.
        image: ImageSpec,
        /// Another name.
        #[arg(long)]
        name: Option<String>,
    },
    /// Remove an image for good.
    Rm {
        /// POOL/ID.
        image: ImageSpec,
        /// Even if it is to be kept still.
        #[arg(long)]
        force: bool,
    },
    /// Remove for good all that need not be kept any more and nothing needs.
    Purge {
        /// POOL or POOL/NAMESPACE.
        pool: PoolSpec,
    },
}

/// Runs one verb.
pub(super) async fn run(cluster: &Cluster, verb: Verb) -> Result<()> {
    match verb {
        Verb::Mv { image, keep } => {
            let (images, name) = image.open(cluster).await?;
            images.trash(name, Duration::from_secs(keep)).await?;
            Ok(())
        }
        Verb::Ls { pool, all, output } => {
            let images = pool.open(cluster).await?;
            let mut trashed = images.trashed().await?;
            trashed.retain(|_, image| all || matches!(image.source, 0 | 4));
            if let Format::Plain = output {
                let line =
                    |(id, image): (&String, &seabed_rbd::Trashed)| format!("{id} {}", image.name);
                return output.list(&trashed.iter().map(line).collect::<Vec<_>>());
            }
            let all: Vec<Value> = trashed
                .iter()
                .map(|(id, image)| {
                    json!({
                        "id": id,
                        "name": image.name,
                        "source": source(image.source),
                        "deleted_at": image.since.to_string(),
                        "kept_until": image.until.to_string(),
                    })
                })
                .collect();
            output.show(&all.into())
        }
        Verb::Restore { image, name } => {
            let (images, id) = image.open(cluster).await?;
            Ok(images.restore(id, name.as_deref()).await?)
        }
        Verb::Rm { image, force } => {
            let (images, id) = image.open(cluster).await?;
            let bar = Bar::steps("removing");
            let mut told = |done, all| bar.at(done, all);
            interruptible(async { Ok(images.remove_trashed(id, force, &mut told).await?) }).await
        }
        Verb::Purge { pool } => {
            let images = pool.open(cluster).await?;
            interruptible(purge(&images)).await
        }
    }
}

async fn purge(images: &seabed_rbd::Images) -> Result<()> {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let now = UTime::from_since_1970(since);
    let bar = Bar::steps("purging");
    let (mut kept, mut last) = (0, None);
    let all = images.trashed().await?;
    let count = all.len() as u64;
    for (done, (id, image)) in all.into_iter().enumerate() {
        if image.until <= now
            && let Err(error) = images.remove_trashed(&id, false, &mut |_, _| {}).await
        {
            kept += 1;
            last = Some(format!("{} ({id}): {error}", image.name));
        }
        bar.at(done as u64 + 1, count);
    }
    match last {
        None => Ok(()),
        Some(last) => bail!("{kept} could not be removed, the last of them {last}"),
    }
}

/// `TRASH_IMAGE_SOURCE_*`.
pub(super) fn source(source: u8) -> String {
    match source {
        0 => "user".into(),
        1 => "mirroring".into(),
        2 => "migration".into(),
        3 => "removing".into(),
        4 => "user, with clones".into(),
        other => format!("source {other}"),
    }
}
