//! `seabed dev up`: make what is missing, start what is dead, wait until all PGs are active+clean.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::{
    layout::{Daemon, Flags, Layout},
    process, settled,
};

/// After this the reason is told and the exit code is not 0; the daemons stay up.
const PATIENCE: Duration = Duration::from_secs(120);

/// See the module's head.
pub(crate) async fn run(dir: &Path, flags: &Flags) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let layout = Layout::load_or_make(dir, flags, fresh_uuid()?)?;
    let lock = layout.lock()?;
    prepare(&layout)?;
    // The monitor answers before OSDs start, so that none waits for its first retry.
    let (mons, osds): (Vec<_>, Vec<_>) = layout.daemons().partition(|d| *d == Daemon::Mon);
    for group in [mons, osds] {
        let mut started = Vec::new();
        for daemon in group {
            if process::running(&layout, daemon).is_none() {
                started.push((daemon, process::start(&layout, daemon)?));
            }
        }
        for (daemon, child) in &mut started {
            process::wait_started(&layout, *daemon, child, deadline).await?;
        }
    }
    settled::wait(&layout, deadline).await.context("the cluster is not active+clean")?;
    drop(lock);
    let running = layout.daemons().count();
    println!("{running} daemons, all PGs active+clean: {}", layout.conf_path().display());
    Ok(())
}

/// One-time work of each daemon; a folder that is whole already is left alone.
fn prepare(layout: &Layout) -> Result<()> {
    let settings = &layout.settings;
    let whole = |daemon| layout.data_path(daemon).join("ready").exists();
    if !whole(Daemon::Mon) {
        let osds = settings.osds.to_string();
        process::prepare(layout, Daemon::Mon, &["--osds".to_owned(), osds])?;
    }
    for id in 0..settings.osds {
        if !whole(Daemon::Osd(id)) {
            let mut more = vec!["--size".to_owned(), settings.osd_size.to_string()];
            if settings.sparse {
                more.push("--sparse".to_owned());
            }
            process::prepare(layout, Daemon::Osd(id), &more)?;
        }
    }
    Ok(())
}

fn fresh_uuid() -> Result<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/uuid")?;
    Ok(text.trim().to_owned())
}
