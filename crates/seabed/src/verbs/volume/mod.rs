//! `seabed volume`: images made, looked at, filled, read out and removed.

mod archive;
mod attach;
mod bench;
mod changes;
mod group;
mod lock;
mod output;
mod place;
mod progress;
mod snap;
mod transfer;
mod trash;
mod why;

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
    /// Give an image another name.
    Rename {
        /// POOL/NAME.
        image: ImageSpec,
        /// The new name.
        name: String,
    },
    /// Say why an image is in use, or cannot be removed.
    Why {
        /// POOL/NAME; of an image in the trash, POOL/ID.
        image: ImageSpec,
        #[arg(short, long, default_value = "plain")]
        output: Format,
    },
    /// Show sizes and what is in use of them, in bytes.
    Du {
        /// POOL, POOL/NAMESPACE or POOL/NAME.
        place: String,
        #[arg(short, long, default_value = "plain")]
        output: Format,
    },
    /// Measure how fast an image is read or written. Writing destroys what it holds.
    Bench {
        /// POOL/NAME.
        image: ImageSpec,
        #[command(flatten)]
        bench: bench::Load,
        #[arg(short, long, default_value = "plain")]
        output: Format,
    },
    /// Locks on images.
    Lock {
        #[command(subcommand)]
        verb: lock::Verb,
    },
    /// Images without a name, kept for a time.
    Trash {
        #[command(subcommand)]
        verb: trash::Verb,
    },
    /// Groups of images.
    Group {
        #[command(subcommand)]
        verb: group::Verb,
    },
    /// Maps of the objects that an image has.
    ObjectMap {
        #[command(subcommand)]
        verb: MapVerb,
    },
    /// Copy an image, with its snapshots, to one that shares nothing with it.
    Copy {
        /// POOL/NAME or POOL/NAME@SNAP.
        image: ImageSpec,
        /// POOL/NEW.
        copy: ImageSpec,
        #[command(flatten)]
        make: Make,
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
        /// What the file is, as `export` has it; of format 2 it says itself what the image is to
        /// be.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
        export_format: u8,
        #[command(flatten)]
        make: Make,
    },
    /// Write an image to a file (`-`: standard output).
    Export {
        /// POOL/NAME or POOL/NAME@SNAP.
        image: ImageSpec,
        /// The file.
        file: PathBuf,
        /// Ceph's format: 1 the bytes alone; 2 with snapshots and what else the image is.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
        export_format: u8,
    },
    /// Show what has changed since a snapshot, or what is there at all.
    Diff {
        /// POOL/NAME or POOL/NAME@SNAP.
        image: ImageSpec,
        /// The snapshot since which.
        #[arg(long)]
        from_snap: Option<String>,
        /// By whole objects, which object maps tell fast.
        #[arg(long)]
        whole_object: bool,
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

/// What is done to object maps.
#[derive(Subcommand)]
enum MapVerb {
    /// Compare the maps of an image and its snapshots with its objects; wrong ones are marked.
    Check {
        /// POOL/NAME.
        image: ImageSpec,
    },
    /// Make the maps of an image and its snapshots anew.
    Rebuild {
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
        Verb::Rename { image, name } => {
            let (images, old) = image.open(cluster).await?;
            Ok(images.rename(old, &name).await?)
        }
        Verb::Why { image, output } => why::why(cluster, &image, output).await,
        Verb::Du { place, output } => interruptible(why::du(cluster, &place, output)).await,
        Verb::Bench { image, bench, output } => {
            let (images, name) = image.open_with_snapshot(cluster).await?;
            let opened = match bench.writes() {
                true => Image::open(&images, name).await?,
                false => Image::open_read(&images, name, image.snapshot.as_deref()).await?,
            };
            closing(&opened, bench.run(&opened, output)).await
        }
        Verb::Lock { verb } => lock::run(cluster, verb).await,
        Verb::Trash { verb } => trash::run(cluster, verb).await,
        Verb::Group { verb } => group::run(cluster, verb).await,
        Verb::ObjectMap { verb } => object_map(cluster, verb).await,
        Verb::Copy { image, copy, make } => {
            let (images, name) = image.open_with_snapshot(cluster).await?;
            let options = make.options(cluster, 0).await?;
            let (targets, target) = copy.open(cluster).await?;
            let opened = Image::open_read(&images, name, image.snapshot.as_deref()).await?;
            let bar = Bar::steps("copying");
            let mut told = |done, all| bar.at(done, all);
            Ok(opened.copy(&targets, target, &options, &mut told).await?)
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
        Verb::Import { file, image, export_format, make } => {
            let options = make.options(cluster, 0).await?;
            let (images, name) = image.open(cluster).await?;
            if export_format == 2 {
                return archive::import(&file, &images, name, options).await;
            }
            transfer::import(&file, &images, name, options).await
        }
        Verb::Export { image, file, export_format } => {
            let (images, name) = image.open_with_snapshot(cluster).await?;
            if export_format == 2 {
                return archive::export(&images, name, image.snapshot.as_deref(), &file).await;
            }
            let opened = Image::open_read(&images, name, image.snapshot.as_deref()).await?;
            transfer::export(&opened, &file).await
        }
        Verb::Diff { image, from_snap, whole_object, output } => {
            let (images, name) = image.open_with_snapshot(cluster).await?;
            let opened = Image::open_read(&images, name, image.snapshot.as_deref()).await?;
            let from = from_snap.as_deref();
            interruptible(changes::show(&opened, from, whole_object, output)).await
        }
        Verb::ExportDiff { image, file, from_snap, diff_format } => {
            let (images, name) = image.open_with_snapshot(cluster).await?;
            let to = image.snapshot.as_deref();
            let opened = Image::open_read(&images, name, to).await?;
            let format = if diff_format == 2 { DiffFormat::V2 } else { DiffFormat::V1 };
            let from = from_snap.as_deref();
            let stream = changes::Stream { from, to, protected: None, format };
            changes::export(&opened, stream, &file).await
        }
        Verb::ImportDiff { file, image } => {
            let (images, name) = image.open(cluster).await?;
            let opened = Image::open(&images, name).await?;
            closing(&opened, changes::import(&opened, &file)).await
        }
    }
}

async fn object_map(cluster: &Cluster, verb: MapVerb) -> Result<()> {
    let (MapVerb::Check { image } | MapVerb::Rebuild { image }) = &verb;
    let (images, name) = image.open(cluster).await?;
    let opened = Image::open(&images, name).await?;
    closing(&opened, async {
        let bar = Bar::steps("looking at objects");
        let mut told = |done, all| bar.at(done, all);
        if let MapVerb::Rebuild { .. } = verb {
            return Ok(opened.rebuild_object_map(&mut told).await?);
        }
        let found = opened.check_object_map(&mut told).await?;
        drop(bar);
        if found.wrong > 0 || found.bad > 0 {
            bail!(
                "{} objects are there that a map does not know, {} maps cannot be used; `seabed \
                 volume object-map rebuild` makes them anew",
                found.wrong,
                found.bad
            );
        }
        Ok(())
    })
    .await
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

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    #[derive(Parser)]
    struct Whole {
        #[command(flatten)]
        _arguments: super::Arguments,
    }

    #[test]
    fn the_verbs_and_their_flags_agree() {
        Whole::command().debug_assert();
    }
}
