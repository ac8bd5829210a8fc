//! A file system on an image (`rbd-fuse`, a loop device, ext4) that is written while OSDs are
//! killed with -9, one, two at once, all: no error, every file whole, `e2fsck` has nothing to say.
//! `xtask/interop/filesystem.sh` is what writes. Needs root: it mounts.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{machine, process, side::Side, talk::Talk};

const IMAGE: &str = "filesystem";
/// OSDs that die together, wave by wave.
const WAVES: &[&[u16]] = &[&[0], &[1, 2], &[0, 1, 2]];
/// The time between a death and the next act.
const BETWEEN: Duration = Duration::from_secs(3);

pub(crate) fn play(side: &Side, dir: &Path) -> Result<()> {
    if !machine::is_root()? {
        bail!("a file system is mounted here: run as root");
    }
    let start = Instant::now();
    let rbd = |args: &[&str]| process::read(&mut side.client("rbd", args)).map(drop);
    rbd(&["create", IMAGE, "--size", "256M"])?;
    let work = dir.join(format!("filesystem-{}", side.name()));
    fs::create_dir_all(&work)?;
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .args(["bash", "xtask/interop/filesystem.sh"])
        .arg(side.conf())
        .args(["rbd", IMAGE])
        .arg(&work);
    let mut writer = Talk::start(&mut command, &work.join("log"))?;
    writer.until("writing goes on")?;
    for wave in WAVES {
        std::thread::sleep(BETWEEN);
        for &osd in *wave {
            side.kill(osd)?;
        }
        std::thread::sleep(BETWEEN);
        for &osd in *wave {
            side.revive(osd)?;
        }
    }
    std::thread::sleep(BETWEEN);
    writer.answer()?;
    writer.until("all done")?;
    let said = writer.finish()?;
    let exported = work.join("exported");
    rbd(&["export", "--no-progress", IMAGE, &exported.to_string_lossy()])?;
    process::read(Command::new("/sbin/e2fsck").arg("-fn").arg(&exported)).context("e2fsck")?;
    fs::remove_file(&exported)?;
    rbd(&["rm", "--no-progress", IMAGE])?;
    let seconds = start.elapsed().as_secs_f64();
    println!("a file system on {}: {} ({seconds:.0} s)", side.name(), said.join("; "));
    Ok(())
}
