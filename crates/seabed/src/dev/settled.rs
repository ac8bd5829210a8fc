//! Waiting until the cluster is settled: every OSD of ours is up in the map as the process that
//! runs now, the pool is there, and every PG was reported active+clean after its last change of
//! members.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use seabed_cluster::{OsdId, OsdMap};
use seabed_rados::{Cluster, Conf};
use serde_json::{Value, json};

use super::layout::{Daemon, Layout};
use super::process;

const POLL: Duration = Duration::from_millis(100);

/// How often the daemons are looked at. Who waits for a dead monitor would wait long.
const LOOK: Duration = Duration::from_millis(500);

/// Returns when all is settled, or with the reason at the deadline or when a daemon dies.
pub(crate) async fn wait(layout: &Layout, deadline: Instant) -> Result<()> {
    let left = deadline.saturating_duration_since(Instant::now());
    let work = async {
        tokio::select! {
            result = settle(layout) => result,
            died = death(layout) => died,
        }
    };
    match tokio::time::timeout(left, work).await {
        Ok(result) => result,
        Err(_) => bail!("{}", reason(layout).await),
    }
}

/// Returns only if a daemon dies.
async fn death(layout: &Layout) -> Result<()> {
    loop {
        dead_daemon(layout)?;
        tokio::time::sleep(LOOK).await;
    }
}

async fn settle(layout: &Layout) -> Result<()> {
    let cluster = connect(layout).await?;
    ensure_pool(&cluster, layout).await?;
    while unsettled(&cluster, layout).await?.is_some() {
        tokio::time::sleep(POLL).await;
    }
    cluster.shutdown().await;
    Ok(())
}

/// A client of the cluster in this folder.
pub(crate) async fn connect(layout: &Layout) -> Result<Cluster> {
    let conf = Conf::load(&layout.conf_path())?;
    Cluster::connect(&conf).await.context("connecting to the monitor")
}

/// Runs a monitor command and returns its output as JSON.
pub(crate) async fn ask(cluster: &Cluster, mut command: Value) -> Result<Value> {
    command["format"] = "json".into();
    let reply = cluster.mon_command(&command.to_string(), Default::default()).await?;
    if reply.code != 0 {
        bail!("{command}: {} ({})", reply.text, reply.code);
    }
    serde_json::from_slice(&reply.data).with_context(|| format!("the answer to {command}"))
}

async fn order(cluster: &Cluster, command: Value) -> Result<()> {
    let reply = cluster.mon_command(&command.to_string(), Default::default()).await?;
    if reply.code != 0 {
        bail!("{command}: {} ({})", reply.text, reply.code);
    }
    Ok(())
}

/// Makes the pool on a new cluster, once. Both steps may have been done by an `up` that was cut
/// off.
async fn ensure_pool(cluster: &Cluster, layout: &Layout) -> Result<()> {
    let s = &layout.settings;
    if s.pool_made {
        return Ok(());
    }
    let pools = ask(cluster, json!({"prefix": "osd pool ls"})).await?;
    if !pools.as_array().is_some_and(|p| p.iter().any(|name| *name == json!(s.pool))) {
        let create = json!({
            "prefix": "osd pool create", "pool": s.pool, "pg_num": s.pg_num, "pgp_num": s.pg_num,
        });
        order(cluster, create).await?;
    }
    let enable = json!({"prefix": "osd pool application enable", "pool": s.pool, "app": "rbd"});
    order(cluster, enable).await?;
    layout.remember_pool()
}

fn dead_daemon(layout: &Layout) -> Result<()> {
    for daemon in layout.daemons() {
        if process::running(layout, daemon).is_none() {
            bail!("{daemon} died:\n{}", process::log_tail(layout, daemon));
        }
    }
    Ok(())
}

/// The first thing that is not settled yet.
async fn unsettled(cluster: &Cluster, layout: &Layout) -> Result<Option<String>> {
    let map = newest_map(cluster).await?;
    for id in 0..layout.settings.osds {
        if let Some(why) = osd_unsettled(layout, &map, id) {
            return Ok(Some(why));
        }
    }
    let dump = ask(cluster, json!({"prefix": "pg dump", "dumpcontents": ["pgs"]})).await?;
    let stats = dump["pg_stats"].as_array().or_else(|| dump["pg_map"]["pg_stats"].as_array());
    let stats = stats.context("pg dump has no pg_stats")?;
    let wanted: u32 = map.pools.values().map(|p| p.pg_num).sum();
    if (stats.len() as u64) < u64::from(wanted) {
        return Ok(Some(format!("{} of {wanted} PGs reported", stats.len())));
    }
    Ok(stats.iter().find_map(|stat| pg_unsettled(&map, stat)))
}

/// An OSD counts when the map has it up under the pid of the process that runs now.
fn osd_unsettled(layout: &Layout, map: &OsdMap, id: u16) -> Option<String> {
    let osd = OsdId(i32::from(id));
    if !map.is_up(osd) {
        return Some(format!("osd.{id} is not up in epoch {}", map.epoch));
    }
    let Some(pid) = process::running(layout, Daemon::Osd(id)) else {
        return Some(format!("osd.{id} is dead"));
    };
    let nonces: Vec<u32> =
        map.addrs(osd).map(|a| a.client.0.iter().map(|a| a.nonce).collect()).unwrap_or_default();
    let now = u32::try_from(pid).is_ok_and(|pid| nonces.contains(&pid));
    (!now).then(|| format!("osd.{id} (pid {pid}) has not booted in epoch {}", map.epoch))
}

/// A report from before the last change of the PG's members says nothing about now.
fn pg_unsettled(map: &OsdMap, stat: &Value) -> Option<String> {
    let id = stat["pgid"].as_str()?;
    let state = stat["state"].as_str()?;
    if !is_active_clean(state) {
        return Some(format!("PG {id} is {state}"));
    }
    let reported = stat["reported_epoch"]
        .as_u64()
        .or_else(|| stat["reported_epoch"].as_str().and_then(|s| s.parse().ok()))?;
    let up = stat["up"].as_array()?.iter().filter_map(Value::as_i64);
    let newest = up
        .filter_map(|osd| i32::try_from(osd).ok())
        .map(|osd| u64::from(map.up_from(OsdId(osd)).0))
        .max()?;
    (reported < newest).then(|| format!("PG {id} was last reported in epoch {reported}"))
}

/// Scrubbing and trimming of snapshots go on beside the service and take nothing from it.
fn is_active_clean(state: &str) -> bool {
    const BESIDE: [&str; 4] = ["scrubbing", "deep", "snaptrim", "snaptrim_wait"];
    let words: Vec<&str> = state.split('+').collect();
    words.contains(&"active")
        && words.contains(&"clean")
        && words.iter().all(|w| matches!(*w, "active" | "clean") || BESIDE.contains(w))
}

async fn newest_map(cluster: &Cluster) -> Result<OsdMap> {
    let command = json!({"prefix": "osd getmap"}).to_string();
    let reply = cluster.mon_command(&command, Default::default()).await?;
    if reply.code != 0 {
        bail!("osd getmap: {}", reply.text);
    }
    Ok(OsdMap::decode(reply.data)?)
}

/// What is still unsettled, for people.
async fn reason(layout: &Layout) -> String {
    let look = async {
        let cluster = connect(layout).await?;
        unsettled(&cluster, layout).await
    };
    match tokio::time::timeout(Duration::from_secs(3), look).await {
        Ok(Ok(Some(why))) => why,
        Ok(Ok(None)) => "settled only now".to_owned(),
        Ok(Err(error)) => format!("{error:#}"),
        Err(_) => "the monitor does not answer".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_as_clean() {
        for good in ["active+clean", "active+clean+scrubbing+deep", "active+clean+snaptrim"] {
            assert!(is_active_clean(good), "{good}");
        }
        for bad in ["active", "peering", "active+clean+remapped", "active+undersized+degraded", ""]
        {
            assert!(!is_active_clean(bad), "{bad}");
        }
    }
}
