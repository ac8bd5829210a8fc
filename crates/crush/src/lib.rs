//! CRUSH: the map that says how storage is built up, the rules that say where copies go, and the
//! function that computes places from both.
//!
//! Invariants: everything here is a pure function of its arguments; no map, however malformed,
//! makes it panic, recurse without bound or run without bound; a device is a number and nothing
//! more.

#![forbid(unsafe_code)]

mod bucket;
mod choose;
pub mod hash;
mod ln;
mod map;
mod mapper;
mod rule;

pub use bucket::{Bucket, BucketAlg, BucketData};
pub use ln::crush_ln;
pub use map::{
    CRUSH_ITEM_NONE, ChooseArg, ChooseArgs, ChooseArgsTable, CrushMap, DEFAULT_CHOOSE_ARGS,
    Tunables,
};
pub use mapper::Workspace;
pub use rule::{RULE_ERASURE, RULE_REPLICATED, Rule, Step};
