//! An image as the kernel's requests see it: a size, a time limit, and a condition.

use std::future::Future;
use std::ops::{Deref, Range};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::BlockImage;

/// Discards and zeroes go to the image in pieces of this size, each with its own time: the kernel
/// asks for gigabytes in one request.
const PIECE: u64 = 64 << 20;

/// How an attached volume's I/O goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// As it should.
    Working,
    /// The last I/O failed.
    Failing {
        /// Why.
        reason: String,
    },
}

/// A request that the kernel is to hear `EIO` for.
#[derive(Debug)]
pub(crate) struct Failed;

#[derive(Debug)]
pub(crate) struct Volume<I> {
    pub image: I,
    pub name: String,
    pub read_only: bool,
    pub timeout: Duration,
    size: AtomicU64,
    /// Kept beside the reason so that I/O that goes well touches no lock.
    failing: AtomicBool,
    reason: Mutex<String>,
    /// I/Os that the image has answered, however.
    answered: AtomicU64,
    /// An I/O had no answer in its time, and no other had one meanwhile.
    silent: AtomicBool,
    /// Somebody tries whether it is silent still.
    probed: AtomicBool,
}

/// The right to an I/O.
pub(crate) struct Entry<I> {
    volume: Arc<Volume<I>>,
    probe: bool,
}

impl<I> Deref for Entry<I> {
    type Target = Volume<I>;

    fn deref(&self) -> &Volume<I> {
        &self.volume
    }
}

impl<I> Drop for Entry<I> {
    fn drop(&mut self) {
        if self.probe {
            self.volume.probed.store(false, Ordering::Release);
        }
    }
}

impl<I: BlockImage> Volume<I> {
    pub(crate) fn new(
        image: I,
        name: String,
        size: u64,
        read_only: bool,
        timeout: Duration,
    ) -> Self {
        Volume {
            image,
            name,
            read_only,
            timeout,
            size: AtomicU64::new(size),
            failing: AtomicBool::new(false),
            reason: Mutex::default(),
            answered: AtomicU64::new(0),
            silent: AtomicBool::new(false),
            probed: AtomicBool::new(false),
        }
    }

    /// Bytes the kernel is told of.
    pub(crate) fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    pub(crate) fn set_size(&self, size: u64) {
        self.size.store(size, Ordering::Release);
    }

    pub(crate) fn condition(&self) -> Condition {
        if !self.failing.load(Ordering::Acquire) {
            return Condition::Working;
        }
        let reason = self.reason.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Condition::Failing { reason }
    }

    /// Lets an I/O in: everybody's, and one at a time while the image is silent.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<Entry<I>> {
        let probe = self.silent.load(Ordering::Acquire);
        if probe && self.probed.swap(true, Ordering::AcqRel) {
            return None;
        }
        Some(Entry { volume: Arc::clone(self), probe })
    }

    /// All of the range, or an error.
    pub(crate) async fn read(&self, range: Range<u64>) -> Result<Bytes, Failed> {
        let length = range.end - range.start;
        let bytes = self.timed("read", self.image.read(range.start, length)).await?;
        if bytes.len() as u64 == length {
            return Ok(bytes);
        }
        Err(self.failed("read", &format!("{} bytes of {length}", bytes.len())))
    }

    pub(crate) async fn write(&self, offset: u64, data: Bytes) -> Result<(), Failed> {
        self.timed("write", self.image.write(offset, data)).await
    }

    pub(crate) async fn discard(&self, range: Range<u64>) -> Result<(), Failed> {
        for (offset, length) in pieces(range) {
            self.timed("discard", self.image.discard(offset, length)).await?;
        }
        Ok(())
    }

    pub(crate) async fn write_zeroes(&self, range: Range<u64>) -> Result<(), Failed> {
        for (offset, length) in pieces(range) {
            self.timed("write zeroes", self.image.write_zeroes(offset, length)).await?;
        }
        Ok(())
    }

    /// One that succeeds does not make a failing volume work: it may have had nothing to do.
    pub(crate) async fn flush(&self) -> Result<(), Failed> {
        match tokio::time::timeout(self.timeout, self.image.flush()).await {
            Ok(flushed) => flushed.map_err(|error| self.failed("flush", &error.to_string())),
            Err(_) => Err(self.late("flush")),
        }
    }

    async fn timed<T>(
        &self,
        what: &'static str,
        work: impl Future<Output = Result<T, I::Error>>,
    ) -> Result<T, Failed> {
        let before = self.answered.load(Ordering::Relaxed);
        let Ok(answer) = tokio::time::timeout(self.timeout, work).await else {
            if self.answered.load(Ordering::Relaxed) == before {
                self.silent.store(true, Ordering::Release);
            }
            return Err(self.late(what));
        };
        self.answered.fetch_add(1, Ordering::Relaxed);
        if self.silent.load(Ordering::Relaxed) {
            self.silent.store(false, Ordering::Release);
        }
        let value = answer.map_err(|error| self.failed(what, &error.to_string()))?;
        if self.failing.swap(false, Ordering::AcqRel) {
            tracing::info!(volume = self.name, "I/O works again");
        }
        Ok(value)
    }

    fn late(&self, what: &'static str) -> Failed {
        self.failed(what, &format!("no answer in {:?}", self.timeout))
    }

    /// Says it once, not for every I/O of an outage.
    fn failed(&self, what: &'static str, why: &str) -> Failed {
        let reason = format!("{what}: {why}");
        let was_failing = {
            let mut last = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
            last.clone_from(&reason);
            self.failing.swap(true, Ordering::AcqRel)
        };
        if !was_failing {
            tracing::warn!(volume = self.name, reason, "I/O fails");
        }
        Failed
    }
}

/// A range in parts that are not too large.
fn pieces(range: Range<u64>) -> impl Iterator<Item = (u64, u64)> {
    let Range { mut start, end } = range;
    std::iter::from_fn(move || {
        let length = (end.saturating_sub(start)).min(PIECE);
        let piece = (start, length);
        start += length;
        (length > 0).then_some(piece)
    })
}

/// What of a request lies within `size` bytes.
pub(crate) fn clipped(offset: u64, length: u64, size: u64) -> Range<u64> {
    let start = offset.min(size);
    start..offset.saturating_add(length).min(size)
}

/// The request, if all of it lies within `size` bytes.
pub(crate) fn within(offset: u64, length: u64, size: u64) -> Option<Range<u64>> {
    let end = offset.checked_add(length)?;
    (end <= size).then_some(offset..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        assert_eq!(clipped(0, 10, 10), 0..10);
        assert_eq!(clipped(8, 10, 10), 8..10);
        assert_eq!(clipped(11, 10, 10), 10..10);
        assert_eq!(clipped(5, u64::MAX, 10), 5..10);
        assert_eq!(within(0, 10, 10), Some(0..10));
        assert_eq!(within(1, 10, 10), None);
        assert_eq!(within(1, u64::MAX, 10), None);
    }

    #[test]
    fn pieces_cover_a_range_once() {
        assert_eq!(pieces(5..5).count(), 0);
        assert_eq!(pieces(5..6).collect::<Vec<_>>(), [(5, 1)]);
        let all: Vec<_> = pieces(1..2 * PIECE + 2).collect();
        assert_eq!(all, [(1, PIECE), (1 + PIECE, PIECE), (1 + 2 * PIECE, 1)]);
    }

    #[derive(Debug)]
    enum Behaviour {
        Short,
        Never,
        Fails,
        Works,
    }

    impl BlockImage for Mutex<Behaviour> {
        type Error = std::io::Error;

        async fn size(&self) -> Result<u64, Self::Error> {
            Ok(4096)
        }

        async fn read(&self, _: u64, length: u64) -> Result<Bytes, Self::Error> {
            let length = match *self.lock().unwrap() {
                Behaviour::Short => length - 1,
                Behaviour::Fails => return Err(std::io::Error::other("blocklisted")),
                Behaviour::Works => length,
                Behaviour::Never => u64::MAX,
            };
            if length == u64::MAX {
                std::future::pending::<()>().await;
            }
            Ok(vec![0; length as usize].into())
        }

        async fn write(&self, _: u64, _: Bytes) -> Result<(), Self::Error> {
            self.read(0, 1).await.map(drop)
        }

        async fn discard(&self, _: u64, _: u64) -> Result<(), Self::Error> {
            self.read(0, 1).await.map(drop)
        }

        async fn write_zeroes(&self, _: u64, _: u64) -> Result<(), Self::Error> {
            self.read(0, 1).await.map(drop)
        }

        async fn flush(&self) -> Result<(), Self::Error> {
            self.read(0, 1).await.map(drop)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn short_late_and_failed_answers_are_errors_and_are_remembered_until_one_works() {
        let timeout = Duration::from_secs(120);
        let image = Mutex::new(Behaviour::Short);
        let volume = Volume::new(image, "v".into(), 4096, false, timeout);
        let failing = |reason: &str| Condition::Failing { reason: reason.into() };
        assert_eq!(volume.condition(), Condition::Working);

        volume.read(0..512).await.unwrap_err();
        assert_eq!(volume.condition(), failing("read: 511 bytes of 512"));

        *volume.image.lock().unwrap() = Behaviour::Never;
        let begun = tokio::time::Instant::now();
        volume.flush().await.unwrap_err();
        assert_eq!(begun.elapsed().as_secs(), timeout.as_secs());
        assert_eq!(volume.condition(), failing("flush: no answer in 120s"));

        *volume.image.lock().unwrap() = Behaviour::Fails;
        volume.write(0, Bytes::from_static(b"x")).await.unwrap_err();
        assert_eq!(volume.condition(), failing("write: blocklisted"));
        volume.discard(0..512).await.unwrap_err();
        volume.write_zeroes(0..512).await.unwrap_err();

        *volume.image.lock().unwrap() = Behaviour::Works;
        volume.flush().await.unwrap();
        assert_eq!(volume.condition(), failing("write zeroes: blocklisted"));
        assert_eq!(volume.read(0..512).await.unwrap().len(), 512);
        assert_eq!(volume.condition(), Condition::Working);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_image_is_tried_by_one_at_a_time() {
        let image = Mutex::new(Behaviour::Never);
        let volume = Volume::new(image, "v".into(), 4096, false, Duration::from_secs(120));
        let volume = Arc::new(volume);
        let let_in = || (volume.enter(), volume.enter());
        // One that is late while others are answered is no silence.
        let (late, answered) = tokio::join!(volume.read(0..512), async {
            *volume.image.lock().unwrap() = Behaviour::Fails;
            volume.read(0..512).await
        });
        assert!(late.is_err() && answered.is_err());
        assert!(matches!(let_in(), (Some(_), Some(_))));

        *volume.image.lock().unwrap() = Behaviour::Never;
        volume.read(0..512).await.unwrap_err();
        let first = volume.enter().unwrap();
        assert!(volume.enter().is_none());
        first.read(0..512).await.unwrap_err();
        drop(first);
        assert!(matches!(let_in(), (Some(_), None)));

        // A flush that has nothing to do is no answer.
        *volume.image.lock().unwrap() = Behaviour::Works;
        volume.flush().await.unwrap();
        assert!(matches!(let_in(), (Some(_), None)));
        volume.enter().unwrap().read(0..512).await.unwrap();
        assert!(matches!(let_in(), (Some(_), Some(_))));
    }
}
