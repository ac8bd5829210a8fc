//! The bytes of an object as a map of disjoint pieces: what was never written takes no room.
//!
//! Invariants: pieces are not empty and do not overlap.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

/// Bytes at offsets; everything between the pieces is zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ByteMap {
    pieces: BTreeMap<u64, Bytes>,
    bytes: u64,
}

impl ByteMap {
    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Removes a range.
    pub fn punch(&mut self, offset: u64, length: u64) {
        let end = offset.saturating_add(length);
        if length == 0 {
            return;
        }
        self.split(offset);
        self.split(end);
        let inside: Vec<u64> = self.pieces.range(offset..end).map(|(&at, _)| at).collect();
        for at in inside {
            if let Some(piece) = self.pieces.remove(&at) {
                self.bytes -= piece.len() as u64;
            }
        }
    }

    /// Puts `data` at `offset`, over what was there.
    pub fn write(&mut self, offset: u64, data: Bytes) {
        if data.is_empty() {
            return;
        }
        self.punch(offset, data.len() as u64);
        self.bytes += data.len() as u64;
        self.pieces.insert(offset, data);
    }

    /// Cuts the piece that `at` lies inside of, so that one begins at `at`.
    fn split(&mut self, at: u64) {
        let Some((&start, piece)) = self.pieces.range_mut(..at).next_back() else { return };
        let cut = at - start;
        if cut < piece.len() as u64 {
            // A piece is in memory, so its length fits usize.
            let rest = piece.split_off(cut as usize);
            self.pieces.insert(at, rest);
        }
    }

    /// The pieces that meet a range, cut to it.
    pub fn pieces(&self, offset: u64, length: u64) -> Vec<(u64, Bytes)> {
        let end = offset.saturating_add(length);
        let first = self.pieces.range(..=offset).next_back().map_or(offset, |(&at, _)| at);
        let mut found = Vec::new();
        for (&at, piece) in self.pieces.range(first..end) {
            let from = at.max(offset);
            let to = (at + piece.len() as u64).min(end);
            if from < to {
                let part = piece.slice((from - at) as usize..(to - at) as usize);
                found.push((from, part));
            }
        }
        found
    }

    /// A range, holes as zeros.
    pub fn read(&self, offset: u64, length: usize) -> Bytes {
        let pieces = self.pieces(offset, length as u64);
        if let [(at, piece)] = &pieces[..]
            && (*at, piece.len()) == (offset, length)
        {
            return piece.clone();
        }
        let mut out = BytesMut::zeroed(length);
        for (at, piece) in pieces {
            let at = (at - offset) as usize;
            out[at..at + piece.len()].copy_from_slice(&piece);
        }
        out.freeze()
    }

    /// The parts of a range that hold data, neighbours joined.
    pub fn extents(&self, offset: u64, length: u64) -> Vec<(u64, u64)> {
        let mut found: Vec<(u64, u64)> = Vec::new();
        for (at, piece) in self.pieces(offset, length) {
            match found.last_mut() {
                Some((start, len)) if *start + *len == at => *len += piece.len() as u64,
                _ => found.push((at, piece.len() as u64)),
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_behave_like_an_array() {
        let mut map = ByteMap::default();
        let mut array = [0u8; 64];
        // A fixed walk that meets every kind of overlap.
        for i in 0u64..400 {
            let (at, len) = ((i * 7) % 50, (i * 5) % 14);
            let range = at as usize..(at + len) as usize;
            if i % 3 == 0 {
                map.punch(at, len);
                array[range].fill(0);
            } else {
                let byte = (i % 251) as u8 + 1;
                map.write(at, Bytes::from(vec![byte; len as usize]));
                array[range].fill(byte);
            }
            assert_eq!(&map.read(0, 64)[..], &array[..]);
            assert_eq!(map.bytes(), array.iter().filter(|&&b| b != 0).count() as u64);
            let inside: u64 = map.extents(0, 64).iter().map(|e| e.1).sum();
            assert_eq!(inside, map.bytes());
        }
    }
}
