//! `seabed csi attachd`: the process that owns this node's user-space block devices.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use seabed_attachd::{Options, ServeError, Server};

use crate::shell;

/// Threads that do I/O. Frames' checksums are most of their work.
const THREADS: usize = 4;

/// Arguments of `seabed csi attachd`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Its folder: socket, lock, and the mark that its devices carry.
    #[arg(long, default_value = super::STATE_DIR)]
    state_dir: PathBuf,
    /// The cluster of callers that name none.
    #[arg(long, default_value = "/etc/ceph/ceph.conf")]
    conf: PathBuf,
    /// Its socket, unix:///PATH; in the folder unless told.
    #[arg(long)]
    endpoint: Option<String>,
    /// Seconds after which an I/O is an error.
    #[arg(long, default_value_t = seabed_attach::IO_TIMEOUT.as_secs(),
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    io_timeout: u64,
    /// Seconds without a volume or a call after which it ends.
    #[arg(long, default_value_t = seabed_attachd::GRACE.as_secs())]
    grace: u64,
    /// Run in a session of its own.
    #[arg(long)]
    detach: bool,
}

/// Serves until nothing is held.
pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let socket = arguments.endpoint.as_deref().map(super::socket).transpose()?;
    let options = Options {
        socket,
        io_timeout: Duration::from_secs(arguments.io_timeout),
        grace: Duration::from_secs(arguments.grace),
        ..Options::new(arguments.state_dir, arguments.conf)
    };
    if arguments.detach {
        shell::daemon::detach()?;
    }
    // Before there is any other thread: they inherit it.
    let lacking = Server::prepare_process();
    shell::daemon::stop_on_panic();
    shell::run_on_threads(THREADS, async {
        for error in lacking {
            tracing::warn!(%error, "it may deadlock when memory is short");
        }
        match Server::start(options).await {
            // Of several that were started at once.
            Err(running @ ServeError::Running(_)) => {
                tracing::info!("{running}");
                Ok(())
            }
            started => Ok(started?.run().await?),
        }
    })
}
