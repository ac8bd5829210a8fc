//! CRUSH: the map that says how storage is built up, the rules that say where copies go, and the
//! function that computes places from both.
//!
//! Invariants: everything here is a pure function of its arguments; no map, however malformed,
//! makes it panic, recurse without bound or run without bound; a device is a number and nothing
//! more.

#![forbid(unsafe_code)]

mod bucket;
mod build;
mod choose;
mod classes;
pub mod cli;
mod cli_build;
mod cli_edit;
mod cli_stop;
mod dump;
mod edit;
mod error;
pub mod hash;
mod ln;
mod map;
mod mapper;
mod names;
mod rework;
mod rule;
mod rule_edit;
mod tester;
mod text;
mod tree;
mod weight_set;

pub use bucket::{Bucket, BucketAlg, BucketData};
pub use edit::Location;
pub use error::CrushError;
pub use ln::crush_ln;
pub use map::{
    CRUSH_ITEM_NONE, ChooseArg, ChooseArgs, ChooseArgsTable, CrushMap, DEFAULT_CHOOSE_ARGS,
    Tunables,
};
pub use mapper::Workspace;
pub use names::is_valid_name;
pub use rule::{RULE_ERASURE, RULE_REPLICATED, Rule, Step};
pub use rule_edit::Mode;
pub use tester::Test;
pub use tree::TreeNode;

/// A weight as people write it, in 16.16 fixed point (as Ceph: by way of a 32-bit float).
pub fn weight_from_f32(weight: f32) -> u32 {
    (weight * 65_536.0) as u32
}
