//! Making an empty store on a device.

use bytes::Bytes;
use seabed_cluster::{OsdId, Uuid};
use seabed_denc::Encode;
use seabed_storage::{Batch, BlockDevice, DeviceError, Io, IoId, KeyValue, KvError};
use thiserror::Error;

use crate::label::{Label, LabelError};
use crate::onode::Super;
use crate::{BLOCK, RESERVED, keys};

/// The smallest device worth making a store on.
const DEVICE_SIZE_MIN: u64 = 16 * RESERVED;

/// Whose store it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MkfsOptions {
    /// The OSD's own id, new and random.
    pub uuid: Uuid,
    /// The cluster.
    pub fsid: Uuid,
    /// The OSD's number.
    pub osd: OsdId,
    /// Write over whatever is there.
    pub force: bool,
}

/// Why no store was made.
#[derive(Debug, Error)]
pub enum MkfsError {
    /// There is a store already.
    #[error("the device already carries the store of osd.{osd} ({uuid})")]
    Exists {
        /// The OSD's number.
        osd: OsdId,
        /// Its own id.
        uuid: Uuid,
    },
    /// There is something else.
    #[error("the device is not blank: {0}")]
    NotBlank(LabelError),
    /// The key-value store holds records.
    #[error("the key-value store is not empty")]
    RecordsExist,
    /// Too small.
    #[error("the device has {size} bytes, at least {min} are needed")]
    TooSmall {
        /// Its size.
        size: u64,
        /// The smallest size.
        min: u64,
    },
    /// The device failed.
    #[error("block device: {0}")]
    Device(#[from] DeviceError),
    /// The key-value store failed.
    #[error("key-value store: {0}")]
    KeyValue(#[from] KvError),
}

/// Makes an empty store. The label is written last: a device that has one is whole.
pub fn mkfs<K: KeyValue, D: BlockDevice>(
    kv: &mut K,
    device: &mut D,
    options: &MkfsOptions,
) -> Result<(), MkfsError> {
    let size = device.size() / BLOCK * BLOCK;
    if size < DEVICE_SIZE_MIN {
        return Err(MkfsError::TooSmall { size, min: DEVICE_SIZE_MIN });
    }
    if !options.force {
        refuse_what_is_there(kv, device)?;
    }
    let mut batch = Batch::new();
    batch.delete_range(Bytes::new(), Bytes::from_static(&[u8::MAX; 32]));
    let record = Super { uuid: options.uuid.0, object_id_limit: 1 };
    batch.put(Bytes::from_static(keys::SUPER), record.to_bytes(0));
    kv.write(batch)?;
    let label = Label { uuid: options.uuid, fsid: options.fsid, osd: options.osd, size };
    let data = vec![Bytes::from(label.to_block())];
    let id = device.submit(Io::Write { offset: 0, data })?;
    finish(device, id)?;
    let id = device.submit(Io::Flush)?;
    finish(device, id)
}

fn refuse_what_is_there<K: KeyValue, D: BlockDevice>(kv: &K, device: &D) -> Result<(), MkfsError> {
    let first = device.read(0, BLOCK)?;
    match Label::from_block(&first, device.size()) {
        Err(LabelError::Blank) => {}
        Err(e) => return Err(MkfsError::NotBlank(e)),
        Ok(label) => return Err(MkfsError::Exists { osd: label.osd, uuid: label.uuid }),
    }
    // A super record alone is left by a mkfs that was cut off before the label.
    let records = kv.scan(b"", &[u8::MAX; 32], 2)?;
    if records.iter().any(|(key, _)| key != keys::SUPER) {
        return Err(MkfsError::RecordsExist);
    }
    Ok(())
}

/// Waits for an operation.
fn finish<D: BlockDevice>(device: &mut D, id: IoId) -> Result<(), MkfsError> {
    loop {
        if let Some(done) = device.poll().into_iter().find(|done| done.id == id) {
            return Ok(done.result?);
        }
        device.wait();
    }
}
