//! Small files of the kernel.

use std::fs;
use std::io;
use std::path::Path;

use crate::AttachError;
use crate::error::at;

/// A file's text without the white space around it; `None` if there is no such file.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<String>, AttachError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if gone(&error) => Ok(None),
        Err(error) => Err(at(path)(error)),
    }
}

/// A file's text without the white space around it.
pub(crate) fn read(path: &Path) -> Result<String, AttachError> {
    fs::read_to_string(path).map(|text| text.trim().to_owned()).map_err(at(path))
}

/// A file's number.
pub(crate) fn number(path: &Path) -> Result<u64, AttachError> {
    let text = read(path)?;
    text.parse().map_err(|_| AttachError::NotAsAsked {
        what: path.display().to_string(),
        found: format!("{text:?}"),
        wanted: "a number",
    })
}

/// Names in a folder, sorted; none if there is no such folder.
pub(crate) fn names(folder: &Path) -> Result<Vec<String>, AttachError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if gone(&error) => return Ok(Vec::new()),
        Err(error) => return Err(at(folder)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(at(folder))?.file_name();
        names.extend(name.into_string().ok());
    }
    names.sort_unstable();
    Ok(names)
}

/// A device that goes away while its attribute is read answers ENODEV.
fn gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error())
}

/// What this boot of the kernel is called.
pub(crate) fn boot_id() -> Result<String, AttachError> {
    read(Path::new("/proc/sys/kernel/random/boot_id"))
}
