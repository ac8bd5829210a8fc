//! Rules: short programs that say where the copies of something go, and their binary encoding.
//!
//! Invariant: steps this release does not know are kept as they are and do nothing.

use bytes::{BufMut, BytesMut};
use seabed_denc::{Decode, DecodeError, Reader};

/// One step of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Does nothing.
    Noop,
    /// Starts from an item.
    Take(i32),
    /// Chooses `num` items of a type; a failed one shortens the result.
    ChooseFirstn {
        /// How many; 0 and below: relative to the number wanted.
        num: i32,
        /// Type to choose.
        kind: i32,
    },
    /// Chooses `num` items of a type; a failed one leaves a hole.
    ChooseIndep {
        /// How many; 0 and below: relative to the number wanted.
        num: i32,
        /// Type to choose.
        kind: i32,
    },
    /// As `ChooseFirstn`, then one device below each.
    ChooseleafFirstn {
        /// How many; 0 and below: relative to the number wanted.
        num: i32,
        /// Type to choose.
        kind: i32,
    },
    /// As `ChooseIndep`, then one device below each.
    ChooseleafIndep {
        /// How many; 0 and below: relative to the number wanted.
        num: i32,
        /// Type to choose.
        kind: i32,
    },
    /// Appends the working list to the result.
    Emit,
    /// Overrides `choose_total_tries`.
    SetChooseTries(i32),
    /// Overrides the tries of the descent to a leaf.
    SetChooseleafTries(i32),
    /// Overrides `choose_local_tries`.
    SetChooseLocalTries(i32),
    /// Overrides `choose_local_fallback_tries`.
    SetChooseLocalFallbackTries(i32),
    /// Overrides `chooseleaf_vary_r`.
    SetChooseleafVaryR(i32),
    /// Overrides `chooseleaf_stable`.
    SetChooseleafStable(i32),
    /// A step of a later release: kept, not executed.
    Unknown {
        /// Operation number.
        op: u32,
        /// First argument.
        arg1: i32,
        /// Second argument.
        arg2: i32,
    },
}

impl Step {
    /// From the three words of the encoding.
    pub fn from_wire(op: u32, arg1: i32, arg2: i32) -> Self {
        let step = Self::read(op, arg1, arg2);
        // Words that the step does not use must survive a decode and encode.
        if step.to_wire() == (op, arg1, arg2) { step } else { Self::Unknown { op, arg1, arg2 } }
    }

    /// What to execute: as `self`, whatever stands in words that the step does not use.
    pub fn meaning(self) -> Self {
        match self {
            Self::Unknown { op, arg1, arg2 } => Self::read(op, arg1, arg2),
            step => step,
        }
    }

    fn read(op: u32, arg1: i32, arg2: i32) -> Self {
        let (num, kind) = (arg1, arg2);
        match op {
            0 => Self::Noop,
            1 => Self::Take(arg1),
            2 => Self::ChooseFirstn { num, kind },
            3 => Self::ChooseIndep { num, kind },
            4 => Self::Emit,
            6 => Self::ChooseleafFirstn { num, kind },
            7 => Self::ChooseleafIndep { num, kind },
            8 => Self::SetChooseTries(arg1),
            9 => Self::SetChooseleafTries(arg1),
            10 => Self::SetChooseLocalTries(arg1),
            11 => Self::SetChooseLocalFallbackTries(arg1),
            12 => Self::SetChooseleafVaryR(arg1),
            13 => Self::SetChooseleafStable(arg1),
            _ => Self::Unknown { op, arg1, arg2 },
        }
    }

    /// The three words of the encoding.
    pub fn to_wire(self) -> (u32, i32, i32) {
        match self {
            Self::Noop => (0, 0, 0),
            Self::Take(item) => (1, item, 0),
            Self::ChooseFirstn { num, kind } => (2, num, kind),
            Self::ChooseIndep { num, kind } => (3, num, kind),
            Self::Emit => (4, 0, 0),
            Self::ChooseleafFirstn { num, kind } => (6, num, kind),
            Self::ChooseleafIndep { num, kind } => (7, num, kind),
            Self::SetChooseTries(n) => (8, n, 0),
            Self::SetChooseleafTries(n) => (9, n, 0),
            Self::SetChooseLocalTries(n) => (10, n, 0),
            Self::SetChooseLocalFallbackTries(n) => (11, n, 0),
            Self::SetChooseleafVaryR(n) => (12, n, 0),
            Self::SetChooseleafStable(n) => (13, n, 0),
            Self::Unknown { op, arg1, arg2 } => (op, arg1, arg2),
        }
    }
}

/// Rule type of replicated pools.
pub const RULE_REPLICATED: u8 = 1;
/// Rule type of erasure-coded pools.
pub const RULE_ERASURE: u8 = 3;

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Formerly the id by which pools named it; equal to the rule's id.
    pub ruleset: u8,
    /// [`RULE_REPLICATED`] or [`RULE_ERASURE`].
    pub kind: u8,
    /// Smallest pool size it is for (no longer heeded).
    pub min_size: u8,
    /// Largest pool size it is for (no longer heeded).
    pub max_size: u8,
    /// The program.
    pub steps: Vec<Step>,
}

impl Rule {
    pub(crate) fn decode(r: &mut Reader) -> Result<Self, DecodeError> {
        let count = u32::decode(r)?;
        let [ruleset, kind, min_size, max_size] = r.array()?;
        let have = r.remaining();
        if (count as usize).saturating_mul(12) > have {
            return Err(DecodeError::TooLong {
                what: "crush rule steps",
                count: u64::from(count),
                have,
            });
        }
        let mut steps = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let (op, arg1, arg2) = <(u32, i32, i32)>::decode(r)?;
            steps.push(Step::from_wire(op, arg1, arg2));
        }
        Ok(Self { ruleset, kind, min_size, max_size, steps })
    }

    pub(crate) fn encode(&self, out: &mut BytesMut) {
        // A rule's steps are far fewer than 2^32: they came from memory-limited input.
        out.put_u32_le(u32::try_from(self.steps.len()).unwrap_or(u32::MAX));
        out.put_slice(&[self.ruleset, self.kind, self.min_size, self.max_size]);
        for step in &self.steps {
            let (op, arg1, arg2) = step.to_wire();
            out.put_u32_le(op);
            out.put_i32_le(arg1);
            out.put_i32_le(arg2);
        }
    }
}
