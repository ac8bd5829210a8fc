"""Runs the `ceph` commands of everyday administration and prints, for each, the exit code and the
shape of the answer: every path in its JSON with the kind of value found there. The transcript must be
the same on Seabed and on real Ceph. Usage: ceph_shape.py CEPH_CONF POOL
"""

import json
import re
import subprocess
import sys

from shape import shape

# Commands whose JSON must have Ceph's fields.
JSON = """
status
health
health detail
fsid
osd tree
osd dump
osd stat
osd ls
osd df
osd df tree
osd pool ls
osd pool ls detail
osd pool get {pool} size
osd pool get {pool} min_size
osd pool get {pool} pg_num
osd pool get {pool} all
osd pool application get {pool}
osd pool stats
osd lspools
osd find 0
osd map {pool} someobject
osd crush rule ls
osd crush rule dump
osd crush dump
osd crush tree
osd crush class ls
osd getmaxosd
df
df detail
pg dump
pg stat
pg ls
pg map 1.0
mon dump
mon stat
quorum_status
mgr dump
mgr stat
versions
features
config dump
config help osd_max_backfills
osd tree-from default
osd info 0
osd perf
osd utilization
osd blocked-by
osd crush weight-set ls
osd erasure-code-profile ls
osd erasure-code-profile get default
osd crush class ls-osd hdd
pg dump_stuck
node ls
device ls
mds metadata
log last 3
time-sync-status
"""

# Commands whose exit code alone is compared (their text is advice, numbers or times).
PLAIN = """
-s
health
osd tree
osd dump
df
pg stat
osd pool create interop 8
osd pool create interop 8
osd pool rename interop interop2
osd pool set interop2 size 2
osd pool set interop2 min_size 1
osd pool set interop2 nosuchkey 1
osd pool get interop2 nosuchkey
osd pool get nosuchpool size
osd pool application enable interop2 rbd
osd pool rm interop2
osd pool rm interop2 interop2 --yes-i-really-really-mean-it
osd pool rm interop2 interop2 --yes-i-really-really-mean-it
osd set noout
osd unset noout
osd set nosuchflag
osd out 0
osd in 0
osd out 77
osd reweight 0 0.5
osd reweight 0 1
osd map nosuchpool x
osd crush rule create-replicated interoprule default osd
osd crush rule rm interoprule
config set osd osd_max_backfills 2
config get osd.0 osd_max_backfills
config rm osd osd_max_backfills
config-key set interop value
config-key get interop
config-key rm interop
config-key get interop
tell mon.a version
tell mon.a config get debug_mon
tell mon.a injectargs --debug_mon=1/5
tell mon.a injectargs --nosuchoption=1
tell mon.a nosuchcommand
ping mon.a
nosuchcommand at all
"""

# Where names of things (pools, hosts, releases, checks) are keys, the key is not part of the shape.
NAMED = re.compile(
    r"\.(checks|services|always_on_modules|class_bytes|overall|mon|mgr|osd|mds|client|opts"
    r"|application_metadata|options|pool_statfs|rbd|active_change)$"
)


# What depends on the machine, on timing or on the mgr's plug-ins, none of which are Seabed's.
ELSEWHERE = re.compile(
    r"\.(available_modules|active_clients|network_ping_times)\[\]."
    r"|^\.module|^\.modules|\.stats_by_class\.|(_per_sec|_bytes_sec): "
)


def main():
    conf, pool = sys.argv[1:3]

    def run(words):
        return subprocess.run(
            ["ceph", "-c", conf, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )

    for line in JSON.strip().splitlines():
        command = line.format(pool=pool)
        done = run([*command.split(), "-f", "json"])
        print(f"## {command} -> {done.returncode}")
        try:
            for entry in sorted(shape(json.loads(done.stdout), NAMED)):
                if not ELSEWHERE.search(entry):
                    print(entry)
        except ValueError:
            print("not JSON")
    for line in PLAIN.strip().splitlines():
        command = line.format(pool=pool)
        print(f"## plain: {command} -> {run(command.split()).returncode}")


main()
