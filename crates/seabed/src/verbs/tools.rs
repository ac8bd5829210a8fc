//! `seabed crush` and `seabed osdmap`: the libraries' own command lines, with files and exit codes.

use std::io::Write;
use std::process::ExitCode;

use bytes::Bytes;

/// Arguments as the tool reads them.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Tool {
    /// The tool's own arguments; `--help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Files of the tool are the machine's.
struct Disk;

impl seabed_crush::cli::Files for Disk {
    fn read(&mut self, path: &str) -> Result<Vec<u8>, (i32, String)> {
        std::fs::read(path).map_err(refusal)
    }

    fn write(&mut self, path: &str, content: &[u8]) -> Result<(), (i32, String)> {
        std::fs::write(path, content).map_err(refusal)
    }
}

/// The system's number and words.
fn refusal(error: std::io::Error) -> (i32, String) {
    (error.raw_os_error().unwrap_or(0), error.to_string())
}

/// Runs `seabed crush`.
pub(crate) fn crush(tool: &Tool) -> ExitCode {
    let (mut out, mut err) = (String::new(), String::new());
    let code = seabed_crush::cli::run(&tool.arguments, &mut Disk, &mut out, &mut err);
    // Nobody is left to tell when standard output or error is closed.
    let _ = std::io::stdout().write_all(out.as_bytes());
    let _ = std::io::stderr().write_all(err.as_bytes());
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// Runs `seabed osdmap`.
pub(crate) fn osdmap(tool: &Tool) -> ExitCode {
    let read = |path: &str| std::fs::read(path).map(Bytes::from).map_err(|e| e.to_string());
    match seabed_cluster::cli::osdmap(&tool.arguments, read) {
        Ok(text) => {
            // Nobody is left to tell when standard output is closed.
            let _ = std::io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("seabed osdmap: {error}");
            ExitCode::FAILURE
        }
    }
}
