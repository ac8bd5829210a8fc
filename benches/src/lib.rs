//! Criterion benchmarks, one file a subject, under `benches/`.
