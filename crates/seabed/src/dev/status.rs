//! `seabed dev status`: daemons, ports, pools and PG states of the cluster in a folder.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, bail};
use seabed_rados::Cluster;
use serde_json::{Value, json};

use crate::output::say;

use super::{
    layout::{Daemon, Layout},
    process, settled,
};

/// The monitor answers at once or not at all.
const PATIENCE: Duration = Duration::from_secs(5);

/// Prints the status; an error (and so a non-zero exit) if a daemon is dead or the monitor silent.
pub(crate) async fn run(layout: &Layout) -> Result<()> {
    let mut dead = Vec::new();
    say!("{:<8} {:>7} {:>6}  log", "daemon", "pid", "port");
    for daemon in layout.daemons() {
        let pid = process::running(layout, daemon);
        if pid.is_none() {
            dead.push(daemon);
        }
        let pid = pid.map_or_else(|| "dead".to_owned(), |p| p.to_string());
        let log = layout.log_path(daemon);
        say!("{:<8} {pid:>7} {:>6}  {}", daemon.to_string(), layout.port(daemon), log.display());
    }
    if !dead.contains(&Daemon::Mon) {
        let asked = tokio::time::timeout(PATIENCE, pools_and_pgs(layout)).await;
        let (pools, counts) = asked.context("the monitor does not answer")??;
        say!("pools: {}", pools.join(", "));
        for (state, count) in counts {
            say!("{count:>8} PGs {state}");
        }
    }
    if !dead.is_empty() {
        let names: Vec<String> = dead.iter().map(Daemon::to_string).collect();
        bail!("not running: {}", names.join(", "));
    }
    Ok(())
}

async fn pools_and_pgs(layout: &Layout) -> Result<(Vec<String>, BTreeMap<String, u64>)> {
    let cluster = settled::connect(layout).await?;
    let pools = settled::ask(&cluster, json!({"prefix": "osd pool ls"})).await?;
    let pools = pools.as_array().context("no list of pools")?;
    let pools = pools.iter().filter_map(|p| p.as_str().map(str::to_owned)).collect();
    let states = pg_states(&cluster).await?;
    cluster.shutdown().await;
    Ok((pools, states))
}

async fn pg_states(cluster: &Cluster) -> Result<BTreeMap<String, u64>> {
    let stat = settled::ask(cluster, json!({"prefix": "pg stat"})).await?;
    let states = stat["pg_summary"]["num_pg_by_state"].as_array().context("no PG states")?;
    let entry = |s: &Value| Some((s["name"].as_str()?.to_owned(), s["num"].as_u64()?));
    Ok(states.iter().filter_map(entry).collect())
}
