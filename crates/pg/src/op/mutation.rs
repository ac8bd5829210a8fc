//! The changes of one request to its object, collected and put into Ceph's order.
//!
//! Whatever the order of the ops in the request, a transaction removes, creates, truncates, changes
//! attributes, clears and changes the omap, hints, and writes data last. Later writes replace
//! earlier ones where they overlap.

use std::collections::BTreeMap;

use seabed_cluster::{Collection, GhObject};
use seabed_denc::Bytes;
use seabed_storage::{Transaction, TxOp};

/// What a range of the object becomes.
#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Data(Bytes),
    Zero(u64),
}

impl Piece {
    fn len(&self) -> u64 {
        match self {
            Piece::Data(data) => data.len() as u64,
            Piece::Zero(len) => *len,
        }
    }

    /// The part from `from` to `to`, relative to the piece.
    fn slice(&self, from: u64, to: u64) -> Piece {
        match self {
            Piece::Data(data) => Piece::Data(data.slice(from as usize..to as usize)),
            Piece::Zero(_) => Piece::Zero(to - from),
        }
    }
}

/// The collected changes. Exists from the first op that changes anything on.
#[derive(Debug, Default)]
pub(super) struct Mutation {
    remove: bool,
    create: bool,
    /// The object becomes a copy of this one before everything else.
    clone_of: Option<GhObject>,
    /// The smallest size the object is cut to, and the size it is cut or extended to last.
    truncate: Option<(u64, u64)>,
    attrs: BTreeMap<Bytes, Option<Bytes>>,
    omap_clear: bool,
    omap_header: Option<Bytes>,
    omap: Vec<TxOp>,
    hint: Option<TxOp>,
    pieces: BTreeMap<u64, Piece>,
    fadvise_flags: u32,
}

impl Mutation {
    pub(super) fn create(&mut self) {
        self.create = true;
    }

    pub(super) fn become_clone_of(&mut self, source: GhObject) {
        self.clone_of = Some(source);
    }

    /// Changes nothing, but is a change: the object gets a new version.
    pub(super) fn touch(&mut self) {}

    /// Forgets everything collected: none of it survives.
    pub(super) fn remove(&mut self) {
        *self = Mutation { remove: true, ..Mutation::default() };
    }

    pub(super) fn truncate(&mut self, size: u64) {
        self.cut(size, u64::MAX);
        self.truncate = Some(match self.truncate {
            Some((least, _)) if least <= size => (least, size),
            _ => (size, size),
        });
    }

    pub(super) fn write(&mut self, offset: u64, data: Bytes, fadvise_flags: u32) {
        self.fadvise_flags |= fadvise_flags;
        self.put(offset, Piece::Data(data));
    }

    pub(super) fn zero(&mut self, offset: u64, length: u64) {
        self.put(offset, Piece::Zero(length));
    }

    pub(super) fn set_attr(&mut self, name: Bytes, value: Option<Bytes>) {
        self.attrs.insert(name, value);
    }

    pub(super) fn omap(&mut self, op: TxOp) {
        self.omap.push(op);
    }

    pub(super) fn omap_set_header(&mut self, header: Bytes) {
        self.omap_header = Some(header);
    }

    pub(super) fn omap_clear(&mut self) {
        self.omap_clear = true;
        self.omap_header = None;
        self.omap.clear();
    }

    pub(super) fn hint(&mut self, op: TxOp) {
        self.hint = Some(op);
    }

    fn put(&mut self, offset: u64, piece: Piece) {
        if piece.len() > 0 {
            self.cut(offset, offset + piece.len());
            self.pieces.insert(offset, piece);
        }
    }

    /// Removes what was to be written from `start` to `end`.
    fn cut(&mut self, start: u64, end: u64) {
        let first = self.pieces.range(..start).next_back().map_or(start, |(at, _)| *at);
        let touched: Vec<u64> = self.pieces.range(first..end).map(|(at, _)| *at).collect();
        for at in touched {
            let Some(piece) = self.pieces.remove(&at) else { continue };
            let piece_end = at + piece.len();
            if at < start {
                self.pieces.insert(at, piece.slice(0, start.min(piece_end) - at));
            }
            if piece_end > end {
                let from = end.max(at);
                self.pieces.insert(from, piece.slice(from - at, piece_end - at));
            }
        }
    }

    /// Puts the changes behind what `tx` holds; `attrs` are `_` and `snapset`, empty for an object
    /// that goes.
    pub(super) fn finish(
        mut self,
        tx: &mut Transaction,
        coll: &Collection,
        object: &GhObject,
        attrs: Vec<(&'static str, Bytes)>,
    ) {
        tx.fadvise_flags |= self.fadvise_flags;
        let mut push = |op| {
            tx.push(coll, object, op);
        };
        if self.remove {
            push(TxOp::Remove);
        }
        if self.create {
            push(TxOp::Create);
        }
        if let Some(source) = &self.clone_of {
            tx.push(coll, source, TxOp::Clone { to: object.clone() });
        }
        let mut push = |op| {
            tx.push(coll, object, op);
        };
        if let Some((least, last)) = self.truncate {
            push(TxOp::Truncate { size: least });
            if last != least {
                push(TxOp::Truncate { size: last });
            }
        }
        for (name, value) in attrs {
            self.attrs.insert(Bytes::from_static(name.as_bytes()), Some(value));
        }
        let mut set = BTreeMap::new();
        for (name, value) in self.attrs {
            match value {
                Some(value) => drop(set.insert(name, value)),
                None => push(TxOp::RmAttr { name }),
            }
        }
        if !set.is_empty() {
            push(TxOp::SetAttrs(set));
        }
        if self.omap_clear {
            push(TxOp::OmapClear);
        }
        if let Some(header) = self.omap_header {
            push(TxOp::OmapSetHeader(header));
        }
        self.omap.into_iter().for_each(&mut push);
        self.hint.into_iter().for_each(&mut push);
        for (offset, piece) in self.pieces {
            push(match piece {
                Piece::Data(data) => TxOp::Write { offset, data },
                Piece::Zero(length) => TxOp::Zero { offset, length },
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_writes_win_where_they_overlap() {
        let mut m = Mutation::default();
        m.write(0, Bytes::from_static(b"aaaaaaaaaa"), 0);
        m.write(3, Bytes::from_static(b"bb"), 0);
        m.zero(8, 4);
        let at: Vec<_> = m.pieces.iter().map(|(at, p)| (*at, p.clone())).collect();
        let data = |s: &'static str| Piece::Data(Bytes::from_static(s.as_bytes()));
        let want = [(0, data("aaa")), (3, data("bb")), (5, data("aaa")), (8, Piece::Zero(4))];
        assert_eq!(at, want);
    }

    #[test]
    fn a_truncate_drops_what_was_to_be_written_behind_it() {
        let mut m = Mutation::default();
        m.write(0, Bytes::from_static(b"aaaaaaaaaa"), 0);
        m.truncate(4);
        m.truncate(9);
        assert_eq!(m.truncate, Some((4, 9)));
        assert_eq!(m.pieces[&0].len(), 4);
        m.remove();
        assert!(m.pieces.is_empty() && m.remove && m.truncate.is_none());
    }
}
