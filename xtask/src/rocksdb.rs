//! One RocksDB archive for all profiles, target folders and clones of a machine.
//!
//! Compiling RocksDB takes minutes on two cores and does not depend on our profile. It is built
//! once a version into a cache (`$SEABED_CACHE`, else `$XDG_CACHE_HOME/seabed`, else
//! `~/.cache/seabed`) and handed to `librocksdb-sys` by its own variables. A plain `cargo build`
//! works without any of this.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::process;

const LIB_DIR: &str = "ROCKSDB_LIB_DIR";
const STATIC: &str = "ROCKSDB_STATIC";

/// Where what takes long to make is kept between runs.
pub(crate) fn cache_dir() -> Result<PathBuf> {
    if let Some(dir) = std::env::var_os("SEABED_CACHE") {
        return Ok(dir.into());
    }
    if let Some(dir) = std::env::var_os("XDG_CACHE_HOME") {
        return Ok(PathBuf::from(dir).join("seabed"));
    }
    let home = std::env::var_os("HOME").context("neither SEABED_CACHE nor HOME is set")?;
    Ok(PathBuf::from(home).join(".cache/seabed"))
}

/// The locked version of `librocksdb-sys`: the key of the cache.
fn version() -> Result<String> {
    let lock: toml::Value = toml::from_str(&fs::read_to_string("Cargo.lock")?)?;
    let packages = lock["package"].as_array().context("Cargo.lock has no packages")?;
    packages
        .iter()
        .find(|p| p["name"].as_str() == Some("librocksdb-sys"))
        .and_then(|p| p["version"].as_str())
        .map(str::to_owned)
        .context("Cargo.lock does not name librocksdb-sys")
}

/// Variables for every `cargo` call that may link RocksDB; builds the archive if it is not there.
/// Who has set them already has chosen another archive.
pub(crate) fn environment() -> Result<[(&'static str, PathBuf); 2]> {
    if let Some(dir) = std::env::var_os(LIB_DIR) {
        return Ok([(LIB_DIR, dir.into()), (STATIC, PathBuf::from("1"))]);
    }
    let dir = cache_dir()?.join(format!("rocksdb-{}-{}", version()?, std::env::consts::ARCH));
    let archive = dir.join("librocksdb.a");
    if !archive.exists() {
        build(&dir, &archive)?;
    }
    Ok([(LIB_DIR, dir), (STATIC, PathBuf::from("1"))])
}

fn build(dir: &Path, archive: &Path) -> Result<()> {
    println!("building RocksDB once into {} (about 12 minutes on two cores)", dir.display());
    let build = dir.join("build");
    process::run(
        Command::new("cargo")
            .args(["build", "--quiet", "--locked", "--release", "--package", "librocksdb-sys"])
            .env("CARGO_TARGET_DIR", &build),
    )?;
    let built = find(&build.join("release/build"))?;
    // Written beside and renamed: a half-copied archive must never be taken for a whole one.
    let partial = dir.join("librocksdb.a.partial");
    fs::copy(&built, &partial)?;
    process::run(Command::new("strip").arg("--strip-debug").arg(&partial))?;
    fs::rename(&partial, archive)?;
    fs::remove_dir_all(&build).context("removing the build folder of RocksDB")
}

fn find(folder: &Path) -> Result<PathBuf> {
    for entry in fs::read_dir(folder)? {
        let candidate = entry?.path().join("out/librocksdb.a");
        if candidate.exists() {
            return Ok(candidate);
        }
    }
    bail!("cargo built no librocksdb.a below {}", folder.display())
}
