//! Starting the process where it is absent, so that it outlives whoever starts it.

use std::fs::OpenOptions;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::{Client, ClientError, log_path};

/// How long until it serves: it may wait for a predecessor that is ending, and heal.
const SERVES_WITHIN: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);
/// A longer log is put aside before another process writes to it.
const LOG_MAX: u64 = 4 << 20;

/// How the process is started.
#[derive(Debug, Clone)]
pub struct Launcher {
    /// The program `seabed`.
    pub program: PathBuf,
    /// Of the process.
    pub state_dir: PathBuf,
    /// The `ceph.conf` of callers that name none.
    pub conf: PathBuf,
    /// Further arguments.
    pub more: Vec<String>,
}

/// Calls the process of a state folder; starts this program as one where there is none.
pub async fn ensure_running(state_dir: &Path, conf: &Path) -> Result<Client, ClientError> {
    Launcher::of_this_program(state_dir, conf)?.ensure_running().await
}

impl Launcher {
    /// That starts the program that runs now.
    pub fn of_this_program(state_dir: &Path, conf: &Path) -> Result<Self, ClientError> {
        let program = std::env::current_exe()
            .map_err(|error| ClientError::NotStarted(format!("this program's file: {error}")))?;
        let (state_dir, conf) = (state_dir.to_owned(), conf.to_owned());
        Ok(Launcher { program, state_dir, conf, more: Vec::new() })
    }

    /// See [`ensure_running`]. Of several that are started at once, one stays.
    pub async fn ensure_running(&self) -> Result<Client, ClientError> {
        // It is started in another folder.
        let absolute = |path: &Path| {
            let failed = |error| ClientError::Invalid(format!("{}: {error}", path.display()));
            std::path::absolute(path).map_err(failed)
        };
        let (state_dir, conf) = (absolute(&self.state_dir)?, absolute(&self.conf)?);
        Launcher { state_dir, conf, ..self.clone() }.connect_or_start().await
    }

    async fn connect_or_start(&self) -> Result<Client, ClientError> {
        let deadline = Instant::now() + SERVES_WITHIN;
        let mut child = None;
        loop {
            match Client::connect(&self.state_dir).await {
                Ok(client) => return Ok(client),
                Err(error) if Instant::now() > deadline => {
                    return Err(ClientError::NotStarted(format!("{error}\n{}", self.log_tail())));
                }
                Err(ClientError::NotRunning { .. }) => {}
                Err(error) => return Err(error),
            }
            let running = match &mut child {
                None => child.insert(self.start()?),
                Some(running) => running,
            };
            match running.try_wait() {
                Ok(None) => {}
                // It found another one, which by now may have ended.
                Ok(Some(status)) if status.success() => child = None,
                Ok(Some(status)) => {
                    let words = format!("it ended with {status}\n{}", self.log_tail());
                    return Err(ClientError::NotStarted(words));
                }
                Err(error) => return Err(ClientError::NotStarted(error.to_string())),
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// In a session of its own (it sees to that), with none of our descriptors.
    fn start(&self) -> Result<Child, ClientError> {
        let failed = |error: std::io::Error| {
            ClientError::NotStarted(format!("{}: {error}", self.program.display()))
        };
        // Whatever this process has open beyond the standard three must not live on in there.
        close_fds::set_fds_cloexec(3, &[]);
        let mut folder = std::fs::DirBuilder::new();
        folder.recursive(true).mode(0o700).create(&self.state_dir).map_err(failed)?;
        let path = log_path(&self.state_dir);
        if std::fs::metadata(&path).is_ok_and(|log| log.len() > LOG_MAX) {
            std::fs::rename(&path, path.with_extension("log.1")).map_err(failed)?;
        }
        let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        let log = log.map_err(failed)?;
        Command::new(&self.program)
            .args(["csi", "attachd", "--detach", "--state-dir"])
            .arg(&self.state_dir)
            .arg("--conf")
            .arg(&self.conf)
            .args(&self.more)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log)
            .current_dir("/")
            .spawn()
            .map_err(failed)
    }

    fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(log_path(&self.state_dir)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}
