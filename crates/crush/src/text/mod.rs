//! The text form of a map: written, and read back.
//!
//! Invariants: any bytes can be given to the reader; what the reference's tool writes, it reads,
//! and what it would write for a map, this writes.

mod compile;
mod decompile;
mod lexer;
