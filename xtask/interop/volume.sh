#!/usr/bin/env bash
# Our image client beside stock `rbd` on one cluster: what one writes the other reads, byte for byte;
# snapshots, clones, changes and the exclusive lock both ways. Ends at the first thing that is wrong.
# Usage: volume.sh SEABED CEPH_CONF POOL WORKDIR
set -euo pipefail
seabed=$1 conf=$2 pool=$3 work=$4
mkdir -p "$work"
cd "$work"
export CEPH_CONF=$conf CEPH_ARGS='--log_to_stderr=false' LC_ALL=C TZ=UTC

ours() { timeout -k 5 120 "$seabed" volume -c "$conf" "$@"; }
stock() { timeout -k 5 120 rbd "$@"; }
fail() { echo "volume.sh: $*" >&2; exit 1; }
sum() { sha256sum "$1" | cut -d' ' -f1; }
# refused PATTERN COMMAND…: it fails, and says why.
refused() {
  local pattern=$1
  shift
  if "$@" >refused.out 2>&1; then fail "succeeded: $*"; fi
  grep -qE "$pattern" refused.out || fail "$* said: $(cat refused.out)"
}
# same IMAGE FILE: both clients export exactly that.
same() {
  local of
  rm -f exported
  ours export "$pool/$1" exported
  of=$(sum exported)
  [ "$of" = "$(sum "$2")" ] || fail "seabed volume export $1 is not $2"
  rm -f exported
  stock export --no-progress "$pool/$1" exported
  of=$(sum exported)
  [ "$of" = "$(sum "$2")" ] || fail "rbd export $1 is not $2"
}
# mapped IMAGE: stock `rbd` finds its object map right. (What is wrong it only flags.)
mapped() {
  stock object-map check --no-progress "$pool/$1" 2>check.err || fail "object map of $1"
  if stock info "$pool/$1" | grep -q invalid; then fail "object map of $1: $(cat check.err)"; fi
}
# field IMAGE NAME: of stock `rbd info`.
field() { stock info "$pool/$1" --format json | python3 -c "import json, sys; print(json.load(sys.stdin)['$2'])"; }

# Nine and a half objects: data, a hole, data.
head -c 17000000 /dev/urandom >one
truncate -s 31M one
head -c 8857600 /dev/urandom >>one

echo "# create, ls, info, rm"
ours create "$pool/ours" --size 10G
stock create "$pool/stock" --size 10G
[ "$(ours ls "$pool" | sort | tr '\n' ' ')" = "ours stock " ] || fail "ls: $(ours ls "$pool")"
[ "$(stock ls "$pool" | sort | tr '\n' ' ')" = "ours stock " ] || fail "rbd ls"
for name in size objects order features; do
  [ "$(field ours $name)" = "$(field stock $name)" ] || fail "rbd info: $name differs"
done
ours info "$pool/stock" -o json | python3 -c "
import json, sys
info = json.load(sys.stdin)
assert info['size'] == 10 << 30 and info['objects'] == 2560, info
want = ['layering', 'exclusive-lock', 'object-map', 'fast-diff', 'deep-flatten']
assert info['features'] == want, info"
refused 'exists' ours create "$pool/stock" --size 1G
refused 'no such image' ours info "$pool/nobody"
ours rm "$pool/stock"
stock rm --no-progress "$pool/ours"
[ -z "$(ours ls "$pool")" ] && [ -z "$(stock ls "$pool")" ] || fail "something is left"

echo "# import and export"
ours import one "$pool/a"
stock import --no-progress one "$pool/b"
same a one
same b one
mapped a
ours export "$pool/a" - | cmp - one
ours import - "$pool/c" <one
same c one
ours rm "$pool/c"
ours import one "$pool/striped" --object-size 1M --stripe-unit 64K --stripe-count 5
same striped one
ours rm "$pool/striped"
stock import --no-progress --object-size 1M --stripe-unit 64K --stripe-count 3 one "$pool/striped"
same striped one
stock rm --no-progress "$pool/striped"

echo "# snapshots, resize, rollback"
ours snap create "$pool/a@s1"
cp one two
dd if=/dev/urandom of=two bs=1M seek=7 count=3 conv=notrunc status=none
stock bench --io-type write --io-size 4K --io-total 64K "$pool/a" >/dev/null
same a@s1 one
ours snap rollback "$pool/a@s1"
same a one
mapped a
stock snap create --no-progress "$pool/a@s2"
[ "$(ours snap ls "$pool/a" | tr '\n' ' ')" = "s1 s2 " ] || fail "snap ls"
ours resize "$pool/a" --size 20M --allow-shrink
head -c 20971520 one >cut
same a cut
same a@s2 one
ours resize "$pool/a" --size 41M
truncate -s 41M cut
same a cut
mapped a
refused 'allow-shrink' ours resize "$pool/a" --size 1M

echo "# clones"
refused 'not protected' ours clone "$pool/a@s1" "$pool/v1" --clone-format 1
ours snap protect "$pool/a@s1"
refused 'protected' ours snap rm "$pool/a@s1"
ours clone "$pool/a@s1" "$pool/v1"
ours clone "$pool/a@s2" "$pool/v2"
same v1 one
same v2 one
# Cut inside an object that is still the parent's: the snapshot shows all of it, whatever is written.
ours clone "$pool/a@s2" "$pool/cut"
ours snap create "$pool/cut@whole"
ours resize "$pool/cut" --size 5M --allow-shrink
ours bench "$pool/cut" --io-size 64K --io-total 5M >/dev/null
same cut@whole one
mapped cut
ours snap rm "$pool/cut@whole"
ours rm "$pool/cut"
[ "$(stock children "$pool/a@s1")" = "$pool/v1" ] || fail "children of s1"
[ "$(stock children "$pool/a@s2")" = "$pool/v2" ] || fail "children of s2"
stock bench --io-type write --io-size 4K --io-total 64K --io-pattern rand "$pool/v1" >/dev/null
rm -f written
stock export --no-progress "$pool/v1" written
same v1 written
refused 'clones' ours snap unprotect "$pool/a@s1"
ours snap create "$pool/v1@inner"
ours flatten "$pool/v1"
same v1 written
same v1@inner written
mapped v1
ours snap unprotect "$pool/a@s1"
ours snap rm "$pool/v1@inner"
ours rm "$pool/v1"
ours snap rm "$pool/a@s2"
[ "$(ours snap ls "$pool/a" | tr '\n' ' ')" = "s1 " ] || fail "snap ls after rm"
same v2 one
ours rm "$pool/v2"
[ "$(stock snap ls --all "$pool/a" --format json | grep -o '"id"' | wc -l)" = 1 ] || fail "s2 stays in the trash"

echo "# changes"
ours import one "$pool/from"
ours snap create "$pool/from@x"
ours import one "$pool/to"
stock snap create --no-progress "$pool/to@x"
stock bench --io-type write --io-size 8K --io-total 256K --io-pattern rand "$pool/from" >/dev/null
ours resize "$pool/from" --size 39M --allow-shrink
stock snap create --no-progress "$pool/from@y"
rm -f changed d1 d2 s1
stock export --no-progress "$pool/from@y" changed
ours export-diff "$pool/from@y" --from-snap x d1
stock import-diff --no-progress d1 "$pool/to"
same to@y changed
stock snap rm --no-progress "$pool/to@y"
stock snap rollback --no-progress "$pool/to@x"
stock export-diff --no-progress "$pool/from@y" --from-snap x s1
ours import-diff s1 "$pool/to"
same to@y changed
ours create "$pool/third" --size 1M
ours export-diff "$pool/from@y" --diff-format 2 - | ours import-diff - "$pool/third"
same third@y changed

echo "# the exclusive lock is handed over"
ours create "$pool/shared" --size 64M
rbd bench --io-type write --io-size 4K --io-threads 1 --io-total 4G "$pool/shared" >bench.out 2>&1 &
bench=$!
sleep 2
ours snap create "$pool/shared@while"
kill -9 "$bench" 2>/dev/null || fail "bench ended early: $(cat bench.out)"
wait "$bench" || true
# Its lock is of the dead now.
ours snap create "$pool/shared@after"
[ "$(ours snap ls "$pool/shared" | tr '\n' ' ')" = "while after " ] || fail "snapshots of shared"
# Now ours holds it, between two pieces of a pipe, and gives it up to stock clients.
{ cat one; sleep 8; cat one; } | ours import - "$pool/slow" &
import=$!
sleep 4
stock bench --io-type write --io-size 4K --io-threads 1 --io-total 64K "$pool/slow" >/dev/null
stock snap create --no-progress "$pool/slow@while"
wait "$import" || fail "the import has not got the lock back"
cat one one >twice
rm -f exported
stock export --no-progress "$pool/slow" exported
tail -c +1000001 exported | cmp - <(tail -c +1000001 twice) || fail "the import is not whole"

echo "# the lock's owner does what stock clients ask of it"
ours create "$pool/owned" --size 64M
ours snap create "$pool/owned@base"
ours clone "$pool/owned@base" "$pool/asked"
timeout 120 "$seabed" volume -c "$conf" bench "$pool/asked" --io-total 1T --io-pattern rand >asked.out 2>&1 &
bench=$!
sleep 2
owner() { ours lock ls "$pool/asked"; }
before=$(owner)
[ -n "$before" ] || fail "nobody has the lock of asked: $(cat asked.out)"
stock snap create --no-progress "$pool/asked@one"
stock snap rename "$pool/asked@one" "$pool/asked@two"
stock snap protect "$pool/asked@two"
refused 'protected' stock snap rm --no-progress "$pool/asked@two"
stock snap unprotect "$pool/asked@two"
stock resize --no-progress --size 80M "$pool/asked"
refused 'exist' stock snap create --no-progress "$pool/asked@two"
stock snap rm --no-progress "$pool/asked@two"
stock object-map rebuild --no-progress "$pool/asked"
stock flatten --no-progress "$pool/asked"
stock rename "$pool/asked" "$pool/renamed"
stock rename "$pool/renamed" "$pool/asked"
[ "$(owner | cut -d' ' -f1)" = "$(echo "$before" | cut -d' ' -f1)" ] || fail "the lock went from $before to $(owner)"
kill -INT "$bench"
wait "$bench" && fail "an interrupted bench must fail" || true
[ -z "$(owner)" ] || fail "an interrupted bench leaves its lock: $(owner)"
[ "$(field asked size)" = 83886080 ] || fail "size of asked: $(field asked size)"
if stock info "$pool/asked" | grep -q parent; then fail "asked is not flat"; fi
mapped asked
ours rm "$pool/asked"
ours snap rm "$pool/owned@base"

echo "# why, lock, rename, trash"
ours why "$pool/owned" | grep -q 'nobody uses it' || fail "why: $(ours why "$pool/owned")"
stock lock add "$pool/owned" mine
locker=$(ours lock ls "$pool/owned" -o json | python3 -c "import json, sys; print(json.load(sys.stdin)[0]['locker'])")
ours why "$pool/owned" | grep -q "locked by $locker (mine)" || fail "why: $(ours why "$pool/owned")"
refused 'locked by' ours resize "$pool/owned" --size 65M
ours lock rm "$pool/owned" mine "$locker" --no-fence
ours lock add "$pool/owned" yours
stock lock ls "$pool/owned" | grep -q yours || fail "lock add"
ours lock rm "$pool/owned" yours "$(ours lock ls "$pool/owned" | cut -d' ' -f1)" --no-fence
ours rename "$pool/owned" other
stock rename "$pool/other" "$pool/again"
ours snap create "$pool/again@s"
ours snap rename "$pool/again@s" t
ours clone "$pool/again@t" "$pool/child" --clone-format 2
ours why "$pool/again" | grep -q "$pool/child is a clone" || fail "why: $(ours why "$pool/again")"
ours trash mv "$pool/again"
id=$(ours trash ls "$pool" | cut -d' ' -f1)
stock trash ls "$pool" | grep -q "$id again" || fail "rbd trash ls: $(stock trash ls "$pool")"
ours why "$pool/$id" | grep -q 'in the trash' || fail "why: $(ours why "$pool/$id")"
refused 'snapshots' ours trash rm "$pool/$id"
stock trash restore -p "$pool" "$id"
stock trash mv --expires-at tomorrow "$pool/again"
refused 'kept until' ours trash rm "$pool/$id"
ours trash restore "$pool/$id" --name again
ours rm "$pool/child"
ours snap rm "$pool/again@t"
ours trash mv "$pool/again"
ours trash purge "$pool"
[ -z "$(ours trash ls "$pool" --all)" ] || fail "the trash is not empty: $(ours trash ls "$pool" --all)"

echo "# deep copies, whole images of format 2, what changed by whole objects, object maps"
ours import one "$pool/src" --object-size 1M
ours snap create "$pool/src@x"
stock bench --io-type write --io-size 64K --io-total 1M --io-pattern rand "$pool/src" >/dev/null
stock image-meta set "$pool/src" colour green
stock snap create --no-progress "$pool/src@y"
stock snap protect "$pool/src@y"
ours resize "$pool/src" --size 20M --allow-shrink
rm -f src.y src.now
stock export --no-progress "$pool/src@y" src.y
stock export --no-progress "$pool/src" src.now
wholly() {
  same "$1@x" one
  same "$1@y" src.y
  same "$1" src.now
  mapped "$1"
}
ours copy "$pool/src" "$pool/copy"
wholly copy
rm -f whole
ours export --export-format 2 "$pool/src" whole
stock import --no-progress --export-format 2 whole "$pool/imported"
wholly imported
[ "$(stock image-meta get "$pool/imported" colour)" = green ] || fail "metadata of imported"
rm -f whole
stock export --no-progress --export-format 2 "$pool/src" whole
ours import --export-format 2 whole "$pool/back"
wholly back
ours info "$pool/back" -o json | grep -q '"object_size":1048576' || fail "object size of back"
refused 'protected' ours snap rm "$pool/back@y"
changes() { python3 -c "
import json, sys
print(sorted((e['offset'], e['length'], e['exists']) for e in json.load(sys.stdin)))"; }
of=$(ours diff --whole-object --from-snap x "$pool/src@y" -o json | changes)
want=$(stock diff --whole-object --from-snap x "$pool/src@y" --format json | changes)
[ "$of" = "$want" ] || fail "whole objects: $of, not $want"
used() { python3 -c "
import json, sys
print(sorted((i['name'], i.get('snapshot', ''), i['used_size']) for i in json.load(sys.stdin)['images']))"; }
of=$(ours du "$pool/src" -o json | used)
want=$(stock du "$pool/src" --format json | used)
[ "$of" = "$want" ] || fail "du: $of, not $want"
ours object-map check "$pool/src"
# A map that lies: an object behind the old end is there, the map does not say so.
ours resize "$pool/back" --size 41M
rados -p "$pool" put "rbd_data.$(field back id).0000000000000028" /etc/hostname
refused 'does not know' ours object-map check "$pool/back"
stock info "$pool/back" | grep -q 'object map invalid' || fail "a wrong map is not marked"
ours object-map rebuild "$pool/back"
ours object-map check "$pool/back"
mapped back
ours snap unprotect "$pool/back@y"
ours snap unprotect "$pool/src@y"

echo "# groups"
ours group create "$pool/g"
ours group add "$pool/g" "$pool/copy"
stock group image add "$pool/g" "$pool/imported"
[ "$(ours group images "$pool/g" | sort | tr '\n' ' ')" = "$pool/copy $pool/imported " ] || fail "images of g"
refused 'another group' bash -c "'$seabed' volume -c '$conf' group create $pool/h && '$seabed' volume -c '$conf' group add $pool/h $pool/copy"
ours group snap create "$pool/g@s"
stock group snap ls "$pool/g" --format json | grep -qE '"(ok|complete)"' || fail "rbd group snap ls"
stock bench --io-type write --io-size 64K --io-total 1M "$pool/copy" >/dev/null
ours bench "$pool/imported" --io-size 64K --io-total 1M >/dev/null
stock group snap rollback --no-progress "$pool/g@s"
# Stock rollbacks take the snapshot's map, whose clean objects the rollback has written to.
for image in copy imported; do stock object-map rebuild --no-progress "$pool/$image"; done
wholly copy
wholly imported
stock bench --io-type write --io-size 64K --io-total 1M "$pool/copy" >/dev/null
stock group snap create "$pool/g@t"
ours group snap rollback "$pool/g@s"
wholly copy
[ "$(ours group snap ls "$pool/g" | sort | tr '\n' ' ')" = "s t " ] || fail "group snap ls"
refused 'snapshots' ours rm "$pool/copy"
ours group snap rm "$pool/g@t"
stock group snap rm "$pool/g@s"
ours group remove "$pool/g" "$pool/copy"
ours group rename "$pool/g" gg
ours group rm "$pool/gg"
stock group rm "$pool/h"
[ -z "$(ours group ls "$pool")" ] || fail "groups are left"
stock snap unprotect "$pool/imported@y"

echo "# what is not built is refused before anything is written"
stock create "$pool/journal" --size 16M --image-feature exclusive-lock,journaling
refused 'journaling' ours resize "$pool/journal" --size 32M
stock rm --no-progress "$pool/journal"

# Clients that were killed are seen until their watches end.
for _ in $(seq 60); do
  if ! stock status "$pool/shared" | grep -q watcher=; then break; fi
  sleep 1
done
for image in a b from to third shared slow src copy imported back; do
  stock snap purge --no-progress "$pool/$image"
  ours rm "$pool/$image"
done
[ -z "$(ours ls "$pool")" ] || fail "left: $(ours ls "$pool")"
# Objects that only snapshots held are listed until those are trimmed; real Ceph takes minutes.
left() { rados -p "$pool" ls | grep -vE '^rbd_(directory|info|trash|children|mirroring|group_directory)$' || true; }
for _ in $(seq 400); do
  if [ -z "$(left)" ]; then break; fi
  sleep 1
done
[ -z "$(left)" ] || fail "objects are left: $(left)"
echo "volume: all as it must be"
