//! Is there an order of an object's operations, each between its beginning and its end, that
//! explains every answer? An operation without an answer may stand anywhere after its beginning,
//! or nowhere. (Wing and Gong's search; states seen before are not searched again.)

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use super::history::{Call, Operation, Seen, Told};

/// Steps after which a search is given up and the history counts as wrong. Most take a few
/// thousand; many unanswered operations on one object took two million once.
const STEPS_MAX: usize = 10_000_000;

type State = Option<Seen>;

/// The state after an operation, if its answer fits the state before.
fn apply(state: &State, op: &Operation) -> Option<State> {
    let told = op.ended.as_ref().map(|(_, told)| told);
    if op.call == Call::Read {
        let fits = match told {
            None => true,
            Some(Told::Absent) => state.is_none(),
            Some(Told::Object(seen)) => state.as_ref() == Some(seen),
            Some(Told::Done) => false,
        };
        return fits.then(|| state.clone());
    }
    if op.call == Call::Delete {
        let fits = match told {
            None => true,
            Some(Told::Done) => state.is_some(),
            Some(_) => state.is_none(),
        };
        return fits.then_some(None);
    }
    let mut next = state.clone().unwrap_or_default();
    match op.call {
        Call::WriteFull { value, slots } => {
            next.data = vec![value; slots.into()];
            next.last = value;
        }
        Call::Append { value } => {
            next.data.push(value);
            next.last = value;
        }
        Call::WriteAt { value, slot } => {
            let slot = usize::from(slot);
            if next.data.len() <= slot {
                next.data.resize(slot + 1, 0);
            }
            next.data[slot] = value;
            next.last = value;
        }
        Call::SetKey { value, key } => {
            next.omap.insert(key, value);
            next.last = value;
        }
        Call::Cut { value, key, slots } => {
            next.data.resize(slots.into(), 0);
            next.omap.remove(&key);
            next.last = value;
        }
        Call::ClearKeys { value } => {
            next.omap.clear();
            next.last = value;
        }
        Call::Copy { value, key, slots } => {
            let omap = BTreeMap::from([(key, value)]);
            next = Seen { data: vec![value; slots.into()], last: value, omap };
        }
        Call::Delete | Call::Read => {}
    }
    Some(Some(next))
}

struct Search<'a> {
    /// By beginning.
    ops: Vec<&'a Operation>,
    /// Where reads first show an operation's value: the order in which to try.
    rank: Vec<(usize, usize)>,
    /// Operations before this are all in the order.
    base: usize,
    done: Vec<bool>,
    seen: BTreeSet<(usize, u64)>,
    steps: usize,
    /// The most operations any order held, with the state there, for the report.
    best: (usize, State, Vec<usize>),
}

/// A point where the search may turn: what was put last, and the state before it.
struct Turn {
    op: usize,
    /// Its place among the candidates.
    place: usize,
    base: usize,
    before: State,
}

impl Search<'_> {
    /// Operations that may come next: none that began after another's end.
    fn candidates(&self) -> Vec<usize> {
        let open = || (self.base..self.ops.len()).filter(|i| !self.done[*i]);
        let bound = open().filter_map(|i| self.ops[i].ended.as_ref().map(|e| e.0)).min();
        let bound = bound.unwrap_or(u64::MAX);
        let mut all: Vec<usize> = open().take_while(|i| self.ops[*i].began <= bound).collect();
        all.sort_by_key(|i| self.rank[*i]);
        all
    }

    fn put(&mut self, op: usize) {
        self.done[op] = true;
        while self.base < self.ops.len() && self.done[self.base] {
            self.base += 1;
        }
    }

    fn is_new(&mut self, state: &State) -> bool {
        let mut hash = DefaultHasher::new();
        state.hash(&mut hash);
        self.done[self.base..].hash(&mut hash);
        self.seen.insert((self.base, hash.finish()))
    }

    fn all_answered(&self) -> bool {
        (self.base..self.ops.len()).all(|i| self.done[i] || self.ops[i].ended.is_none())
    }

    fn note_best(&mut self, state: &State) {
        let count = self.done.iter().filter(|d| **d).count();
        if count >= self.best.0 {
            let open = self.candidates();
            self.best = (count, state.clone(), open);
        }
    }

    fn run(&mut self) -> bool {
        let mut state: State = None;
        let mut turns: Vec<Turn> = Vec::new();
        let mut from = 0;
        loop {
            if self.all_answered() {
                return true;
            }
            self.steps += 1;
            if self.steps > STEPS_MAX {
                return false;
            }
            let mut moved = false;
            let candidates = self.candidates();
            // A read that fits changes nothing and never hurts where it is.
            let reads = candidates.iter().filter(|i| self.ops[**i].call == Call::Read);
            let fitting = reads.copied().find(|i| apply(&state, self.ops[*i]).is_some());
            let choices: Vec<(usize, usize)> = match fitting {
                Some(i) if from == 0 => vec![(0, i)],
                _ => candidates.into_iter().enumerate().skip(from).collect(),
            };
            for (place, i) in choices {
                let Some(next) = apply(&state, self.ops[i]) else { continue };
                let base = self.base;
                self.put(i);
                if self.is_new(&next) {
                    let before = std::mem::replace(&mut state, next);
                    turns.push(Turn { op: i, place, base, before });
                    self.note_best(&state);
                    moved = true;
                    from = 0;
                    break;
                }
                self.done[i] = false;
                self.base = base;
            }
            if !moved {
                let Some(turn) = turns.pop() else { return false };
                self.done[turn.op] = false;
                self.base = turn.base;
                state = turn.before;
                // A read has no alternative: without it the state is the same.
                from =
                    if self.ops[turn.op].call == Call::Read { usize::MAX } else { turn.place + 1 };
            }
        }
    }
}

/// The value an operation leaves.
fn value(call: &Call) -> Option<u32> {
    match call {
        Call::WriteFull { value, .. }
        | Call::Append { value }
        | Call::WriteAt { value, .. }
        | Call::SetKey { value, .. }
        | Call::Cut { value, .. }
        | Call::Copy { value, .. }
        | Call::ClearKeys { value } => Some(*value),
        Call::Delete | Call::Read => None,
    }
}

/// Where each value was first seen: in which read, by their ends, and at which place.
fn sightings(ops: &[&Operation]) -> BTreeMap<u32, (usize, usize)> {
    let mut reads: Vec<(u64, &Seen)> = Vec::new();
    for op in ops {
        if let Some((ended, Told::Object(seen))) = &op.ended {
            reads.push((*ended, seen));
        }
    }
    reads.sort_by_key(|(ended, _)| *ended);
    let mut found = BTreeMap::new();
    for (number, (_, seen)) in reads.iter().enumerate() {
        let keys = seen.omap.values();
        for (place, value) in seen.data.iter().chain(keys).chain([&seen.last]).enumerate() {
            found.entry(*value).or_insert((number, place));
        }
    }
    found
}

fn search<'a>(ops: &[&'a Operation], seen: &BTreeMap<u32, (usize, usize)>) -> Search<'a> {
    let mut ops = ops.to_vec();
    ops.sort_by_key(|op| op.began);
    let place = |op: &&Operation| value(&op.call).and_then(|v| seen.get(&v).copied());
    let rank = ops.iter().map(|op| place(op).unwrap_or((0, 0))).collect();
    let done = vec![false; ops.len()];
    let best = (0, None, Vec::new());
    Search { ops, rank, base: 0, done, seen: BTreeSet::new(), steps: 0, best }
}

/// Tells what cannot be explained.
pub(crate) fn check(ops: &[&Operation]) -> Result<(), String> {
    let seen = sightings(ops);
    // What was neither answered nor seen had no effect, mostly: that is tried first. What removes
    // leaves nothing to be seen.
    let is_seen = |op: &&Operation| value(&op.call).is_some_and(|v| seen.contains_key(&v));
    let removes = |op: &&Operation| {
        matches!(op.call, Call::ClearKeys { .. } | Call::Cut { .. } | Call::Delete)
    };
    for with_removals in [false, true] {
        let likely =
            |op: &&Operation| op.ended.is_some() || is_seen(op) || with_removals && removes(op);
        let likely: Vec<&Operation> = ops.iter().copied().filter(likely).collect();
        if search(&likely, &seen).run() {
            return Ok(());
        }
    }
    let mut search = search(ops, &seen);
    if search.run() {
        return Ok(());
    }
    let (count, state, open) = search.best;
    let open: Vec<String> = open.iter().map(|i| format!("{:?}", search.ops[*i])).collect();
    Err(format!(
        "no order explains the answers ({} of {} do, {} steps); then the object is {state:?} and \
         what may follow is {}",
        count,
        search.ops.len(),
        search.steps,
        open.join(" | ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(began: u64, ended: u64, call: Call, told: Told) -> Operation {
        Operation { client: 0, call, began, ended: Some((ended, told)) }
    }

    fn object(data: &[u32], last: u32) -> Told {
        Told::Object(Seen { data: data.to_vec(), last, omap: Default::default() })
    }

    fn verdict(ops: &[Operation]) -> bool {
        check(&ops.iter().collect::<Vec<_>>()).is_ok()
    }

    #[test]
    fn overlapping_appends_may_stand_in_any_order() {
        let ops = [
            op(1, 9, Call::Append { value: 1 }, Told::Done),
            op(2, 8, Call::Append { value: 2 }, Told::Done),
            op(10, 11, Call::Read, object(&[2, 1], 1)),
        ];
        assert!(verdict(&ops));
    }

    #[test]
    fn a_lost_append_is_found() {
        let ops = [
            op(1, 2, Call::Append { value: 1 }, Told::Done),
            op(3, 4, Call::Append { value: 2 }, Told::Done),
            op(5, 6, Call::Read, object(&[2], 2)),
        ];
        assert!(!verdict(&ops));
    }

    #[test]
    fn an_append_done_twice_is_found() {
        let ops = [
            op(1, 2, Call::Append { value: 1 }, Told::Done),
            op(5, 6, Call::Read, object(&[1, 1], 1)),
        ];
        assert!(!verdict(&ops));
    }

    #[test]
    fn what_was_seen_stays() {
        let unanswered =
            Operation { client: 0, call: Call::Append { value: 1 }, began: 1, ended: None };
        let seen = op(2, 3, Call::Read, object(&[1], 1));
        let gone = op(4, 5, Call::Read, Told::Absent);
        assert!(verdict(&[unanswered.clone(), seen.clone()]));
        assert!(verdict(&[unanswered.clone(), gone.clone()]));
        assert!(!verdict(&[unanswered, seen, gone]));
    }

    #[test]
    fn a_removal_that_nobody_answered_may_have_been_done() {
        let keys = |keys: &[(u8, u32)], last| {
            let omap = keys.iter().copied().collect();
            Told::Object(Seen { data: vec![], last, omap })
        };
        let cleared =
            Operation { client: 1, call: Call::ClearKeys { value: 2 }, began: 3, ended: None };
        let ops = [
            op(1, 2, Call::SetKey { value: 1, key: 1 }, Told::Done),
            cleared,
            op(4, 5, Call::SetKey { value: 3, key: 2 }, Told::Done),
            op(6, 7, Call::Read, keys(&[(2, 3)], 3)),
        ];
        assert!(verdict(&ops));
        assert!(!verdict(&[ops[0].clone(), ops[2].clone(), ops[3].clone()]));
    }

    #[test]
    fn a_copy_is_all_that_there_is() {
        let copy = |slots| op(3, 4, Call::Copy { value: 2, key: 1, slots }, Told::Done);
        let omap = BTreeMap::from([(1, 2)]);
        let seen = Told::Object(Seen { data: vec![2; 3], last: 2, omap });
        let before = op(1, 2, Call::SetKey { value: 1, key: 5 }, Told::Done);
        let read = op(5, 6, Call::Read, seen);
        assert!(verdict(&[before.clone(), copy(3), read.clone()]));
        assert!(!verdict(&[before.clone(), copy(2), read.clone()]));
        let after = op(5, 6, Call::SetKey { value: 1, key: 5 }, Told::Done);
        assert!(!verdict(&[
            after,
            copy(3),
            Operation { began: 7, ended: read.ended.map(|(_, told)| (8, told)), ..read }
        ]));
    }

    #[test]
    fn a_stale_read_is_found() {
        let ops = [
            op(1, 2, Call::WriteFull { value: 1, slots: 1 }, Told::Done),
            op(3, 4, Call::WriteFull { value: 2, slots: 1 }, Told::Done),
            op(5, 6, Call::Read, object(&[1], 1)),
        ];
        assert!(!verdict(&ops));
    }
}
