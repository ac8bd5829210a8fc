"""Says the lines of the monitor's recorded conversations (crates/mon/tests/golden/talk) to a cluster, one
after the other, and prints each with the answer: the conversations again, as this cluster has them. Two
clusters must print the same. Usage: mon_talk.py CEPH_CONF POOL; with --record instead of POOL the files are
written anew with what this cluster, a real one, says.
"""

import glob
import json
import re
import sys

import rados

# What differs from cluster to cluster, in the order in which it is looked for.
MASKS = [
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?([+-]\d{4}|Z)?"), "TIME"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "UUID"),
    (re.compile(r"127\.0\.0\.1:\d+/\d+"), "ADDR"),
    (re.compile(r"\be\d+\b"), "eNUM"),
    (re.compile(r"\bpool \d+\b"), "pool NUM"),
    (re.compile(r"\b(item id|subtree id|item) -\d+\b"), r"\1 NUM"),
    (re.compile(r"\b(pool \S+ id) \d+$", re.M), r"\1 NUM"),
    (re.compile(r"\b(class \S+ with id) \d+"), r"\1 NUM"),
    (re.compile(r'"pool_id": ?\d+'), '"pool_id":NUM'),
    (re.compile(r"\bepoch:? \d+"), "epoch NUM"),
    (re.compile(r'"(epoch|osd_up_since|osd_in_since)": ?\d+'), r'"\1":NUM'),
]


def mask(text, host):
    for pattern, word in MASKS:
        text = pattern.sub(word, text)
    return re.sub(rf"\b{re.escape(host)}\b", "HOST", text)


def in_order(prefix, text):
    """A host's OSDs stand in the order in which they booted first, which is a matter of chance."""
    if prefix != "osd crush ls":
        return text
    if text.startswith("["):
        return json.dumps(sorted(json.loads(text)), separators=(",", ":"))
    return "\n".join(sorted(text.splitlines()))


def answers(cluster, lines, host):
    for line in lines:
        if not line.startswith(("> ", "? ")):
            continue
        head, _, data = line[2:].rstrip("\n").partition(" <")
        prefix, brace, args = head.partition(" {")
        command = {"prefix": prefix, **json.loads(brace.strip() + args or "{}")}
        text = json.dumps(command).replace("HOST", host)
        data = data.replace("\\n", "\n").encode()
        code, out, status = cluster.mon_command(text, data, timeout=30)
        yield line.rstrip("\n")
        if line[0] == "?":
            yield f"= {code}"
            continue
        status = mask(status or "", host).replace("\n", "\\n")
        yield f"= {code} {status}".rstrip()
        text = in_order(prefix, out.decode("utf-8", "replace").rstrip("\n"))
        for part in mask(text, host).splitlines():
            yield "|" + part


def main():
    conf, mode = sys.argv[1:3]
    cluster = rados.Rados(conffile=conf)
    cluster.connect()
    find = json.dumps({"prefix": "osd find", "id": 0, "format": "json"})
    host = json.loads(cluster.mon_command(find, b"", timeout=30)[1])["crush_location"]["host"]
    for name in sorted(glob.glob("crates/mon/tests/golden/talk/*.txt")):
        with open(name, encoding="utf-8") as file:
            lines = file.readlines()
        had = [line + "\n" for line in answers(cluster, lines, host)]
        if mode == "--record":
            with open(name, "w", encoding="utf-8") as file:
                file.writelines(had)
        else:
            print(f"## {name}")
            sys.stdout.writelines(had)


main()
