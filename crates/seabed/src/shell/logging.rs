//! The log of a daemon: on standard error, as much as `SEABED_LOG` says (`info` unless told), and
//! as much of the daemon's own and of its messenger as its options say while it runs.

use std::sync::OnceLock;

use seabed_cluster::options::LogLevels;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// Where the messenger's lines come from.
const MESSENGER: &str = "seabed_messenger";

/// The way to change what is logged.
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

fn from_environment() -> EnvFilter {
    EnvFilter::try_from_env("SEABED_LOG").unwrap_or_else(|_| EnvFilter::new("info"))
}

/// Starts logging.
pub(crate) fn start() {
    let (filter, handle) = reload::Layer::new(from_environment());
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(false).with_target(false);
    // A second call (tests) keeps the first logger.
    if tracing_subscriber::registry().with(filter).with(lines).try_init().is_ok() {
        let _ = FILTER.set(handle);
    }
}

/// What a daemon has made of its options for logs.
pub(crate) struct Follower {
    /// Where the daemon's own lines come from: a module's path.
    target: &'static str,
    seen: LogLevels,
}

impl Follower {
    pub(crate) fn new(target: &'static str) -> Self {
        Self { target, seen: LogLevels::default() }
    }

    /// Logs as the options say from here on; where they say nothing, as from the start.
    pub(crate) fn follow(&mut self, levels: LogLevels) {
        if levels == self.seen {
            return;
        }
        self.seen = levels;
        let mut filter = from_environment();
        for (target, level) in [(self.target, levels.own), (MESSENGER, levels.messenger)] {
            let Some(level) = level else { continue };
            match format!("{target}={}", word(level)).parse() {
                Ok(directive) => filter = filter.add_directive(directive),
                Err(error) => tracing::error!(%error, "the log keeps its level"),
            }
        }
        if let Some(Err(error)) = FILTER.get().map(|handle| handle.reload(filter)) {
            tracing::error!(%error, "the log keeps its level");
        }
    }
}

/// Ceph's scale of 0 to 20 in our words.
fn word(level: u16) -> &'static str {
    match level {
        0 => "warn",
        1..=9 => "info",
        10..=19 => "debug",
        _ => "trace",
    }
}
