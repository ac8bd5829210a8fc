//! What every daemon does: detach, write its pid, mark its folder ready, stop when told.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use seabed_cluster::Uuid;
use seabed_rados::Conf;
use tokio::signal::unix::{SignalKind, signal};

/// Leaves the caller's session, so that its terminal and its end do not reach the daemon.
pub(crate) fn detach() -> Result<()> {
    use rustix::process::{getpid, getsid, setsid};
    match setsid() {
        Ok(_) => Ok(()),
        // It has a session of its own already.
        Err(rustix::io::Errno::PERM) if getsid(None) == Ok(getpid()) => Ok(()),
        Err(rustix::io::Errno::PERM) => bail!(
            "--detach: an interactive shell has made this process the leader of a group, which \
             cannot leave its session: start it as `setsid --fork seabed …`"
        ),
        Err(error) => Err(error).context("setsid"),
    }
}

/// A daemon whose task panics is broken: it must stop, whole, not limp on.
pub(crate) fn stop_on_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        print(info);
        std::process::abort();
    }));
}

/// The pid file of `entity`, if the configuration names one; removed when the daemon ends well.
pub(crate) struct PidFile(Option<PathBuf>);

impl PidFile {
    pub(crate) fn write(conf: &Conf, entity: &str) -> Result<Self> {
        let path = conf.get(entity, "pid_file").filter(|p| !p.is_empty()).map(PathBuf::from);
        if let Some(path) = &path {
            write_whole(path, &format!("{}\n", std::process::id()))?;
        }
        Ok(PidFile(path))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::warn!(path = %path.display(), %error, "cannot remove the pid file");
        }
    }
}

/// Where [`write_whole`] writes beside `path`.
pub(crate) fn partial(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    path.with_file_name(name)
}

/// A new random id, by the kernel.
pub(crate) fn fresh_uuid() -> Result<Uuid> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/uuid")?;
    text.trim().parse().ok().context("the kernel's UUID")
}

/// Writes beside, syncs and renames, and syncs the folder: readers and crashes see all or nothing.
pub(crate) fn write_whole(path: &Path, text: &str) -> Result<()> {
    let partial = partial(path);
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::File::create(&partial)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&partial, path)?;
        match path.parent() {
            Some(folder) => std::fs::File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    };
    write().with_context(|| path.display().to_string())
}

/// The data folder of `entity`.
pub(crate) fn data_folder(conf: &Conf, entity: &str) -> Result<PathBuf> {
    let kind = entity.split('.').next().unwrap_or(entity);
    let option = format!("{kind}_data");
    let folder = conf.get(entity, &option).with_context(|| format!("{option} is not set"))?;
    Ok(folder.into())
}

/// A folder counts as prepared once this file is in it: mkfs writes it last.
pub(crate) fn ready_file(folder: &Path) -> PathBuf {
    folder.join("ready")
}

/// Returns when the process is told to stop.
pub(crate) async fn told_to_stop() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// The host's name.
pub(crate) fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The version text in Ceph's form; clients parse the number that follows `ceph version`.
pub(crate) fn version_text() -> String {
    format!(
        "ceph version 16.2.15-seabed-{} ({:040}) pacific (stable)",
        env!("CARGO_PKG_VERSION"),
        0
    )
}
