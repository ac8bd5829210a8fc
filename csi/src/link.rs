//! The driver's connection to the cluster: made at the first need, made anew when it was fenced.

use std::path::{Path, PathBuf};
use std::time::Duration;

use seabed_rados::{Cluster, Conf, Pool};
use tokio::sync::Mutex;

use crate::fault::Fault;

/// A caller has sidecars behind it that repeat the call: no need to wait for minutes.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);

/// How the cluster is reached.
#[derive(Debug)]
pub(crate) struct Link {
    conf: PathBuf,
    cluster: Mutex<Option<Cluster>>,
}

impl Link {
    pub(crate) fn new(conf: PathBuf) -> Self {
        Link { conf, cluster: Mutex::default() }
    }

    pub(crate) async fn cluster(&self) -> Result<Cluster, Fault> {
        let mut slot = self.cluster.lock().await;
        if let Some(cluster) = &*slot {
            return Ok(cluster.clone());
        }
        let cluster = connect(&self.conf).await?;
        *slot = Some(cluster.clone());
        Ok(cluster)
    }

    pub(crate) async fn pool(&self, name: &str) -> Result<Pool, Fault> {
        Ok(self.cluster().await?.pool(name).await?)
    }

    /// Gives a client up that the cluster has fenced; the next call gets another.
    pub(crate) async fn renew(&self) {
        if let Some(cluster) = self.cluster.lock().await.take() {
            cluster.shutdown().await;
        }
    }
}

/// A client of its own.
async fn connect(conf: &Path) -> Result<Cluster, Fault> {
    let conf = Conf::load(conf).map_err(seabed_rados::RadosError::from)?;
    match tokio::time::timeout(CONNECT_WITHIN, Cluster::connect(&conf)).await {
        Ok(connected) => Ok(connected?),
        Err(_) => Err(Fault::unavailable(
            "no monitor of the cluster answers; look at `ceph -s`, the network and --conf",
        )),
    }
}
