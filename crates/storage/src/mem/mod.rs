//! The ports in memory, for tests and the simulator: deterministic, with crashes on demand.
