//! The shells: where rules meet sockets, disks and clocks. One thread each, one loop each.

mod clock;
pub(crate) mod daemon;
mod logging;
pub(crate) mod mon;
pub(crate) mod osd;
mod osd_links;
pub(crate) mod osd_store;

use anyhow::Result;

/// Runs a future to its end on a runtime of several threads.
pub(crate) fn run_on_threads(threads: usize, work: impl Future<Output = Result<()>>) -> Result<()> {
    logging::start();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(threads).enable_all().build()?.block_on(work)
}

/// Runs a future to its end on a runtime of this thread.
pub(crate) fn run(work: impl Future<Output = Result<()>>) -> Result<()> {
    logging::start();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
