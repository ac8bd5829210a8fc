//! Opening a store: label, super record, collections, and the free blocks counted anew.

use seabed_cluster::Uuid;
use seabed_denc::Decode;
use seabed_storage::{BlockDevice, DeviceError, KeyValue, KvError, StoreError};
use thiserror::Error;

use crate::label::{Label, LabelError};
use crate::onode::{CollectionRecord, Super};
use crate::owners::{Owners, walk};
use crate::prepare::Collections;
use crate::shared::{Shared, SharedMap};
use crate::store::{BlockStore, Opened};
use crate::view::decode;
use crate::{BLOCK, keys};

/// Why a store cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The device is not, or not any more, what is wanted.
    #[error("{0}")]
    Label(#[from] LabelError),
    /// The key-value store is empty.
    #[error("the key-value store has no super record: it does not belong to this device")]
    NoRecords,
    /// The key-value store belongs to another device.
    #[error("the key-value store is that of {found}, the device is {device}")]
    OtherRecords {
        /// Which device the records name.
        found: Uuid,
        /// Which device this is.
        device: Uuid,
    },
    /// The device failed.
    #[error("block device: {0}")]
    Device(#[from] DeviceError),
    /// The key-value store failed.
    #[error("key-value store: {0}")]
    KeyValue(#[from] KvError),
    /// The records are damaged.
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl<K: KeyValue, D: BlockDevice> BlockStore<K, D> {
    /// Opens the store on `device` whose records are in `kv`; if `wanted` is given, only if it is
    /// that OSD's.
    pub fn open(kv: K, device: D, wanted: Option<Uuid>) -> Result<Self, OpenError> {
        let label = Self::read_label(&device)?;
        if let Some(wanted) = wanted.filter(|w| *w != label.uuid) {
            return Err(LabelError::OtherOsd { found: label.uuid, wanted }.into());
        }
        let record = kv.get(keys::SUPER)?.ok_or(OpenError::NoRecords)?;
        let super_record: Super = decode("super record", record)?;
        if super_record.uuid != label.uuid.0 {
            let found = Uuid(super_record.uuid);
            return Err(OpenError::OtherRecords { found, device: label.uuid });
        }
        let collections = read_collections(&kv)?;
        let shared = read_shared(&kv)?;
        let owners = Owners::count(&kv, label.size)?;
        if !owners.outside.is_empty() {
            return Err(StoreError::Inconsistent("an extent outside the device").into());
        }
        if !owners.differences(&shared).is_empty() {
            return Err(StoreError::Inconsistent("a block's owners are not those recorded").into());
        }
        let allocator = owners.allocator()?;
        let stored_blocks = owners.slots;
        let opened = Opened { label, super_record, collections, shared, allocator, stored_blocks };
        Ok(BlockStore::new(kv, device, opened))
    }

    /// Reads a device's label, to learn whose it is.
    pub fn read_label(device: &D) -> Result<Label, OpenError> {
        let first = device.read(0, BLOCK)?;
        Ok(Label::from_block(&first, device.size())?)
    }
}

fn read_collections<K: KeyValue>(kv: &K) -> Result<Collections, StoreError> {
    let mut collections = Collections::new();
    walk(kv, keys::COLLECTION, |key, value| {
        let c = keys::parse_collection(&key)
            .ok_or(StoreError::Inconsistent("a collection's key that is none"))?;
        let record = CollectionRecord::from_bytes(value)
            .map_err(|source| StoreError::Corrupt { what: "collection", source })?;
        collections.insert(c, record.bits);
        Ok(())
    })?;
    Ok(collections)
}

pub(crate) fn read_shared<K: KeyValue>(kv: &K) -> Result<SharedMap, StoreError> {
    let mut shared = SharedMap::default();
    let mut end = 0;
    walk(kv, keys::SHARED, |key, value| {
        let start = keys::parse_number(&key)
            .ok_or(StoreError::Inconsistent("a shared run's key that is none"))?;
        let run: Shared = decode("shared run", value)?;
        if start < end || run.len == 0 || run.owners < 2 {
            return Err(StoreError::Inconsistent("shared runs overlap or are empty"));
        }
        end = start.saturating_add(run.len);
        shared.load(start, run);
        Ok(())
    })?;
    Ok(shared)
}
