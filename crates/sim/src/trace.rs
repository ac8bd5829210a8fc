//! The trace: every event goes into the hash; with `--trace` each is one aligned line as well.

use std::fmt::{self, Write};

use seabed_cluster::Time;

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    /// Events so far.
    pub(crate) events: u64,
    loud: bool,
    /// Lines, if somebody wants to read them.
    out: String,
}

impl Trace {
    pub(crate) fn new(loud: bool) -> Self {
        Trace { hash: 0xcbf2_9ce4_8422_2325, events: 0, loud, out: String::new() }
    }

    pub(crate) fn is_loud(&self) -> bool {
        self.loud
    }

    /// Mixes numbers that tell events apart.
    pub(crate) fn mix(&mut self, numbers: &[u64]) {
        self.events += 1;
        for n in numbers {
            self.hash = (self.hash ^ n).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
        }
        self.hash ^= self.hash >> 29;
    }

    /// A line about something: time, who, what.
    pub(crate) fn line(&mut self, at: Time, who: impl fmt::Display, what: fmt::Arguments<'_>) {
        if self.loud {
            let seconds = at.0 as f64 / 1e9;
            // Writing to a string does not fail.
            let _ = writeln!(self.out, "{seconds:>11.6} {who:<10} {what}");
            if self.out.len() > 1 << 16 {
                self.flush();
            }
        }
    }

    /// Prints what is buffered.
    pub(crate) fn flush(&mut self) {
        print!("{}", self.out);
        self.out.clear();
    }

    /// The hash of everything so far.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }
}
