//! The port's promises on a real file, by ring and by threads.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use seabed_storage::{BlockDevice, Io, IoId};
use seabed_uring::{Device, Wake, create, open, open_waking};

const BLOCK: usize = 4096;

/// A folder on the disk that holds the build, where O_DIRECT works as on the real thing.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn ring(path: &Path) -> Box<dyn BlockDevice> {
    let device = open(path, Arc::new(|| {})).unwrap();
    assert!(matches!(device, Device::Ring(_)), "this kernel has io_uring");
    device.into_port()
}

fn finish(device: &mut dyn BlockDevice, mut waiting: BTreeSet<IoId>) {
    while !waiting.is_empty() {
        for done in device.poll() {
            done.result.unwrap();
            assert!(waiting.remove(&done.id));
        }
        std::thread::yield_now();
    }
}

#[test]
fn writes_flush_and_read_back() {
    let dir = folder();
    let path = dir.path().join("device");
    create(&path, 64 << 20, false).unwrap();
    let mut device = ring(&path);
    assert_eq!(device.size(), 64 << 20);
    let mut waiting = BTreeSet::new();
    for i in 0..1000u64 {
        let data = vec![Bytes::from(vec![i as u8; BLOCK]), Bytes::from(vec![!(i as u8); BLOCK])];
        let io = Io::Write { offset: i * 2 * BLOCK as u64, data };
        waiting.insert(device.submit(io).unwrap());
        // A read in the middle must not lose anybody's completion.
        if i % 100 == 0 {
            device.read(60 << 20, BLOCK as u64).unwrap();
        }
    }
    finish(&mut *device, waiting);
    let flush = device.submit(Io::Flush).unwrap();
    finish(&mut *device, BTreeSet::from([flush]));
    drop(device);
    let device = ring(&path);
    let ranges: Vec<(u64, u64)> =
        (0..1000).map(|i| (i * 2 * BLOCK as u64, 2 * BLOCK as u64)).collect();
    for (i, bytes) in device.read_many(&ranges).unwrap().iter().enumerate() {
        assert!(bytes[..BLOCK].iter().all(|b| *b == i as u8));
        assert!(bytes[BLOCK..].iter().all(|b| *b == !(i as u8)));
    }
}

#[test]
fn one_owner_and_no_second_creation() {
    let dir = folder();
    let path = dir.path().join("device");
    create(&path, 1 << 20, true).unwrap();
    assert!(create(&path, 1 << 20, true).is_err());
    let held = ring(&path);
    let error = open(&path, Arc::new(|| {})).unwrap_err();
    assert!(error.reason.contains("another process"), "{error}");
    drop(held);
    ring(&path);
}

#[test]
fn too_large_a_device_is_refused_and_leaves_nothing() {
    let dir = folder();
    let path = dir.path().join("device");
    let error = create(&path, 1 << 50, false).unwrap_err();
    assert!(!path.exists(), "{error}");
}

/// One descriptor for the device and whoever else has news, waited for as an event loop does.
#[test]
fn one_descriptor_wakes_for_everything() {
    let dir = folder();
    let path = dir.path().join("device");
    create(&path, 8 << 20, false).unwrap();
    let wake = Wake::new().unwrap();
    let mut device = open_waking(&path, &wake).unwrap();
    let readable = |wake: &Wake, seconds| {
        let mut fds = [PollFd::new(wake, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: seconds, tv_nsec: 0 })).unwrap() == 1
    };
    assert!(!readable(&wake, 0));
    let mut waiting = BTreeSet::new();
    for i in 0..300u64 {
        let data = vec![Bytes::from(vec![1; BLOCK])];
        waiting.insert(device.submit(Io::Write { offset: i * BLOCK as u64, data }).unwrap());
    }
    while !waiting.is_empty() {
        assert!(readable(&wake, 10), "no news of {} writes", waiting.len());
        wake.clear();
        for done in device.poll() {
            done.result.unwrap();
            waiting.remove(&done.id);
        }
    }
    wake.clear();
    wake.waker()();
    assert!(readable(&wake, 0));
    let flush = device.submit(Io::Flush).unwrap();
    device.wait();
    assert_eq!(device.poll().pop().unwrap().id, flush);
    // Nothing under way: returns at once.
    device.wait();
}
