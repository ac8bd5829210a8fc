//! `seabed dev up`: make what is missing, start what is dead, wait until all PGs are active+clean.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::{
    layout::{self, Daemon, Layout, Lock},
    process,
    settings::{Flags, Settings},
    settled,
};
use crate::{output::say, shell::daemon};

/// After this the reason is told and the exit code is not 0; the daemons stay up.
const PATIENCE: Duration = Duration::from_secs(120);

/// See the module's head.
pub(crate) async fn run(dir: &Path, flags: &Flags) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let fsid = daemon::fresh_uuid()?.to_string();
    if !Layout::exists(dir) {
        // Flags that cannot be are refused before anything is written.
        Settings::new(flags, fsid.clone())?;
    }
    fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    let dir = &dir.canonicalize()?;
    let lock = Lock::take(dir, deadline).await?;
    let layout = match Layout::load_or_make(dir, flags, fsid) {
        Ok(layout) => layout,
        Err(error) => {
            if !Layout::exists(dir) {
                layout::delete_folder(dir)?;
            }
            return Err(error);
        }
    };
    prepare(&layout).await?;
    // The monitor answers before OSDs start, so that none waits for its first retry.
    let (mons, osds): (Vec<_>, Vec<_>) = layout.daemons().partition(|d| *d == Daemon::Mon);
    for group in [mons, osds] {
        let mut started = Vec::new();
        for daemon in group {
            if let Some(new) = process::start_if_dead(&layout, daemon)? {
                started.push((daemon, new));
            }
        }
        for (daemon, new) in started {
            process::wait_started(&layout, daemon, new, deadline).await?;
        }
    }
    let settled = settled::wait(&layout, deadline).await;
    settled.with_context(|| format!("not active+clean (limit {} s)", PATIENCE.as_secs()))?;
    drop(lock);
    let running = layout.daemons().count();
    say!("{running} daemons, all PGs active+clean: {}", layout.conf_path().display());
    Ok(())
}

/// One-time work of each daemon; a folder that is whole already is left alone.
async fn prepare(layout: &Layout) -> Result<()> {
    let settings = &layout.settings;
    let whole = |daemon| layout.data_path(daemon).join("ready").exists();
    if !whole(Daemon::Mon) {
        let osds = settings.osds.to_string();
        process::prepare(layout, Daemon::Mon, &["--osds".to_owned(), osds]).await?;
    }
    for id in 0..settings.osds {
        if !whole(Daemon::Osd(id)) {
            let mut more = vec!["--size".to_owned(), settings.osd_size.to_string()];
            if settings.sparse {
                more.push("--sparse".to_owned());
            }
            process::prepare(layout, Daemon::Osd(id), &more).await?;
        }
    }
    Ok(())
}
