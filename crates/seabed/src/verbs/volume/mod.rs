//! `seabed volume`: images made, looked at, filled, read out and removed.

mod attach;
mod changes;
mod output;
mod place;
mod progress;
mod snap;
mod transfer;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Subcommand;
use seabed_rados::{Cluster, Conf};
use seabed_rbd::{CloneVersion, CreateOptions, DiffFormat, Image, RbdError};

use output::Format;
use place::{ImageSpec, PoolSpec, size};
use progress::Bar;

/// Arguments of `seabed volume`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The cluster's configuration.
    #[arg(short, long, global = true, default_value = "/etc/ceph/ceph.conf")]
    conf: PathBuf,
    #[command(subcommand)]
    verb: Verb,
}

/// What a new image is to be.
#[derive(clap::Args)]
struct Make {
    /// Size of its objects: a power of two from 4K to 32M.
    #[arg(long, default_value = "4M", value_parser = size)]
    object_size: u64,
    /// Bytes of a stripe unit; with `--stripe-count`.
    #[arg(long, value_parser = size, requires = "stripe_count")]
    stripe_unit: Option<u64>,
    /// Objects that take turns; with `--stripe-unit`.
    #[arg(long, requires = "stripe_unit")]
    stripe_count: Option<u64>,
    /// The pool of its data, if that is to be another.
    #[arg(long)]
    data_pool: Option<String>,
}

#[derive(Subcommand)]
enum Verb {
    /// Make an image with Ceph's default features.
    Create {
        /// POOL/NAME or POOL/NAMESPACE/NAME.
        image: ImageSpec,
        /// Its size: bytes, or with K, M, G, T or P (of 1024).
        #[arg(short, long, value_parser = size)]
        size: u64,
        #[command(flatten)]
        make: Make,
    },
    /// List images.
    Ls {
        /// POOL or POOL/NAMESPACE.
        pool: PoolSpec,
        #[arg(short, long, default_value = "plain")]
        output: Format,
    },
    /// Show what an image is.
    Info {
        /// POOL/NAME.
        image: ImageSpec,
        #[arg(short, long, default_value = "plain")]
        output: Format,
    },
    /// Change an image's size.
    Resize {
        /// POOL/NAME.
        image: ImageSpec,
        /// The new size.
        #[arg(short, long, value_parser = size)]
        size: u64,
        /// Cut off what does not fit.
        #[arg(long)]
        allow_shrink: bool,
    },
    /// Make an image a block device of this node, and print the device.
    Attach {
        /// POOL/NAME or POOL/NAME@SNAP.
        image: ImageSpec,
        /// The device cannot be written.
        #[arg(long)]
        read_only: bool,
        /// How.
        #[arg(long, value_enum, default_value = "auto")]
        way: super::csi::Attach,
        #[command(flatten)]
        node: attach::Node,
    },
    /// Take a block device away that nobody has mounted.
    Detach {
        /// POOL/NAME, POOL/NAME@SNAP or /dev/…
        what: String,
        /// Whoever uses it: their I/O is an error from then on, and what was not written is lost.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        node: attach::Node,
    },
    /// Remove an image that nobody uses.
    Rm {
        /// POOL/NAME.
        image: ImageSpec,
    },
    /// Snapshots of images.
    Snap {
        #[command(subcommand)]
        verb: snap::Verb,
    },
    /// Make an image that is what a snapshot is, and shares its data until it is written.
    Clone {
        /// POOL/NAME@SNAP.
        snapshot: ImageSpec,
        /// POOL/NEW.
        image: ImageSpec,
        /// 1: the snapshot must be protected, any client can read the clone; 2: it need not be,
        /// and clients must be of Ceph 13 or newer. 1 if it is protected, else 2.
        #[arg(long, value_parser = clap::value_parser!(u8).range(1..=2))]
        clone_format: Option<u8>,
        #[command(flatten)]
        make: Make,
    },
    /// Copy what a clone shares with its parent, and part them.
    Flatten {
        /// POOL/NAME.
        image: ImageSpec,
    },
    /// Make an image of a file (`-`: standard input).
    Import {
        /// The file.
        file: PathBuf,
        /// POOL/NAME.
        image: ImageSpec,
        #[command(flatten)]
        make: Make,
    },
    /// Write an image to a file (`-`: standard output).
    Export {
        /// POOL/NAME or POOL/NAME@SNAP.
        image: ImageSpec,
        /// The file.
        file: PathBuf,
    },
    /// Show what has changed since a snapshot, or what is there at all.
    Diff {
        /// POOL/NAME or POOL/NAME@SNAP.
        image: ImageSpec,
        /// The snapshot since which.
        #[arg(long)]
        from_snap: Option<String>,
        #[arg(short, long, default_value = "plain")]
        output: Format,
    },
    /// Write what has changed as Ceph's stream (`-`: standard output).
    ExportDiff {
        /// POOL/NAME or POOL/NAME@SNAP.
        image: ImageSpec,
        /// The file.
        file: PathBuf,
        /// The snapshot since which.
        #[arg(long)]
        from_snap: Option<String>,
        /// Ceph's format of the stream.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
        diff_format: u8,
    },
    /// Apply a stream of changes (`-`: standard input) to an image.
    ImportDiff {
        /// The file.
        file: PathBuf,
        /// POOL/NAME.
        image: ImageSpec,
    },
}

/// Runs one verb. Interrupted, it gives back what it holds, and fails.
pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    // The cluster may be gone.
    if let Verb::Detach { what, force, node } = &arguments.verb {
        return attach::detach(what, *force, node).await;
    }
    let conf = Conf::load(&arguments.conf)?;
    let cluster = Cluster::connect(&conf).await?;
    let result = verb(&cluster, &arguments.conf, arguments.verb).await;
    cluster.shutdown().await;
    result
}

async fn verb(cluster: &Cluster, conf: &Path, verb: Verb) -> Result<()> {
    match verb {
        Verb::Create { image, size, make } => {
            let options = make.options(cluster, size).await?;
            let (images, name) = image.open(cluster).await?;
            images.create(name, &options).await?;
            Ok(())
        }
        Verb::Ls { pool, output } => {
            let images = pool.open(cluster).await?;
            let names: Vec<String> = images.list().await?.into_keys().collect();
            output.list(&names)
        }
        Verb::Info { image, output } => {
            let (images, name) = image.open(cluster).await?;
            let image = Image::open_read(&images, name, None).await?;
            output.show(&output::info(&image).await?)
        }
        Verb::Resize { image, size, allow_shrink } => {
            let (images, name) = image.open(cluster).await?;
            let opened = Image::open(&images, name).await?;
            closing(&opened, async {
                let now = opened.size().await?;
                if size < now && !allow_shrink {
                    bail!("{name} has {now} bytes: what is cut off is lost; say --allow-shrink");
                }
                let bar = Bar::steps("resizing");
                Ok(opened.resize(size, &mut |done, all| bar.at(done, all)).await?)
            })
            .await
        }
        Verb::Attach { image, read_only, way, node } => {
            attach::attach(cluster, conf, &image, read_only, way, &node).await
        }
        Verb::Detach { what, force, node } => attach::detach(&what, force, &node).await,
        Verb::Rm { image } => {
            let (images, name) = image.open(cluster).await?;
            let bar = Bar::steps("removing");
            let mut told = |done, all| bar.at(done, all);
            interruptible(async { Ok(images.remove(name, &mut told).await?) }).await
        }
        Verb::Snap { verb } => snap::run(cluster, verb).await,
        Verb::Clone { snapshot, image, clone_format, make } => {
            let options = make.options(cluster, 0).await?;
            let at = snapshot.snapshot.as_deref().context("expected POOL/NAME@SNAP")?;
            let (parents, parent) = snapshot.open_with_snapshot(cluster).await?;
            let parent = Image::open_read(&parents, parent, Some(at)).await?;
            let header = parent.header().await?;
            let protected = header.snapshot(at).is_some_and(|s| s.protection == 2);
            let version = match clone_format {
                Some(1) => CloneVersion::V1,
                None if protected => CloneVersion::V1,
                _ => CloneVersion::V2,
            };
            let (images, name) = image.open(cluster).await?;
            Ok(images.clone_snapshot(&parent, at, name, version, &options).await?)
        }
        Verb::Flatten { image } => {
            let (images, name) = image.open(cluster).await?;
            let opened = Image::open(&images, name).await?;
            closing(&opened, async {
                let bar = Bar::steps("flattening");
                Ok(opened.flatten(&mut |done, all| bar.at(done, all)).await?)
            })
            .await
        }
        Verb::Import { file, image, make } => {
            let options = make.options(cluster, 0).await?;
            let (images, name) = image.open(cluster).await?;
            transfer::import(&file, &images, name, options).await
        }
        Verb::Export { image, file } => {
            let (images, name) = image.open_with_snapshot(cluster).await?;
            let opened = Image::open_read(&images, name, image.snapshot.as_deref()).await?;
            transfer::export(&opened, &file).await
        }
        Verb::Diff { image, from_snap, output } => {
            let (images, name) = image.open_with_snapshot(cluster).await?;
            let opened = Image::open_read(&images, name, image.snapshot.as_deref()).await?;
            interruptible(changes::show(&opened, from_snap.as_deref(), output)).await
        }
        Verb::ExportDiff { image, file, from_snap, diff_format } => {
            let (images, name) = image.open_with_snapshot(cluster).await?;
            let to = image.snapshot.as_deref();
            let opened = Image::open_read(&images, name, to).await?;
            let format = if diff_format == 2 { DiffFormat::V2 } else { DiffFormat::V1 };
            changes::export(&opened, (from_snap.as_deref(), to), &file, format).await
        }
        Verb::ImportDiff { file, image } => {
            let (images, name) = image.open(cluster).await?;
            let opened = Image::open(&images, name).await?;
            closing(&opened, changes::import(&opened, &file)).await
        }
    }
}

impl Make {
    async fn options(&self, cluster: &Cluster, size: u64) -> Result<CreateOptions> {
        if !self.object_size.is_power_of_two() {
            bail!("--object-size must be a power of two");
        }
        let order = u8::try_from(self.object_size.ilog2()).context("--object-size")?;
        let striping =
            (self.stripe_unit.unwrap_or_default(), self.stripe_count.unwrap_or_default());
        let data_pool = match &self.data_pool {
            Some(name) => Some(cluster.pool(name).await?),
            None => None,
        };
        Ok(CreateOptions { order, striping, data_pool, ..CreateOptions::sized(size) })
    }
}

/// Ends early, with an error, when the user interrupts.
async fn interruptible<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        result = work => result,
        signal = tokio::signal::ctrl_c() => {
            signal?;
            bail!("interrupted")
        }
    }
}

/// Does something with an image, and closes it whatever comes of it: the lock is given back.
async fn closing<T>(image: &Image, work: impl Future<Output = Result<T>>) -> Result<T> {
    let result = interruptible(work).await;
    let closed: Result<(), RbdError> = image.clone().close().await;
    let value = result?;
    closed?;
    Ok(value)
}
