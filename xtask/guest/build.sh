#!/usr/bin/env bash
# Builds the guest of the kernel client's test: Debian's cloud kernel (fetched, not installed) and an
# initramfs of busybox, the modules it needs, e2fsprogs, `seabed` and `init`. Needs no root.
# Usage: build.sh FOLDER SEABED; the result is FOLDER/vmlinuz and FOLDER/initramfs.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
seabed=$(realpath "$2")
mkdir -p "$1"
cd "$1"

package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-.*\)/\1/p')
if [ ! -e "$package.unpacked" ]; then
  rm -rf kernel ./*.deb
  apt-get -qq download "$package"
  dpkg-deb -x "$package"_*.deb kernel
  rm "$package"_*.deb
  touch "$package.unpacked"
fi
release=${package#linux-image-}
cp "kernel/boot/vmlinuz-$release" vmlinuz

rm -rf root
modules=root/lib/modules/$release
mkdir -p root/{bin,sbin,dev,proc,sys,tmp,mnt,snap,etc,lib64} "$modules"
cp /bin/busybox root/bin/
ln -s busybox root/bin/sh
cp "$here/init" root/init
touch root/etc/mtab
# A module and those it names, with its path below the folder of modules.
add() {
  local file
  file=$(find "kernel/lib/modules/$release" -name "$1.ko" -o -name "${1//_/-}.ko")
  [ -n "$file" ] || return 0 # built in
  local to=root/${file#kernel/}
  [ -e "$to" ] && return 0
  mkdir -p "$(dirname "$to")"
  cp "$file" "$to"
  local needs
  for needs in $(strings -a "$file" | sed -n 's/^depends=//p' | tr ',' ' '); do add "$needs"; done
}
for module in virtio_pci virtio_net virtio_blk ext4 rbd; do add "$module"; done
cp kernel/lib/modules/"$release"/modules.{builtin,order} "$modules"
busybox depmod -b "$PWD/root" "$release"
# Programs with the libraries they load.
for program in /sbin/mke2fs /sbin/e2fsck "$seabed"; do
  strip -o "root/sbin/$(basename "$program")" "$program"
  for library in $(ldd "$program" | grep -o '/[^ ]*'); do
    mkdir -p "root$(dirname "$library")"
    cp -L "$library" "root$library"
  done
done
(cd root && find . | cpio --quiet -o -H newc -R 0:0 | gzip -1) >initramfs
