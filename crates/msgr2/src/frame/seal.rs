//! Writes frames: what is small goes into one running buffer, large payload segments stay the
//! buffers they are and are handed to the transport beside it.
//!
//! A checksum of a payload is computed once ([`Sums`]) and kept with the message, so that sending
//! it again on a new connection only sums the new header.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use seabed_denc::ceph_crc32c;

use super::{LATE_COMPLETE, Preamble, SEGMENT_SEED, Tag};

/// Segments up to this size are copied: cheaper than one more entry in a vectored write.
const INLINE_BYTES_MAX: usize = 1024;
/// Growth step of the running buffer.
const ARENA_BYTES: usize = 8 << 10;

/// Checksums of segments 1..=3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sums(pub(crate) [u32; 3]);

impl Sums {
    pub(crate) fn of(segments: &[Bytes; 4]) -> Self {
        Sums(std::array::from_fn(|i| ceph_crc32c(SEGMENT_SEED, &segments[i + 1])))
    }
}

/// Bytes on their way out, in order. A [`Buf`], with `chunks_vectored`.
#[derive(Debug, Default)]
pub struct Transmit {
    ready: VecDeque<Bytes>,
    arena: BytesMut,
    bytes: usize,
}

impl Transmit {
    /// Appends small bytes.
    pub(crate) fn raw(&mut self, write: impl FnOnce(&mut BytesMut)) {
        if self.arena.capacity() - self.arena.len() < INLINE_BYTES_MAX {
            self.arena.reserve(ARENA_BYTES);
        }
        let before = self.arena.len();
        write(&mut self.arena);
        self.bytes += self.arena.len() - before;
    }

    fn seal_arena(&mut self) {
        if !self.arena.is_empty() {
            self.ready.push_back(self.arena.split().freeze());
        }
    }

    fn segment(&mut self, bytes: &Bytes) {
        if bytes.len() <= INLINE_BYTES_MAX {
            self.raw(|out| out.put_slice(bytes));
        } else {
            self.seal_arena();
            self.bytes += bytes.len();
            self.ready.push_back(bytes.clone());
        }
    }

    /// Appends a frame whose segments 1..=3 have these checksums.
    pub(crate) fn frame(&mut self, tag: Tag, segments: &[Bytes; 4], sums: Sums) {
        let lengths = std::array::from_fn(|i| {
            u32::try_from(segments[i].len()).expect("segments are bounded by the limits")
        });
        let preamble = Preamble::new(tag, lengths);
        self.raw(|out| out.put_slice(&preamble.encode()));
        if !segments[0].is_empty() {
            self.segment(&segments[0]);
            self.raw(|out| out.put_u32_le(ceph_crc32c(SEGMENT_SEED, &segments[0])));
        }
        for segment in &segments[1..preamble.segments] {
            self.segment(segment);
        }
        if preamble.has_epilogue() {
            self.raw(|out| {
                out.put_u8(LATE_COMPLETE);
                for i in 1..4 {
                    out.put_u32_le(if i < preamble.segments { sums.0[i - 1] } else { 0 });
                }
            });
        }
    }

    /// Appends a control frame.
    pub(crate) fn control(&mut self, tag: Tag, payload: Bytes) {
        let none = Bytes::new();
        self.frame(tag, &[payload, none.clone(), none.clone(), none], Sums([0; 3]));
    }
}

impl Buf for Transmit {
    fn remaining(&self) -> usize {
        self.bytes
    }

    fn chunk(&self) -> &[u8] {
        self.ready.front().map_or(&self.arena[..], |b| &b[..])
    }

    fn advance(&mut self, mut n: usize) {
        assert!(n <= self.bytes, "advanced past the end of what is to be sent");
        self.bytes -= n;
        while let Some(front) = self.ready.front_mut() {
            if n < front.len() {
                front.advance(n);
                return;
            }
            n -= front.len();
            self.ready.pop_front();
        }
        self.arena.advance(n);
    }

    fn chunks_vectored<'a>(&'a self, dst: &mut [IoSlice<'a>]) -> usize {
        let parts = self.ready.iter().map(|b| &b[..]).chain([&self.arena[..]]);
        let mut n = 0;
        for (slot, part) in dst.iter_mut().zip(parts.filter(|p| !p.is_empty())) {
            *slot = IoSlice::new(part);
            n += 1;
        }
        n
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_segments_are_not_copied() {
        let data = Bytes::from(vec![5u8; 100_000]);
        let segments = [Bytes::from(vec![1; 41]), Bytes::new(), Bytes::new(), data.clone()];
        let mut tx = Transmit::default();
        tx.frame(Tag::Message, &segments, Sums::of(&segments));
        let mut slices = [IoSlice::new(&[]); 8];
        let n = tx.chunks_vectored(&mut slices);
        assert_eq!(n, 3);
        assert_eq!(slices[1].as_ptr(), data.as_ptr());
        assert_eq!(tx.remaining(), 32 + 41 + 4 + 100_000 + 13);
    }

    #[test]
    fn advancing_byte_by_byte_gives_the_same_bytes() {
        let segments =
            [Bytes::from(vec![1; 41]), Bytes::from(vec![2; 3000]), Bytes::new(), Bytes::new()];
        let build = || {
            let mut tx = Transmit::default();
            for _ in 0..3 {
                tx.frame(Tag::Message, &segments, Sums::of(&segments));
                tx.control(Tag::Wait, Bytes::new());
            }
            tx
        };
        let mut whole = build();
        let whole = whole.copy_to_bytes(whole.remaining());
        let mut tx = build();
        let mut got = Vec::new();
        while tx.has_remaining() {
            got.push(tx.get_u8());
        }
        assert_eq!(got, whole);
        assert_eq!(tx.chunk(), b"");
    }
}
