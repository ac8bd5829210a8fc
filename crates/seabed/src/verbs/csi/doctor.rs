//! `seabed csi doctor`: what this node can do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use seabed_attach::{Choice, KernelRbd, NodeFacts, choose, node};
use seabed_attachd::{Client, ClientError};
use seabed_rados::{Cluster, Conf};
use serde_json::{Value, json};

use super::Attach;
use crate::output::say;

/// How long a cluster may take to answer.
const CLUSTER_WITHIN: Duration = Duration::from_secs(10);

/// Arguments of `seabed csi doctor`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A cluster that is to be reached too.
    #[arg(long)]
    conf: Option<PathBuf>,
    /// Where the owner of the node's devices is looked for.
    #[arg(long, default_value = super::STATE_DIR)]
    state_dir: PathBuf,
    /// How volumes are to be attached.
    #[arg(long, value_enum, default_value = "auto")]
    attach: Attach,
    #[arg(short, long, value_enum, default_value = "plain")]
    output: Format,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    Plain,
    Json,
}

/// Looks and says. Fails if no volume can be attached, or the cluster cannot be reached.
pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let facts = node::survey()?;
    let choice = choose(&facts, None, arguments.attach.wanted());
    let attachd = attachd(&arguments.state_dir).await;
    let cluster = match &arguments.conf {
        Some(conf) => Some(cluster(conf).await),
        None => None,
    };
    let reached = cluster.as_ref().is_none_or(|found| found["reached"] == true);
    match arguments.output {
        Format::Json => {
            let ways: Vec<Value> = choice.verdicts.iter().map(verdict).collect();
            let all = json!({
                "node": {
                    "kernel": facts.release.to_string(),
                    "admin": facts.admin,
                    "io_flusher": facts.flusher,
                    "lock_memory": facts.lock_memory,
                    "module_rbd": module(facts.krbd),
                    "sysfs_writable": facts.sysfs_writable,
                    "fuse": facts.fuse,
                    "loop": facts.loop_control,
                },
                "ways": ways,
                "chosen": choice.way.map(|way| way.to_string()),
                "attachd": attachd,
                "cluster": cluster,
            });
            say!("{}", serde_json::to_string_pretty(&all)?);
        }
        Format::Plain => plain(&facts, &choice, &attachd, cluster.as_ref())?,
    }
    if choice.way.is_none() {
        bail!("no volume can be attached here");
    }
    if !reached {
        bail!("the cluster cannot be reached");
    }
    Ok(())
}

fn verdict(verdict: &seabed_attach::Verdict) -> Value {
    let why: Vec<String> = verdict.obstacles.iter().map(ToString::to_string).collect();
    json!({ "way": verdict.way.to_string(), "works": verdict.works(), "why_not": why })
}

fn module(krbd: KernelRbd) -> &'static str {
    match krbd {
        KernelRbd::Loaded => "loaded",
        KernelRbd::Loadable => "loadable",
        KernelRbd::Absent => "absent",
    }
}

fn plain(
    facts: &NodeFacts,
    choice: &Choice,
    attachd: &Value,
    cluster: Option<&Value>,
) -> Result<()> {
    say!("kernel     {}", facts.release);
    crate::output::print(&choice.to_string())?;
    let lacking = [(facts.flusher, "CAP_SYS_RESOURCE"), (facts.lock_memory, "CAP_IPC_LOCK")];
    for (_, name) in lacking.into_iter().filter(|(has, _)| !has) {
        say!("memory     no {name}: fuse-loop may deadlock when memory is short");
    }
    let words = |found: &Value| match found["error"].as_str() {
        Some(error) => error.to_owned(),
        None => found["words"].as_str().unwrap_or_default().to_owned(),
    };
    say!("attachd    {}", words(attachd));
    if let Some(cluster) = cluster {
        say!("cluster    {}", words(cluster));
    }
    Ok(())
}

async fn attachd(state_dir: &Path) -> Value {
    let client = match Client::connect(state_dir).await {
        Ok(client) => client,
        Err(ClientError::NotRunning { .. }) => {
            let words =
                format!("does not run on {}; it is started when needed", state_dir.display());
            return json!({ "running": false, "words": words });
        }
        Err(error) => return json!({ "running": false, "error": error.to_string() }),
    };
    match client.list().await {
        Ok(volumes) => {
            let failing = volumes.iter().filter(|volume| !volume.failure.is_empty()).count();
            let words = format!("runs: {} volumes, {failing} of them fail", volumes.len());
            let count = volumes.len();
            json!({ "running": true, "volumes": count, "failing": failing, "words": words })
        }
        Err(error) => json!({ "running": true, "error": error.to_string() }),
    }
}

async fn cluster(conf: &Path) -> Value {
    let reach = async {
        let cluster = Cluster::connect(&Conf::load(conf)?).await?;
        let map = cluster.map().await?;
        let found = (map.fsid.to_string(), map.epoch.0, cluster.addr().to_string());
        cluster.shutdown().await;
        anyhow::Ok(found)
    };
    match tokio::time::timeout(CLUSTER_WITHIN, reach).await {
        Ok(Ok((fsid, epoch, address))) => {
            let words = format!("{fsid} at epoch {epoch}; we are {address}");
            json!({ "reached": true, "fsid": fsid, "epoch": epoch, "address": address,
                    "words": words })
        }
        Ok(Err(error)) => json!({ "reached": false, "error": format!("{error:#}") }),
        Err(_) => json!({ "reached": false, "error": format!("no answer in {CLUSTER_WITHIN:?}") }),
    }
}
