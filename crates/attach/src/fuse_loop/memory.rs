//! Memory of one device's I/O, had before the first of it and never more: what writes carry while
//! they are under way, and how much reads may ask for at once.
//!
//! Taking waits until there is some, so the kernel's queue grows, not this process. Everything is
//! given back when dropped, and every I/O ends within a declared time.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// How much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest request, in bytes.
    pub request: usize,
    /// How many of the largest requests are under way at once.
    pub large: usize,
    /// How many small ones ([`Limits::SMALL`] bytes at most) beside them.
    pub small: usize,
}

impl Limits {
    /// Bytes of a small request.
    pub const SMALL: usize = 16 << 10;

    fn bytes(&self) -> usize {
        self.large * self.request + self.small * Self::SMALL
    }
}

impl Default for Limits {
    /// 5 MiB for writes and as much for reads.
    fn default() -> Self {
        Limits { request: 512 << 10, large: 8, small: 64 }
    }
}

/// The memory of one device.
#[derive(Debug)]
pub(crate) struct Memory {
    small: Arc<Pool>,
    large: Arc<Pool>,
    reads: Arc<Gate>,
}

impl Memory {
    pub(crate) fn new(limits: &Limits) -> Self {
        let gate = Gate { free: Mutex::new(limits.bytes()), freed: Condvar::new() };
        Memory {
            small: Arc::new(Pool::new(limits.small, Limits::SMALL)),
            large: Arc::new(Pool::new(limits.large, limits.request)),
            reads: Arc::new(gate),
        }
    }

    /// A copy of `data`; waits for memory. `None` if it is larger than a request may be.
    pub(crate) fn copy(&self, data: &[u8]) -> Option<Bytes> {
        let pool = if data.len() <= Limits::SMALL { &self.small } else { &self.large };
        if data.len() > pool.each {
            return None;
        }
        let mut bytes = pool.take();
        bytes[..data.len()].copy_from_slice(data);
        let buffer = Buffer { bytes, length: data.len(), pool: Arc::clone(pool) };
        Some(Bytes::from_owner(buffer))
    }

    /// The right to read so many bytes; waits for it. `None` if no request may be so large.
    pub(crate) fn read(&self, length: usize) -> Option<ReadPermit> {
        if length > self.large.each.max(Limits::SMALL) {
            return None;
        }
        let mut free = locked(&self.reads.free);
        while *free < length {
            free = self.reads.freed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= length;
        Some(ReadPermit { length, gate: Arc::clone(&self.reads) })
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Pool {
    each: usize,
    free: Mutex<Vec<Box<[u8]>>>,
    freed: Condvar,
}

impl Pool {
    fn new(count: usize, each: usize) -> Self {
        // Not zero: the pages are to be there, not to be promised.
        let free = (0..count).map(|_| vec![0xa5; each].into_boxed_slice()).collect();
        Pool { each, free: Mutex::new(free), freed: Condvar::new() }
    }

    fn take(&self) -> Box<[u8]> {
        let mut free = locked(&self.free);
        loop {
            match free.pop() {
                Some(buffer) => return buffer,
                None => free = self.freed.wait(free).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} free of {} bytes", locked(&self.free).len(), self.each)
    }
}

/// A buffer of a pool, with what a write carries.
struct Buffer {
    bytes: Box<[u8]>,
    length: usize,
    pool: Arc<Pool>,
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        locked(&self.pool.free).push(std::mem::take(&mut self.bytes));
        self.pool.freed.notify_one();
    }
}

#[derive(Debug)]
struct Gate {
    free: Mutex<usize>,
    freed: Condvar,
}

/// The right to read, for as long as it is held.
#[derive(Debug)]
pub(crate) struct ReadPermit {
    length: usize,
    gate: Arc<Gate>,
}

impl Drop for ReadPermit {
    fn drop(&mut self) {
        *locked(&self.gate.free) += self.length;
        self.gate.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { request: 64 << 10, large: 2, small: 1 };

    #[test]
    fn what_is_taken_comes_back_when_all_of_it_is_dropped() {
        let memory = Memory::new(&LIMITS);
        let bytes = memory.copy(b"hello").unwrap();
        let part = bytes.slice(1..3);
        drop(bytes);
        assert_eq!(locked(&memory.small.free).len(), 0);
        assert_eq!(part, "el");
        drop(part);
        assert_eq!(locked(&memory.small.free).len(), 1);
        assert_eq!(memory.copy(b"again").unwrap(), "again");
    }

    #[test]
    fn who_finds_none_waits_for_it() {
        let memory = Arc::new(Memory::new(&LIMITS));
        let large = vec![7; LIMITS.request];
        let held = [memory.copy(&large).unwrap(), memory.copy(&large).unwrap()];
        let waiter = std::thread::spawn({
            let memory = Arc::clone(&memory);
            move || memory.copy(&large).unwrap().len()
        });
        // Small ones do not wait for large ones.
        assert_eq!(memory.copy(b"small").unwrap(), "small");
        drop(held);
        assert_eq!(waiter.join().unwrap(), LIMITS.request);
    }

    #[test]
    fn reads_are_bounded_in_bytes() {
        let memory = Memory::new(&LIMITS);
        let all = LIMITS.bytes();
        let first = memory.read(LIMITS.request).unwrap();
        assert_eq!(*locked(&memory.reads.free), all - LIMITS.request);
        drop(first);
        assert_eq!(*locked(&memory.reads.free), all);
    }

    #[test]
    fn nothing_larger_than_a_request() {
        let memory = Memory::new(&LIMITS);
        assert!(memory.copy(&vec![0; LIMITS.request + 1]).is_none());
        assert!(memory.read(LIMITS.request + 1).is_none());
    }
}
