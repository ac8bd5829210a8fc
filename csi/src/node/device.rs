//! A block device, looked at: its size, and whether anything is on it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use crate::fault::Fault;

/// File systems, partition tables and volume managers have their marks within this much of the
/// device's begin or end.
const MARKS: u64 = 4 << 20;

/// Major and minor number of a block device's node; nothing of another file.
pub(super) fn numbers(path: &Path) -> Option<(u32, u32)> {
    let metadata = std::fs::metadata(path).ok()?;
    let id = metadata.rdev();
    let is = metadata.file_type().is_block_device();
    is.then(|| (rustix::fs::major(id), rustix::fs::minor(id)))
}

/// Bytes of a device.
pub(super) fn size(path: &Path) -> Result<u64, Fault> {
    let end = File::open(path).and_then(|mut file| file.seek(SeekFrom::End(0)));
    end.map_err(|error| Fault::internal(format!("{}: {error}", path.display())))
}

/// True if where any file system would have its mark there are only zeroes. A read error is an
/// error: it proves nothing.
pub(super) fn is_blank(path: &Path) -> Result<bool, Fault> {
    let failed = |error| Fault::internal(format!("{}: {error}", path.display()));
    let mut file = File::open(path).map_err(failed)?;
    let end = file.seek(SeekFrom::End(0)).map_err(failed)?;
    for (from, to) in [(0, end.min(MARKS)), (end.saturating_sub(MARKS), end)] {
        file.seek(SeekFrom::Start(from)).map_err(failed)?;
        let mut chunk = vec![0; 1 << 20];
        let mut left = to - from;
        while left > 0 {
            let part = left.min(chunk.len() as u64) as usize;
            file.read_exact(&mut chunk[..part]).map_err(failed)?;
            if chunk[..part].iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            left -= part as u64;
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_mark_anywhere_is_seen() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(64 << 20).unwrap();
        assert!(is_blank(file.path()).unwrap());
        assert_eq!(size(file.path()).unwrap(), 64 << 20);
        for at in [0u64, 1080, (4 << 20) - 1, (60 << 20) + 5, (64 << 20) - 1] {
            file.seek(SeekFrom::Start(at)).unwrap();
            file.write_all(&[1]).unwrap();
            assert!(!is_blank(file.path()).unwrap(), "{at}");
            file.seek(SeekFrom::Start(at)).unwrap();
            file.write_all(&[0]).unwrap();
        }
        let small = tempfile::NamedTempFile::new().unwrap();
        small.as_file().set_len(512).unwrap();
        assert!(is_blank(small.path()).unwrap());
        assert!(is_blank(Path::new("/nowhere")).is_err());
        assert_eq!(numbers(file.path()), None);
    }
}
