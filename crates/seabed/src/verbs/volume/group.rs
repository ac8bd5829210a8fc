//! `seabed volume group`.

use anyhow::{Context, Result};
use clap::Subcommand;
use seabed_rados::Cluster;
use seabed_rbd::Groups;
use serde_json::{Value, json};

use super::interruptible;
use super::output::Format;
use super::place::{ImageSpec, PoolSpec};
use super::progress::Bar;

/// What is done to groups. A group is written as an image is: POOL/GROUP.
#[derive(Subcommand)]
pub(super) enum Verb {
    /// Make a group.
    Create {
        /// POOL/GROUP.
        group: ImageSpec,
    },
    /// List groups.
    Ls {
        /// POOL or POOL/NAMESPACE.
        pool: PoolSpec,
        #[arg(short, long, default_value = "plain")]
        output: Format,
    },
    /// Remove a group with its snapshots; its images stay.
    Rm {
        /// POOL/GROUP.
        group: ImageSpec,
    },
    /// Give a group another name.
    Rename {
        /// POOL/GROUP.
        group: ImageSpec,
        /// The new name.
        name: String,
    },
    /// Add an image.
    Add {
        /// POOL/GROUP.
        group: ImageSpec,
        /// POOL/NAME.
        image: ImageSpec,
    },
    /// Take an image out.
    Remove {
        /// POOL/GROUP.
        group: ImageSpec,
        /// POOL/NAME.
        image: ImageSpec,
    },
    /// List the images of a group.
    Images {
        /// POOL/GROUP.
        group: ImageSpec,
        #[arg(short, long, default_value = "plain")]
        output: Format,
    },
    /// Snapshots of groups.
    Snap {
        #[command(subcommand)]
        verb: SnapVerb,
    },
}

/// What is done to snapshots of groups.
#[derive(Subcommand)]
pub(super) enum SnapVerb {
    /// Make a snapshot of all images at one moment.
    Create {
        /// POOL/GROUP@SNAP.
        snapshot: ImageSpec,
    },
    /// List a group's snapshots.
    Ls {
        /// POOL/GROUP.
        group: ImageSpec,
        #[arg(short, long, default_value = "plain")]
        output: Format,
    },
    /// Remove a snapshot.
    Rm {
        /// POOL/GROUP@SNAP.
        snapshot: ImageSpec,
    },
    /// Make the images what they were.
    Rollback {
        /// POOL/GROUP@SNAP.
        snapshot: ImageSpec,
    },
}

/// Runs one verb.
pub(super) async fn run(cluster: &Cluster, verb: Verb) -> Result<()> {
    match verb {
        Verb::Create { group } => {
            let (groups, name) = open(cluster, &group).await?;
            Ok(groups.create(name).await?)
        }
        Verb::Ls { pool, output } => {
            let groups = Groups::new(pool.open(cluster).await?.pool().clone());
            output.list(&groups.list().await?.into_keys().collect::<Vec<_>>())
        }
        Verb::Rm { group } => {
            let (groups, name) = open(cluster, &group).await?;
            interruptible(async { Ok(groups.remove(name).await?) }).await
        }
        Verb::Rename { group, name } => {
            let (groups, old) = open(cluster, &group).await?;
            Ok(groups.rename(old, &name).await?)
        }
        Verb::Add { group, image } => {
            let (groups, name) = open(cluster, &group).await?;
            let (images, image) = image.open(cluster).await?;
            Ok(groups.add(name, &images, image).await?)
        }
        Verb::Remove { group, image } => {
            let (groups, name) = open(cluster, &group).await?;
            let (images, image) = image.open(cluster).await?;
            Ok(groups.take_out(name, &images, image).await?)
        }
        Verb::Images { group, output } => images(cluster, &group, output).await,
        Verb::Snap { verb } => snapshots(cluster, verb).await,
    }
}

async fn open<'a>(cluster: &Cluster, group: &'a ImageSpec) -> Result<(Groups, &'a str)> {
    let (images, name) = group.open(cluster).await?;
    Ok((Groups::new(images.pool().clone()), name))
}

async fn images(cluster: &Cluster, group: &ImageSpec, output: Format) -> Result<()> {
    let (groups, name) = open(cluster, group).await?;
    let mut all: Vec<Value> = Vec::new();
    for image in groups.images(name).await? {
        let pool = cluster.pool_by_id(image.pool).await?;
        all.push(json!({
            "image": image.name,
            "id": image.id,
            "pool": pool.name(),
            "namespace": String::from_utf8_lossy(groups.pool().namespace()),
            "state": if image.attached { "attached" } else { "incomplete" },
        }));
    }
    if let Format::Plain = output {
        let line = |image: &Value| {
            let text = |name: &str| image[name].as_str().unwrap_or_default().to_owned();
            let name = image["image"].as_str().map_or_else(|| text("id"), str::to_owned);
            match text("namespace").as_str() {
                "" => format!("{}/{name}", text("pool")),
                namespace => format!("{}/{namespace}/{name}", text("pool")),
            }
        };
        return output.list(&all.iter().map(line).collect::<Vec<_>>());
    }
    output.show(&all.into())
}

async fn snapshots(cluster: &Cluster, verb: SnapVerb) -> Result<()> {
    let named = |spec: &ImageSpec| spec.snapshot.clone().context("expected POOL/GROUP@SNAP");
    match verb {
        SnapVerb::Create { snapshot } => {
            let (groups, name) = open_with_snapshot(cluster, &snapshot).await?;
            let snapshot = named(&snapshot)?;
            // Not stopped half way: what it has made it undoes itself.
            Ok(groups.create_snapshot(name, &snapshot).await?)
        }
        SnapVerb::Rm { snapshot } => {
            let (groups, name) = open_with_snapshot(cluster, &snapshot).await?;
            Ok(groups.remove_snapshot(name, &named(&snapshot)?).await?)
        }
        SnapVerb::Rollback { snapshot } => {
            let (groups, name) = open_with_snapshot(cluster, &snapshot).await?;
            let bar = Bar::steps("rolling back");
            let mut told = |done, all| bar.at(done, all);
            Ok(groups.rollback(name, &named(&snapshot)?, &mut told).await?)
        }
        SnapVerb::Ls { group, output } => {
            let (groups, name) = open(cluster, &group).await?;
            let all = groups.snapshots(name).await?;
            if let Format::Plain = output {
                return output.list(&all.iter().map(|s| s.name.clone()).collect::<Vec<_>>());
            }
            let all: Vec<Value> = all
                .iter()
                .map(|s| {
                    let state = if s.complete { "complete" } else { "incomplete" };
                    let parts: Vec<Value> = s
                        .snapshots
                        .iter()
                        .map(|(pool, image, snap)| {
                            json!({ "pool_id": pool.0, "image_id": image, "snap_id": snap.0 })
                        })
                        .collect();
                    json!({ "snapshot": s.name, "id": s.id, "state": state, "images": parts })
                })
                .collect();
            output.show(&all.into())
        }
    }
}

async fn open_with_snapshot<'a>(
    cluster: &Cluster,
    group: &'a ImageSpec,
) -> Result<(Groups, &'a str)> {
    let (images, name) = group.open_with_snapshot(cluster).await?;
    Ok((Groups::new(images.pool().clone()), name))
}
