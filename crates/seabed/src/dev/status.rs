//! `seabed dev status`: daemons, ports, pools and PG states of the cluster in a folder.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{layout::Layout, process, settled};

/// The monitor answers at once or not at all.
const PATIENCE: Duration = Duration::from_secs(5);

/// Prints the status; an error (and so a non-zero exit) if a daemon is dead or the monitor silent.
pub(crate) async fn run(layout: &Layout) -> Result<()> {
    let mut dead = 0;
    println!("{:<8} {:>7} {:>6}  log", "daemon", "pid", "port");
    for daemon in layout.daemons() {
        let pid = process::running(layout, daemon);
        dead += usize::from(pid.is_none());
        let pid = pid.map_or_else(|| "dead".to_owned(), |p| p.to_string());
        let log = layout.log_path(daemon);
        println!(
            "{:<8} {pid:>7} {:>6}  {}",
            daemon.to_string(),
            layout.port(daemon),
            log.display()
        );
    }
    let counts = tokio::time::timeout(PATIENCE, pg_states(layout))
        .await
        .context("the monitor does not answer")??;
    for (state, count) in counts {
        println!("{count:>8} PGs {state}");
    }
    if dead > 0 {
        bail!("{dead} daemons are dead");
    }
    Ok(())
}

async fn pg_states(layout: &Layout) -> Result<BTreeMap<String, u64>> {
    let cluster = settled::connect(layout).await?;
    let stat = settled::ask(&cluster, json!({"prefix": "pg stat"})).await?;
    cluster.shutdown().await;
    let states = stat["pg_summary"]["num_pg_by_state"].as_array().context("no PG states")?;
    let entry = |s: &Value| Some((s["name"].as_str()?.to_owned(), s["num"].as_u64()?));
    Ok(states.iter().filter_map(entry).collect())
}
