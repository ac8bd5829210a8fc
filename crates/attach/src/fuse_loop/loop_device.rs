//! The kernel's loop devices: blocks of a file.
//!
//! `unsafe` is here for `ioctl` alone.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use linux_raw_sys::loop_device as raw;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::ioctl::{Ioctl, IoctlOutput, NoArg, Opcode, Setter, ioctl};

use crate::error::{at, during};
use crate::{AttachError, LOGICAL_BLOCK, sysfs};

/// Others take free devices too: how often the next one is tried.
const TRIES: usize = 64;
/// The kernel lets go of a device with its last user.
const CLEARED_WITHIN: Duration = Duration::from_secs(10);

/// A loop device by its number. The device is the kernel's: this owns nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoopDevice {
    pub number: u32,
    pub path: PathBuf,
}

impl LoopDevice {
    pub(crate) fn numbered(number: u32) -> Self {
        LoopDevice { number, path: format!("/dev/loop{number}").into() }
    }

    /// Makes a free device the blocks of `file`, and sees that it is what was asked for.
    pub(crate) fn set_up(file: &File, name: &str, read_only: bool) -> Result<Self, AttachError> {
        let control = open_control()?;
        for _ in 0..TRIES {
            // SAFETY: the request takes no argument and returns a number.
            let number = unsafe { ioctl(&control, GetFree) };
            let number = number.map_err(during("LOOP_CTL_GET_FREE"))?;
            let device = Self::numbered(number);
            let node = device.open(read_only)?;
            match configure(&node, file, name, read_only) {
                Ok(()) => {}
                // Somebody else was faster.
                Err(Errno::BUSY) => continue,
                Err(error) => {
                    let what = format!("LOOP_CONFIGURE of {} (Linux 5.8)", device.path.display());
                    return Err(during(what)(error));
                }
            }
            if let Err(error) = device.check() {
                device.clear_open(&node)?;
                return Err(error);
            }
            return Ok(device);
        }
        let reason = "others take every free loop device";
        Err(AttachError::Busy { what: "/dev/loop-control".into(), reason })
    }

    fn open(&self, read_only: bool) -> Result<File, AttachError> {
        self.open_with(read_only, OFlags::empty()).map_err(at(&self.path))
    }

    fn open_with(&self, read_only: bool, flags: OFlags) -> std::io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(!read_only).custom_flags(flags.bits().cast_signed());
        options.open(&self.path)
    }

    /// The kernel falls back to buffered I/O, or to other blocks, without a word.
    fn check(&self) -> Result<(), AttachError> {
        let is = |file: &str, wanted: &str, words: &'static str| {
            let found = sysfs::read(&self.sysfs(file))?;
            if found == wanted {
                return Ok(());
            }
            let what = self.path.display().to_string();
            Err(AttachError::NotAsAsked { what, found: format!("{file} {found}"), wanted: words })
        };
        is("loop/dio", "1", "direct I/O")?;
        is("queue/logical_block_size", &LOGICAL_BLOCK.to_string(), "blocks of 512 bytes")
    }

    fn sysfs(&self, file: &str) -> PathBuf {
        format!("/sys/block/loop{}/{file}", self.number).into()
    }

    /// The path of its file, as far as this process sees it; `None` of a free device.
    pub(crate) fn backing_file(&self) -> Result<Option<PathBuf>, AttachError> {
        Ok(sysfs::read_if_there(&self.sysfs("loop/backing_file"))?.map(PathBuf::from))
    }

    /// Bytes.
    pub(crate) fn size(&self) -> Result<u64, AttachError> {
        Ok(sysfs::number(&self.sysfs("size"))? * 512)
    }

    /// Makes it as large as its file is.
    pub(crate) fn set_capacity(&self) -> Result<(), AttachError> {
        let node = self.open(true)?;
        // SAFETY: the request takes no argument.
        unsafe { ioctl(&node, NoArg::<{ raw::LOOP_SET_CAPACITY as Opcode }>::new()) }
            .map_err(during(format!("LOOP_SET_CAPACITY of {}", self.path.display())))
    }

    /// Writes out what is cached of it and frees it, if nobody has it mounted or for himself.
    pub(crate) fn detach(&self, name: &str, read_only: bool) -> Result<(), AttachError> {
        if !self.carries(name)? {
            return Ok(());
        }
        let node = match self.open_with(read_only, OFlags::EXCL) {
            Ok(node) => node,
            Err(error) if error.raw_os_error() == Some(Errno::BUSY.raw_os_error()) => {
                let what = self.path.display().to_string();
                return Err(AttachError::Busy { what, reason: "mounted, or held by another" });
            }
            Err(error) => return Err(at(&self.path)(error)),
        };
        if !self.carries(name)? {
            return Ok(());
        }
        node.sync_all().map_err(at(&self.path))?;
        self.clear_open(&node)?;
        drop(node);
        self.wait_until_free(name)
    }

    /// Frees it, now or as soon as nobody has it open.
    pub(crate) fn clear(&self) -> Result<(), AttachError> {
        // Without waiting for a medium: its file may be dead.
        let node = self.open_with(true, OFlags::NONBLOCK).map_err(at(&self.path))?;
        self.clear_open(&node)
    }

    fn clear_open(&self, node: &File) -> Result<(), AttachError> {
        // SAFETY: the request takes no argument.
        match unsafe { ioctl(node, NoArg::<{ raw::LOOP_CLR_FD as Opcode }>::new()) } {
            // It is free already.
            Ok(()) | Err(Errno::NXIO) => Ok(()),
            Err(error) => Err(during(format!("LOOP_CLR_FD of {}", self.path.display()))(error)),
        }
    }

    /// True if its file has this name.
    pub(crate) fn carries(&self, name: &str) -> Result<bool, AttachError> {
        Ok(self.backing_file()?.is_some_and(|file| file_name_is(&file, name)))
    }

    /// The kernel frees a device some time after its last user closed it.
    fn wait_until_free(&self, name: &str) -> Result<(), AttachError> {
        let begun = Instant::now();
        while self.carries(name)? {
            if begun.elapsed() > CLEARED_WITHIN {
                let what = self.path.display().to_string();
                return Err(AttachError::Busy { what, reason: "somebody has it open" });
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

/// Every loop device that has a file.
pub(crate) fn in_use() -> Result<Vec<(LoopDevice, PathBuf)>, AttachError> {
    let mut all = Vec::new();
    for name in sysfs::names(Path::new("/sys/block"))? {
        let Some(number) = name.strip_prefix("loop").and_then(|n| n.parse().ok()) else { continue };
        let device = LoopDevice::numbered(number);
        if let Some(file) = device.backing_file()? {
            all.push((device, file));
        }
    }
    Ok(all)
}

/// Is this the name of a loop device's file? The kernel shows paths as the reader would see them:
/// of a file system that is no longer mounted only the end, and something of its own behind it.
pub(crate) fn file_name_is(file: &Path, name: &str) -> bool {
    let text = file.to_string_lossy();
    let text = text.strip_suffix(" (deleted)").unwrap_or(&text);
    text.rsplit('/').next() == Some(name)
}

fn open_control() -> Result<File, AttachError> {
    let path = "/dev/loop-control";
    OpenOptions::new().read(true).write(true).open(path).map_err(|error| AttachError::Missing {
        what: format!("{path}: {error}"),
        remedy: "load the kernel's module loop and show this process the host's /dev",
    })
}

fn configure(node: &File, file: &File, name: &str, read_only: bool) -> Result<(), Errno> {
    let mut shown = [0; raw::LO_NAME_SIZE as usize];
    // The last byte stays zero.
    for (to, from) in shown.iter_mut().zip(name.bytes()).take(raw::LO_NAME_SIZE as usize - 1) {
        *to = from;
    }
    let read_only = if read_only { raw::LO_FLAGS_READ_ONLY as u32 } else { 0 };
    let config = raw::loop_config {
        fd: file.as_raw_fd().cast_unsigned(),
        block_size: LOGICAL_BLOCK,
        info: raw::loop_info64 {
            lo_device: 0,
            lo_inode: 0,
            lo_rdevice: 0,
            lo_offset: 0,
            lo_sizelimit: 0,
            lo_number: 0,
            lo_encrypt_type: 0,
            lo_encrypt_key_size: 0,
            lo_flags: raw::LO_FLAGS_DIRECT_IO as u32 | read_only,
            lo_file_name: shown,
            lo_crypt_name: [0; 64],
            lo_encrypt_key: [0; 32],
            lo_init: [0; 2],
        },
        __reserved: [0; 8],
    };
    // SAFETY: the request reads a `loop_config`, which is the kernel's own declaration; `file` is
    // borrowed for as long as it takes.
    unsafe { ioctl(node, Setter::<{ raw::LOOP_CONFIGURE as Opcode }, _>::new(config)) }
}

/// `LOOP_CTL_GET_FREE`: the number comes as what the call returns.
struct GetFree;

// SAFETY: the request has no argument and writes no memory; its result is a number.
unsafe impl Ioctl for GetFree {
    type Output = u32;

    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        raw::LOOP_CTL_GET_FREE as Opcode
    }

    fn as_ptr(&mut self) -> *mut std::ffi::c_void {
        std::ptr::null_mut()
    }

    unsafe fn output_from_ptr(
        out: IoctlOutput,
        _: *mut std::ffi::c_void,
    ) -> rustix::io::Result<u32> {
        u32::try_from(out).map_err(|_| Errno::NODEV)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_last_name() {
        let is = |path: &str| file_name_is(Path::new(path), "seabed-01-v");
        assert!(is("/state/attached/v/seabed-01-v"));
        assert!(is("/seabed-01-v") && is("seabed-01-v"));
        assert!(is("/seabed-01-v (deleted)"));
        assert!(!is("/seabed-01-v2") && !is("/x-seabed-01-v") && !is("/seabed-01-v/x"));
    }
}
