//! The administrator's commands: which exist, how they arrive, what they answer.
//!
//! `read` answers from the state and the statistics; `write` decides on changes, whose answers
//! leave when the change is durable.

pub mod blocklist;
pub mod config_read;
pub mod config_show;
pub mod config_write;
pub mod crush_class;
pub mod crush_read;
pub mod crush_rule;
pub mod crush_weight_set;
pub mod crush_write;
pub mod df;
pub mod dump;
pub mod erasure;
pub mod format;
pub mod misc;
pub mod mon_dump;
pub mod osd_df;
pub mod osd_flags;
pub mod osd_read;
pub mod osd_write;
pub mod pg_read;
pub mod pg_text;
pub mod placement;
pub mod pool_read;
pub mod pool_write;
pub mod read;
pub mod status;
pub mod table;
pub mod tell;
pub mod text;
pub mod tree;
pub mod usage;
pub mod write;

use seabed_cluster::{Now, OsdMap, Time, UTime};
use seabed_messages::MgrMap;

use crate::mon::MonConfig;
use crate::options::Options;
use crate::service::cluster_log::ClusterLog;
use crate::service::health::{self, Checks};
use crate::service::health_shown::Health;
use crate::service::services::Services;
use crate::service::stats::PgMap;
use crate::session::Session;
use crate::state::State;

pub use format::Reply;
pub use seabed_cluster::admin::{Command, Format, Refusal};

/// Everything a command may look at.
pub struct View<'a> {
    /// The replicated state.
    pub state: &'a State,
    /// What was reported.
    pub stats: &'a PgMap,
    /// The cluster log.
    pub log: &'a ClusterLog,
    /// Services that told the mgr that they run.
    pub services: &'a Services,
    /// Of this monitor.
    pub config: &'a MonConfig,
    /// Options in force.
    pub options: Options<'a>,
    /// Who is connected.
    pub sessions: Vec<&'a Session>,
    /// The mgr map.
    pub mgr: MgrMap,
    /// Now.
    pub now: Now,
    /// Since when the monitor runs.
    pub started: Time,
    /// The same for people.
    pub started_wall: UTime,
}

impl View<'_> {
    /// The newest OSD map.
    pub fn map(&self) -> &OsdMap {
        self.state.osdmap()
    }

    /// What is wrong, with what is muted of it.
    pub fn told<'a>(&'a self, checks: &'a Checks) -> Health<'a> {
        Health { checks, mutes: &self.state.mutes, wall: self.now.wall }
    }

    /// What is wrong.
    pub fn health(&self) -> Checks {
        health::check(&health::Inputs {
            map: self.map(),
            stats: self.stats,
            started: self.started,
            now: self.now.mono,
            wall: self.now.wall,
            stuck_after: self.options.u64("mon_pg_stuck_threshold"),
            warn_no_app: self.options.bool("mon_warn_on_pool_no_app"),
        })
    }
}

/// What a command gives: its answer or why it was refused.
pub type Answer = Result<Reply, Refusal>;
