//! Tests of trimming one clone: against what Ceph did, and against a model.

mod golden;
mod model;
