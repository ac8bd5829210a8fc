//! Target `msgr2_client` of the registry, for cargo-fuzz.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| seabed_fuzz::run("msgr2_client", data));
