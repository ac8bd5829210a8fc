//! The Linux kernel's own rbd client against a cluster: a QEMU guest (software emulation, user
//! network, no root) maps images in msgr2 crc mode with default features, makes file systems,
//! unmaps, maps again, and gives its exclusive lock to librbd when asked, while an OSD dies and
//! comes back; and our own `seabed volume attach` has the kernel do so. `xtask/guest/init` is what
//! runs inside; a line of it that starts with `@` is a step.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::{process, rocksdb, side::Side, talk::Talk};

/// How long the guest writes before an OSD dies, while it is dead, and after it came back.
const BETWEEN: Duration = Duration::from_secs(4);

const IMAGE: &str = "kernel";
const FROM_HOST: &str = "from-host";
const DISK: &str = "virtio-disk";
const ATTACHED: &str = "attached";

/// Plays the whole story on one cluster; `dir` takes the guest's log and what is compared.
pub(crate) fn play(side: &Side, seabed: &Path, dir: &Path) -> Result<()> {
    let start = Instant::now();
    let guest = build(seabed)?;
    host_image(side, dir)?;
    rbd(side, &["create", IMAGE, "--size", "256M"])?;
    rbd(side, &["create", DISK, "--size", "128M"])?;
    rbd(side, &["create", ATTACHED, "--size", "128M"])?;
    let log = dir.join(format!("guest-{}.log", side.name()));
    let mut vm = boot(side, &guest, &log)?;
    vm.until("snapshot and resize")?;
    rbd(side, &["snap", "create", "--no-progress", &format!("{IMAGE}@host-snap")])?;
    rbd(side, &["resize", "--no-progress", IMAGE, "--size", "320M"])?;
    vm.answer()?;
    vm.until("writing goes on")?;
    std::thread::sleep(BETWEEN);
    side.kill(1)?;
    std::thread::sleep(BETWEEN);
    side.revive(1)?;
    std::thread::sleep(BETWEEN);
    vm.answer()?;
    vm.until("all done")?;
    let said = vm.finish()?;
    let exported = dir.join(format!("kernel-{}.img", side.name()));
    for image in [IMAGE, DISK, ATTACHED] {
        rbd(side, &["export", "--no-progress", image, &exported.to_string_lossy()])?;
        process::read(Command::new("/sbin/e2fsck").arg("-fn").arg(&exported))
            .with_context(|| format!("e2fsck of {image} as librbd reads it"))?;
        fs::remove_file(&exported)?;
    }
    rbd(side, &["snap", "purge", "--no-progress", IMAGE])?;
    for image in [IMAGE, FROM_HOST, DISK, ATTACHED] {
        rbd(side, &["rm", "--no-progress", image])?;
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("the kernel's client on {}: {} ({seconds:.0} s)", side.name(), said.join("; "));
    Ok(())
}

fn rbd(side: &Side, args: &[&str]) -> Result<()> {
    process::read(&mut side.client("rbd", args)).map(drop)
}

/// An image that librbd fills: a file system with files and their checksums.
fn host_image(side: &Side, dir: &Path) -> Result<()> {
    let tree = dir.join("tree");
    fs::create_dir_all(&tree)?;
    let mut sums = String::new();
    for name in ["one", "two", "three"] {
        let data: Vec<u8> = (0..2_500_000u32).map(|i| (i ^ (i >> 7)) as u8).collect();
        fs::write(tree.join(name), data)?;
        sums += &process::read(Command::new("sha256sum").arg(name).current_dir(&tree))?;
    }
    fs::write(tree.join("host.sums"), sums)?;
    let file = dir.join("host.img");
    fs::File::create(&file)?.set_len(64 << 20)?;
    let mut make = Command::new("/sbin/mkfs.ext4");
    process::read(make.args(["-q", "-F", "-d"]).arg(&tree).arg(&file))?;
    rbd(side, &["import", "--no-progress", &file.to_string_lossy(), FROM_HOST])?;
    fs::remove_dir_all(&tree)?;
    fs::remove_file(&file)?;
    Ok(())
}

/// The guest's kernel and initramfs, in the cache; the kernel's package is fetched once.
fn build(seabed: &Path) -> Result<PathBuf> {
    let dir = rocksdb::cache_dir()?.join("guest");
    process::read(Command::new("bash").arg("xtask/guest/build.sh").arg(&dir).arg(seabed))?;
    Ok(dir)
}

/// Starts the guest; its console is what it says.
fn boot(side: &Side, guest: &Path, log: &Path) -> Result<Talk> {
    let conf = side.conf();
    let text = fs::read_to_string(&conf)?;
    let mon = monitor(&text).with_context(|| format!("no v2 monitor in {}", conf.display()))?;
    let kernel =
        format!("console=ttyS0 quiet panic=-1 mon={mon} pool=rbd image={IMAGE} ours={ATTACHED}");
    let disk =
        format!("file=rbd:rbd/{DISK}:conf={},format=raw,if=virtio,discard=unmap", conf.display());
    let machine = "-M pc -accel tcg -cpu max -m 384 -nodefaults -no-user-config -display none \
                   -no-reboot -serial stdio -netdev user,id=net,ipv6=off \
                   -device virtio-net-pci,netdev=net";
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(machine.split_whitespace())
        .arg("-kernel")
        .arg(guest.join("vmlinuz"))
        .arg("-initrd")
        .arg(guest.join("initramfs"))
        .args(["-append", &kernel, "-drive", &disk]);
    Talk::start(&mut qemu, log)
}

/// The address of the first v2 monitor of a `ceph.conf`.
fn monitor(conf: &str) -> Option<&str> {
    let host = conf.lines().find(|line| line.starts_with("mon_host"))?;
    host.split_once("v2:")?.1.split([']', ',', '/', ' ']).next()
}
