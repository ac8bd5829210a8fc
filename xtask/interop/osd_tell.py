"""Tells osd.0 what administrators tell OSDs and prints, for each, the exit code and the shape of the answer:
every path in its JSON with the kind of value found there. The transcript must be the same on Seabed and on
real Ceph. Of counters, options and commands, of which real OSDs have many more, those that Seabed has too are
printed. Usage: osd_tell.py CEPH_CONF POOL
"""

import json
import subprocess
import sys
import time

from shape import shape

COUNTERS = "op_wip numpg numpg_primary numpg_replica numpg_stray numpg_removing heartbeat_to_peers".split()
COUNTERS += "stat_bytes stat_bytes_used stat_bytes_avail".split()
OPTIONS = "osd_max_write_size osd_map_message_max osd_snap_trim_sleep osd_max_pgls debug_osd".split()
COMMANDS = """
version
status
help
get_command_descriptions
perf dump
perf schema
dump_ops_in_flight
ops
dump_blocklist
config show
config diff
config get
config help
config set
config unset
injectargs
bench
pg
""".strip().splitlines()


def documents(text):
    """The JSON values that follow each other in a text."""
    decoder, found, text = json.JSONDecoder(), [], text.strip()
    while text:
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:].lstrip()
    return found


def only(names):
    """Keeps the named members of every member that is an object of many."""
    return lambda value: {
        key: {name: item[name] for name in names if name in item} if isinstance(item, dict) else item
        for key, item in value.items()
        if key in ("osd", "diff")
    }


def main():
    conf = sys.argv[1]

    def ceph(*words):
        return subprocess.run(
            ["ceph", "-c", conf, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )

    def tell(words, keep=lambda value: value, values=False, osd="0"):
        done = ceph("tell", f"osd.{osd}", *words.split(), "-f", "json")
        print(f"## {words} -> {done.returncode}")
        if done.returncode:
            return
        for value in map(keep, documents(done.stdout)):
            if values:
                print(json.dumps(value, sort_keys=True))
            else:
                print("\n".join(sorted(shape(value))))

    tell("version")
    tell("version", lambda v: {**v, "version": "x"}, values=True)
    tell("status")
    tell("status", lambda v: {"state": v["state"], "whoami": v["whoami"]}, values=True)
    tell("dump_ops_in_flight")
    tell("ops")
    ceph("osd", "blocklist", "add", "1.2.3.4:0/5", "300")
    time.sleep(2)
    tell("dump_blocklist")
    ceph("osd", "blocklist", "rm", "1.2.3.4:0/5")
    tell("perf dump", only(COUNTERS))
    tell("perf schema", only(COUNTERS))
    tell("perf dump osd numpg", only(COUNTERS))
    tell("perf dump nosuchlogger", values=True)
    kinds = lambda v: {name: v["osd"][name]["metric_type"] for name in COUNTERS if name.startswith("stat")}
    tell("perf schema", kinds, values=True)

    some = lambda v: {name: v[name] for name in ["name", "cluster", *OPTIONS]}
    tell("config show", some, values=True)
    diff = lambda v: only(OPTIONS)(v)
    tell("config diff", diff, values=True)
    ceph("config", "set", "osd", "osd_max_write_size", "80")
    ceph("config", "set", "osd.0", "osd_map_message_max", "20")
    time.sleep(2)
    tell("config diff", diff, values=True)
    tell("config get osd_max_write_size", values=True)
    tell("config set osd_max_write_size 70", lambda v: sorted(v), values=True)
    tell("config set osd_snap_trim_sleep 0.5", lambda v: sorted(v), values=True)
    tell("injectargs --debug-osd 5/5", values=True)
    tell("config diff", diff, values=True)
    # A daemon tells the manager of its options every few seconds.
    time.sleep(7)
    shown = ceph("config", "show", "osd.0", "-f", "json")
    rows = {row["name"]: row for row in json.loads(shown.stdout)}
    print("## config show osd.0")
    for name in OPTIONS:
        print(json.dumps(rows.get(name), sort_keys=True))
    for line in ceph("config", "show", "osd.0").stdout.splitlines():
        if line.split()[0] in ["NAME", *OPTIONS]:
            print(" ".join(line.split()))
    print(ceph("config", "show", "osd.0", "osd_max_write_size").stdout.strip())
    for name in OPTIONS:
        tell(f"config unset {name}", values=True)
    tell("config diff", diff, values=True)
    ceph("config", "rm", "osd", "osd_max_write_size")
    ceph("config", "rm", "osd.0", "osd_map_message_max")
    time.sleep(2)
    tell("config diff", diff, values=True)
    tell("config help osd_snap_trim_sleep")
    for refused in [
        "config get nosuch",
        "config get",
        "config set nosuch 1",
        "config set osd_max_write_size",
        "config set osd_max_write_size many",
        "config set osd_max_write_size 1",
        "config set debug_osd high",
        "config unset nosuch",
        "config help nosuch",
        "injectargs --nosuch=1",
        "injectargs --osd-max-write-size=many",
        "injectargs --debug-osd=high",
        "nosuch",
        "pg",
        "pg 99.0 query",
        "bench 1073741824 67108865",
        "bench 13000000 4096",
        "bench 4096 0",
        "bench abc",
    ]:
        tell(refused)
    for args in ["12288000 4096", "16777216 4194304", "1048576 4096 1048576 4", "10000 4096", "0 4096"]:
        tell(f"bench {args}")
        tell(f"bench {args}", lambda v: {k: v[k] for k in ("bytes_written", "blocksize")}, values=True)

    # The tools know these commands by their descriptions.
    told = json.loads(ceph("tell", "osd.0", "get_command_descriptions").stdout)
    known = {}
    for entry in told.values():
        words = []
        for word in entry["sig"]:
            if not isinstance(word, str):
                break
            words.append(word)
        known.setdefault(" ".join(words), []).append(sorted(entry))
    print("## get_command_descriptions")
    for name in COMMANDS:
        print(name, known[name][0])
    # What is no command in JSON is refused, not believed.
    for words in ["asdfasdf", "[]", "{}", '{"prefix":7}']:
        print("## raw", words, raw(conf, words))


def raw(conf, text):
    """The code that a command gets which is not what tools send."""
    import rados

    cluster = rados.Rados(conffile=conf)
    cluster.connect()
    try:
        return cluster.osd_command(0, text, b"", timeout=30)[0]
    finally:
        cluster.shutdown()


main()
