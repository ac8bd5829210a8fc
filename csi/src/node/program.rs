//! Programs of the system: `mount`, `mkfs`, `fsck`, and what they say.

use std::ffi::OsStr;
use std::process::{Output, Stdio};

use tokio::process::Command;

use crate::fault::Fault;

/// As much of a program's words as a message bears.
const WORDS_MAX: usize = 400;

/// What a program answered: its exit code and its words.
#[derive(Debug)]
pub(super) struct Answer {
    pub code: i32,
    pub out: String,
    pub words: String,
}

/// Runs a program to its end. Its code is for the caller to judge.
pub(super) async fn ask(program: &str, arguments: &[impl AsRef<OsStr>]) -> Result<Answer, Fault> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).env("LC_ALL", "C");
    let output = command.output().await.map_err(|error| {
        Fault::precondition(format!("{program} cannot be run ({error}); install it on this node"))
    })?;
    let Output { status, stdout, stderr } = output;
    let Some(code) = status.code() else {
        return Err(Fault::internal(format!("{program} was killed: {status}")));
    };
    let out = String::from_utf8_lossy(&stdout).into_owned();
    let mut words = String::from_utf8_lossy(&stderr).trim().to_owned();
    if words.is_empty() {
        words = out.trim().to_owned();
    }
    let mut end = words.len().min(WORDS_MAX);
    while !words.is_char_boundary(end) {
        end -= 1;
    }
    words.truncate(end);
    Ok(Answer { code, out, words })
}

/// Runs a program that must succeed.
pub(super) async fn run(program: &str, arguments: &[impl AsRef<OsStr>]) -> Result<String, Fault> {
    let answer = ask(program, arguments).await?;
    if answer.code == 0 {
        return Ok(answer.out);
    }
    Err(Fault::internal(format!("{program} failed ({}): {}", answer.code, answer.words)))
}
