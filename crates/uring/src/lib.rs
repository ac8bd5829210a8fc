//! `BlockDevice` on io_uring and O_DIRECT.
//!
//! Submitting *moves* an operation with its buffers into the ring's table; the completion gives
//! them back. That table is the whole safety argument: memory the kernel may touch is owned by an
//! entry that is only dropped after its completion, and the ring is drained before the table goes.
//! There are no futures here. Short writes are resubmitted, short reads are errors.
//!
//! Where the kernel refuses io_uring, [`open`] says why and falls back to [`ThreadDevice`].

mod buffer;
mod device;
mod file;
mod ring;
mod thread_device;
mod wake;

use std::path::Path;

use bytes::Bytes;
use seabed_storage::{BlockDevice, DeviceError, Io, IoCompletion, IoId};

pub use device::UringDevice;
pub use file::{create, preallocate};
pub use thread_device::{ThreadDevice, Waker};
pub use wake::Wake;

/// Bytes of a block: the unit of every offset and length here.
pub const BLOCK_SIZE: u32 = 4096;

/// An opened device, by whichever way the kernel allows.
#[derive(Debug)]
pub enum Device {
    /// Driven by a ring; completions signal its eventfd.
    Ring(Box<UringDevice>),
    /// Driven by threads; completions call the waker.
    Threads(ThreadDevice),
}

impl Device {
    /// The device as the port.
    pub fn into_port(self) -> Box<dyn BlockDevice> {
        match self {
            Device::Ring(d) => d,
            Device::Threads(d) => Box::new(d),
        }
    }
}

impl BlockDevice for Device {
    fn block_size(&self) -> u32 {
        BLOCK_SIZE
    }

    fn size(&self) -> u64 {
        match self {
            Device::Ring(d) => d.size(),
            Device::Threads(d) => d.size(),
        }
    }

    fn submit(&mut self, io: Io) -> Result<IoId, DeviceError> {
        match self {
            Device::Ring(d) => d.submit(io),
            Device::Threads(d) => d.submit(io),
        }
    }

    fn poll(&mut self) -> Vec<IoCompletion> {
        match self {
            Device::Ring(d) => d.poll(),
            Device::Threads(d) => d.poll(),
        }
    }

    fn wait(&mut self) {
        match self {
            Device::Ring(d) => d.wait(),
            Device::Threads(d) => d.wait(),
        }
    }

    fn read(&self, offset: u64, length: u64) -> Result<Bytes, DeviceError> {
        match self {
            Device::Ring(d) => d.read(offset, length),
            Device::Threads(d) => d.read(offset, length),
        }
    }

    fn read_many(&self, ranges: &[(u64, u64)]) -> Result<Vec<Bytes>, DeviceError> {
        match self {
            Device::Ring(d) => d.read_many(ranges),
            Device::Threads(d) => d.read_many(ranges),
        }
    }
}

/// Opens a device file or raw device for this process alone. `waker` serves the fallback; a ring
/// wakes by the descriptor of [`UringDevice::wake_fd`].
///
/// Errors: the path cannot be opened with O_DIRECT, another process holds it, or its size is no
/// multiple of the block.
pub fn open(path: &Path, waker: Waker) -> Result<Device, DeviceError> {
    let file = file::open_direct(path)?;
    let own = Wake::new().map_err(|e| file::open_error(path, &e, " (eventfd)"))?;
    choose(path, &file, own, waker)
}

/// As [`open`], with one descriptor for whichever way: `wake` becomes readable when completions
/// arrived. Other sources of news may raise it as well.
pub fn open_waking(path: &Path, wake: &Wake) -> Result<Device, DeviceError> {
    let file = file::open_direct(path)?;
    choose(path, &file, wake.clone(), wake.waker())
}

fn choose(
    path: &Path,
    file: &file::DirectFile,
    wake: Wake,
    waker: Waker,
) -> Result<Device, DeviceError> {
    match UringDevice::new(file, wake) {
        Ok(device) => Ok(Device::Ring(Box::new(device))),
        Err(refusal) => {
            tracing::warn!(path = %path.display(), "no io_uring ({refusal}), using threads");
            Ok(Device::Threads(ThreadDevice::new(file, waker)?))
        }
    }
}
