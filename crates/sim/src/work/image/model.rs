//! The image's model: what every object becomes, change by change, and for every snapshot an array
//! of what the objects were.
//!
//! One client at a time may change the image, and an OSD carries out the changes of one object in
//! the order in which they were asked. So an object has a list of contents, one for each change; a
//! read shows one of them, not older than what was answered before it was asked, and not newer
//! than what was asked before it was answered. When another client takes over, the old one has
//! been shut out: what its first read shows is where the list ends.

use std::collections::BTreeMap;

use seabed_cluster::SnapId;

use crate::work::Who;

/// Slots of an object, of four bytes each.
pub(crate) const SLOTS: usize = 16;

/// What an object holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Data, as numbers.
    pub(crate) data: Vec<u32>,
    /// The value of its one key in the omap.
    pub(crate) mark: u32,
}

/// An object that exists, or not.
pub(crate) type Content = Option<Piece>;

/// A change of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// Slots from one on get the value.
    Write { slot: usize, slots: usize, value: u32 },
    /// All data is this.
    Full { slots: usize, value: u32 },
    /// Slots from one on are zeroed; if they reach the end, they go.
    Zero { slot: usize, slots: usize },
    /// The data is cut to some slots, or grows to them with zeros.
    Cut { slots: usize },
    /// Only the omap changes.
    Mark { value: u32 },
    /// The object goes.
    Delete,
    /// The object becomes what it was.
    Rollback(SnapId),
}

/// Where a snapshot is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Age {
    /// Writes keep it.
    Living,
    /// No new write names it; the monitor is asked when those before this number are answered.
    Doomed { after: u64 },
}

#[derive(Debug)]
struct Snapshot {
    /// For each object, which of its contents this shows: one, unless it is not known yet.
    at: Vec<Vec<usize>>,
    age: Age,
}

#[derive(Debug)]
struct Object {
    contents: Vec<Content>,
    /// The newest content that surely is.
    floor: usize,
    /// Who may change it, and the content with which it began to.
    writer: Option<Who>,
    base: usize,
}

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Model {
    objects: Vec<Object>,
    snaps: BTreeMap<SnapId, Snapshot>,
    newest: SnapId,
}

/// The content after a change. `then` is what a rollback goes back to.
fn after(content: &Content, change: &Change, then: &Content) -> Content {
    let mut piece = content.clone().unwrap_or(Piece { data: Vec::new(), mark: 0 });
    match *change {
        Change::Write { slot, slots, value } => {
            let end = slot + slots;
            piece.data.resize(piece.data.len().max(end), 0);
            piece.data[slot..end].fill(value);
            piece.mark = value;
        }
        Change::Full { slots, value } => piece = Piece { data: vec![value; slots], mark: value },
        Change::Mark { value } => piece.mark = value,
        Change::Zero { slot, slots } => {
            let (end, size) = (slot + slots, content.as_ref()?.data.len());
            if end < size {
                piece.data[slot..end].fill(0);
            } else {
                piece.data.truncate(slot);
            }
        }
        Change::Cut { slots } => {
            content.as_ref()?;
            piece.data.resize(slots, 0);
        }
        Change::Delete => return None,
        Change::Rollback(_) => return then.clone(),
    }
    Some(piece)
}

impl Model {
    /// An image of which nothing is written.
    pub(crate) fn new(objects: usize) -> Model {
        let empty = || Object { contents: vec![None], floor: 0, writer: None, base: 0 };
        Model {
            objects: (0..objects).map(|_| empty()).collect(),
            snaps: BTreeMap::new(),
            newest: SnapId(0),
        }
    }

    /// The newest content that was asked for.
    fn last(&self, object: usize) -> usize {
        self.objects[object].contents.len() - 1
    }

    /// A change is asked for. Tells its number, and whether the object exists before it; `None` if
    /// somebody else has taken over: then nothing may come of it.
    pub(crate) fn change(
        &mut self,
        who: Who,
        object: usize,
        change: &Change,
    ) -> Option<(usize, bool)> {
        let then = match change {
            Change::Rollback(snap) => self.shown(object, *snap)?.clone(),
            _ => None,
        };
        let o = &mut self.objects[object];
        if o.writer != Some(who) {
            return None;
        }
        let before = o.contents.last()?;
        let existed = before.is_some();
        let next = after(before, change, &then);
        o.contents.push(next);
        Some((self.last(object), existed))
    }

    /// What a snapshot shows of an object, if that is known.
    pub(crate) fn shown(&self, object: usize, snap: SnapId) -> Option<&Content> {
        match &self.snaps.get(&snap)?.at[object][..] {
            [one] => self.objects[object].contents.get(*one),
            _ => None,
        }
    }

    /// A change is answered as done.
    pub(crate) fn changed(&mut self, who: Who, object: usize, number: usize) -> Result<(), String> {
        let o = &mut self.objects[object];
        if o.writer == Some(who) {
            o.floor = o.floor.max(number);
        } else if number > o.base {
            return Err(format!(
                "change {number} of image.{object} is answered, and was not there when {:?} took \
                 over at {}",
                o.writer, o.base
            ));
        }
        Ok(())
    }

    /// The oldest content that a read asked now may show to this client.
    pub(crate) fn floor(&self, who: Who, object: usize) -> usize {
        let o = &self.objects[object];
        if o.writer == Some(who) { self.last(object) } else { o.floor }
    }

    fn matches(&self, object: usize, floor: usize, seen: &Content) -> Result<Vec<usize>, String> {
        let o = &self.objects[object];
        let all = (floor..o.contents.len()).filter(|i| o.contents[*i] == *seen);
        let all: Vec<usize> = all.collect();
        if all.is_empty() {
            return Err(format!(
                "image.{object} is {seen:?}, none of {floor}.. of {:?}",
                &o.contents[floor.saturating_sub(2).min(o.contents.len())..]
            ));
        }
        Ok(all)
    }

    /// A read of the head is answered.
    pub(crate) fn seen(
        &mut self,
        object: usize,
        floor: usize,
        seen: &Content,
    ) -> Result<(), String> {
        let all = self.matches(object, floor, seen)?;
        let o = &mut self.objects[object];
        o.floor = o.floor.max(all[0]);
        Ok(())
    }

    /// The first read after the former writer was shut out: what it shows stays.
    pub(crate) fn taken_over(
        &mut self,
        who: Who,
        object: usize,
        floor: usize,
        seen: &Content,
    ) -> Result<(), String> {
        let all = self.matches(object, floor, seen)?;
        let end = all[all.len() - 1];
        for snapshot in self.snaps.values_mut() {
            let at = &mut snapshot.at[object];
            let kept = at.iter().flat_map(|k| all.iter().map(move |j| *k.min(j)));
            let mut kept: Vec<usize> = kept.collect();
            kept.sort_unstable();
            kept.dedup();
            *at = kept;
        }
        let o = &mut self.objects[object];
        o.contents.truncate(end + 1);
        (o.floor, o.base, o.writer) = (end, end, Some(who));
        Ok(())
    }

    /// A read at a snapshot is answered. Changes before the snapshot that were on their way when it
    /// was asked may have come later.
    pub(crate) fn seen_at(
        &mut self,
        object: usize,
        snap: SnapId,
        floor: usize,
        seen: &Content,
    ) -> Result<(), String> {
        let Some(snapshot) = self.snaps.get_mut(&snap) else { return Ok(()) };
        if snapshot.age != Age::Living {
            return Ok(());
        }
        let contents = &self.objects[object].contents;
        let at = &mut snapshot.at[object];
        let shows = |last: usize| contents[floor.min(last)..=last].contains(seen);
        let right: Vec<usize> = at.iter().copied().filter(|last| shows(*last)).collect();
        if right.is_empty() {
            let wanted: Vec<_> = at.iter().map(|i| &contents[*i]).collect();
            return Err(format!(
                "image.{object} at {} is {seen:?}, not {wanted:?} ({at:?}, from {floor})",
                snap.0
            ));
        }
        *at = right;
        Ok(())
    }

    /// True if no write has named this snapshot or a newer one.
    pub(crate) fn is_newest(&self, id: SnapId) -> bool {
        id > self.newest
    }

    /// The monitor has given a number, and writes name it from now on.
    pub(crate) fn take_snapshot(&mut self, id: SnapId) {
        let at = (0..self.objects.len()).map(|o| vec![self.last(o)]).collect();
        self.snaps.insert(id, Snapshot { at, age: Age::Living });
        self.newest = self.newest.max(id);
    }

    /// The snap context of a write: the newest snapshot, and those that live, newest first.
    pub(crate) fn context(&self) -> (SnapId, Vec<SnapId>) {
        (self.newest, self.living().rev().collect())
    }

    /// The snapshots that live, oldest first.
    pub(crate) fn living(&self) -> impl DoubleEndedIterator<Item = SnapId> + '_ {
        self.snaps.iter().filter(|(_, s)| s.age == Age::Living).map(|(id, _)| *id)
    }

    /// A snapshot shall go.
    pub(crate) fn doom(&mut self, id: SnapId, after: u64) {
        if let Some(snapshot) = self.snaps.get_mut(&id) {
            snapshot.age = Age::Doomed { after };
        }
    }

    /// A new client removes what the old one wanted removed; it waits for nothing.
    pub(crate) fn doom_again(&mut self) {
        for snapshot in self.snaps.values_mut().filter(|s| s.age != Age::Living) {
            snapshot.age = Age::Doomed { after: 0 };
        }
    }

    /// The first snapshot that shall go.
    pub(crate) fn doomed(&self) -> Option<(SnapId, u64)> {
        self.snaps.iter().find_map(|(id, s)| match s.age {
            Age::Doomed { after } => Some((*id, after)),
            Age::Living => None,
        })
    }

    /// The monitor knows that a snapshot is gone.
    pub(crate) fn forget(&mut self, id: SnapId) {
        self.snaps.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Who = (0, 1);
    const TWO: Who = (1, 1);

    fn piece(data: &[u32], mark: u32) -> Content {
        Some(Piece { data: data.to_vec(), mark })
    }

    fn begun() -> Model {
        let mut model = Model::new(1);
        model.taken_over(ONE, 0, 0, &None).unwrap();
        model
    }

    #[test]
    fn a_read_shows_nothing_older_than_what_was_answered() {
        let mut m = begun();
        assert_eq!(m.change(ONE, 0, &Change::Full { slots: 1, value: 7 }), Some((1, false)));
        let early = m.floor(TWO, 0);
        m.changed(ONE, 0, 1).unwrap();
        assert!(m.seen(0, early, &None).is_ok());
        assert!(m.seen(0, m.floor(TWO, 0), &None).is_err());
        assert!(m.seen(0, m.floor(TWO, 0), &piece(&[7], 7)).is_ok());
        assert!(m.seen(0, early, &piece(&[8], 8)).is_err());
    }

    #[test]
    fn a_snapshot_keeps_what_was() {
        let mut m = begun();
        m.change(ONE, 0, &Change::Full { slots: 2, value: 1 });
        m.take_snapshot(SnapId(5));
        m.change(ONE, 0, &Change::Write { slot: 1, slots: 1, value: 2 });
        assert!(m.seen_at(0, SnapId(5), 9, &piece(&[1, 1], 1)).is_ok());
        assert!(m.seen_at(0, SnapId(5), 9, &piece(&[1, 2], 2)).is_err());
        m.change(ONE, 0, &Change::Delete);
        m.change(ONE, 0, &Change::Rollback(SnapId(5)));
        assert!(m.seen(0, 4, &piece(&[1, 1], 1)).is_ok());
        assert_eq!(m.context(), (SnapId(5), vec![SnapId(5)]));
    }

    #[test]
    fn what_a_shut_out_client_did_later_is_found() {
        let mut m = begun();
        for value in 1..=3 {
            m.change(ONE, 0, &Change::Full { slots: 1, value });
        }
        m.take_snapshot(SnapId(9));
        m.taken_over(TWO, 0, 0, &piece(&[2], 2)).unwrap();
        assert!(m.changed(ONE, 0, 2).is_ok());
        assert!(m.changed(ONE, 0, 3).is_err());
        assert_eq!(m.change(ONE, 0, &Change::Delete), None);
        assert!(m.seen(0, m.floor(TWO, 0), &piece(&[3], 3)).is_err());
        // The snapshot cannot show what never was.
        assert!(m.seen_at(0, SnapId(9), 9, &piece(&[3], 3)).is_err());
        assert!(m.seen_at(0, SnapId(9), 9, &piece(&[2], 2)).is_ok());
    }

    #[test]
    fn where_the_end_is_not_known_a_snapshot_may_show_either() {
        let mut m = begun();
        let full = |value| Change::Full { slots: 1, value };
        m.change(ONE, 0, &Change::Delete);
        m.change(ONE, 0, &full(4));
        m.take_snapshot(SnapId(3));
        m.change(ONE, 0, &Change::Delete);
        m.taken_over(TWO, 0, 0, &None).unwrap();
        assert!(m.seen_at(0, SnapId(3), 9, &piece(&[4], 4)).is_ok());
        assert!(m.seen_at(0, SnapId(3), 9, &None).is_err(), "it has shown the other");
    }

    #[test]
    fn zeros_at_the_end_cut() {
        let mut m = begun();
        m.change(ONE, 0, &Change::Zero { slot: 0, slots: 4 });
        assert!(m.seen(0, 1, &None).is_ok());
        m.change(ONE, 0, &Change::Full { slots: 4, value: 1 });
        m.change(ONE, 0, &Change::Zero { slot: 1, slots: 2 });
        assert!(m.seen(0, 3, &piece(&[1, 0, 0, 1], 1)).is_ok());
        m.change(ONE, 0, &Change::Zero { slot: 3, slots: 5 });
        assert!(m.seen(0, 4, &piece(&[1, 0, 0], 1)).is_ok());
        m.change(ONE, 0, &Change::Zero { slot: 7, slots: 1 });
        assert!(m.seen(0, 5, &piece(&[1, 0, 0], 1)).is_ok());
    }
}
