//! `seabed volume lock`.

use anyhow::{Result, bail};
use clap::Subcommand;
use seabed_rados::Cluster;
use seabed_rbd::Image;
use serde_json::{Value, json};

use super::output::Format;
use super::place::ImageSpec;

/// What is done to an image's locks.
#[derive(Subcommand)]
pub(super) enum Verb {
    /// List who has an image locked: the client that writes it, or users by hand.
    Ls {
        /// POOL/NAME.
        image: ImageSpec,
        #[arg(short, long, default_value = "plain")]
        output: Format,
    },
    /// Lock an image by hand, so that no client writes it.
    Add {
        /// POOL/NAME.
        image: ImageSpec,
        /// A word of your own for the lock.
        id: String,
        /// Others who give the same word may lock it too.
        #[arg(long)]
        shared: Option<String>,
    },
    /// Break a lock.
    Rm {
        /// POOL/NAME.
        image: ImageSpec,
        /// The lock's word, as `lock ls` shows it.
        id: String,
        /// Whose lock, as `lock ls` shows it.
        locker: String,
        /// Do not have the cluster refuse what the owner may still send. One that lives goes on
        /// writing until it finds out.
        #[arg(long)]
        no_fence: bool,
    },
}

/// Runs one verb.
pub(super) async fn run(cluster: &Cluster, verb: Verb) -> Result<()> {
    match verb {
        Verb::Ls { image, output } => {
            let (images, name) = image.open(cluster).await?;
            let image = Image::open_read(&images, name, None).await?;
            let locks = image.locks().await?;
            if let Format::Plain = output {
                let line =
                    |l: &seabed_rbd::LockOwner| format!("{} {:?} {}", l.client, l.cookie, l.addr);
                return output.list(&locks.iter().map(line).collect::<Vec<_>>());
            }
            let all: Vec<Value> = locks
                .iter()
                .map(|l| {
                    json!({
                        "id": l.cookie,
                        "locker": l.client.to_string(),
                        "address": l.addr.to_string(),
                        "tag": l.tag,
                        "shared": l.shared,
                    })
                })
                .collect();
            output.show(&all.into())
        }
        Verb::Add { image, id, shared } => {
            let (images, name) = image.open(cluster).await?;
            let image = Image::open_read(&images, name, None).await?;
            Ok(image.lock_by_hand(&id, shared.as_deref()).await?)
        }
        Verb::Rm { image, id, locker, no_fence } => {
            let (images, name) = image.open(cluster).await?;
            let image = Image::open_read(&images, name, None).await?;
            let locks = image.locks().await?;
            let found = locks.iter().find(|l| l.cookie == id && l.client.to_string() == locker);
            let Some(found) = found else {
                bail!("{name} has no lock {id:?} of {locker}; see `seabed volume lock ls`");
            };
            Ok(image.break_lock(found, !no_fence).await?)
        }
    }
}
