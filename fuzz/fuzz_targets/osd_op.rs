//! Target `osd_op` of the registry, for cargo-fuzz.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seabed_fuzz::run("osd_op", data));
