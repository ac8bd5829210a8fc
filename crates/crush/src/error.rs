//! The one error of changing a map or reading its text.

use thiserror::Error;

/// Why a map could not be changed, or its text not be understood.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CrushError {
    /// No such item, type, class or rule.
    #[error("{what} {name} does not exist")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// Its name or id.
        name: String,
    },
    /// The name or id is taken.
    #[error("{what} {name} already exists")]
    Exists {
        /// What is in the way.
        what: &'static str,
        /// Its name or id.
        name: String,
    },
    /// A value that is not allowed.
    #[error("invalid {what} {value}")]
    Invalid {
        /// Which value.
        what: &'static str,
        /// What it is.
        value: String,
    },
    /// The item would contain itself.
    #[error("item {0} would contain itself")]
    Loop(i32),
    /// The bucket still has items.
    #[error("bucket {0} is not empty")]
    NotEmpty(i32),
    /// Something still refers to it.
    #[error("{what} {name} is in use")]
    InUse {
        /// What is referred to.
        what: &'static str,
        /// Its name or id.
        name: String,
    },
    /// Weights beyond 32 bits, or no id left.
    #[error("{0} out of range")]
    Range(&'static str),
    /// The text form has an error.
    #[error("line {line}: {message}")]
    Text {
        /// Line number from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
}

impl CrushError {
    /// The number that Ceph's commands answer for such an error (a positive errno).
    pub fn errno(&self) -> i32 {
        match self {
            Self::NotFound { .. } => 2,
            Self::Exists { .. } => 17,
            Self::Invalid { .. } | Self::Text { .. } => 22,
            Self::Loop(_) => 40,
            Self::NotEmpty(_) => 39,
            Self::InUse { .. } => 16,
            Self::Range(_) => 34,
        }
    }

    pub(crate) fn not_found(what: &'static str, name: impl ToString) -> Self {
        Self::NotFound { what, name: name.to_string() }
    }

    pub(crate) fn invalid(what: &'static str, value: impl ToString) -> Self {
        Self::Invalid { what, value: value.to_string() }
    }
}
