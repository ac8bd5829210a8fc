"""Drives python3-rbd (Debian's) through what a volume manager asks of librbd and prints a transcript
that must be the same on Seabed and on real Ceph. Usage: librbd.py CEPH_CONF POOL
"""

import datetime
import hashlib
import sys
import threading

import rados
import rbd

MIB = 1 << 20


def attempt(label, action):
    """Runs one operation and prints its result, or the kind and number of its error."""
    try:
        value = action()
    except (rbd.Error, rados.Error) as error:
        print(f"{label}: {type(error).__name__} {getattr(error, 'errno', '')}")
        return None
    except Exception as error:  # a wrong key or type out of the binding is an answer too
        print(f"{label}: {type(error).__name__}")
        return None
    print(f"{label}: {value!r}")
    return value


def digest(image):
    return hashlib.sha256(image.read(0, image.size())).hexdigest()


def wait(label, start):
    """Starts an asynchronous call with a completion and waits for its end."""
    done = threading.Event()
    completion = start(lambda *_: done.set())
    completion.wait_for_complete_and_cb()
    done.wait(30)
    attempt(label, completion.get_return_value)


def extents(image, since, whole=False):
    found = []
    image.diff_iterate(0, image.size(), since, lambda *e: found.append(e), True, whole)
    return found


def data(io, api):
    api.create(io, "py", 16 * MIB, order=20)
    with rbd.Image(io, "py") as image:
        attempt("write", lambda: image.write(b"a" * 100000, 4000))
        attempt("write at the end", lambda: image.write(b"b" * 512, 16 * MIB - 512))
        attempt("write past the end", lambda: image.write(b"c" * 512, 16 * MIB))
        attempt("read", lambda: image.read(3998, 6))
        attempt("read past the end", lambda: image.read(16 * MIB, 6))
        attempt("discard", lambda: image.discard(65536, 131072))
        attempt("read it", lambda: image.read(65534, 4))
        attempt("write zeroes", lambda: image.write_zeroes(2 * MIB, MIB))
        attempt("thick zeroes", lambda: image.write_zeroes(3 * MIB, MIB, 1))
        attempt("flush", image.flush)
        wait("aio write", lambda cb: image.aio_write(b"d" * MIB, 6 * MIB + 100, cb))
        wait("aio discard", lambda cb: image.aio_discard(6 * MIB, 65536, cb))
        wait("aio write zeroes", lambda cb: image.aio_write_zeroes(7 * MIB, 50, cb))
        wait("aio flush", image.aio_flush)
        got = {}
        wait("aio read", lambda cb: image.aio_read(6 * MIB + 65000, 1000, lambda _, d: (got.update(d=d), cb())))
        print("aio read right:", got["d"] == bytes(536) + b"d" * 464)
        attempt("digest", lambda: digest(image))
        attempt("extents", lambda: extents(image, None))
        attempt("whole objects", lambda: extents(image, None, True))
        attempt("stat", lambda: {k: v for k, v in image.stat().items() if "block" not in k and k != "parent_pool"})
        attempt("features", image.features)
        attempt("op features", image.op_features)
        attempt("flags", image.flags)
        attempt("old format", image.old_format)
        attempt("stripe", lambda: (image.stripe_unit(), image.stripe_count()))
        # UTC in every release; the newer ones say so.
        created = image.create_timestamp().replace(tzinfo=datetime.timezone.utc)
        print("dated today:", (datetime.datetime.now(datetime.timezone.utc) - created).days == 0)
        attempt("name", image.get_name)
        attempt("resize", lambda: image.resize(8 * MIB))
        attempt("no shrinking", lambda: image.resize(4 * MIB, False))
        attempt("digest", lambda: digest(image))
        attempt("invalidate", image.invalidate_cache)
        attempt("rebuild", lambda: image.rebuild_object_map())
        attempt("sparsify", lambda: image.sparsify(4096))
    with rbd.Image(io, "py", read_only=True) as image:
        attempt("write, read only", lambda: image.write(b"x", 0))
        attempt("resize, read only", lambda: image.resize(MIB))
    attempt("open missing", lambda: rbd.Image(io, "missing"))
    attempt("open missing snapshot", lambda: rbd.Image(io, "py", "missing"))


def metadata(io, _):
    with rbd.Image(io, "py") as image:
        attempt("none", lambda: image.metadata_get("k"))
        attempt("set", lambda: image.metadata_set("k", "v"))
        attempt("set empty", lambda: image.metadata_set("empty", ""))
        attempt("get", lambda: image.metadata_get("k"))
        for i in range(100):
            image.metadata_set(f"many{i:03}", "x" * i)
        attempt("count", lambda: len(list(image.metadata_list())))
        attempt("sum", lambda: sum(len(v) for _, v in image.metadata_list()))
        attempt("remove", lambda: image.metadata_remove("k"))
        attempt("again", lambda: image.metadata_remove("k"))


def snapshots(io, api):
    with rbd.Image(io, "py") as image:
        before = digest(image)
        attempt("create", lambda: image.create_snap("one"))
        attempt("exists", lambda: image.create_snap("one"))
        image.write(b"new" * 1000, 5 * MIB)
        attempt("create", lambda: image.create_snap("two"))
        attempt("list", lambda: [(s["name"], s["size"], s["namespace"]) for s in image.list_snaps()])
        attempt("diff", lambda: extents(image, "one"))
        attempt("protect", lambda: image.protect_snap("one"))
        attempt("is protected", lambda: image.is_protected_snap("one"))
        attempt("remove protected", lambda: image.remove_snap("one"))
        attempt("rename", lambda: image.rename_snap("two", "drei"))
        attempt("set limit", lambda: image.set_snap_limit(2))
        attempt("limit", image.get_snap_limit)
        attempt("over the limit", lambda: image.create_snap("three"))
        attempt("no limit", lambda: image.remove_snap_limit())
        attempt("id to name", lambda: image.snap_get_name(image.snap_get_id("drei")))
        attempt("id of none", lambda: image.snap_get_id("none"))
        attempt("exists one", lambda: image.snap_exists("one"))
        with rbd.Image(io, "py", "one") as old:
            print("snapshot is what was:", digest(old) == before)
        attempt("rollback", lambda: image.rollback_to_snap("one"))
        print("rolled back:", digest(image) == before)
        image.set_snap("drei")
        attempt("read at", lambda: image.read(5 * MIB, 6))
        attempt("write at", lambda: image.write(b"x", 0))
        image.set_snap(None)
        attempt("clone", lambda: api.clone(io, "py", "one", io, "pyclone"))
        attempt("children", lambda: image.list_children())
        attempt("descendants", lambda: [d["image"] for d in image.list_descendants()])
        attempt("unprotect", lambda: image.unprotect_snap("one"))
    with rbd.Image(io, "pyclone") as child:
        attempt("parent", child.parent_info)
        attempt("overlap", child.overlap)
        print("clone is parent:", digest(child) == before)
        child.write(b"child", MIB)
        child.create_snap("own")
        attempt("flatten", child.flatten)
        attempt("parent", child.parent_info)
        attempt("digest", lambda: digest(child))
        attempt("deep copy", lambda: child.deep_copy(io, "pydeep"))
        attempt("remove", lambda: child.remove_snap("own"))
    with rbd.Image(io, "pydeep") as deep:
        attempt("digest", lambda: digest(deep))
        attempt("purge", lambda: deep.remove_snap2("own", rbd.RBD_SNAP_REMOVE_FORCE))
    with rbd.Image(io, "py") as image:
        attempt("remove with snapshots", lambda: api.remove(io, "py"))
        attempt("unprotect", lambda: image.unprotect_snap("one"))
        for snap in ("one", "drei"):
            attempt("remove", lambda s=snap: image.remove_snap(s))
    for name in ("pyclone", "pydeep"):
        attempt("remove image", lambda n=name: api.remove(io, n))


def broken_lock(image):
    """Another client holds the lock; it is taken from it, and the client is blocklisted."""
    conf, pool = sys.argv[1:3]
    victim = rados.Rados(conffile=conf)
    victim.connect()
    with victim.open_ioctx(pool) as io:
        held = rbd.Image(io, "py")
        attempt("victim acquires", lambda: held.lock_acquire(rbd.RBD_LOCK_MODE_EXCLUSIVE))
        owner = next(iter(image.lock_get_owners()))["owner"]
        attempt("break nobody's", lambda: image.lock_break(rbd.RBD_LOCK_MODE_EXCLUSIVE, "client.1"))
        attempt("break", lambda: image.lock_break(rbd.RBD_LOCK_MODE_EXCLUSIVE, owner))
        attempt("victim writes", lambda: held.write(b"late", 0))
        attempt("victim writes an object", lambda: io.write_full("late", b"late"))
        attempt("acquire", lambda: image.lock_acquire(rbd.RBD_LOCK_MODE_EXCLUSIVE))
        attempt("release", image.lock_release)
        held.close()


def locks(io, _):
    with rbd.Image(io, "py") as image:
        attempt("lock", lambda: image.lock_exclusive("cookie"))
        attempt("again", lambda: image.lock_exclusive("cookie"))
        attempt("shared", lambda: image.lock_shared("c2", "tag"))
        attempt("lockers", lambda: [(x[1]) for x in image.list_lockers()["lockers"]])
        attempt("unlock another", lambda: image.unlock("nope"))
        attempt("unlock", lambda: image.unlock("cookie"))
        attempt("none", lambda: image.list_lockers())
        attempt("owner", image.is_exclusive_lock_owner)
        attempt("acquire", lambda: image.lock_acquire(rbd.RBD_LOCK_MODE_EXCLUSIVE))
        attempt("owner", image.is_exclusive_lock_owner)
        attempt("owners", lambda: [o["mode"] for o in image.lock_get_owners()])
        attempt("watchers", lambda: len(list(image.watchers_list())))
        with rbd.Image(io, "py") as other:
            attempt("other is owner", other.is_exclusive_lock_owner)
            attempt("other acquires", lambda: other.lock_acquire(rbd.RBD_LOCK_MODE_EXCLUSIVE))
            attempt("watchers", lambda: len(list(other.watchers_list())))
            attempt("other creates a snapshot", lambda: other.create_snap("asked"))
            attempt("other sees it", lambda: [s["name"] for s in other.list_snaps()])
            attempt("other resizes", lambda: other.resize(12 * MIB))
            attempt("first sees it", image.size)
            attempt("first removes it", lambda: image.remove_snap("asked"))
        attempt("release", image.lock_release)
        attempt("owner", image.is_exclusive_lock_owner)
        broken_lock(image)
        for feature in (rbd.RBD_FEATURE_FAST_DIFF, rbd.RBD_FEATURE_OBJECT_MAP):
            attempt("disable", lambda f=feature: image.update_features(f, False))
        attempt("features", image.features)
        attempt(
            "enable",
            lambda: image.update_features(rbd.RBD_FEATURE_OBJECT_MAP | rbd.RBD_FEATURE_FAST_DIFF, True),
        )
        attempt("features", image.features)


def lists(io, api):
    attempt("list", lambda: api.list(io))
    attempt("with ids", lambda: [i["name"] for i in api.list2(io)])
    for i in range(40):
        api.create(io, f"many{i:02}", MIB)
    attempt("count", lambda: len(api.list(io)))
    attempt("rename", lambda: api.rename(io, "many00", "first"))
    attempt("rename onto", lambda: api.rename(io, "many01", "many02"))
    attempt("to trash", lambda: api.trash_move(io, "first", 0))
    kept = attempt("in trash", lambda: [t["name"] for t in api.trash_list(io)])
    attempt("kept", lambda: len(kept))
    trashed = next(iter(api.trash_list(io)))["id"]
    attempt("restore", lambda: api.trash_restore(io, trashed, "many00"))
    attempt("to trash", lambda: api.trash_move(io, "many00", 0))
    attempt("remove", lambda: api.trash_remove(io, trashed))
    attempt("trash", lambda: list(api.trash_list(io)))
    for i in range(1, 40):
        api.remove(io, f"many{i:02}")
    attempt("list", lambda: api.list(io))
    attempt("group", lambda: api.group_create(io, "pygroup"))
    group = rbd.Group(io, "pygroup")
    attempt("add", lambda: group.add_image(io, "py"))
    attempt("images", lambda: [i["name"] for i in group.list_images()])
    attempt("snapshot", lambda: group.create_snap("s"))
    attempt("snapshots", lambda: [s["name"] for s in group.list_snaps()])
    attempt("remove snapshot", lambda: group.remove_snap("s"))
    attempt("remove image", lambda: group.remove_image(io, "py"))
    attempt("groups", lambda: api.group_list(io))
    attempt("remove", lambda: api.group_remove(io, "pygroup"))
    attempt("namespace", lambda: api.namespace_create(io, "pyns"))
    attempt("namespaces", lambda: api.namespace_list(io))
    attempt("exists", lambda: api.namespace_exists(io, "pyns"))
    io.set_namespace("pyns")
    attempt("create inside", lambda: api.create(io, "inside", MIB))
    attempt("list inside", lambda: api.list(io))
    attempt("remove inside", lambda: api.remove(io, "inside"))
    io.set_namespace("")
    attempt("remove namespace", lambda: api.namespace_remove(io, "pyns"))
    attempt("migrate", lambda: api.migration_prepare(io, "py", io, "moved"))
    attempt("status", lambda: api.migration_status(io, "moved")["state"])
    attempt("execute", lambda: api.migration_execute(io, "moved"))
    attempt("commit", lambda: api.migration_commit(io, "moved"))
    attempt("list", lambda: api.list(io))
    attempt("mirror mode", lambda: api.mirror_mode_get(io))
    attempt("pool metadata", lambda: api.pool_metadata_set(io, "k", "v"))
    attempt("pool metadata", lambda: list(api.pool_metadata_list(io)))
    attempt("pool metadata", lambda: api.pool_metadata_remove(io, "k"))
    attempt("pool stats", lambda: api.pool_stats_get(io))
    attempt("features to string", lambda: api.features_to_string(61))
    attempt("remove", lambda: api.remove(io, "moved"))
    attempt("remove again", lambda: api.remove(io, "moved"))


def main():
    conf, pool = sys.argv[1:3]
    with rados.Rados(conffile=conf) as cluster, cluster.open_ioctx(pool) as io:
        api = rbd.RBD()
        for part in (data, metadata, snapshots, locks, lists):
            print(f"# {part.__name__}")
            part(io, api)


main()
