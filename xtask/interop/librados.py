"""Drives python3-rados (Debian's) through the operations of a replicated pool and prints a
transcript that must be the same on Seabed and on real Ceph. Usage: librados.py CEPH_CONF POOL
"""

import hashlib
import sys

import rados


def attempt(label, action):
    """Runs one operation and prints its result, or the kind and number of its error."""
    try:
        value = action()
    except rados.Error as error:
        print(f"{label}: {type(error).__name__} {getattr(error, 'errno', '')}")
        return None
    except Exception as error:  # a wrong type out of the binding is an answer too
        print(f"{label}: {type(error).__name__}")
        return None
    print(f"{label}: {value!r}")
    return value


def objects(io):
    return sorted((o.nspace, o.key) for o in io.list_objects())


def plain(io):
    attempt("write_full", lambda: io.write_full("a", b"hello"))
    attempt("read", lambda: io.read("a"))
    attempt("write at", lambda: io.write("a", b"XYZ", 3))
    attempt("read after", lambda: io.read("a"))
    attempt("read part", lambda: io.read("a", 3, 2))
    attempt("read past the end", lambda: io.read("a", 10, 100))
    attempt("write with a hole", lambda: io.write("a", b"end", 100000))
    attempt("size", lambda: io.stat("a")[0])
    data = attempt("hash", lambda: hashlib.sha256(io.read("a", 200000)).hexdigest())
    assert data
    attempt("append", lambda: io.append("a", b"tail"))
    attempt("size", lambda: io.stat("a")[0])
    attempt("trunc", lambda: io.trunc("a", 4))
    attempt("read", lambda: io.read("a"))
    attempt("cmpext same", lambda: io.cmpext("a", b"hel", 0))
    attempt("cmpext differs", lambda: io.cmpext("a", b"heX", 0))
    attempt("writesame", lambda: io.writesame("a", b"ab", 10, 2))
    attempt("read", lambda: io.read("a"))
    attempt("writesame, not a multiple", lambda: io.writesame("a", b"abc", 10, 0))
    attempt("read missing", lambda: io.read("missing"))
    attempt("stat missing", lambda: io.stat("missing"))
    attempt("remove missing", lambda: io.remove_object("missing"))
    attempt("empty write_full", lambda: io.write_full("e", b""))
    attempt("read empty", lambda: io.read("e"))
    attempt("list", lambda: objects(io))


def xattrs(io):
    attempt("set", lambda: io.set_xattr("a", "k", b"v"))
    attempt("set binary", lambda: io.set_xattr("a", "bin", bytes(range(256))))
    attempt("set empty", lambda: io.set_xattr("a", "empty", b""))
    attempt("get", lambda: io.get_xattr("a", "k"))
    attempt("get binary", lambda: io.get_xattr("a", "bin"))
    attempt("get missing", lambda: io.get_xattr("a", "none"))
    attempt("list", lambda: sorted(io.get_xattrs("a")))
    attempt("rm", lambda: io.rm_xattr("a", "k"))
    attempt("rm missing", lambda: io.rm_xattr("a", "k"))
    attempt("on a missing object", lambda: io.get_xattr("missing", "k"))
    attempt("long name", lambda: io.set_xattr("a", "n" * 300, b"v"))
    attempt("large value", lambda: io.set_xattr("a", "large", b"v" * 70000))
    attempt("value at the limit", lambda: io.set_xattr("a", "limit", b"v" * 65536))


def compound(io):
    with rados.WriteOpCtx() as op:
        op.new(rados.LIBRADOS_CREATE_EXCLUSIVE)
        op.write_full(b"compound")
        io.set_omap(op, ("k1", "k2", "k3"), (b"v1", b"v2", b"v3"))
        attempt("create exclusively", lambda: io.operate_write_op(op, "c"))
        attempt("again", lambda: io.operate_write_op(op, "c"))
    with rados.WriteOpCtx() as op:
        op.append(b"+")
        # The binding of 16.2 hands its two arguments over in the wrong order: equal ones are safe.
        op.zero(3, 3)
        op.truncate(20)
        op.set_xattr("x", b"y")
        attempt("append, zero, truncate", lambda: io.operate_write_op(op, "c"))
    attempt("read", lambda: io.read("c"))
    with rados.WriteOpCtx() as op:
        op.write(b"not seen", 0)
        op.cmpext(b"will not match", 0)
        attempt("a failing part undoes all", lambda: io.operate_write_op(op, "c"))
    attempt("read", lambda: io.read("c"))
    with rados.WriteOpCtx() as op:
        op.remove()
        attempt("remove", lambda: io.operate_write_op(op, "c2"))
    with rados.WriteOpCtx() as op:
        op.new(0)
        attempt("create", lambda: io.operate_write_op(op, "c2"))
    version = io.get_last_version()
    with rados.WriteOpCtx() as op:
        op.write_full(b"1")
        attempt("write", lambda: io.operate_write_op(op, "c2"))
    print("versions go up:", io.get_last_version() > version)


def omap(io):
    with rados.ReadOpCtx() as op:
        it, _ = io.get_omap_vals(op, "", "", 10)
        attempt("omap vals", lambda: io.operate_read_op(op, "c"))
        print(list(it))
    with rados.ReadOpCtx() as op:
        it, _ = io.get_omap_vals(op, "k1", "", 1)
        attempt("after k1, one", lambda: io.operate_read_op(op, "c"))
        print(list(it))
    with rados.ReadOpCtx() as op:
        it, _ = io.get_omap_vals(op, "", "k2", 10)
        attempt("prefix", lambda: io.operate_read_op(op, "c"))
        print(list(it))
    with rados.ReadOpCtx() as op:
        it, _ = io.get_omap_keys(op, "", 10)
        attempt("keys", lambda: io.operate_read_op(op, "c"))
        print([k for k, _ in it])
    with rados.ReadOpCtx() as op:
        it, _ = io.get_omap_vals_by_keys(op, ("k1", "nope", "k3"))
        attempt("by keys", lambda: io.operate_read_op(op, "c"))
        print(list(it))
    with rados.WriteOpCtx() as op:
        io.remove_omap_keys(op, ("k1", "nope"))
        attempt("rm keys", lambda: io.operate_write_op(op, "c"))
    with rados.WriteOpCtx() as op:
        io.set_omap(op, tuple(f"n{i:04}" for i in range(3000)), tuple(b"z" for _ in range(3000)))
        attempt("3000 keys", lambda: io.operate_write_op(op, "c"))
    with rados.ReadOpCtx() as op:
        it, _ = io.get_omap_vals(op, "", "n", 5000)
        attempt("more than the limit", lambda: io.operate_read_op(op, "c"))
        print(len(list(it)))
    with rados.WriteOpCtx() as op:
        io.remove_omap_range2(op, "n0010", "n2990")
        attempt("rm range", lambda: io.operate_write_op(op, "c"))
    with rados.ReadOpCtx() as op:
        it, _ = io.get_omap_vals(op, "", "", 5000)
        attempt("what is left", lambda: io.operate_read_op(op, "c"))
        print([k for k, _ in it])
    with rados.WriteOpCtx() as op:
        io.clear_omap(op)
        attempt("clear", lambda: io.operate_write_op(op, "c"))
    with rados.ReadOpCtx() as op:
        it, _ = io.get_omap_vals(op, "", "", 10)
        attempt("nothing left", lambda: io.operate_read_op(op, "c"))
        print(list(it))
    with rados.ReadOpCtx() as op:
        it, _ = io.get_omap_vals(op, "", "", 10)
        attempt("of a missing object", lambda: io.operate_read_op(op, "missing"))


def namespaces(io):
    io.set_namespace("one")
    attempt("write in one", lambda: io.write_full("inside", b"1"))
    attempt("list one", lambda: objects(io))
    io.set_namespace("")
    attempt("not outside", lambda: io.read("inside"))
    io.set_namespace(rados.LIBRADOS_ALL_NSPACES)
    attempt("list all", lambda: objects(io))
    io.set_namespace("one")
    attempt("remove", lambda: io.remove_object("inside"))
    io.set_namespace("")
    io.set_locator_key("key")
    attempt("locator write", lambda: io.write_full("located", b"l"))
    attempt("locator read", lambda: io.read("located"))
    io.set_locator_key("")
    attempt("without", lambda: io.read("located"))
    io.set_locator_key("key")
    attempt("locator remove", lambda: io.remove_object("located"))
    io.set_locator_key("")


def asynchronous(io):
    done = [io.aio_write_full(f"aio{i}", b"%d" % i * 1000) for i in range(200)]
    for completion in done:
        completion.wait_for_complete()
    print("aio results:", {c.get_return_value() for c in done})
    got = {}

    def keep(_, data, name):
        got[name] = data

    reads = [
        io.aio_read(f"aio{i}", 4000, 0, lambda c, d, i=i: keep(c, d, i)) for i in range(200)
    ]
    for completion in reads:
        completion.wait_for_complete_and_cb()
    print("aio reads right:", all(got[i] == b"%d" % i * 1000 for i in range(200)))
    print("listed:", len([o for o in io.list_objects() if o.key.startswith("aio")]))
    done = [io.aio_remove(f"aio{i}") for i in range(200)]
    for completion in done:
        completion.wait_for_complete()
    print("aio removes:", {c.get_return_value() for c in done})


def cluster_level(cluster, pool):
    attempt("pool exists", lambda: cluster.pool_exists(pool))
    attempt("no such pool", lambda: cluster.pool_exists("nope"))
    attempt("open no such pool", lambda: cluster.open_ioctx("nope"))
    attempt("create pool", lambda: cluster.create_pool("python-made"))
    attempt("create pool again", lambda: cluster.create_pool("python-made"))
    attempt("it is there", lambda: "python-made" in cluster.list_pools())
    with cluster.open_ioctx("python-made") as io:
        attempt("write", lambda: io.write_full("x", b"y"))
        attempt("read", lambda: io.read("x"))
    attempt("delete pool", lambda: cluster.delete_pool("python-made"))
    attempt("gone", lambda: cluster.pool_exists("python-made"))
    print("stats:", sorted(cluster.get_cluster_stats()))
    print("fsid length:", len(cluster.get_fsid()))
    code, _, text = cluster.mon_command('{"prefix": "no such command"}', b"")
    print("unknown command:", code, text != "")
    code, _, _ = cluster.mon_command("not json", b"")
    print("not json:", code)


def main():
    conf, pool = sys.argv[1:3]
    with rados.Rados(conffile=conf) as cluster:
        cluster_level(cluster, pool)
        with cluster.open_ioctx(pool) as io:
            for part in (plain, xattrs, compound, omap, namespaces, asynchronous):
                print(f"# {part.__name__}")
                part(io)
            print("pool stats:", sorted(io.get_stats()))
            for o in list(io.list_objects()):
                io.remove_object(o.key)
            print("left:", objects(io))


main()
