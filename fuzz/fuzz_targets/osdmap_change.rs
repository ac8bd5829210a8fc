//! Target `osdmap_change` of the registry, for cargo-fuzz.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seabed_fuzz::run("osdmap_change", data));
