//! Tests of op execution.
