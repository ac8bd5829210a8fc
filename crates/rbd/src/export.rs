//! Whole images with their snapshots, as Ceph writes them (`rbd export --export-format 2`).
//!
//! ```text
//! "rbd image v2\n" | record* | 'E' | "rbd image diffs v2\n" | u64 count | count streams of changes
//! record: u8 tag | u64 length | fields
//! O: u64 order  T: u64 features  U: u64 stripe unit  C: u64 stripe count  M: str key, str value
//! ```
//!
//! One stream for each snapshot, oldest first, and one for the head; each of format 2
//! ([`crate::DiffReader`]), each from the one before.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut};
use seabed_denc::{Bytes, BytesMut, encode_bytes};

use crate::RbdError;

const BANNER: &[u8] = b"rbd image v2\n";
const DIFFS_BANNER: &[u8] = b"rbd image diffs v2\n";
/// No record that is known is longer.
const RECORD_MAX: u64 = 1 << 20;
/// Records of one image.
const RECORDS_MAX: usize = 10_000;

/// What the beginning of such a file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageArchive {
    /// log2 of the size of objects.
    pub order: u8,
    /// Bits of features.
    pub features: u64,
    /// Bytes of a stripe unit, and objects that take turns.
    pub striping: (u64, u64),
    /// Names and values kept with the image.
    pub metadata: BTreeMap<String, Bytes>,
    /// How many streams follow.
    pub streams: u64,
}

fn bad(reason: &'static str) -> RbdError {
    RbdError::Invalid { what: "exported image".into(), reason }
}

impl ImageArchive {
    /// The beginning of a file, to which the streams are added.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::from(BANNER);
        let (unit, count) = self.striping;
        for (tag, value) in
            [(b'O', u64::from(self.order)), (b'T', self.features), (b'U', unit), (b'C', count)]
        {
            out.put_u8(tag);
            out.put_u64_le(8);
            out.put_u64_le(value);
        }
        for (key, value) in &self.metadata {
            out.put_u8(b'M');
            out.put_u64_le((key.len() + value.len() + 8) as u64);
            encode_bytes(&mut out, key.as_bytes());
            encode_bytes(&mut out, value);
        }
        out.put_u8(b'E');
        out.put_slice(DIFFS_BANNER);
        out.put_u64_le(self.streams);
        out.freeze()
    }
}

/// Reads the beginning of a file, however it is cut.
#[derive(Debug, Default)]
pub struct ImageArchiveReader {
    held: BytesMut,
    begun: bool,
    found: ImageArchive,
    records: usize,
    ended: bool,
}

impl ImageArchiveReader {
    /// How many bytes tell whether a file is one.
    pub const BANNER_LENGTH: usize = BANNER.len();

    /// True if a file that begins so is one.
    pub fn begins(bytes: &[u8]) -> bool {
        bytes.starts_with(BANNER)
    }

    /// At the beginning.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes more of the file.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// What it says, once it is here whole; with it the bytes that were fed behind it.
    pub fn next_archive(&mut self) -> Result<Option<(ImageArchive, BytesMut)>, RbdError> {
        if !self.begun {
            if self.held.len() < BANNER.len() {
                return Ok(None);
            }
            if self.held.split_to(BANNER.len()) != BANNER {
                return Err(bad("it does not begin as one"));
            }
            self.begun = true;
        }
        while !self.ended {
            if !self.record()? {
                return Ok(None);
            }
        }
        let end = DIFFS_BANNER.len() + 8;
        if self.held.len() < end {
            return Ok(None);
        }
        let mut tail = self.held.split_to(end);
        if tail.split_to(DIFFS_BANNER.len()) != DIFFS_BANNER {
            return Err(bad("what follows its head is not known"));
        }
        self.found.streams = tail.get_u64_le();
        Ok(Some((std::mem::take(&mut self.found), std::mem::take(&mut self.held))))
    }

    /// Reads one record, if it is here whole.
    fn record(&mut self) -> Result<bool, RbdError> {
        let mut r = &self.held[..];
        if r.is_empty() {
            return Ok(false);
        }
        let tag = r.get_u8();
        if tag == b'E' {
            self.ended = true;
            self.held.advance(1);
            return Ok(true);
        }
        if r.len() < 8 {
            return Ok(false);
        }
        let length = r.get_u64_le();
        self.records += 1;
        if length > RECORD_MAX || self.records > RECORDS_MAX {
            return Err(bad("its head is too long"));
        }
        if (r.len() as u64) < length {
            self.records -= 1;
            return Ok(false);
        }
        self.held.advance(9);
        let mut fields = self.held.split_to(length as usize);
        let mut number = || match fields.len() {
            8 => Ok(fields.get_u64_le()),
            _ => Err(bad("a record of a wrong length")),
        };
        match tag {
            b'O' => {
                self.found.order =
                    number()?.try_into().map_err(|_| bad("its order is too large"))?;
            }
            b'T' => self.found.features = number()?,
            b'U' => self.found.striping.0 = number()?,
            b'C' => self.found.striping.1 = number()?,
            b'M' => {
                let mut text = || {
                    let length = fields.try_get_u32_le().ok().map(|length| length as usize);
                    let length = length.filter(|length| *length <= fields.len());
                    length.map(|length| fields.split_to(length).freeze())
                };
                let (Some(key), Some(value)) = (text(), text()) else {
                    return Err(bad("a record of a wrong length"));
                };
                self.found.metadata.insert(crate::call::text(&key), value);
            }
            // A later release's.
            _ => {}
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn archive() -> ImageArchive {
        ImageArchive {
            order: 22,
            features: 0x3d,
            striping: (4 << 20, 1),
            metadata: BTreeMap::from([("kk".to_owned(), Bytes::from_static(b"vv"))]),
            streams: 3,
        }
    }

    #[test]
    fn it_is_laid_out_as_rbd_export_lays_it_out() {
        // The first 132 bytes of what Ceph 16.2 wrote for such an image.
        let want = [
            b"rbd image v2\nO\x08\0\0\0\0\0\0\0\x16\0\0\0\0\0\0\0T\x08\0\0\0\0\0\0\0".as_slice(),
            b"\x3d\0\0\0\0\0\0\0U\x08\0\0\0\0\0\0\0\0\0\x40\0\0\0\0\0C\x08\0\0\0\0\0\0\0",
            b"\x01\0\0\0\0\0\0\0M\x0c\0\0\0\0\0\0\0\x02\0\0\0kk\x02\0\0\0vvE",
            b"rbd image diffs v2\n\x03\0\0\0\0\0\0\0",
        ];
        assert_eq!(archive().to_bytes(), want.concat());
    }

    proptest! {
        #[test]
        fn however_it_is_cut_it_reads_the_same(cuts in proptest::collection::vec(1usize..30, 1..9))
        {
            let mut bytes = archive().to_bytes().to_vec();
            bytes.extend_from_slice(b"rest");
            let mut reader = ImageArchiveReader::new();
            let (mut at, mut cuts) = (0, cuts.iter().cycle());
            loop {
                if let Some((found, mut rest)) = reader.next_archive().unwrap() {
                    rest.extend_from_slice(&bytes[at..]);
                    prop_assert_eq!(found, archive());
                    prop_assert_eq!(&rest[..], b"rest");
                    break;
                }
                let end = (at + cuts.next().unwrap()).min(bytes.len());
                reader.feed(&bytes[at..end]);
                at = end;
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut reader = ImageArchiveReader::new();
            reader.feed(BANNER);
            reader.feed(&bytes);
            drop(reader.next_archive());
        }
    }
}
