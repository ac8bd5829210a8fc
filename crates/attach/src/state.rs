//! The state folder: its mark, which everything attached from it carries, and who owns what.
//!
//! ```text
//! STATE/mark              16 hex digits, drawn once
//! STATE/attached/NAME     where the FUSE file system of NAME is mounted
//! STATE/owner/NAME        locked by the process that owns NAME; says what it set up
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::AttachError;
use crate::error::at;

/// Longest name of an attached volume: with the mark it is one file's name.
const NAME_MAX: usize = 128;
const MARK_LEN: usize = 16;

/// A folder for what must outlive a process: it finds again what it set up, and nothing else.
#[derive(Debug, Clone)]
pub struct StateFolder {
    dir: PathBuf,
    mark: String,
}

impl StateFolder {
    /// Opens a folder, made if it is not there.
    pub fn open(dir: &Path) -> Result<Self, AttachError> {
        for dir in [dir.to_owned(), dir.join("attached"), dir.join("owner")] {
            DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(at(&dir))?;
        }
        // Mount points are compared with the kernel's list of mounts.
        let dir = dir.canonicalize().map_err(at(dir))?;
        let path = dir.join("mark");
        let mark = match fs::read_to_string(&path) {
            Ok(mark) => mark,
            Err(error) if error.kind() == io::ErrorKind::NotFound => draw_mark(&dir, &path)?,
            Err(error) => return Err(at(&path)(error)),
        };
        let mark = mark.trim().to_owned();
        if mark.len() != MARK_LEN || !mark.bytes().all(|b| b.is_ascii_hexdigit()) {
            let reason = "not a mark of 16 hex digits";
            return Err(AttachError::Invalid { what: path.display().to_string(), reason });
        }
        Ok(StateFolder { dir, mark })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What everything attached from here has in its name.
    pub fn mark(&self) -> &str {
        &self.mark
    }

    pub(crate) fn mount_point(&self, name: &str) -> PathBuf {
        self.dir.join("attached").join(name)
    }

    pub(crate) fn owner_path(&self, name: &str) -> PathBuf {
        self.dir.join("owner").join(name)
    }

    /// Names that are owned, or were by a process that is no more.
    pub(crate) fn names(&self) -> Result<Vec<String>, AttachError> {
        let mut names = crate::sysfs::names(&self.dir.join("owner"))?;
        names.retain(|name| check_name(name).is_ok());
        Ok(names)
    }
}

/// A mark that no other folder has. Of two processes that draw, one wins.
fn draw_mark(dir: &Path, path: &Path) -> Result<String, AttachError> {
    let uuid = crate::sysfs::read(Path::new("/proc/sys/kernel/random/uuid"))?;
    let digits = uuid.chars().filter(char::is_ascii_hexdigit);
    // Not the digits that say the version and variant.
    let mark: String = digits.rev().take(MARK_LEN - 4).collect::<String>() + &uuid[..4];
    let drawn = dir.join(format!("mark.{}", std::process::id()));
    let written = File::create(&drawn)
        .and_then(|mut file| file.write_all(mark.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::hard_link(&drawn, path).or_else(already_there));
    fs::remove_file(&drawn).or_else(already_gone).map_err(at(&drawn))?;
    written.map_err(at(path))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(at(dir))?;
    fs::read_to_string(path).map_err(at(path))
}

fn already_there(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) }
}

pub(crate) fn already_gone(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Refuses names that are no plain file names.
pub(crate) fn check_name(name: &str) -> Result<(), AttachError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let reason = if name.is_empty() || name.len() > NAME_MAX {
        "a name has 1 to 128 characters"
    } else if name.starts_with('.') || !name.bytes().all(allowed) {
        "a name is of letters, digits, - _ . and does not begin with a dot"
    } else {
        return Ok(());
    };
    Err(AttachError::Invalid { what: name.to_owned(), reason })
}

/// What an owner notes about what it set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// Numbers below are of this boot only.
    pub boot: String,
    /// The loop device.
    pub loop_device: u32,
    /// The FUSE connection.
    pub connection: u32,
}

impl Record {
    fn to_text(&self) -> String {
        let Record { boot, loop_device, connection } = self;
        format!("boot {boot}\nloop {loop_device}\nconnection {connection}\n")
    }

    /// `None` of a record that was never finished.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let lines = text.strip_suffix('\n')?;
        let value =
            |key: &str| lines.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
        Some(Record {
            boot: value("boot")?.to_owned(),
            loop_device: value("loop")?.parse().ok()?,
            connection: value("connection")?.parse().ok()?,
        })
    }
}

/// The right to a name. The kernel takes it back when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Owner {
    file: File,
    path: PathBuf,
}

impl Owner {
    /// Takes a name, with what its last owner left behind. `None` while somebody owns it.
    pub(crate) fn take(
        state: &StateFolder,
        name: &str,
    ) -> Result<Option<(Self, Option<Record>)>, AttachError> {
        check_name(name)?;
        let path = state.owner_path(name);
        loop {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).mode(0o600);
            let mut file = options.open(&path).map_err(at(&path))?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
                Err(error) => return Err(at(&path)(error)),
            }
            // The last owner may have removed the file between our opening and locking it.
            let locked = file.metadata().map_err(at(&path))?.ino();
            if !fs::metadata(&path).is_ok_and(|named| named.ino() == locked) {
                continue;
            }
            let mut text = String::new();
            file.read_to_string(&mut text).map_err(at(&path))?;
            return Ok(Some((Owner { file, path }, Record::parse(&text))));
        }
    }

    /// Notes what was set up.
    pub(crate) fn note(&mut self, record: &Record) -> Result<(), AttachError> {
        self.file.set_len(0).map_err(at(&self.path))?;
        io::Seek::rewind(&mut self.file).map_err(at(&self.path))?;
        self.file.write_all(record.to_text().as_bytes()).map_err(at(&self.path))
    }

    /// Gives the name up, with nothing left behind.
    pub(crate) fn release(self) -> Result<(), AttachError> {
        fs::remove_file(&self.path).or_else(already_gone).map_err(at(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_keeps_its_mark_and_two_folders_differ() {
        let dir = tempfile::tempdir().unwrap();
        let one = StateFolder::open(&dir.path().join("a/b")).unwrap();
        assert_eq!(one.mark().len(), MARK_LEN);
        assert_eq!(StateFolder::open(&dir.path().join("a/b")).unwrap().mark(), one.mark());
        let other = StateFolder::open(&dir.path().join("c")).unwrap();
        assert_ne!(one.mark(), other.mark());
        fs::write(dir.path().join("c/mark"), "short").unwrap();
        let refused = StateFolder::open(&dir.path().join("c"));
        assert!(matches!(refused, Err(AttachError::Invalid { .. })), "{refused:?}");
    }

    #[test]
    fn a_name_has_one_owner_and_then_another() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateFolder::open(dir.path()).unwrap();
        let record = Record { boot: "b-1".into(), loop_device: 7, connection: 53 };
        let (mut first, nothing) = Owner::take(&state, "v").unwrap().unwrap();
        assert_eq!(nothing, None);
        assert!(Owner::take(&state, "v").unwrap().is_none());
        first.note(&record).unwrap();
        // As if the process had died.
        drop(first);
        assert_eq!(state.names().unwrap(), ["v"]);
        let (second, left) = Owner::take(&state, "v").unwrap().unwrap();
        assert_eq!(left, Some(record));
        second.release().unwrap();
        assert!(state.names().unwrap().is_empty());
        assert_eq!(Owner::take(&state, "v").unwrap().unwrap().1, None);
    }

    #[test]
    fn half_a_record_is_none() {
        let text = Record { boot: "b".into(), loop_device: 1, connection: 23 }.to_text();
        assert!(Record::parse(&text).is_some());
        for cut in 0..text.len() {
            assert_eq!(Record::parse(&text[..cut]), None, "{cut}");
        }
        assert_eq!(Record::parse("boot b\nloop x\nconnection 2\n"), None);
    }

    #[test]
    fn names_are_plain() {
        for bad in ["", ".", "..", ".x", "a/b", "a b", "a\n", "é", &"x".repeat(129)] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "pvc-1_2.3", &"x".repeat(128)] {
            assert!(check_name(good).is_ok(), "{good:?}");
        }
    }
}
