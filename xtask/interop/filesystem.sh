#!/usr/bin/env bash
# A file system on an image, by rbd-fuse and a loop device, that is written while OSDs die. Runs in
# mount and pid namespaces of its own (unshare --mount --pid --fork --kill-child), so that nothing
# stays mounted whatever happens. A line that starts with @ is for the host: a step done, or why the
# script gives up; the host answers with one line where `hear` waits.
# Usage: filesystem.sh CEPH_CONF POOL IMAGE WORKDIR
set -u
conf=$1 pool=$2 image=$3 work=$4
say() { echo "@$*"; }
fail() {
  say "failed: $*"
  exit 1
}
hear() {
  say "$1"
  read -r _ || fail "the host is silent"
}
mkdir -p "$work/fuse" "$work/fs" "$work/sums"
cd "$work" || fail "no $work"

show() {
  rbd-fuse -c "$conf" -p "$pool" fuse || fail "rbd-fuse"
  until ls fuse 2>/dev/null | grep -qx "$image"; do
    pgrep -x rbd-fuse >/dev/null || fail "rbd-fuse died"
  done
  mount -o loop "fuse/$image" fs || fail "mount"
}
hide() {
  umount fs || fail "umount fs"
  umount fuse || fail "umount fuse"
  while pgrep -x rbd-fuse >/dev/null; do sleep 0.1; done
}
# fill NAME: a folder of files, each on stable storage before the next, and their checksums.
fill() {
  mkdir -p "fs/$1"
  : >"sums/$1"
  local n
  for n in 1 2 3 4; do
    dd if=/dev/urandom of="fs/$1/$n" bs=64k count=4 conv=fsync status=none 2>>errors || return 1
    (cd fs && sha256sum "$1/$n") >>"sums/$1" 2>>errors || return 1
  done
}
# What serves the mount goes before the namespace does: the last to leave it unmounts, and would wait
# for itself for ever.
trap 'pkill -9 -x rbd-fuse; while pgrep -x rbd-fuse >/dev/null; do sleep 0.1; done' EXIT

rbd-fuse -c "$conf" -p "$pool" fuse || fail "rbd-fuse"
mkfs.ext4 -q -F "fuse/$image" || fail "mkfs.ext4"
umount fuse || fail "umount fuse"
show
say "mounted"
(
  n=0
  while [ ! -e stop ]; do
    n=$((n + 1))
    # A fast disk would fill the image: the folders are written over and over.
    fill "folder$((n % 40))" || exit 1
    echo $n >rounds
  done
) &
writer=$!
hear "writing goes on"
touch stop
wait $writer || fail "the writer, in round $(cat rounds): $(cat errors)"
rounds=$(cat rounds)
hide
show
(cd fs && cat ../sums/* | sha256sum --quiet -c - >../wrong 2>&1) || fail "$(cat wrong)"
hide
say "$rounds rounds, all sums equal"
say "all done"
