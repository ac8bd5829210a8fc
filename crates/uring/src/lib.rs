//! `BlockDevice` on io_uring and O_DIRECT.
//!
//! Submitting *moves* an operation with its buffers into the ring's table; the completion gives them
//! back. That table is the whole safety argument: memory the kernel may touch is owned by an entry that
//! is only dropped after its completion, and the ring is drained before the table goes. There are no
//! futures here. Short writes are resubmitted, short reads are errors.
//!
//! Where the kernel refuses io_uring, [`open`] says why and falls back to [`ThreadDevice`].

mod buffer;
mod device;
mod file;
mod ring;
mod thread_device;

use std::path::Path;

use seabed_storage::{BlockDevice, DeviceError};

pub use device::UringDevice;
pub use file::{create, preallocate};
pub use thread_device::{ThreadDevice, Waker};

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

/// Opens a device file or raw device for this process alone. `waker` serves the fallback; a ring wakes by
/// the descriptor of [`UringDevice::wake_fd`].
///
/// Errors: the path cannot be opened with O_DIRECT, another process holds it, or its size is no
/// multiple of the block.
pub fn open(path: &Path, waker: Waker) -> Result<Device, DeviceError> {
    let file = file::open_direct(path)?;
    match UringDevice::new(&file) {
        Ok(device) => Ok(Device::Ring(Box::new(device))),
        Err(refusal) => {
            tracing::warn!(path = %path.display(), "no io_uring ({refusal}), using threads");
            Ok(Device::Threads(ThreadDevice::new(&file, waker)?))
        }
    }
}
