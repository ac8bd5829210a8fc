//! Starting, finding and stopping the daemons of a dev cluster.
//!
//! A daemon writes its pid file itself once it holds its data folder. A pid counts as the daemon
//! only while /proc says that it runs our program on this folder and is no zombie: in a container
//! nobody may reap the dead, and pids are used again. Who has no pid file (yet) is found by its
//! command line: an `up` may have been killed between the start of a daemon and its first sign of
//! life.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal};

use super::layout::{Daemon, Layout};

/// How long a daemon may take to stop by itself.
const STOP_PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// The pid of a running daemon.
pub(crate) fn running(layout: &Layout, daemon: Daemon) -> Option<i32> {
    let pid: i32 = fs::read_to_string(layout.pid_path(daemon)).ok()?.trim().parse().ok()?;
    (is_ours(pid, layout, daemon)).then_some(pid)
}

/// The pid of a running daemon or of its preparation, with pid file or without.
fn find(layout: &Layout, daemon: Daemon) -> Result<Option<i32>> {
    if let Some(pid) = running(layout, daemon) {
        return Ok(Some(pid));
    }
    for entry in fs::read_dir("/proc").context("/proc")? {
        let pid = entry.ok().and_then(|e| e.file_name().to_str()?.parse().ok());
        if let Some(pid) = pid.filter(|pid| is_ours(*pid, layout, daemon)) {
            return Ok(Some(pid));
        }
    }
    Ok(None)
}

/// True if `pid` is alive and its command line is the daemon's.
fn is_ours(pid: i32, layout: &Layout, daemon: Daemon) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // The state follows the program's name, which is in parentheses and may hold anything.
    let state = stat.rsplit(')').next().and_then(|rest| rest.trim_start().chars().next());
    if matches!(state, None | Some('Z' | 'X')) {
        return false;
    }
    let Ok(line) = fs::read(format!("/proc/{pid}/cmdline")) else { return false };
    let words: Vec<&[u8]> = line.split(|b| *b == 0).collect();
    let conf = layout.conf_path();
    let (kind, id) = kind_and_id(daemon);
    words.get(1) == Some(&kind.as_bytes())
        && words.contains(&conf.as_os_str().as_encoded_bytes())
        && words.contains(&id.as_bytes())
}

fn kind_and_id(daemon: Daemon) -> (&'static str, String) {
    match daemon {
        Daemon::Mon => ("mon", "a".to_owned()),
        Daemon::Osd(id) => ("osd", id.to_string()),
    }
}

fn command(layout: &Layout, daemon: Daemon) -> Result<Command> {
    let (kind, id) = kind_and_id(daemon);
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(kind).args(["--id", &id, "--conf"]).arg(layout.conf_path()).stdin(Stdio::null());
    Ok(command)
}

/// Runs a daemon's one-time preparation to its end. One that an `up` left behind which was killed
/// is ended first.
pub(crate) async fn prepare(layout: &Layout, daemon: Daemon, more: &[String]) -> Result<()> {
    while let Some(pid) = find(layout, daemon)? {
        signal(pid, Signal::KILL)?;
        tokio::time::sleep(POLL).await;
    }
    // It may have come to its end just now; with none left running, this look is the last word.
    if layout.data_path(daemon).join("ready").exists() {
        return Ok(());
    }
    let done = command(layout, daemon)?.arg("--mkfs").args(more).output()?;
    if !done.status.success() {
        bail!("preparing {daemon}: {}", String::from_utf8_lossy(&done.stderr).trim());
    }
    Ok(())
}

/// A daemon that is to write its pid file.
pub(crate) struct Started {
    pid: i32,
    /// None: an earlier `up` started it.
    child: Option<Child>,
}

/// Starts a daemon in a session of its own, with none of our descriptors; if it runs, nothing.
pub(crate) fn start_if_dead(layout: &Layout, daemon: Daemon) -> Result<Option<Started>> {
    if running(layout, daemon).is_some() {
        return Ok(None);
    }
    if let Some(pid) = find(layout, daemon)? {
        return Ok(Some(Started { pid, child: None }));
    }
    let child = start(layout, daemon)?;
    Ok(Some(Started { pid: i32::try_from(child.id())?, child: Some(child) }))
}

fn start(layout: &Layout, daemon: Daemon) -> Result<Child> {
    // Whatever the caller left open beyond the standard three must not live on in a daemon.
    close_fds::set_fds_cloexec(3, &[]);
    let log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(layout.log_path(daemon))
        .with_context(|| layout.log_path(daemon).display().to_string())?;
    command(layout, daemon)?
        .arg("--detach")
        .stdout(log.try_clone()?)
        .stderr(log)
        .current_dir("/")
        .spawn()
        .with_context(|| format!("starting {daemon}"))
}

/// Waits until the daemon has written its pid file.
pub(crate) async fn wait_started(
    layout: &Layout,
    daemon: Daemon,
    mut started: Started,
    deadline: Instant,
) -> Result<()> {
    // Long enough for one that starts to write its file; then it was deleted, and we write it.
    let adopted = Instant::now() + Duration::from_secs(5);
    while running(layout, daemon) != Some(started.pid) {
        if let Some(status) = started.child.as_mut().map(Child::try_wait).transpose()?.flatten() {
            bail!("{daemon} ended with {status}:\n{}", log_tail(layout, daemon));
        }
        if started.child.is_none() {
            if !is_ours(started.pid, layout, daemon) {
                bail!("{daemon} died:\n{}", log_tail(layout, daemon));
            }
            if Instant::now() > adopted {
                fs::write(layout.pid_path(daemon), format!("{}\n", started.pid))?;
            }
        }
        if Instant::now() > deadline {
            bail!("{daemon} did not start:\n{}", log_tail(layout, daemon));
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// The last lines of a daemon's log.
pub(crate) fn log_tail(layout: &Layout, daemon: Daemon) -> String {
    const LINES: usize = 10;
    let text = fs::read(layout.log_path(daemon)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// Stops every running daemon, OSDs first: they say goodbye to the monitor.
pub(crate) async fn stop_all(layout: &Layout) -> Result<()> {
    let osds = layout.daemons().filter(|d| *d != Daemon::Mon).collect::<Vec<_>>();
    stop(layout, &osds).await?;
    stop(layout, &[Daemon::Mon]).await
}

async fn stop(layout: &Layout, daemons: &[Daemon]) -> Result<()> {
    let mut alive = Vec::new();
    for daemon in daemons {
        if let Some(pid) = find(layout, *daemon)? {
            signal(pid, Signal::TERM)?;
            alive.push((*daemon, pid));
        }
    }
    let deadline = Instant::now() + STOP_PATIENCE;
    for (daemon, pid) in alive {
        let mut told = false;
        // Its pid file goes before it does: what counts is the process.
        while is_ours(pid, layout, daemon) {
            if Instant::now() > deadline {
                if !told {
                    eprintln!("{daemon} does not stop, killing it");
                    told = true;
                }
                signal(pid, Signal::KILL)?;
            }
            tokio::time::sleep(POLL).await;
        }
    }
    for daemon in daemons {
        match fs::remove_file(layout.pid_path(*daemon)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e.into()),
            _ => {}
        }
    }
    Ok(())
}

fn signal(pid: i32, signal: Signal) -> Result<()> {
    let pid = Pid::from_raw(pid).context("pid 0")?;
    match rustix::process::kill_process(pid, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(e) => Err(e).context(format!("signalling {pid:?}")),
    }
}
