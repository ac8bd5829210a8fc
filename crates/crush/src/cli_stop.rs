//! How a run of the command line ends early.

use std::fmt;

/// What ends a run early: a line for the error stream and the exit code.
pub(crate) struct Stop {
    pub(crate) said: String,
    pub(crate) code: i32,
}

impl Stop {
    pub(crate) fn usage(said: impl Into<String>) -> Self {
        Self { said: said.into(), code: 1 }
    }

    /// As the reference exits with a negative errno.
    pub(crate) fn errno(said: impl Into<String>, errno: i32) -> Self {
        Self { said: said.into(), code: 256 - errno }
    }
}

impl From<fmt::Error> for Stop {
    fn from(_: fmt::Error) -> Self {
        Self::usage("crushtool: the output cannot be written")
    }
}
