//! The node says that it is here: a controller publishes to registered nodes only.

use std::time::Duration;

use super::Context;
use crate::fault::Fault;
use crate::state::Directory;
use crate::state::record::{Node, node_key};

/// Between two tries.
const PAUSE: Duration = Duration::from_secs(10);

/// Writes the node's record, if it is not there as it should be.
pub(super) async fn register(context: &Context) -> Result<(), Fault> {
    let boot_id = boot_id()?;
    let pool = context.link.pool(&context.pool).await?;
    let address = pool.cluster().addr().addr.map(|socket| socket.ip().to_string());
    let record = Node { boot_id, addresses: address.into_iter().collect() };
    Directory::of(&pool)
        .update::<Node>(&node_key(&context.node_id), |known| {
            Ok((known != Some(&record)).then(|| record.clone()))
        })
        .await
        .map(drop)
}

/// Tries until it has worked.
pub(super) async fn until_done(context: &Context) {
    while let Err(fault) = register(context).await {
        tracing::warn!(node = context.node_id, %fault, "the node is not registered yet");
        tokio::time::sleep(PAUSE).await;
    }
    tracing::info!(node = context.node_id, "registered");
}

/// Of the kernel.
pub(super) fn boot_id() -> Result<String, Fault> {
    let path = "/proc/sys/kernel/random/boot_id";
    let text = std::fs::read_to_string(path);
    text.map(|id| id.trim().to_owned()).map_err(|error| Fault::internal(format!("{path}: {error}")))
}
