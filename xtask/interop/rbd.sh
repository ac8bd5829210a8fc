#!/usr/bin/env bash
# Drives the stock block tools (rbd, qemu-img, qemu-io, fio, rbd-fuse) and prints a transcript in
# which everything that may differ from one cluster to another (times, ids, addresses, speeds) is
# replaced, so that the transcripts of Seabed and of real Ceph can be compared line by line.
# Usage: rbd.sh CEPH_CONF POOL WORKDIR short|full
# A part that needs more than a few seconds runs in the full form only. Each part makes what it
# needs and removes it, so that one part can be run alone: RBD_PARTS="snapshots groups" rbd.sh …
set -u
conf=$1 pool=$2 work=$3 form=$4
mkdir -p "$work"
cd "$work" || exit 1
work=$PWD
export CEPH_CONF=$conf CEPH_ARGS='--log_to_stderr=false' LC_ALL=C TZ=UTC

normalise() {
  sed -E \
    -e 's/.*\r//' \
    -e "s#$work#<work>#g" \
    -e "s#$conf#<conf>#g" \
    -e 's/(Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} +[0-9]+ [0-9:]{8} [0-9]{4}/<time>/g' \
    -e 's/[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]+([+Z][0-9]*)?/<time>/g' \
    -e 's/<time> [0-9a-f]{10,} +-1 /<log> /' \
    -e 's/^ *-?[0-9]+> <log>/<n>> <log>/' \
    -e 's/rbd_(data|header|object_map|journal)\.([0-9]+\.)?[0-9a-f]{9,}/rbd_\1.<id>/g' \
    -e 's/(id: |id":"|journal[:.] ?|journal":"|journal .|_data\.[0-9]\.|\(|^)[0-9a-f]{9,16}\b/\1<id>/g' \
    -e 's#[0-9.]+:[0-9]+/[0-9]+#<address>#g' \
    -e 's/client\.[0-9]+/client.<n>/g' \
    -e 's/(cookie=|"(cookie|client)":|cookie |auto )[0-9]+/\1<n>/g' \
    -e 's/ thread [0-9a-f]+ / thread <id> /' \
    -e 's/0x[0-9a-f]{9,}/<pointer>/g' \
    -e 's/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/<uuid>/g' \
    -e 's/in [0-9.]+ seconds/in N seconds/'
}

# s LINE: runs the shell line; prints it, its standard output and error and its exit code.
s() {
  echo "## $1" | normalise
  timeout -k 5 100 bash -o pipefail -c "$1" >"$work/.out" 2>"$work/.err" </dev/null
  local code=$?
  normalise <"$work/.out"
  normalise <"$work/.err" | sed 's/^/E: /'
  echo "-> $code"
}

# sum SPEC: the checksum of an image's or a snapshot's whole content.
sum() { s "rbd export --no-progress $1 - | sha256sum"; }

# data NAME BYTES: a file of bytes that are the same in every run.
data() {
  head -c "$2" /dev/zero |
    openssl enc -aes-128-ctr -K "$(echo -n "$1" | md5sum | cut -c1-32)" -iv 00 2>/dev/null >"$1"
}

# drained: all images are removed; what their snapshots kept goes with the trimming of these, which
# takes its time. Prints what is left for good (16.2's librbd leaves some objects of shrunk clones).
drained() {
  local end=$((SECONDS + 90))
  while clones_left && [ $SECONDS -lt $end ]; do :; done
  s "rados -p $pool ls | sed -E 's/\.[0-9a-f]{9,16}/.<id>/' | sort"
  s "rados -p ${pool}2 ls | sed -E 's/\.[0-9a-f]{9,16}/.<id>/' | sort"
}
clones_left() {
  local object
  for object in $(rados -p "$pool" ls | grep rbd_data); do
    rados -p "$pool" listsnaps "$object" | grep -qE '^[0-9]' && return 0
  done
  return 1
}

# Writes and reads are those of qemu-io: a pattern byte, a place, a length.
# io IMAGE COMMAND...: each command is one -c of qemu-io.
io() {
  local image=$1 line='qemu-io -f raw'
  [[ $image == */* ]] || image=$pool/$image
  shift
  for command in "$@"; do line+=" -c '$command'"; done
  s "$line rbd:$image 2>&1 | grep -v 'ops; '"
}

part_create() {
  s "rbd create one --size 64M"
  s "rbd create one --size 64M"
  s "rbd create empty --size 0"
  s "rbd create small-objects --size 8M --object-size 64K"
  s "rbd create odd-objects --size 8M --object-size 65537"
  s "rbd create striped --size 64M --stripe-unit 65536 --stripe-count 4"
  s "rbd create badly-striped --size 64M --stripe-unit 65537 --stripe-count 4"
  s "rbd create layering --size 1G --image-feature layering"
  s "rbd create none --size 1G --image-feature ''"
  s "rbd create journal --size 16M --image-feature exclusive-lock,journaling"
  s "rbd create wrong --size 16M --image-feature object-map"
  s "rbd create wrong --size 16M --image-feature nonsense"
  s "rbd create big --size 4E"
  s "rbd create shared --size 1G --image-shared"
  s "rbd create thick --size 8M --thick-provision"
  s "rbd create old --size 8M --image-format 1"
  s "rbd create with/slash --size 8M"
  s "rbd create nopool/x --size 8M"
  s "rbd create data --size 16M --data-pool ${pool}2"
  s "rbd create nodata --size 16M --data-pool nopool"
  s "rbd ls"
  s "rbd ls -l"
  s "rbd ls --format json"
  s "rbd ls -l --format json"
  for image in one odd-objects striped layering journal shared data missing; do
    s "rbd info $image"
    s "rbd info $image --format json"
  done
  s "rbd info"
  s "rbd info one@nosnap"
  s "rbd resize one --size 32M"
  s "rbd resize one --size 32M --allow-shrink --no-progress"
  s "rbd resize one --size 1T --no-progress"
  s "rbd resize missing --size 1T --no-progress"
  s "rbd info one | grep size"
  s "rbd rename one uno"
  s "rbd rename uno striped"
  s "rbd rename missing other"
  s "rbd info uno | grep -v stamp"
  s "rbd image-meta set uno colour green"
  s "rbd image-meta set uno size 'very big'"
  s "rbd image-meta list uno"
  s "rbd image-meta get uno colour"
  s "rbd image-meta get uno taste"
  s "rbd image-meta remove uno colour"
  s "rbd image-meta remove uno colour"
  s "rbd image-meta list uno --format json"
  s "rbd image-meta list striped"
  s "rbd rm --no-progress empty"
  s "rbd du -p $pool"
  s "rbd du uno"
  s "rbd du thick --format json"
  s "rbd rm missing"
  for image in uno small-objects odd-objects striped layering none journal big shared thick data; do
    s "rbd rm --no-progress $image"
  done
  s "rbd ls"
  drained
}

part_data() {
  s "rbd create img --size 64M"
  io img 'write -P 0x11 0 1M' 'write -P 0x22 4095K 10K' 'write -P 0x33 60M 4M' 'read -P 0x11 0 1M'
  io img 'read -P 0 1M 3071K' 'write -z 512K 64K' 'discard 8M 4M' 'read -P 0 512K 64K' 'flush'
  io img 'write -P 0x44 64M 4K'
  io img 'aio_write -P 0x55 16M 8M' 'aio_write -P 0x66 24M 8M' 'aio_flush' 'read -P 0x66 31M 1M'
  sum img
  s "rbd diff img"
  s "rbd diff --whole-object img --format json"
  s "rbd du img"
  s "rbd sparsify --no-progress img"
  s "rbd object-map check --no-progress img"
  s "rbd object-map rebuild --no-progress img"
  s "rbd object-map check --no-progress missing"
  sum img
  s "rbd export img img.v1"
  s "rbd export --export-format 2 img img.v2"
  s "rbd import --no-progress img.v1 from1"
  s "rbd import --no-progress --export-format 2 img.v2 from2"
  s "rbd import --no-progress img.v1 from1"
  s "rbd import --no-progress nofile from3"
  s "cat img.v1 | rbd import --no-progress --object-size 1M - from-stdin"
  s "rbd info from-stdin | grep -v stamp"
  for image in from1 from2 from-stdin; do sum $image; done
  s "cat img.v1 | rbd import --no-progress --stripe-unit 65536 --stripe-count 3 - from-striped"
  sum from-striped
  s "rbd cp --no-progress img copied"
  s "rbd cp --no-progress img ${pool}2/copied"
  s "rbd cp --no-progress img copied"
  s "rbd deep cp --no-progress img deep"
  for image in copied ${pool}2/copied deep; do sum $image; done
  s "rbd bench --io-type write --io-size 4K --io-total 1M --io-pattern rand copied | grep -v '^ *[0-9]' | sed -E 's/[0-9.]+/N/g; s/ +/ /g; s/N [KMG]iB/N B/'"
  s "rbd bench --io-type read --io-size 64K --io-total 4M copied | grep -v '^ *[0-9]' | sed -E 's/[0-9.]+/N/g; s/ +/ /g; s/N [KMG]iB/N B/'"
  s "rbd bench --io-type readwrite --io-size 4K --io-total 1M deep | sed -E 's/[0-9.]+/N/g; s/ +/ /g; s/N [KMG]iB/N B/' | sort -u | head -1"
  for image in img from1 from2 from-stdin from-striped copied ${pool}2/copied deep; do
    s "rbd rm --no-progress $image"
  done
}

part_snapshots() {
  s "rbd create img --size 64M"
  io img 'write -P 1 0 8M'
  s "rbd snap create --no-progress img@a"
  io img 'write -P 2 2M 4M' 'discard 0 1M' 'write -P 2 40M 64K'
  s "rbd snap create --no-progress img@b"
  s "rbd snap create --no-progress img@b"
  s "rbd snap create --no-progress missing@b"
  s "rbd resize img --size 48M --allow-shrink --no-progress"
  io img 'write -P 3 0 128K'
  s "rbd snap create --no-progress img@c"
  s "rbd resize img --size 80M --no-progress"
  s "rbd snap ls img"
  s "rbd snap ls img --format json"
  s "rbd snap ls missing"
  s "rbd ls -l"
  s "rbd info img@b | grep -v stamp"
  for snap in a b c; do sum img@$snap; done
  sum img
  s "rbd du img"
  s "rbd diff img@b"
  s "rbd diff img@c --from-snap a"
  s "rbd diff img --from-snap b --whole-object"
  s "rbd diff img --from-snap none"
  io img@a 'read -P 1 0 8M' 'write -P 9 0 4K'
  s "rbd snap protect img@a"
  s "rbd snap protect img@a"
  s "rbd snap rm --no-progress img@a"
  s "rbd snap purge --no-progress img"
  s "rbd snap ls img"
  s "rbd snap create --no-progress img@d"
  s "rbd snap unprotect img@a"
  s "rbd snap unprotect img@a"
  s "rbd snap rename img@d img@e"
  s "rbd snap rename img@a img@e"
  s "rbd snap rename img@none img@f"
  s "rbd snap rollback --no-progress img@a"
  sum img
  s "rbd info img | grep size"
  s "rbd object-map check --no-progress img"
  s "rbd snap rollback --no-progress img@none"
  s "rbd snap limit set --limit 2 img"
  s "rbd snap create --no-progress img@g"
  s "rbd snap limit clear img"
  s "rbd snap create --no-progress img@g"
  s "rbd rm --no-progress img"
  s "rbd snap rm --no-progress img@e"
  s "rbd snap rm --no-progress img@e"
  sum img@a
  sum img@g
  s "rbd snap purge --no-progress img"
  s "rbd snap ls img"
  sum img
  s "rbd rm --no-progress img"
  drained
}

part_clones() {
  s "rbd create parent --size 32M"
  io parent 'write -P 1 0 10M' 'write -P 2 20M 4K'
  s "rbd snap create --no-progress parent@s"
  s "rbd clone parent@s child"
  s "rbd clone --rbd-default-clone-format 1 parent@s child1"
  s "rbd children parent@s"
  s "rbd rm --no-progress child"
  s "rbd snap protect parent@s"
  s "rbd clone --rbd-default-clone-format 1 parent@s child1"
  s "rbd clone --rbd-default-clone-format 2 parent@s child2"
  s "rbd clone parent@s child1"
  s "rbd clone parent@none child3"
  s "rbd clone parent child3"
  s "rbd clone --rbd-default-clone-format 2 --object-size 1M parent@s ${pool}2/child3"
  s "rbd clone --rbd-default-clone-format 2 parent@s ${pool}2/child3"
  s "rbd children parent@s"
  s "rbd children parent@s --format json"
  s "rbd children parent"
  s "rbd info child1 | grep -v stamp"
  s "rbd info child2 | grep -v stamp"
  for image in child1 child2 ${pool}2/child3; do
    sum $image
    io $image 'write -P 7 4M 64K' 'discard 8M 1M' 'read -P 1 4160K 64K' 'read -P 2 20M 4K'
    sum $image
    s "rbd du $image"
    s "rbd diff $image"
    s "rbd snap create --no-progress $image@own"
    io $image 'write -P 8 21M 64K'
  done
  io parent 'write -P 9 0 10M'
  sum child1
  s "rbd snap unprotect parent@s"
  s "rbd snap rm --no-progress parent@s"
  s "rbd rm --no-progress parent"
  s "rbd clone --rbd-default-clone-format 2 child2@own grandchild"
  sum grandchild
  s "rbd resize child2 --size 16M --allow-shrink --no-progress"
  s "rbd info child2 | grep -v stamp"
  s "rbd flatten --no-progress child1"
  s "rbd flatten --no-progress grandchild"
  s "rbd flatten --no-progress grandchild"
  for image in child1 child1@own child2 child2@own grandchild; do sum $image; done
  s "rbd info child1 | grep -v stamp"
  s "rbd children child2@own"
  s "rbd object-map check --no-progress child2"
  s "rbd deep cp --no-progress child2 deep"
  s "rbd deep cp --no-progress --flatten child2 deepflat"
  for image in deep deep@own deepflat deepflat@own; do sum $image; done
  s "rbd info deep | grep -v stamp"
  for image in deep deepflat child1 child2 ${pool}2/child3; do
    s "rbd snap purge --no-progress $image"
    s "rbd rm --no-progress $image"
  done
  s "rbd rm --no-progress grandchild"
  s "rbd snap unprotect parent@s"
  s "rbd snap purge --no-progress parent"
  s "rbd rm --no-progress parent"
  drained
}

part_diffs() {
  s "rbd create src --size 32M"
  io src 'write -P 1 0 6M'
  s "rbd snap create --no-progress src@a"
  io src 'write -P 2 3M 64K' 'discard 4M 2M'
  s "rbd snap create --no-progress src@b"
  s "rbd resize --no-progress src --size 40M"
  io src 'write -P 3 36M 4M'
  s "rbd snap create --no-progress src@c"
  s "rbd export-diff --no-progress src@a a.diff"
  s "rbd export-diff --no-progress src@b --from-snap a ab.diff"
  s "rbd export-diff --no-progress src@c --from-snap b bc.diff"
  s "rbd export-diff --no-progress src@c --from-snap b --whole-object bc-whole.diff"
  s "rbd merge-diff --no-progress ab.diff bc.diff ac.diff"
  s "rbd merge-diff --no-progress bc.diff ab.diff wrong.diff"
  for file in a ab bc ac bc-whole; do s "sha256sum <$file.diff"; done
  s "rbd create dst --size 32M"
  s "rbd import-diff --no-progress ab.diff dst"
  s "rbd import-diff --no-progress a.diff dst"
  s "rbd import-diff --no-progress a.diff dst"
  s "rbd import-diff --no-progress ac.diff dst"
  s "rbd snap ls dst"
  s "rbd export-diff --no-progress src@c - | rbd import-diff --no-progress - missing"
  for image in src@a src@b src@c dst dst@a dst@c; do sum $image; done
  s "rbd export --no-progress --export-format 2 src whole.v2"
  s "rbd import --no-progress --export-format 2 whole.v2 whole"
  s "rbd snap ls whole"
  for image in whole whole@a whole@b whole@c; do sum $image; done
  for image in src dst whole; do
    s "rbd snap purge --no-progress $image"
    s "rbd rm --no-progress $image"
  done
}

# The columns are as wide as the clients' numbers, and lockers are listed in their order.
locks() { s "rbd lock ls img | sed -E 's/ +/ /g; s/ $//' | sort"; }

part_locks() {
  s "rbd create img --size 16M"
  locks
  s "rbd lock add img mine"
  s "rbd lock add img mine"
  s "rbd lock add img other"
  locks
  s "rbd lock ls img --format json"
  s "rbd lock rm img mine client.1"
  s "rbd lock rm img mine \$(rbd lock ls img --format json | jq -r '.[0].locker')"
  s "ceph osd blocklist ls 2>&1 | sed -E 's/^listed .*/listed/'"
  s "rbd lock add img one --shared tag"
  s "rbd lock add img two --shared tag"
  s "rbd lock add img three --shared another"
  locks
  s "rbd lock ls img --format json | jq -r '.[] | \"rbd lock rm img \" + .id + \" \" + .locker' | sh"
  locks
  s "rbd status img"
  # A watcher that hears of what others do, and is seen by them.
  mkfifo watch-in
  sleep 1000 >watch-in &
  local writer=$!
  rbd watch img <watch-in >watch-out 2>&1 &
  local watcher=$!
  until rbd status img | grep -q watcher=; do kill -0 $watcher || break; done
  s "rbd status img"
  s "rbd status img --format json"
  s "rbd snap create --no-progress img@heard"
  s "rbd resize --no-progress img --size 20M"
  s "rbd rm --no-progress img"
  kill $writer
  wait $watcher
  echo "watch ended with $?"
  s "sed -E 's/notify_id=[0-9]+/notify_id=N/; s/notifier_id=[0-9]+/notifier_id=N/' watch-out | sort | uniq -c | awk '{\$1=\"\"; print}'"
  rm watch-in
  # A client that holds the exclusive lock: it gives it away when asked.
  s "rbd bench --io-type write --io-size 4K --io-total 1M --io-threads 1 img >/dev/null & qemu-io -f raw -c 'write -P 5 0 4K' rbd:$pool/img >/dev/null; wait"
  s "rbd feature disable img exclusive-lock"
  s "rbd feature disable img fast-diff"
  s "rbd feature disable img object-map"
  s "rbd feature disable img object-map"
  s "rbd feature disable img exclusive-lock"
  s "rbd info img | grep -v stamp"
  s "rbd object-map check --no-progress img"
  s "rbd feature enable img object-map"
  s "rbd feature enable img exclusive-lock object-map fast-diff"
  s "rbd feature disable img deep-flatten"
  s "rbd feature enable img deep-flatten"
  s "rbd feature disable img layering"
  s "rbd feature enable img nonsense"
  s "rbd info img | grep -v stamp"
  s "rbd object-map rebuild --no-progress img"
  s "rbd object-map rebuild --no-progress img@heard"
  s "rbd object-map check --no-progress img"
  s "rbd info img | grep -E 'flags|features'"
  s "rbd snap purge --no-progress img"
  s "rbd rm --no-progress img"
}

part_trash() {
  for image in a b c; do s "rbd create $image --size 8M"; done
  s "rbd snap create --no-progress c@kept"
  s "rbd trash mv a"
  s "rbd trash mv b --expires-at tomorrow"
  s "rbd trash mv c"
  s "rbd trash mv missing"
  s "rbd ls"
  s "rbd trash ls | sort -k2"
  s "rbd trash ls -a --long 2>&1 | sed -E 's/ +/ /g' | sort -k2"
  s "rbd trash ls --format json | jq -c 'map(.name) | sort'"
  local id
  id() { rbd trash ls --format json | jq -r ".[] | select(.name == \"$1\") | .id"; }
  s "rbd trash restore 123456789abc"
  id=$(id a)
  s "rbd info --image-id $id | grep -vE 'stamp|prefix|id:'" | sed "s/$id/<id>/"
  s "rbd trash restore $id" | sed "s/$id/<id>/"
  s "rbd ls"
  s "rbd create b --size 4M"
  id=$(id b)
  s "rbd trash restore $id" | sed "s/$id/<id>/"
  s "rbd trash restore $id --image renamed" | sed "s/$id/<id>/"
  s "rbd ls"
  s "rbd trash mv renamed --expires-at 'next year'"
  id=$(id renamed)
  s "rbd trash rm --no-progress $id" | sed "s/$id/<id>/"
  s "rbd trash rm --no-progress --force $id" | sed "s/$id/<id>/"
  s "rbd trash purge --no-progress"
  s "rbd trash ls | sed -E 's/^[^ ]+/<id>/'"
  id=$(id c)
  s "rbd snap purge --no-progress --image-id $id" | sed "s/$id/<id>/"
  s "rbd trash purge --no-progress"
  s "rbd trash ls"
  s "rbd rm --no-progress a"
  s "rbd rm --no-progress b"
}

part_groups() {
  for image in a b; do
    s "rbd create $image --size 8M"
    io $image 'write -P 1 0 64K'
  done
  s "rbd group create g"
  s "rbd group create g"
  s "rbd group ls"
  s "rbd group ls --format json"
  s "rbd group image add g a"
  s "rbd group image add g b"
  s "rbd group image add g b"
  s "rbd group image add g missing"
  s "rbd group image add nogroup a"
  s "rbd group image ls g"
  s "rbd group image ls g --format json"
  s "rbd info a | grep group"
  s "rbd rm --no-progress a"
  s "rbd group snap create g@one"
  s "rbd group snap create g@one"
  for image in a b; do io $image 'write -P 2 0 64K'; done
  s "rbd group snap create g@two"
  s "rbd group snap ls g"
  s "rbd group snap ls g --format json"
  s "rbd snap ls a"
  # Members' snapshots are taken side by side: which gets the lower id is a matter of chance.
  s "rbd snap ls --all a | sed -E 's/[0-9a-f]{10,}/<id>/g; s/ +/ /g; s/^ [0-9]+/ <n>/'"
  s "rbd group snap rename g@two three"
  s "rbd group snap rollback --no-progress g@one"
  io a 'read -P 1 0 64K'
  io b 'read -P 1 0 64K'
  s "rbd group snap rm g@one"
  s "rbd group snap rm g@one"
  s "rbd group snap rm g@three"
  s "rbd group rename g h"
  s "rbd group image rm h a"
  s "rbd group image rm h a"
  s "rbd group image ls h"
  s "rbd group rm h"
  s "rbd group rm h"
  s "rbd group ls"
  s "rbd snap ls --all a"
  for image in a b; do s "rbd rm --no-progress $image"; done
}

part_namespaces() {
  s "rbd namespace create $pool/n"
  s "rbd namespace create $pool/n"
  s "rbd namespace create --namespace m -p $pool"
  s "rbd namespace ls $pool"
  s "rbd namespace ls --format json $pool"
  s "rbd create $pool/n/img --size 8M"
  s "rbd create $pool/none/img --size 8M"
  s "rbd ls $pool/n"
  s "rbd ls"
  s "rbd info $pool/n/img | grep -v stamp"
  s "rbd snap create --no-progress $pool/n/img@s"
  s "rbd clone --rbd-default-clone-format 2 $pool/n/img@s $pool/m/clone"
  s "rbd clone --rbd-default-clone-format 2 $pool/n/img@s clone"
  s "rbd children $pool/n/img@s | sort"
  s "rbd info $pool/m/clone | grep -v stamp"
  s "rbd du $pool/n/img"
  s "rbd namespace rm $pool/n"
  s "rbd rm --no-progress clone"
  s "rbd rm --no-progress $pool/m/clone"
  s "rbd snap purge --no-progress $pool/n/img"
  s "rbd rm --no-progress $pool/n/img"
  s "rbd namespace rm $pool/n"
  s "rbd namespace rm $pool/m"
  s "rbd namespace rm $pool/m"
  s "rbd namespace ls $pool"
}

part_settings() {
  s "rbd config global set global rbd_cache false"
  s "rbd config global get global rbd_cache"
  s "rbd config global list global"
  s "rbd config global rm global rbd_cache"
  s "rbd config pool set $pool rbd_default_order 21"
  s "rbd config pool set $pool rbd_nonsense 21"
  s "rbd config pool get $pool rbd_default_order"
  s "rbd config pool ls $pool | awk '\$3 != \"config\"'"
  s "rbd create img --size 8M"
  s "rbd config image set img rbd_cache false"
  s "rbd config image get img rbd_cache"
  s "rbd config image ls img | grep -E 'rbd_cache |pool'"
  s "rbd config image rm img rbd_cache"
  s "rbd config image rm img rbd_cache"
  s "rbd info img | grep order"
  s "rbd config pool rm $pool rbd_default_order"
  s "rbd pool stats $pool"
  s "rbd pool stats $pool --format json"
  s "rbd pool init $pool"
  s "rbd pool init nopool"
  s "rbd mirror pool info $pool"
  s "rbd mirror pool info $pool --format json"
  s "rbd mirror pool status $pool"
  s "rbd mirror image status img"
  s "rbd mirror image enable img journal"
  s "rbd mirror image snapshot img"
  s "rbd mirror pool enable $pool image"
  s "rbd mirror pool info $pool | sed -E 's/Site Name: .*/Site Name: X/'"
  s "rbd mirror image enable img snapshot"
  s "rbd info img | grep -vE 'stamp|global id'"
  s "rbd mirror image snapshot img"
  s "rbd snap ls --all img | sed -E 's/[0-9a-f-]{30,}/<uuid>/g; s/ +/ /g'"
  s "rbd mirror image demote img"
  s "rbd mirror image promote img"
  s "rbd mirror image disable img"
  s "rbd mirror pool disable $pool"
  s "rbd snap ls --all img"
  s "rbd rm --no-progress img"
}

part_journal() {
  s "rbd create img --size 16M --image-feature exclusive-lock,journaling --journal-object-size 1M --journal-splay-width 2"
  s "rbd info img | grep -v stamp | sed -E 's/journal: .*/journal: X/'"
  s "rbd journal info --image img"
  s "rbd journal info --image img --format json"
  s "rbd journal status --image img"
  io img 'write -P 1 0 64K' 'write -P 2 64K 64K' 'discard 0 64K' 'flush'
  s "rbd snap create --no-progress img@s"
  s "rbd journal inspect --image img | sed -E 's/[0-9]+/N/g'"
  s "rbd journal export --image img journal.bin 2>&1 | sed -E 's/.*\r//; s/[0-9]+/N/g'"
  s "test -s journal.bin"
  s "rbd journal client disconnect --image img"
  s "rbd journal reset --image img"
  s "rbd journal status --image img"
  sum img
  s "rbd feature disable img journaling"
  s "rbd journal info --image img"
  s "rbd feature enable img journaling"
  s "rbd info img | grep features"
  sum img
  s "rbd snap purge --no-progress img"
  s "rbd rm --no-progress img"
}

part_migration() {
  s "rbd create src --size 32M"
  io src 'write -P 1 0 8M'
  s "rbd snap create --no-progress src@s"
  io src 'write -P 2 4M 64K' 'write -P 3 20M 64K'
  sum src
  sum src@s
  s "rbd migration prepare src ${pool}2/dst"
  s "rbd ls"
  s "rbd ls ${pool}2"
  s "rbd status ${pool}2/dst"
  s "rbd info ${pool}2/dst | grep -v stamp"
  sum ${pool}2/dst
  io ${pool}2/dst 'write -P 4 6M 64K'
  s "rbd migration commit --no-progress ${pool}2/dst"
  s "rbd migration execute --no-progress ${pool}2/dst"
  s "rbd migration execute --no-progress ${pool}2/dst"
  s "rbd status ${pool}2/dst"
  s "rbd migration commit --no-progress ${pool}2/dst"
  sum ${pool}2/dst
  sum ${pool}2/dst@s
  s "rbd trash ls -a"
  s "rbd migration prepare ${pool}2/dst back"
  s "rbd migration abort --no-progress back"
  sum ${pool}2/dst
  s "rbd migration abort --no-progress ${pool}2/dst"
  s "rbd snap purge --no-progress ${pool}2/dst"
  s "rbd rm --no-progress ${pool}2/dst"
  s "rbd ls"
}

part_qemu() {
  data content 20000000
  s "qemu-img create -f raw rbd:$pool/disk 64M"
  s "qemu-img create -f raw rbd:$pool/disk 64M"
  s "qemu-img create -f raw -o cluster_size=1M rbd:$pool/small 16M"
  s "qemu-img info rbd:$pool/disk"
  s "qemu-img info --output=json rbd:$pool/small"
  s "qemu-img info rbd:$pool/missing"
  s "qemu-img convert -n -f raw -O raw content rbd:$pool/disk"
  s "qemu-img compare -f raw -F raw content rbd:$pool/disk"
  s "qemu-img convert -f raw -O raw content rbd:$pool/converted"
  s "qemu-img compare -f raw -F raw rbd:$pool/converted rbd:$pool/disk"
  s "qemu-img map --output=json rbd:$pool/converted"
  s "qemu-img convert -f raw -O qcow2 rbd:$pool/converted out.qcow2"
  s "qemu-img compare -f raw -F qcow2 rbd:$pool/converted out.qcow2"
  s "qemu-img snapshot -c s rbd:$pool/disk"
  s "qemu-img snapshot -l rbd:$pool/disk | awk '{print \$1, \$2}'"
  io disk 'write -P 9 0 1M'
  s "qemu-img compare -f raw -F raw rbd:$pool/disk@s rbd:$pool/converted"
  s "qemu-img compare -f raw -F raw rbd:$pool/disk rbd:$pool/converted"
  s "qemu-img snapshot -a s rbd:$pool/disk"
  s "qemu-img compare -f raw -F raw rbd:$pool/disk rbd:$pool/converted"
  s "qemu-img snapshot -d s rbd:$pool/disk"
  s "qemu-img resize -f raw rbd:$pool/disk 80M"
  s "qemu-img bench -f raw -w -c 500 -d 16 -s 4096 -S 65536 -t none rbd:$pool/disk"
  s "qemu-img bench -f raw -c 500 -d 16 -s 65536 -t none rbd:$pool/disk"
  for image in disk small converted; do s "rbd rm --no-progress $image"; done
}

# fio's own check of every block it wrote; what is compared: errors, and the amounts done.
fio_run() {
  s "fio --name=f --ioengine=rbd --clientname=admin --pool=$pool --rbdname=fio --randseed=7 --verify=crc32c --verify_fatal=1 --output-format=json $1 | sed -n '/^{/,\$p' | jq -c '.jobs[] | [.error, .read.total_ios, .write.total_ios, .trim.total_ios, .read.io_bytes, .write.io_bytes]'"
}

part_fio() {
  local amount=4M more=12M
  [ "$form" = full ] && amount=48M more=64M
  s "rbd create fio --size 64M"
  fio_run "--rw=randwrite --bs=4k --iodepth=16 --size=$amount"
  fio_run "--rw=randwrite --bsrange=512-64k --blockalign=512 --iodepth=8 --size=$amount"
  fio_run "--rw=randrw --rwmixread=40 --bs=4k --iodepth=16 --size=$amount"
  fio_run "--rw=randtrimwrite --bs=16k --iodepth=8 --size=$more"
  fio_run "--rw=write --bs=1M --iodepth=4 --size=$more --verify=sha256"
  s "rbd snap create --no-progress fio@s"
  fio_run "--rw=randwrite --bs=4k --iodepth=16 --size=$amount"
  s "rbd object-map check --no-progress fio"
  s "rbd snap purge --no-progress fio"
  s "rbd rm --no-progress fio"
  s "rbd create fio --size 64M --image-feature layering"
  fio_run "--rw=randwrite --bs=4k --iodepth=16 --size=$amount"
  s "rbd rm --no-progress fio"
}

part_fuse() {
  mkdir -p mnt
  s "rbd create fs --size 64M"
  s "rbd-fuse -c $conf -p $pool mnt"
  until ls mnt | grep -q fs; do pgrep -f "rbd-fuse -c $conf" >/dev/null || break; done
  s "ls -s mnt"
  s "stat -c '%n %s' mnt/fs"
  data content 5000000
  mkdir -p tree && cp content tree/
  s "mkfs.ext4 -q -F -d tree -U 6d6b6673-0000-4000-8000-000000000001 -E hash_seed=6d6b6673-0000-4000-8000-000000000002 mnt/fs"
  s "e2fsck -fn mnt/fs 2>&1 | grep -v '^e2fsck'"
  s "dumpe2fs -h mnt/fs 2>/dev/null | grep -E 'state|count'"
  s "debugfs -R 'cat content' mnt/fs 2>/dev/null | sha256sum"
  s "umount mnt"
  s "rbd export --no-progress fs fs.img && e2fsck -fn fs.img 2>&1 | grep -v '^e2fsck'"
  s "debugfs -R 'cat content' fs.img 2>/dev/null | sha256sum"
  s "rbd rm --no-progress fs"
}

short='create data snapshots clones diffs locks trash groups namespaces qemu fio'
full="$short settings journal migration fuse"
parts=$short
[ "$form" = full ] && parts=$full
for part in ${RBD_PARTS:-$parts}; do
  echo "#### $part"
  "part_$part"
done
