//! The mapper: executes a rule for an input and yields the devices.
//!
//! Invariants: the result depends on the arguments alone; every loop is bounded by the tries the
//! map grants and by [`WORK_MAX`]; a device or bucket that is not there is not chosen.

use crate::choose::{self, Permutations};
use crate::hash::hash2;
use crate::{Bucket, BucketData, CRUSH_ITEM_NONE, ChooseArgs, CrushMap, Step};

/// "Not yet chosen", inside indep choices only.
const UNDEF: i32 = 0x7fff_fffe;

/// Weight of a device that is wholly in, 16.16 fixed point.
const WEIGHT_ONE: u32 = 0x1_0000;

/// Largest result. Pools have at most 255 copies; a rule may list a few more.
const RESULT_MAX: usize = 1 << 16;

/// Most items looked at for one input. Sane maps stay below 10^6 even when choices fail again and
/// again; a map with a cycle or absurd tries ends here, within a second, with what it has.
const WORK_MAX: u64 = 1 << 26;

/// Memory of the mapper, reusable from one input to the next.
#[derive(Debug, Clone, Default)]
pub struct Workspace {
    perms: Permutations,
    /// The working list, the next one, and the leaves below the latter.
    work: Vec<i32>,
    chosen: Vec<i32>,
    leaves: Vec<i32>,
    histogram: Option<Vec<u32>>,
}

impl Workspace {
    /// An empty workspace.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts counting how many retries choices took, up to `choose_total_tries` of `map`.
    pub fn count_tries(&mut self, map: &CrushMap) {
        // The histogram is for people: more lines than this nobody reads.
        let lines = map.tunables.choose_total_tries.min(1 << 16) as usize + 1;
        self.histogram = Some(vec![0; lines]);
    }

    /// How many choices took 0, 1, 2, … retries; empty unless counting was started.
    pub fn tries(&self) -> &[u32] {
        self.histogram.as_deref().unwrap_or(&[])
    }
}

impl CrushMap {
    /// The devices for input `x`: at most `numrep`; holes of indep rules are [`CRUSH_ITEM_NONE`].
    ///
    /// `weights` are the devices' reweights (16.16; missing counts as 0), `choose_args` the
    /// weight-set of the pool ([`CrushMap::choose_args_for`]). An unknown rule yields nothing.
    pub fn do_rule(
        &self,
        rule: u32,
        x: u32,
        numrep: usize,
        weights: &[u32],
        choose_args: Option<&ChooseArgs>,
    ) -> Vec<i32> {
        let mut out = Vec::new();
        let mut workspace = Workspace::default();
        self.do_rule_in(&mut workspace, rule, x, numrep, weights, choose_args, &mut out);
        out
    }

    /// As [`CrushMap::do_rule`], with the caller's memory: `out` is overwritten.
    #[allow(clippy::too_many_arguments)]
    pub fn do_rule_in(
        &self,
        workspace: &mut Workspace,
        rule: u32,
        x: u32,
        numrep: usize,
        weights: &[u32],
        choose_args: Option<&ChooseArgs>,
        out: &mut Vec<i32>,
    ) {
        out.clear();
        let Some(rule) = self.rule(rule) else { return };
        let max = numrep.min(RESULT_MAX);
        let Workspace { perms, work, chosen, leaves, histogram } = workspace;
        perms.reset(self.buckets.len());
        work.clear();
        let t = &self.tunables;
        let mut run = Run {
            map: self,
            x,
            weights,
            choose_args,
            perms,
            histogram: histogram.as_deref_mut().unwrap_or(&mut []),
            work_left: WORK_MAX,
            // The first try counts, too.
            tries: t.choose_total_tries.saturating_add(1),
            leaf_tries: 0,
            local_tries: t.choose_local_tries,
            local_fallback: t.choose_local_fallback_tries,
            vary_r: u32::from(t.chooseleaf_vary_r),
            stable: t.chooseleaf_stable != 0,
        };
        for step in &rule.steps {
            let step = step.meaning();
            match step {
                Step::Take(item) if run.exists(item) => {
                    work.clear();
                    work.push(item);
                }
                Step::Emit => {
                    let room = max - out.len();
                    out.extend(work.drain(..).take(room));
                }
                Step::ChooseFirstn { num, kind } | Step::ChooseleafFirstn { num, kind } => {
                    let leaf = matches!(step, Step::ChooseleafFirstn { .. });
                    run.choose_step(work, chosen, leaves, max, num, |run, at, bucket, numrep| {
                        run.firstn_step(at, bucket, numrep, kind, leaf)
                    });
                    std::mem::swap(work, if leaf { leaves } else { chosen });
                }
                Step::ChooseIndep { num, kind } | Step::ChooseleafIndep { num, kind } => {
                    let leaf = matches!(step, Step::ChooseleafIndep { .. });
                    run.choose_step(work, chosen, leaves, max, num, |run, at, bucket, numrep| {
                        run.indep_step(at, bucket, numrep, kind, leaf)
                    });
                    std::mem::swap(work, if leaf { leaves } else { chosen });
                }
                _ => run.set(step),
            }
        }
    }
}

/// Where a choice goes: a window of the chosen items and of the leaves below them.
struct Slots<'a> {
    chosen: &'a mut [i32],
    leaves: &'a mut [i32],
}

/// The execution of a rule for one input.
struct Run<'a> {
    map: &'a CrushMap,
    x: u32,
    weights: &'a [u32],
    choose_args: Option<&'a ChooseArgs>,
    perms: &'a mut Permutations,
    histogram: &'a mut [u32],
    work_left: u64,
    tries: u32,
    leaf_tries: u32,
    local_tries: u32,
    local_fallback: u32,
    vary_r: u32,
    stable: bool,
}

/// What a choice is about.
#[derive(Clone, Copy)]
struct Want {
    /// Trial numbers go up to this (firstn) or are multiplied by it (indep).
    numrep: u32,
    /// Type of the items wanted.
    kind: i32,
    /// Descents per item.
    tries: u32,
    /// Added to the trial number.
    parent_r: u32,
    /// Descents to a leaf per item; `None`: no leaf is wanted.
    leaf_tries: Option<u32>,
}

/// The end of one descent.
enum Descent<'m> {
    /// An item of the wanted type, and the bucket it came from.
    Item(i32, &'m Bucket),
    /// A bucket without items on the way.
    Empty(&'m Bucket),
    /// Something that is neither of the type nor leads to it.
    DeadEnd,
}

impl<'m> Run<'m> {
    fn exists(&self, item: i32) -> bool {
        (item >= 0 && item < self.map.max_devices) || self.map.bucket(item).is_some()
    }

    /// A step that changes how later ones choose.
    fn set(&mut self, step: Step) {
        let positive = |n: i32| u32::try_from(n).ok().filter(|n| *n > 0);
        match step {
            Step::SetChooseTries(n) => self.tries = positive(n).unwrap_or(self.tries),
            Step::SetChooseleafTries(n) => self.leaf_tries = positive(n).unwrap_or(self.leaf_tries),
            Step::SetChooseLocalTries(n) => {
                self.local_tries = u32::try_from(n).unwrap_or(self.local_tries);
            }
            Step::SetChooseLocalFallbackTries(n) => {
                self.local_fallback = u32::try_from(n).unwrap_or(self.local_fallback);
            }
            Step::SetChooseleafVaryR(n) => self.vary_r = u32::try_from(n).unwrap_or(self.vary_r),
            Step::SetChooseleafStable(n) if n >= 0 => self.stable = n != 0,
            _ => {}
        }
    }

    /// Chooses from each bucket of the working list; `one` says how many it chose.
    fn choose_step(
        &mut self,
        work: &[i32],
        chosen: &mut Vec<i32>,
        leaves: &mut Vec<i32>,
        max: usize,
        num: i32,
        mut one: impl FnMut(&mut Self, Slots<'_>, &'m Bucket, u32) -> usize,
    ) {
        for list in [&mut *chosen, &mut *leaves] {
            list.clear();
            list.resize(max, 0);
        }
        let mut filled = 0;
        for item in work {
            let numrep = if num <= 0 { i64::from(num) + max as i64 } else { i64::from(num) };
            let Some(numrep) = u32::try_from(numrep).ok().filter(|n| *n > 0) else { continue };
            let Some(bucket) = self.map.bucket(*item) else { continue };
            let slots = Slots { chosen: &mut chosen[filled..], leaves: &mut leaves[filled..] };
            filled += one(self, slots, bucket, numrep);
        }
        chosen.truncate(filled);
        leaves.truncate(filled);
    }

    fn firstn_step(
        &mut self,
        at: Slots,
        bucket: &'m Bucket,
        numrep: u32,
        kind: i32,
        leaf: bool,
    ) -> usize {
        let once = self.map.tunables.chooseleaf_descend_once != 0;
        let leaf_tries = match self.leaf_tries {
            0 if once => 1,
            0 => self.tries,
            n => n,
        };
        let leaf_tries = leaf.then_some(leaf_tries);
        let want = Want { numrep, kind, tries: self.tries, parent_r: 0, leaf_tries };
        let count = at.chosen.len();
        self.firstn(bucket, want, at, 0, count)
    }

    fn indep_step(
        &mut self,
        at: Slots,
        bucket: &'m Bucket,
        numrep: u32,
        kind: i32,
        leaf: bool,
    ) -> usize {
        let leaf_tries = leaf.then_some(self.leaf_tries.max(1));
        let want = Want { numrep, kind, tries: self.tries, parent_r: 0, leaf_tries };
        let left = at.chosen.len().min(numrep as usize);
        self.indep(bucket, want, at, 0, left);
        left
    }

    /// True if the device is not to be used for this input, by its reweight.
    fn is_out(&self, item: i32) -> bool {
        let weight = usize::try_from(item).ok().and_then(|i| self.weights.get(i));
        match weight.copied().unwrap_or(0) {
            0 => true,
            w if w >= WEIGHT_ONE => false,
            w => hash2(self.x, item as u32) & 0xffff >= w,
        }
    }

    fn pick(&mut self, bucket: &Bucket, r: u32, position: usize, permute: bool) -> Option<i32> {
        let cost = match bucket.data {
            BucketData::Uniform { .. } | BucketData::Tree { .. } => 1,
            _ if permute => 1,
            _ => bucket.items.len() as u64,
        };
        self.work_left = self.work_left.saturating_sub(cost);
        if self.work_left == 0 {
            return None;
        }
        if permute {
            return self.perms.choose(bucket, self.x, r);
        }
        let arg = match self.choose_args {
            Some(args) => u32::try_from(-1 - i64::from(bucket.id)).ok().and_then(|i| args.get(&i)),
            None => None,
        };
        choose::choose(self.perms, bucket, self.x, r, arg, position)
    }

    /// The type of an item, `None` if it is not there.
    fn kind_of(&self, item: i32) -> Option<i32> {
        if item < 0 {
            self.map.bucket(item).map(|b| i32::from(b.kind))
        } else {
            (item < self.map.max_devices).then_some(0)
        }
    }

    /// From `bucket` down to an item of the wanted type; the trial number may depend on the
    /// bucket.
    fn descend(
        &mut self,
        bucket: &'m Bucket,
        kind: i32,
        position: usize,
        flocal: Option<u32>,
        trial: impl Fn(&Bucket) -> u32,
    ) -> Descent<'m> {
        let mut at = bucket;
        loop {
            // An empty bucket is work, too: it is tried as often as the map says.
            self.work_left = self.work_left.saturating_sub(1);
            if self.work_left == 0 {
                return Descent::DeadEnd;
            }
            if at.items.is_empty() {
                return Descent::Empty(at);
            }
            let permute = flocal.is_some_and(|n| {
                self.local_fallback > 0
                    && n as usize >= at.items.len() / 2
                    && n > self.local_fallback
            });
            let Some(item) = self.pick(at, trial(at), position, permute) else {
                return Descent::DeadEnd;
            };
            match self.kind_of(item) {
                Some(k) if k == kind => return Descent::Item(item, at),
                Some(_) if item < 0 => match self.map.bucket(item) {
                    Some(next) => at = next,
                    None => return Descent::DeadEnd,
                },
                _ => return Descent::DeadEnd,
            }
        }
    }

    /// Chooses up to `count` distinct items into `slots` from `outpos` on; returns how far it is
    /// filled. What cannot be found is left out.
    fn firstn(
        &mut self,
        bucket: &'m Bucket,
        want: Want,
        slots: Slots,
        outpos: usize,
        count: usize,
    ) -> usize {
        let Slots { chosen, leaves } = slots;
        let mut outpos = outpos;
        let mut left = count;
        let mut rep = if self.stable { 0 } else { outpos as u32 };
        while rep < want.numrep && left > 0 && self.work_left > 0 {
            let at = Slots { chosen: &mut *chosen, leaves: &mut *leaves };
            if let Some((item, ftotal)) = self.firstn_one(bucket, want, at, outpos, rep, left) {
                chosen[outpos] = item;
                outpos += 1;
                left -= 1;
                self.count(ftotal);
            }
            rep += 1;
        }
        outpos
    }

    /// One item of [`Run::firstn`] and how many tries failed before.
    fn firstn_one(
        &mut self,
        bucket: &'m Bucket,
        want: Want,
        slots: Slots,
        outpos: usize,
        rep: u32,
        left: usize,
    ) -> Option<(i32, u32)> {
        let Slots { chosen, leaves } = slots;
        let mut ftotal: u32 = 0;
        'descent: loop {
            let mut start = bucket;
            let mut flocal: u32 = 0;
            loop {
                let r = rep.wrapping_add(want.parent_r).wrapping_add(ftotal);
                let end = self.descend(start, want.kind, outpos, Some(flocal), |_| r);
                let (from, collision) = match end {
                    Descent::DeadEnd => return None,
                    Descent::Empty(from) => (from, false),
                    Descent::Item(item, from) => {
                        let collision = chosen[..outpos].contains(&item);
                        if !collision {
                            let at = Slots { chosen: leaves, leaves: &mut [] };
                            if self.firstn_accepts(item, want, at, outpos, r, left) {
                                return Some((item, ftotal));
                            }
                        }
                        (from, collision)
                    }
                };
                ftotal = ftotal.saturating_add(1);
                flocal = flocal.saturating_add(1);
                let fallback = self.local_fallback;
                let again = (collision && flocal <= self.local_tries)
                    || (fallback > 0
                        && flocal as usize <= from.items.len().saturating_add(fallback as usize));
                if again {
                    start = from;
                } else if ftotal < want.tries {
                    continue 'descent;
                } else {
                    return None;
                }
            }
        }
    }

    /// True if the item is usable; if a leaf is wanted, finds it.
    fn firstn_accepts(
        &mut self,
        item: i32,
        want: Want,
        leaves: Slots,
        outpos: usize,
        r: u32,
        left: usize,
    ) -> bool {
        if let Some(tries) = want.leaf_tries {
            if let Some(inner) = self.map.bucket(item) {
                let leaf = Want {
                    numrep: if self.stable { 1 } else { outpos as u32 + 1 },
                    kind: 0,
                    tries,
                    parent_r: match self.vary_r {
                        0 => 0,
                        v => r.checked_shr(v - 1).unwrap_or(0),
                    },
                    leaf_tries: None,
                };
                if self.firstn(inner, leaf, leaves, outpos, left) <= outpos {
                    return false;
                }
            } else {
                leaves.chosen[outpos] = item;
            }
        }
        item < 0 || want.kind != 0 || !self.is_out(item)
    }

    /// Fills exactly `left` slots from `outpos` on; what cannot be found becomes a hole.
    fn indep(&mut self, bucket: &'m Bucket, want: Want, slots: Slots, outpos: usize, left: usize) {
        let Slots { chosen, leaves } = slots;
        let end = outpos + left;
        chosen[outpos..end].fill(UNDEF);
        if want.leaf_tries.is_some() {
            leaves[outpos..end].fill(UNDEF);
        }
        let mut left = left;
        let mut ftotal = 0;
        while left > 0 && ftotal < want.tries && self.work_left > 0 {
            for rep in outpos..end {
                if chosen[rep] != UNDEF {
                    continue;
                }
                let at = Slots { chosen: &mut chosen[..end], leaves: &mut *leaves };
                if let Some(item) = self.indep_one(bucket, want, at, outpos, rep, ftotal) {
                    chosen[rep] = item;
                    if item == CRUSH_ITEM_NONE && want.leaf_tries.is_some() {
                        leaves[rep] = CRUSH_ITEM_NONE;
                    }
                    left -= 1;
                }
            }
            ftotal += 1;
        }
        for list in [&mut *chosen, &mut *leaves] {
            for slot in list.iter_mut().take(end).skip(outpos).filter(|s| **s == UNDEF) {
                *slot = CRUSH_ITEM_NONE;
            }
        }
        self.count(ftotal);
    }

    /// One try for one slot: an item, a hole for good, or nothing this time.
    fn indep_one(
        &mut self,
        bucket: &'m Bucket,
        want: Want,
        slots: Slots,
        outpos: usize,
        rep: usize,
        ftotal: u32,
    ) -> Option<i32> {
        let Slots { chosen, leaves } = slots;
        let base = (rep as u32).wrapping_add(want.parent_r);
        let trial = |at: &Bucket| {
            let uniform = matches!(at.data, BucketData::Uniform { .. });
            let aligned = uniform && (at.items.len() as u32).is_multiple_of(want.numrep);
            let stride = want.numrep.wrapping_add(u32::from(aligned));
            base.wrapping_add(stride.wrapping_mul(ftotal))
        };
        let (item, from) = match self.descend(bucket, want.kind, outpos, None, trial) {
            Descent::Empty(_) => return None,
            Descent::DeadEnd => return Some(CRUSH_ITEM_NONE),
            Descent::Item(item, from) => (item, from),
        };
        if chosen[outpos..].contains(&item) {
            return None;
        }
        if let Some(tries) = want.leaf_tries {
            if let Some(inner) = self.map.bucket(item) {
                let parent_r = trial(from);
                let leaf = Want { kind: 0, tries, parent_r, leaf_tries: None, ..want };
                let at = Slots { chosen: &mut *leaves, leaves: &mut [] };
                self.indep(inner, leaf, at, rep, 1);
                if leaves[rep] == CRUSH_ITEM_NONE {
                    return None;
                }
            } else {
                leaves[rep] = item;
            }
        }
        (want.kind != 0 || !self.is_out(item)).then_some(item)
    }

    fn count(&mut self, ftotal: u32) {
        if let Some(n) = self.histogram.get_mut(ftotal as usize) {
            *n = n.saturating_add(1);
        }
    }
}
