#!/usr/bin/env bash
# Moves volumes from one cluster to another with stock tools, in two ways, and stops at the first
# thing that is not the same there: chains of `rbd export-diff | rbd import-diff`, and a copy of a
# whole pool's objects with `rados export` and `rados import`.
# Usage: migrate.sh FROM_CONF TO_CONF WORKDIR
set -euo pipefail
from=$1 to=$2 work=$3
mkdir -p "$work"
cd "$work"
rm -f wednesday.diff pool.dump
export CEPH_ARGS='--log_to_stderr=false' LC_ALL=C

src() { timeout 120 rbd -c "$from" -p chain "$@"; }
dst() { timeout 120 rbd -c "$to" -p chain "$@"; }
checks=0
# same A B: two commands print the same.
same() {
  local a b
  a=$($1) b=$($2)
  [ -n "$a" ] && [ "$a" = "$b" ] || { echo "differ: $1: $a; $2: $b"; exit 1; }
  checks=$((checks + 1))
}
content() { timeout 120 rbd -c "$1" export --no-progress "$2/$3" - | sha256sum; }
# write CONF POOL IMAGE COMMAND...: qemu-io's commands.
write() {
  local disk="rbd:$2/$3:conf=$1" commands=()
  shift 3
  for command in "$@"; do commands+=(-c "$command"); done
  timeout 120 qemu-io -f raw "${commands[@]}" "$disk" >io.out 2>&1 || { cat io.out; exit 1; }
}
pools() {
  for conf in "$from" "$to"; do
    timeout 60 ceph -c "$conf" osd pool create "$1" 8 2>/dev/null
    timeout 60 rbd -c "$conf" pool init "$1"
  done
}

pools chain
src create disk --size 48M
write "$from" chain disk 'write -P 1 0 9M' 'write -P 2 20M 64K'
src snap create --no-progress disk@monday
write "$from" chain disk 'write -P 3 1M 64K' 'discard 4M 4M' 'write -P 4 40M 3M'
src snap create --no-progress disk@tuesday
src resize --no-progress disk --size 64M
write "$from" chain disk 'write -P 5 60M 4M' 'write -z 8M 512K'
src snap create --no-progress disk@wednesday
src snap protect disk@tuesday
src clone disk@tuesday chain/child
write "$from" chain child 'write -P 6 2M 64K' 'discard 0 1M'
src snap create --no-progress child@own
write "$from" chain child 'write -P 7 3M 64K'
src snap create --no-progress child@end
# The clone is cloned there too; what it does not share with its parent follows as differences.
dst create disk --size 48M
src export-diff --no-progress disk@monday - | dst import-diff --no-progress - disk
src export-diff --no-progress --from-snap monday disk@tuesday - |
  dst import-diff --no-progress - disk
dst snap protect disk@tuesday
src export-diff --no-progress --from-snap tuesday disk@wednesday wednesday.diff
dst import-diff --no-progress wednesday.diff disk
dst clone disk@tuesday chain/child
src export-diff --no-progress child@own - | dst import-diff --no-progress - child
src export-diff --no-progress --from-snap own child@end - | dst import-diff --no-progress - child
for image in disk disk@monday disk@tuesday disk@wednesday child child@own child@end; do
  same "content $from chain $image" "content $to chain $image"
done
names() { timeout 60 rbd -c "$1" -p chain snap ls "$2" --format json | jq -c 'map([.name, .size])'; }
for image in disk child; do same "names $from $image" "names $to $image"; done
dst object-map check --no-progress disk
dst object-map check --no-progress child
# And what came lives on: written, rolled back, flattened, removed.
write "$to" chain child 'write -P 8 30M 64K'
dst snap rollback --no-progress child@end
same "content $from chain child" "content $to chain child"
dst flatten --no-progress child
same "content $from chain child" "content $to chain child"
echo "differences: $checks comparisons equal"

# Groups and clones name other images by their pool's id: such references do not outlive a copy.
checks=0
pools copy
copy() { timeout 120 rbd -c "$from" -p copy "$@"; }
there() { timeout 120 rbd -c "$to" -p copy "$@"; }
copy create plain --size 32M
copy create striped --size 32M --stripe-unit 65536 --stripe-count 4
copy create lean --size 32M --image-feature layering
copy create journaled --size 32M --image-feature exclusive-lock,journaling
copy create binned --size 32M
copy namespace create --namespace n
copy create --namespace n inside --size 8M
for image in plain striped lean journaled binned; do
  write "$from" copy "$image" 'write -P 1 0 9M' 'write -P 2 20M 4K' 'discard 4M 1M'
done
write "$from" copy n/inside 'write -P 3 0 1M'
copy image-meta set plain owner nobody
copy trash mv binned
shape() { timeout 60 rbd -c "$1" info "copy/$2" --format json | jq -cS 'del(.access_timestamp)'; }
timeout 120 rados -c "$from" -p copy export --workers 1 pool.dump >export.out
timeout 120 rados -c "$to" -p copy import --workers 1 pool.dump >import.out
id=$(there trash ls --format json | jq -r '.[0].id')
there trash restore "$id"
copy trash restore "$id"
listed() { timeout 60 rbd -c "$1" -p copy ls; }
same "listed $from" "listed $to"
for image in plain striped lean journaled binned n/inside; do
  same "shape $from $image" "shape $to $image"
  same "content $from copy $image" "content $to copy $image"
done
meta() { timeout 60 rbd -c "$1" -p copy image-meta list plain; }
same "meta $from" "meta $to"
for image in plain striped binned; do there object-map check --no-progress $image; done
# What came lives on in the same way as what stayed.
for conf in "$from" "$to"; do
  for image in plain striped lean journaled; do
    write "$conf" copy $image 'write -P 4 2M 64K' 'read -P 1 1M 64K' 'read -P 0 4M 1M'
    timeout 60 rbd -c "$conf" -p copy snap create --no-progress $image@new
    write "$conf" copy $image 'write -P 5 8M 2M'
  done
  timeout 60 rbd -c "$conf" -p copy snap protect plain@new
  timeout 60 rbd -c "$conf" -p copy clone plain@new copy/clone
  write "$conf" copy clone 'write -P 6 0 4K'
done
for image in plain plain@new striped striped@new lean@new journaled journaled@new clone; do
  same "content $from copy $image" "content $to copy $image"
done
echo "objects: $checks comparisons equal"
for conf in "$from" "$to"; do
  for pool in chain copy; do
    timeout 60 ceph -c "$conf" osd pool rm $pool $pool --yes-i-really-really-mean-it 2>/dev/null
  done
done
