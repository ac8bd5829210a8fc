//! Ceph's streams of changes (`rbd export-diff`), formats 1 and 2: written and read piece by piece.
//!
//! ```text
//! "rbd diff v1\n" | record*    record: u8 tag | fields
//! "rbd diff v2\n" | record*    record: u8 tag | u64 length of the fields | fields
//! f, t: u32 length, name of the snapshot from which, to which     s: u64 size
//! p (format 2, in whole images): u8 whether the snapshot is protected; its length says 8
//! w: u64 offset, u64 length, bytes     z: u64 offset, u64 length     e: the end (nothing follows)
//! ```
//!
//! Numbers are little-endian. Bytes of a `w` are handed on as they come: a record may be larger
//! than memory.

use bytes::{Buf, BufMut};
use seabed_denc::{Bytes, BytesMut};

use crate::RbdError;

/// Which of Ceph's two formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiffFormat {
    /// Without lengths of records.
    V1,
    /// With them: unknown records can be passed over.
    V2,
}

/// A record of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiffRecord {
    /// The snapshot that it begins at.
    From(String),
    /// The snapshot that it ends at.
    To(String),
    /// Whether the snapshot that it ends at is protected; in whole images of format 2 only.
    Protected(bool),
    /// The image's size.
    Size(u64),
    /// Bytes follow, as [`DiffRecord::Data`].
    Write {
        /// Where in the image.
        offset: u64,
        /// How many.
        length: u64,
    },
    /// Bytes of the last [`DiffRecord::Write`], or a part of them.
    Data(Bytes),
    /// Zeroes.
    Zero {
        /// Where in the image.
        offset: u64,
        /// How many.
        length: u64,
    },
    /// The end.
    End,
}

const BANNER_1: &[u8] = b"rbd diff v1\n";
const BANNER_2: &[u8] = b"rbd diff v2\n";
/// Names are not longer (Ceph's RBD_MAX_SNAP_NAME_LENGTH is far below).
const NAME_MAX: usize = 4096;

impl DiffFormat {
    /// What a stream begins with.
    pub fn banner(self) -> &'static [u8] {
        match self {
            DiffFormat::V1 => BANNER_1,
            DiffFormat::V2 => BANNER_2,
        }
    }

    /// Adds a record. Of a write the bytes follow as data, as many as it says.
    pub fn put(self, record: &DiffRecord, out: &mut BytesMut) {
        let mut head = |tag: u8, length: u64| {
            out.put_u8(tag);
            if self == DiffFormat::V2 && tag != b'e' {
                out.put_u64_le(length);
            }
        };
        match record {
            DiffRecord::From(name) | DiffRecord::To(name) => {
                let tag = if matches!(record, DiffRecord::From(_)) { b'f' } else { b't' };
                head(tag, 4 + name.len() as u64);
                seabed_denc::encode_str(out, name);
            }
            DiffRecord::Protected(protected) => {
                // Ceph says 8 and writes 1.
                head(b'p', 8);
                out.put_u8(u8::from(*protected));
            }
            DiffRecord::Size(size) => {
                head(b's', 8);
                out.put_u64_le(*size);
            }
            DiffRecord::Write { offset, length } => {
                head(b'w', length.saturating_add(16));
                out.put_u64_le(*offset);
                out.put_u64_le(*length);
            }
            DiffRecord::Data(bytes) => out.extend_from_slice(bytes),
            DiffRecord::Zero { offset, length } => {
                head(b'z', 16);
                out.put_u64_le(*offset);
                out.put_u64_le(*length);
            }
            DiffRecord::End => head(b'e', 0),
        }
    }
}

/// Reads a stream, however it is cut.
#[derive(Debug, Default)]
pub struct DiffReader {
    format: Option<DiffFormat>,
    held: BytesMut,
    /// Bytes of the present write that are still to come.
    data: u64,
    /// Bytes of an unknown record that are still to be passed over.
    skip: u64,
    ended: bool,
}

fn bad(reason: &'static str) -> RbdError {
    RbdError::Invalid { what: "stream of changes".into(), reason }
}

impl DiffReader {
    /// At the beginning.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes more of the stream.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// What was fed and not read: behind the end, it is of what follows.
    pub fn into_rest(self) -> BytesMut {
        self.held
    }

    /// True once [`DiffRecord::End`] was read.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// The next record; `None` if more of the stream is needed, or it has ended.
    pub fn next_record(&mut self) -> Result<Option<DiffRecord>, RbdError> {
        if self.ended {
            return Ok(None);
        }
        let Some(format) = self.banner()? else { return Ok(None) };
        loop {
            let passed = self.skip.min(self.held.len() as u64);
            self.held.advance(passed as usize);
            self.skip -= passed;
            if self.skip > 0 || self.held.is_empty() {
                return Ok(None);
            }
            if self.data > 0 {
                let length = self.data.min(self.held.len() as u64);
                self.data -= length;
                return Ok(Some(DiffRecord::Data(self.held.split_to(length as usize).freeze())));
            }
            match self.record(format)? {
                Step::More => return Ok(None),
                Step::Passed => {}
                Step::Read(record) => return Ok(Some(record)),
            }
        }
    }

    fn banner(&mut self) -> Result<Option<DiffFormat>, RbdError> {
        if self.format.is_none() && self.held.len() >= BANNER_1.len() {
            let banner = self.held.split_to(BANNER_1.len());
            self.format = match &banner[..] {
                BANNER_1 => Some(DiffFormat::V1),
                BANNER_2 => Some(DiffFormat::V2),
                _ => return Err(bad("it does not begin as one")),
            };
        }
        Ok(self.format)
    }

    /// Reads one record if it is here whole (of a write, without its bytes).
    fn record(&mut self, format: DiffFormat) -> Result<Step, RbdError> {
        let mut r = &self.held[..];
        let tag = r.get_u8();
        if tag == b'e' {
            self.ended = true;
            self.held.advance(1);
            return Ok(Step::Read(DiffRecord::End));
        }
        let mut said = None;
        if format == DiffFormat::V2 {
            if r.len() < 8 {
                return Ok(Step::More);
            }
            said = Some(r.get_u64_le());
        }
        let fixed = |want: u64| match said {
            Some(length) if length != want => Err(bad("a record of a wrong length")),
            _ => Ok(()),
        };
        let record = match tag {
            b'f' | b't' => {
                if r.len() < 4 {
                    return Ok(Step::More);
                }
                let length = r.get_u32_le() as usize;
                if length > NAME_MAX {
                    return Err(bad("a name is too long"));
                }
                fixed(4 + length as u64)?;
                if r.len() < length {
                    return Ok(Step::More);
                }
                let name =
                    std::str::from_utf8(&r[..length]).map_err(|_| bad("a name is no text"))?;
                let name = name.to_owned();
                r.advance(length);
                if tag == b'f' { DiffRecord::From(name) } else { DiffRecord::To(name) }
            }
            b's' => {
                fixed(8)?;
                if r.len() < 8 {
                    return Ok(Step::More);
                }
                DiffRecord::Size(r.get_u64_le())
            }
            b'p' if format == DiffFormat::V2 => {
                if r.is_empty() {
                    return Ok(Step::More);
                }
                DiffRecord::Protected(r.get_u8() != 0)
            }
            b'w' | b'z' => {
                if r.len() < 16 {
                    return Ok(Step::More);
                }
                let (offset, length) = (r.get_u64_le(), r.get_u64_le());
                if offset.checked_add(length).is_none() {
                    return Err(bad("a range has no end"));
                }
                if tag == b'z' {
                    fixed(16)?;
                    DiffRecord::Zero { offset, length }
                } else {
                    fixed(length.saturating_add(16))?;
                    self.data = length;
                    DiffRecord::Write { offset, length }
                }
            }
            _ => {
                // Format 1 has no way to pass over what is not known.
                let Some(length) = said else { return Err(bad("an unknown record")) };
                self.skip = length;
                let read = self.held.len() - r.len();
                self.held.advance(read);
                return Ok(Step::Passed);
            }
        };
        let read = self.held.len() - r.len();
        self.held.advance(read);
        Ok(Step::Read(record))
    }
}

/// What came of looking for a record.
enum Step {
    More,
    Passed,
    Read(DiffRecord),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn records() -> Vec<DiffRecord> {
        vec![
            DiffRecord::From("one".into()),
            DiffRecord::To("two".into()),
            DiffRecord::Size(1 << 40),
            DiffRecord::Write { offset: 4096, length: 5 },
            DiffRecord::Data(Bytes::from_static(b"hello")),
            DiffRecord::Zero { offset: 8192, length: 4096 },
            DiffRecord::End,
        ]
    }

    fn written(format: DiffFormat) -> BytesMut {
        let mut out = BytesMut::from(format.banner());
        for record in records() {
            format.put(&record, &mut out);
        }
        out
    }

    #[test]
    fn a_stream_is_laid_out_as_ceph_lays_it_out() {
        let first = &written(DiffFormat::V1)[..28];
        assert_eq!(first, b"rbd diff v1\nf\x03\0\0\0onet\x03\0\0\0two");
        let second = &written(DiffFormat::V2)[..28];
        assert_eq!(second, b"rbd diff v2\nf\x07\0\0\0\0\0\0\0\x03\0\0\0one");
    }

    #[test]
    fn unknown_records_are_passed_over_where_that_can_be() {
        for (format, known) in [(DiffFormat::V1, false), (DiffFormat::V2, true)] {
            let mut reader = DiffReader::new();
            reader.feed(format.banner());
            reader.feed(b"q\x02\0\0\0\0\0\0\0xye");
            let next = reader.next_record();
            if known {
                assert_eq!(next.unwrap(), Some(DiffRecord::End));
            } else {
                assert!(next.is_err());
            }
        }
    }

    proptest! {
        #[test]
        fn however_it_is_cut_it_reads_the_same(
            cuts in proptest::collection::vec(1usize..9, 1..80),
        ) {
            for format in [DiffFormat::V1, DiffFormat::V2] {
                let bytes = written(format);
                let (mut at, mut cuts) = (0, cuts.iter().cycle());
                let (mut reader, mut read) = (DiffReader::new(), Vec::<DiffRecord>::new());
                while at < bytes.len() {
                    let end = (at + cuts.next().unwrap()).min(bytes.len());
                    reader.feed(&bytes[at..end]);
                    at = end;
                    while let Some(record) = reader.next_record().unwrap() {
                        match (read.last_mut(), record) {
                            (Some(DiffRecord::Data(had)), DiffRecord::Data(more)) => {
                                *had = [&had[..], &more[..]].concat().into();
                            }
                            (_, record) => read.push(record),
                        }
                    }
                }
                prop_assert!(reader.is_ended());
                prop_assert_eq!(read, records());
                reader.feed(b"more");
                prop_assert_eq!(&reader.into_rest()[..], b"more");
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut reader = DiffReader::new();
            reader.feed(DiffFormat::V2.banner());
            reader.feed(&bytes);
            for _ in 0..300 {
                if !matches!(reader.next_record(), Ok(Some(_))) {
                    break;
                }
            }
        }
    }
}
