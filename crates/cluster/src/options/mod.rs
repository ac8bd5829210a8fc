//! Options: the one table of them, what holds in a daemon when several have set a value, and what
//! a daemon answers when it is asked about its options.
//!
//! Monitor and OSD both keep [`Layers`]; which options a daemon has is its own to say.

mod ask;
mod layers;
mod report;
pub mod table;

pub use ask::COMMANDS;
pub use layers::{Layers, LogLevels, NotTaken, Source};
pub use report::{Report, read_defaults};
pub use table::{Known, find, scaled};

/// One spelling for an option's name.
pub fn normal(name: &str) -> String {
    name.trim().replace([' ', '-'], "_")
}

/// The default of `name`.
pub fn default(name: &str) -> Option<&'static str> {
    find(name).map(|o| o.default)
}
