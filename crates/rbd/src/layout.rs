//! Where an image's bytes are: objects, and Ceph's striping over them.
//!
//! An image is cut into stripe units, dealt out to `stripe_count` objects in turn until those are
//! full; then come the next. Without the feature a unit is a whole object and there is one at a
//! time.

use crate::RbdError;

/// Largest and smallest objects, as powers of two.
const ORDERS: std::ops::RangeInclusive<u8> = 12..=25;

/// How an image is spread over objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    order: u8,
    unit: u64,
    count: u64,
}

/// Bytes that are together in the image and in one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// The object's number.
    pub object: u64,
    /// Where in the object.
    pub within: u64,
    /// Where in the image.
    pub offset: u64,
    /// How many bytes.
    pub length: u64,
}

impl Layout {
    /// Objects of `2^order` bytes, one after the other.
    pub fn plain(order: u8) -> Result<Self, RbdError> {
        Self::striped(order, 0, 0)
    }

    /// Striped; `unit` and `count` may be 0 for none.
    ///
    /// Errors: the order is not one of Ceph's; the unit does not divide the object.
    pub fn striped(order: u8, unit: u64, count: u64) -> Result<Self, RbdError> {
        let wrong = |reason| RbdError::Invalid { what: "layout".into(), reason };
        if !ORDERS.contains(&order) {
            return Err(wrong("objects are of 4 KiB to 32 MiB"));
        }
        let size = 1 << order;
        let (unit, count) = if unit == 0 && count == 0 { (size, 1) } else { (unit, count) };
        if count == 0 || unit == 0 || !u64::is_multiple_of(size, unit) {
            return Err(wrong("stripe units must fill objects evenly"));
        }
        if count > 1 << 20 {
            return Err(wrong("too many objects in a stripe"));
        }
        Ok(Layout { order, unit, count })
    }

    /// log2 of the size of an object.
    pub fn order(&self) -> u8 {
        self.order
    }

    /// Bytes of an object.
    pub fn object_size(&self) -> u64 {
        1 << self.order
    }

    /// Bytes that stay together.
    pub fn stripe_unit(&self) -> u64 {
        self.unit
    }

    /// Objects that take turns.
    pub fn stripe_count(&self) -> u64 {
        self.count
    }

    /// True if it is more than objects one after the other.
    pub fn is_striped(&self) -> bool {
        self.count > 1 || self.unit != self.object_size()
    }

    /// How many objects an image of `size` bytes can have.
    pub fn objects(&self, size: u64) -> u64 {
        let period = self.object_size().saturating_mul(self.count);
        let rest = size % period;
        let spared = match rest {
            0 => 0,
            _ => self.count.saturating_sub(rest.div_ceil(self.unit)),
        };
        size.div_ceil(period).saturating_mul(self.count) - spared
    }

    /// The pieces of a range, in the image's order; joined where they touch in both.
    pub fn pieces(&self, offset: u64, length: u64) -> Pieces {
        Pieces { layout: *self, at: offset, end: offset.saturating_add(length) }
    }

    /// The pieces of the image that a range of one object holds.
    pub fn of_object(&self, object: u64, within: u64, length: u64) -> Vec<Piece> {
        let end = within.saturating_add(length).min(self.object_size());
        let per_object = self.object_size() / self.unit;
        let (set, place) = (object / self.count, object % self.count);
        let mut pieces: Vec<Piece> = Vec::new();
        let mut at = within;
        while at < end {
            let (stripe, inside) = (set * per_object + at / self.unit, at % self.unit);
            let unit = stripe.saturating_mul(self.count).saturating_add(place);
            let length = (self.unit - inside).min(end - at);
            let offset = unit.saturating_mul(self.unit).saturating_add(inside);
            match pieces.last_mut() {
                Some(last) if last.offset + last.length == offset => last.length += length,
                _ => pieces.push(Piece { object, within: at, offset, length }),
            }
            at += length;
        }
        pieces
    }
}

/// What of the pieces lies below an offset in the image.
pub(crate) fn below(pieces: Vec<Piece>, end: u64) -> Vec<Piece> {
    let cut = |piece: Piece| {
        let length = end.saturating_sub(piece.offset).min(piece.length);
        (length > 0).then_some(Piece { length, ..piece })
    };
    pieces.into_iter().filter_map(cut).collect()
}

/// See [`Layout::pieces`].
#[derive(Debug, Clone)]
pub struct Pieces {
    layout: Layout,
    at: u64,
    end: u64,
}

impl Iterator for Pieces {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        if self.at >= self.end {
            return None;
        }
        let Layout { unit, count, .. } = self.layout;
        let per_object = self.layout.object_size() / unit;
        let (number, inside) = (self.at / unit, self.at % unit);
        let (stripe, place) = (number / count, number % count);
        let object = stripe / per_object * count + place;
        let within = stripe % per_object * unit + inside;
        // With one object at a time its units follow each other in the image too.
        let room = if count == 1 { self.layout.object_size() - within } else { unit - inside };
        let length = room.min(self.end - self.at);
        let piece = Piece { object, within, offset: self.at, length };
        self.at += length;
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_objects_follow_each_other() {
        let layout = Layout::plain(22).unwrap();
        let pieces: Vec<Piece> = layout.pieces((4 << 20) - 10, 20).collect();
        let first = Piece { object: 0, within: (4 << 20) - 10, offset: (4 << 20) - 10, length: 10 };
        assert_eq!(pieces, [first, Piece { object: 1, within: 0, offset: 4 << 20, length: 10 }]);
        assert_eq!((layout.objects(0), layout.objects(1), layout.objects(4 << 20)), (0, 1, 1));
        assert_eq!(layout.of_object(3, 0, u64::MAX)[0].length, 4 << 20);
    }

    #[test]
    fn units_are_dealt_out_in_turn() {
        let layout = Layout::striped(13, 4096, 3).unwrap();
        let objects: Vec<u64> = layout.pieces(0, 9 * 4096).map(|p| p.object).collect();
        assert_eq!(objects, [0, 1, 2, 0, 1, 2, 3, 4, 5]);
        assert_eq!(layout.objects(4096), 1);
        assert_eq!(layout.objects(7 * 4096), 4);
    }

    #[test]
    fn what_does_not_divide_is_refused() {
        assert!(Layout::plain(63).is_err());
        assert!(Layout::striped(13, 3000, 1).is_err());
        assert!(Layout::striped(13, 0, 2).is_err());
    }

    proptest! {
        #[test]
        fn pieces_cover_the_range_and_turn_back(
            order in 12u8..16, cut in 0u32..4, count in 1u64..6,
            offset in 0u64..1 << 20, length in 1u64..1 << 18,
        ) {
            let layout = Layout::striped(order, 1 << (u32::from(order) - cut), count).unwrap();
            let mut at = offset;
            for piece in layout.pieces(offset, length) {
                prop_assert_eq!(piece.offset, at);
                prop_assert!(piece.within + piece.length <= layout.object_size());
                prop_assert!(piece.object < layout.objects(offset + length));
                let back = layout.of_object(piece.object, piece.within, piece.length);
                prop_assert_eq!(back, [piece]);
                at += piece.length;
            }
            prop_assert_eq!(at, offset + length);
            let last = layout.pieces(0, offset + length).map(|p| p.object).max();
            prop_assert_eq!(last.map_or(0, |o| o + 1), layout.objects(offset + length));
        }
    }
}
