//! `KeyValue` on RocksDB: the metadata of the block store and the monitor's map log.
//!
//! Batches are taken on the owner's thread and written, with RocksDB's log synced, on a committer
//! thread: whatever waits there becomes one write and one sync. A failed write kills the store; it
//! is never tried again. RocksDB's own threads compact in the background.
//!
//! Invariants: batches become durable in the order of submission; `completed` names only batches
//! whose sync returned; nothing here decides anything a test would want to explore.

mod committer;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rocksdb::{DB, DBCompressionType, Direction, IteratorMode, Options, ReadOptions};
use seabed_storage::{Batch, CommitId, KeyValue, KvError, KvPairs};

use committer::Committer;
pub use committer::Waker;

/// Sizes of the store. All are bounds, so that a daemon's memory is known.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of the block cache.
    pub cache_bytes: usize,
    /// Bytes of one memtable.
    pub write_buffer_bytes: usize,
    /// Files RocksDB may hold open.
    pub open_files_max: i32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { cache_bytes: 128 << 20, write_buffer_bytes: 32 << 20, open_files_max: 512 }
    }
}

/// A RocksDB database in a folder.
pub struct RocksKv {
    db: Arc<DB>,
    committer: Committer,
}

impl std::fmt::Debug for RocksKv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RocksKv").field("path", &self.db.path()).finish_non_exhaustive()
    }
}

impl RocksKv {
    /// Opens the database in `dir`, making it if the folder holds none. `waker` is called from the
    /// committer thread whenever [`KeyValue::completed`] may have news.
    ///
    /// Errors: [`KvError::Open`] with RocksDB's words (another process holds it, corruption, …).
    pub fn open(dir: &Path, limits: Limits, waker: Waker) -> Result<Self, KvError> {
        let db = DB::open(&options(limits), dir).map_err(|e| KvError::Open(e.to_string()))?;
        let db = Arc::new(db);
        let committer = Committer::start(Arc::clone(&db), waker)?;
        Ok(Self { db, committer })
    }
}

fn options(limits: Limits) -> Options {
    let mut table = rocksdb::BlockBasedOptions::default();
    table.set_block_cache(&rocksdb::Cache::new_lru_cache(limits.cache_bytes));
    table.set_cache_index_and_filter_blocks(true);
    table.set_bloom_filter(10.0, false);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&table);
    options.set_write_buffer_size(limits.write_buffer_bytes);
    options.set_max_write_buffer_number(3);
    options.set_max_open_files(limits.open_files_max);
    options.set_max_background_jobs(2);
    options.set_compression_type(DBCompressionType::None);
    // A log cut short by a crash ends there; damage in its middle is refused.
    options.set_wal_recovery_mode(rocksdb::DBRecoveryMode::PointInTime);
    options.set_max_total_wal_size(128 << 20);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(4 << 20);
    // An idle daemon uses no CPU.
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options
}

fn read_error(error: rocksdb::Error) -> KvError {
    KvError::Read(error.to_string())
}

impl KeyValue for RocksKv {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, KvError> {
        let value = self.db.get_pinned(key).map_err(read_error)?;
        Ok(value.map(|v| Bytes::copy_from_slice(&v)))
    }

    fn scan(&self, from: &[u8], to: &[u8], max: usize) -> Result<KvPairs, KvError> {
        if from >= to || max == 0 {
            return Ok(KvPairs::new());
        }
        let mut read = ReadOptions::default();
        read.set_iterate_upper_bound(to);
        let mode = IteratorMode::From(from, Direction::Forward);
        self.db
            .iterator_opt(mode, read)
            .take(max)
            .map(|pair| pair.map(|(k, v)| (k.into(), v.into())).map_err(read_error))
            .collect()
    }

    fn last(&self, from: &[u8], to: &[u8]) -> Result<Option<(Bytes, Bytes)>, KvError> {
        if from >= to {
            return Ok(None);
        }
        let mut read = ReadOptions::default();
        read.set_iterate_lower_bound(from);
        let mut iterator = self.db.raw_iterator_opt(read);
        iterator.seek_for_prev(to);
        // `to` itself is not in the range.
        if iterator.key() == Some(to) {
            iterator.prev();
        }
        iterator.status().map_err(read_error)?;
        Ok(iterator.item().map(|(k, v)| (Bytes::copy_from_slice(k), Bytes::copy_from_slice(v))))
    }

    fn submit(&mut self, batch: Batch) -> Result<CommitId, KvError> {
        self.committer.submit(batch)
    }

    fn completed(&mut self) -> Result<CommitId, KvError> {
        self.committer.completed()
    }

    fn write(&mut self, batch: Batch) -> Result<(), KvError> {
        let id = self.committer.submit(batch)?;
        self.committer.wait(id)
    }

    fn size_bytes(&self) -> u64 {
        // A statistic for `df`: where RocksDB cannot tell, none is shown.
        let property = self.db.property_int_value(rocksdb::properties::TOTAL_SST_FILES_SIZE);
        property.ok().flatten().unwrap_or(0)
    }
}
