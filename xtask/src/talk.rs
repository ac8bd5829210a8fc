//! A program that speaks its steps: a line that starts with `@` is a step done, `@failed…` why it
//! gives up; one line from here lets it go on. All it says goes into a log.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::process;

/// One that says nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(150);

/// The running program; killed when dropped.
pub(crate) struct Talk {
    child: Child,
    lines: Receiver<String>,
    log: fs::File,
    log_path: PathBuf,
    heard: Vec<String>,
}

impl Talk {
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .with_context(|| process::shown(command))?;
        let console = child.stdout.take().context("the program has no output")?;
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(console).split(b'\n').map_while(Result::ok) {
                if send.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                    return;
                }
            }
        });
        let log_path = log.to_owned();
        Ok(Self { child, lines, log: fs::File::create(log)?, log_path, heard: Vec::new() })
    }

    /// Waits for a step.
    pub(crate) fn until(&mut self, step: &str) -> Result<()> {
        loop {
            let line = match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => bail!("it hangs before `{step}`"),
                Err(RecvTimeoutError::Disconnected) => bail!("it ended before `{step}`"),
            };
            writeln!(self.log, "{line}")?;
            let Some(said) = line.strip_prefix('@') else { continue };
            self.heard.push(said.to_owned());
            if said == step {
                return Ok(());
            }
            if said.starts_with("failed") {
                bail!("it {said}; its log: {}", self.log_path.display());
            }
        }
    }

    /// Tells it to go on.
    pub(crate) fn answer(&mut self) -> Result<()> {
        let console = self.child.stdin.as_mut().context("the program has no input")?;
        console.write_all(b"go on\n")?;
        Ok(console.flush()?)
    }

    /// Waits for its end; returns the steps it spoke.
    pub(crate) fn finish(mut self) -> Result<Vec<String>> {
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!("it does not end");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(std::mem::take(&mut self.heard))
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        // It may have ended by itself: then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
