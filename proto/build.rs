//! Generates the Rust of every interface in this folder; no protoc needed.

use std::error::Error;

const INTERFACES: &[&str] = &["attachd.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    for interface in INTERFACES {
        println!("cargo:rerun-if-changed={interface}");
    }
    let files = protox::compile(INTERFACES, ["."])?;
    tonic_prost_build::configure().compile_fds(files)?;
    Ok(())
}
