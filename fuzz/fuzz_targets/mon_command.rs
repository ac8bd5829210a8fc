//! Target `mon_command` of the registry, for cargo-fuzz.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seabed_fuzz::run("mon_command", data));
