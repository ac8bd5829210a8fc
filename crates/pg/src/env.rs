//! What a step of a PG may see and touch besides itself.

use std::sync::Arc;
use std::time::Duration;

use seabed_cluster::{Epoch, Now, OsdId, OsdMap};
use seabed_storage::{ObjectStore, StoreError};

use crate::op::OpLimits;
use crate::{FetchId, Outbox};

/// The result of a step that touched the store. An error means that the OSD must stop: a copy that
/// cannot follow its log is worth nothing.
pub type Step<T = ()> = Result<T, StoreError>;

/// Given to every step.
pub struct Env<'a> {
    /// What time it is.
    pub now: Now,
    /// This OSD.
    pub whoami: OsdId,
    /// The newest map.
    pub map: Arc<OsdMap>,
    /// The disk.
    pub store: &'a mut dyn ObjectStore,
    /// What the step gives out.
    pub out: &'a mut Outbox,
    /// Limits and times.
    pub config: &'a PgConfig,
    /// Numbers given out by this OSD.
    pub ids: &'a mut Ids,
}

/// Numbers that an OSD gives out once in its life, whichever PG asks.
#[derive(Debug, Clone, Default)]
pub struct Ids {
    /// Notifies so far.
    pub notifies: u32,
    /// Back-offs so far.
    pub backoffs: u64,
    /// Objects asked for so far.
    pub fetches: u64,
}

impl Ids {
    pub(crate) fn next_backoff(&mut self) -> u64 {
        self.backoffs += 1;
        self.backoffs
    }

    pub(crate) fn next_fetch(&mut self) -> FetchId {
        self.fetches += 1;
        FetchId(self.fetches)
    }

    /// The id of the next notify; those that follow count up from it.
    pub(crate) fn next_notify(&self, epoch: Epoch) -> u64 {
        u64::from(epoch.0) << 32 | u64::from(self.notifies)
    }
}

/// Limits and times of a PG, with Ceph's defaults where Ceph has the option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PgConfig {
    /// Entries above which the log is trimmed.
    pub log_max: usize,
    /// Entries that stay when it is trimmed.
    pub log_min: usize,
    /// `osd_pg_log_dups_tracked`.
    pub dups: usize,
    /// `osd_heartbeat_grace` × `osd_pool_default_read_lease_ratio`: how long a primary may serve
    /// reads without hearing from its replicas.
    pub lease: Duration,
    /// `osd_recovery_max_chunk`: bytes of one push.
    pub push_chunk: u64,
    /// Omap entries of one push (`osd_recovery_max_omap_entries_per_chunk` is 8096).
    pub push_omap: usize,
    /// Objects of a PG being recovered at once (`osd_recovery_max_active` is per OSD).
    pub recovery_active: usize,
    /// `osd_backfill_scan_max`: objects compared at once.
    pub backfill_scan: usize,
    /// `osd_max_object_...` limits of operations.
    pub limits: OpLimits,
    /// Requests that may wait in a PG; more are dropped, their clients send again.
    pub waiting_max: usize,
    /// `osd_max_write_size` bytes.
    pub write_max: u64,
    /// This OSD's disk is full beyond `osd_failsafe_full_ratio`: writes that take room wait.
    pub disk_full: bool,
    /// Notifies that may wait for answers in a PG.
    pub notifies_max: usize,
    /// Bytes of notifies and answers to them that a PG keeps.
    pub notify_bytes_max: usize,
    /// `osd_pg_max_concurrent_snap_trims`: clones of a PG being trimmed at once.
    pub snap_trims: usize,
    /// `osd_snap_trim_sleep`: rest between them.
    pub snap_trim_sleep: Duration,
    /// How long the monitor's silence is borne before a wish is repeated.
    pub ask_again: Duration,
    /// Bugs on purpose, so that tests prove that they would be found.
    #[cfg(feature = "planted-bugs")]
    pub planted: Option<PlantedBug>,
}

/// A bug that the checkers must find.
#[cfg(feature = "planted-bugs")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlantedBug {
    /// A write is acknowledged before any copy is durable.
    AckBeforeCommit,
    /// A copy whose backfill has only begun counts as complete.
    IncompleteIsWhole,
    /// Every seventh change is applied without its log entry on replicas.
    SkippedLogEntry,
    /// A snapset does not learn what a clone no longer shares with its head.
    OverlapKept,
    /// The snap mapper keeps a clone that was trimmed.
    MappingKept,
    /// A new primary does not look for watches in the infos of objects.
    WatchForgotten,
    /// Clients that are shut out are served.
    BlocklistIgnored,
    /// A head is not cloned when it first changes after a snapshot.
    CloneSkipped,
}

impl Default for PgConfig {
    fn default() -> Self {
        PgConfig {
            log_max: 3000,
            log_min: 2500,
            dups: 3000,
            lease: Duration::from_secs(16),
            push_chunk: 8 << 20,
            push_omap: 8096,
            recovery_active: 8,
            backfill_scan: 256,
            limits: OpLimits::default(),
            waiting_max: 10_000,
            write_max: 90 << 20,
            disk_full: false,
            notifies_max: 10_000,
            notify_bytes_max: 64 << 20,
            snap_trims: 2,
            snap_trim_sleep: Duration::ZERO,
            ask_again: Duration::from_secs(5),
            #[cfg(feature = "planted-bugs")]
            planted: None,
        }
    }
}
