//! Volumes moved from one cluster to another with stock tools: chains of differences, and a copy of
//! a pool's objects. What is there afterwards has the same sums, and lives on.

use std::{path::Path, process::Command};

use anyhow::Result;

use crate::{process, side::Side};

/// Moves volumes from one side to the other; the script makes and removes its own pools.
pub(crate) fn play(from: &Side, to: &Side, dir: &Path) -> Result<()> {
    let work = dir.join(format!("migration-{}-{}", from.name(), to.name()));
    let mut script = Command::new("bash");
    script.arg("xtask/interop/migrate.sh").args([from.conf(), to.conf(), work]);
    let told = process::read(&mut script)?;
    println!("{} to {}: {}", from.name(), to.name(), told.trim_end().replace('\n', "; "));
    Ok(())
}
