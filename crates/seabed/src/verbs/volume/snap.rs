//! `seabed volume snap`, `clone` and `flatten`.

use anyhow::{Context, Result};
use clap::Subcommand;
use seabed_rados::Cluster;
use seabed_rbd::{Header, Image, SnapshotNamespace};
use serde_json::{Value, json};

use super::closing;
use super::output::Format;
use super::place::ImageSpec;
use super::progress::Bar;

/// What is done to snapshots.
#[derive(Subcommand)]
pub(super) enum Verb {
    /// Make a snapshot.
    Create {
        /// POOL/NAME@SNAP.
        snapshot: ImageSpec,
    },
    /// List an image's snapshots.
    Ls {
        /// POOL/NAME.
        image: ImageSpec,
        #[arg(short, long, default_value = "plain")]
        output: Format,
    },
    /// Give a snapshot another name.
    Rename {
        /// POOL/NAME@SNAP.
        snapshot: ImageSpec,
        /// The new name.
        name: String,
    },
    /// Remove a snapshot.
    Rm {
        /// POOL/NAME@SNAP.
        snapshot: ImageSpec,
    },
    /// Make the image what the snapshot is.
    Rollback {
        /// POOL/NAME@SNAP.
        snapshot: ImageSpec,
    },
    /// Keep a snapshot from being removed; clones of version 1 need it.
    Protect {
        /// POOL/NAME@SNAP.
        snapshot: ImageSpec,
    },
    /// Let a snapshot be removed again.
    Unprotect {
        /// POOL/NAME@SNAP.
        snapshot: ImageSpec,
    },
}

/// Runs one verb.
pub(super) async fn run(cluster: &Cluster, verb: Verb) -> Result<()> {
    let (spec, act): (_, fn(Image, String) -> Act) = match verb {
        Verb::Ls { image, output } => return list(cluster, &image, output).await,
        Verb::Rename { snapshot, name: new } => {
            let (images, name) = snapshot.open_with_snapshot(cluster).await?;
            let old = snapshot.snapshot.as_deref().context("expected POOL/NAME@SNAP")?;
            let image = Image::open(&images, name).await?;
            return closing(&image, async { Ok(image.rename_snapshot(old, &new).await?) }).await;
        }
        Verb::Create { snapshot } => (snapshot, |image, name| {
            Box::pin(async move { Ok(image.create_snapshot(&name).await.map(drop)?) })
        }),
        Verb::Rm { snapshot } => (snapshot, |image, name| {
            Box::pin(async move { Ok(image.remove_snapshot(&name).await?) })
        }),
        Verb::Rollback { snapshot } => (snapshot, |image, name| {
            Box::pin(async move {
                let bar = Bar::steps("rolling back");
                Ok(image.rollback(&name, &mut |done, all| bar.at(done, all)).await?)
            })
        }),
        Verb::Protect { snapshot } => (snapshot, |image, name| {
            Box::pin(async move { Ok(image.protect_snapshot(&name).await?) })
        }),
        Verb::Unprotect { snapshot } => (snapshot, |image, name| {
            Box::pin(async move { Ok(image.unprotect_snapshot(&name).await?) })
        }),
    };
    let (images, name) = spec.open_with_snapshot(cluster).await?;
    let snapshot = spec.snapshot.clone().context("expected POOL/NAME@SNAP")?;
    let image = Image::open(&images, name).await?;
    closing(&image, act(image.clone(), snapshot)).await
}

/// Something that is being done to a snapshot.
type Act = std::pin::Pin<Box<dyn Future<Output = Result<()>>>>;

async fn list(cluster: &Cluster, spec: &ImageSpec, output: Format) -> Result<()> {
    let (images, name) = spec.open(cluster).await?;
    let image = Image::open_read(&images, name, None).await?;
    let header = image.header().await?;
    match output {
        Format::Plain => {
            let all: Vec<String> = users(&header).map(|s| s.name.clone()).collect();
            output.list(&all)
        }
        _ => {
            let all: Vec<Value> = users(&header)
                .map(|s| {
                    json!({
                        "id": s.id.0,
                        "name": s.name,
                        "size": s.size,
                        "protected": s.protection == 2,
                        "timestamp": s.timestamp.to_string(),
                    })
                })
                .collect();
            output.show(&all.into())
        }
    }
}

/// Oldest first; what clones or groups keep is not the user's.
fn users(header: &Header) -> impl Iterator<Item = &seabed_rbd::Snapshot> {
    header.snapshots.iter().rev().filter(|s| s.namespace == SnapshotNamespace::User)
}
