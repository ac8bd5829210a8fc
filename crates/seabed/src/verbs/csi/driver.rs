//! `seabed csi controller|node|all`: the CSI driver.

use std::path::PathBuf;

use anyhow::Result;
use seabed_csi::{Options, Services, serve};

use super::{Attach, STATE_DIR};
use crate::shell;

/// Threads of its runtime: calls wait for the cluster and for programs, they compute nothing.
const THREADS: usize = 2;

/// Arguments of the driver's processes.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where it is called: unix:///PATH.
    #[arg(long, default_value = "unix:///csi/csi.sock")]
    endpoint: String,
    /// The cluster's configuration.
    #[arg(long, default_value = "/etc/ceph/ceph.conf")]
    conf: PathBuf,
    /// What this node is called.
    #[arg(long)]
    node_id: Option<String>,
    /// How volumes are attached.
    #[arg(long, default_value = "auto")]
    attach: Attach,
    /// What must outlive the process.
    #[arg(long, default_value = STATE_DIR)]
    state_dir: PathBuf,
    /// The pool of volumes whose StorageClass names none; nodes register there.
    #[arg(long, default_value = "rbd")]
    pool: String,
}

/// Serves until it is told to end.
pub(crate) fn run(services: Services, arguments: Arguments) -> Result<()> {
    let Arguments { endpoint, conf, node_id, attach, state_dir, pool } = arguments;
    let attach = attach.wanted();
    let options = Options { services, endpoint, conf, node_id, attach, state_dir, pool };
    shell::run_on_threads(THREADS, async { Ok(serve(options).await?) })
}
