"""Writes known data without pause while others kill OSDs, and prints, as JSON, what was acknowledged: name,
length and sha256 of the newest acknowledged content. Every write must be acknowledged in the end;
a refused one ends the program with an error. Usage: writer.py CEPH_CONF POOL SECONDS PREFIX
"""

import hashlib
import json
import random
import sys
import time

import rados

IN_FLIGHT = 16
OBJECTS = 400


def content(name, version):
    source = random.Random(f"{name}/{version}")
    return source.randbytes(source.choice([1, 100, 4096, 5000, 65536, 300000]))


def main():
    conf, pool, seconds, prefix = sys.argv[1:5]
    newest = {}
    with rados.Rados(conffile=conf) as cluster, cluster.open_ioctx(pool) as io:
        end = time.monotonic() + float(seconds)
        version = 0
        flying = {}
        while time.monotonic() < end or flying:
            while len(flying) < IN_FLIGHT and time.monotonic() < end:
                version += 1
                name = f"{prefix}{version % OBJECTS}"
                if name in flying:
                    break
                data = content(name, version)
                flying[name] = (io.aio_write_full(name, data), data)
            name = next(iter(flying))
            completion, data = flying.pop(name)
            completion.wait_for_complete()
            code = completion.get_return_value()
            if code != 0:
                sys.exit(f"write of {name} was refused: {code}")
            newest[name] = data
        wrong = [n for n, d in newest.items() if io.read(n, len(d) + 1) != d]
        if wrong:
            sys.exit(f"read back wrong: {wrong}")
    for name, data in sorted(newest.items()):
        print(json.dumps({"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}))


main()
