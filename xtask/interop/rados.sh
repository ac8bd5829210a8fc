#!/usr/bin/env bash
# Drives Debian's stock `rados` and prints a transcript in which everything that may differ from one
# cluster to another (times, ids, speeds) is replaced, so that the transcripts of Seabed and of real
# Ceph can be compared line by line. Usage: rados.sh CEPH_CONF POOL WORKDIR
set -u
conf=$1 pool=$2 work=$3
mkdir -p "$work"
cd "$work" || exit 1

normalise() {
  sed -E \
    -e 's/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+[+Z0-9]*/<time>/g' \
    -e 's/[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:.]+/<time>/g' \
    -e 's/_[a-z0-9.-]+_[0-9]+_object/_<bench>_object/g' \
    -e "s#$work#<work>#g"
}

# step LABEL COMMAND...: the command's standard output and error, then its exit code.
step() {
  local label=$1
  shift
  echo "## $label"
  timeout 120 "$@" >out 2>err
  local code=$?
  normalise <out
  normalise <err | sed 's/^/E: /'
  echo "-> $code"
}

r() { rados -c "$conf" -p "$pool" "$@"; }
export -f r
export conf pool

head -c 10 /dev/zero | tr '\0' 'a' >small
seq 1 200000 | head -c 1000000 >million
head -c 9437184 /dev/zero | openssl enc -aes-128-ctr -K 00 -iv 00 2>/dev/null >nine
: >empty

R=(rados -c "$conf" -p "$pool")
step 'put small' "${R[@]}" put small small
step 'put empty' "${R[@]}" put empty empty
step 'put million' "${R[@]}" put million million
step 'put nine (several ops)' "${R[@]}" put nine nine
step 'put at an offset' "${R[@]}" put small small --offset 100
step 'stat small after the offset' "${R[@]}" stat small
step 'put small again' "${R[@]}" put small small
for o in small empty million nine; do
  step "get $o" "${R[@]}" get "$o" "got-$o"
  step "same $o" cmp "$o" "got-$o"
done
step 'get to stdout' "${R[@]}" get small -
step 'get a missing object' "${R[@]}" get nothing nothing
step 'stat a missing object' "${R[@]}" stat nothing
step 'rm a missing object' "${R[@]}" rm nothing
step 'ls' bash -c "rados -c $conf -p $pool ls | sort"
step 'stat million' "${R[@]}" stat million
step 'append' "${R[@]}" append small million
step 'append makes' "${R[@]}" append appended small
step 'get appended' "${R[@]}" get appended -
step 'stat appended' "${R[@]}" stat small
step 'truncate down' "${R[@]}" truncate small 7
step 'get truncated' "${R[@]}" get small -
step 'truncate up' "${R[@]}" truncate small 20
step 'stat truncated up' "${R[@]}" stat small
step 'hex truncated up' bash -c "rados -c $conf -p $pool get small - | od -c"
step 'truncate a missing object' "${R[@]}" truncate nothing 5
step 'stat what truncate made' "${R[@]}" stat nothing
step 'create' "${R[@]}" create made
step 'create again' "${R[@]}" create made
step 'touch' "${R[@]}" touch touched
step 'touch again' "${R[@]}" touch touched

step 'setxattr' "${R[@]}" setxattr small colour green
step 'setxattr second' "${R[@]}" setxattr small size big
step 'getxattr' "${R[@]}" getxattr small colour
step 'getxattr missing' "${R[@]}" getxattr small taste
step 'getxattr of a missing object' "${R[@]}" getxattr absent taste
step 'listxattr' "${R[@]}" listxattr small
step 'rmxattr' "${R[@]}" rmxattr small colour
step 'rmxattr missing' "${R[@]}" rmxattr small colour
step 'listxattr after' "${R[@]}" listxattr small
step 'listxattr of a missing object' "${R[@]}" listxattr absent

step 'listomapvals, none' "${R[@]}" listomapvals small
step 'setomapval' "${R[@]}" setomapval small k1 one
step 'setomapval 2' "${R[@]}" setomapval small k2 two
step 'setomapval 3' "${R[@]}" setomapval omaponly k three
step 'listomapvals' "${R[@]}" listomapvals small
step 'listomapkeys' "${R[@]}" listomapkeys small
step 'getomapval' "${R[@]}" getomapval small k1
step 'getomapval missing' "${R[@]}" getomapval small k9
step 'getomapval to a file' "${R[@]}" getomapval small k1 kfile
step 'the file' od -c kfile
step 'setomapheader' "${R[@]}" setomapheader small head
step 'getomapheader' "${R[@]}" getomapheader small
step 'rmomapkey' "${R[@]}" rmomapkey small k1
step 'rmomapkey missing' "${R[@]}" rmomapkey small k1
step 'listomapvals after' "${R[@]}" listomapvals small
step 'clearomap' "${R[@]}" clearomap small
step 'listomapvals cleared' "${R[@]}" listomapvals small
step 'listomapvals of a missing object' "${R[@]}" listomapvals absent

step 'cp: attributes' "${R[@]}" setxattr million shape round
step 'cp: omap' "${R[@]}" setomapval million k1 one
step 'cp: omap header' "${R[@]}" setomapheader million head
step 'cp' "${R[@]}" cp million copied
step 'cp: the data' bash -c "rados -c $conf -p $pool get copied - | cmp - million"
step 'cp: the size' "${R[@]}" stat copied
step 'cp: the attributes' "${R[@]}" listxattr copied
step 'cp: an attribute' "${R[@]}" getxattr copied shape
step 'cp: the omap' "${R[@]}" listomapvals copied
step 'cp: the omap header' "${R[@]}" getomapheader copied
step 'cp over what is there' "${R[@]}" cp empty copied
step 'cp over: the size' "${R[@]}" stat copied
step 'cp over: the attributes' "${R[@]}" listxattr copied
step 'cp over: the omap' "${R[@]}" listomapvals copied
step 'cp in several pieces' "${R[@]}" cp nine copied
step 'cp in pieces: the data' bash -c "rados -c $conf -p $pool get copied - | cmp - nine"
step 'cp of a missing object' "${R[@]}" cp absent copied
step 'cp of a missing object leaves the target' "${R[@]}" stat copied
step 'cp onto itself' "${R[@]}" cp nine nine
step 'cp into a namespace' "${R[@]}" -N ns1 cp nine nine
step 'cp to many, at once' bash -c 'for i in $(seq 20); do r cp million many$i 2>/dev/null & done; wait; for i in $(seq 20); do r get many$i - | md5sum; r rm many$i; done | sort | uniq -c'
step 'rm copied' "${R[@]}" rm copied
step 'rmxattr of the source' "${R[@]}" rmxattr million shape
step 'clearomap of the source' "${R[@]}" clearomap million

step 'namespace put' "${R[@]}" -N ns1 put inns small
step 'namespace ls' "${R[@]}" -N ns1 ls
step 'other namespace' "${R[@]}" -N ns2 ls
step 'default namespace does not show it' bash -c "rados -c $conf -p $pool ls | grep -c inns"
step 'all namespaces' bash -c "rados -c $conf -p $pool ls --all | sort"
step 'namespace get' "${R[@]}" -N ns1 get inns -
step 'locator put' "${R[@]}" --object-locator key1 put located small
step 'locator get' "${R[@]}" --object-locator key1 get located -
step 'get without locator' "${R[@]}" get located nothing
step 'ls with locator' bash -c "rados -c $conf -p $pool ls | grep located"

step 'lspools' bash -c "rados -c $conf lspools | grep -x $pool"
step 'df has our pool' bash -c "rados -c $conf df | awk '\$1==\"$pool\"{print \$1, NF}'"
step 'df json fields' bash -c "rados -c $conf df --format json | python3 -c '
import json,sys
d=json.load(sys.stdin); print(sorted(d)); print(sorted(d[\"pools\"][0]))'"
step 'df of a missing pool' rados -c "$conf" -p nopool ls

step 'bench write' bash -c "rados -c $conf -p $pool bench 2 write -b 65536 -t 8 --no-cleanup 2>&1 | sed -E 's/[0-9.]+/N/g' | grep -v 'N *N *N' | grep -v '^ *sec' | sort -u"
step 'bench seq' bash -c "rados -c $conf -p $pool bench 2 seq -t 8 | sed -E 's/[0-9.]+/N/g' | grep -v 'N *N *N' | grep -v '^ *sec' | sort -u"
step 'bench rand' bash -c "rados -c $conf -p $pool bench 1 rand -t 8 | sed -E 's/[0-9.]+/N/g' | grep -v 'N *N *N' | grep -v '^ *sec' | sort -u"
step 'cleanup' bash -c "rados -c $conf -p $pool cleanup | sed -E 's/[0-9]+/N/'"
step 'ls after cleanup' bash -c "rados -c $conf -p $pool ls | sort"

step 'export' bash -c "rados -c $conf -p $pool export --workers 1 dump.bin | sort | tail -3"
for o in small empty million nine; do step "rm $o" "${R[@]}" rm "$o"; done
step 'ls after rm' bash -c "rados -c $conf -p $pool ls | sort"
step 'import' bash -c "rados -c $conf -p $pool import --workers 1 dump.bin | sort"
step 'ls after import' bash -c "rados -c $conf -p $pool ls | sort"
step 'get after import' "${R[@]}" get nine got-nine2
step 'same after import' cmp nine got-nine2
step 'purge' bash -c "rados purge $pool --yes-i-really-really-mean-it -c $conf | sed -E 's/[0-9]+/N/'"
step 'what purge leaves: it ignores locators' "${R[@]}" ls
step 'rm with locator' "${R[@]}" --object-locator key1 rm located
step 'rm in the namespace' "${R[@]}" -N ns1 rm inns
step 'ls at the end' "${R[@]}" ls --all
