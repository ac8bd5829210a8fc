//! Deep copies: an image with its snapshots, all of its own.

use seabed_denc::Bytes;

use crate::image::Image;
use crate::parallel::in_parallel;
use crate::remove::Progress;
use crate::{Access, CreateOptions, Extent, Images, RbdError, Snapshot, SnapshotNamespace};

/// Bytes copied at a time.
const PIECE: u64 = 4 << 20;

impl Image {
    /// Makes an image that has the same bytes, in the head and in every snapshot of users; it
    /// shares nothing with this one, nor with its parent. The head is copied as it is while it is
    /// read: who wants one moment of it copies a snapshot. One that fails is removed again.
    ///
    /// `options` says what the copy is to be; its size is this image's.
    ///
    /// Errors: [`RbdError::Exists`].
    pub async fn copy(
        &self,
        images: &Images,
        name: &str,
        options: &CreateOptions,
        progress: Progress<'_>,
    ) -> Result<(), RbdError> {
        let header = self.inner.refresh().await?;
        let users = |s: &&Snapshot| {
            let before = self.inner.snap.is_none_or(|at| s.id < at);
            before && s.namespace == SnapshotNamespace::User
        };
        let snapshots: Vec<Snapshot> =
            header.snapshots.iter().rev().filter(users).cloned().collect();
        let size = snapshots.first().map_or(header.at(self.inner.snap)?.0, |first| first.size);
        images.create(name, &CreateOptions { size, ..options.clone() }).await?;
        let copied = self.copy_into(images, name, &snapshots, progress).await;
        if let Err(error) = copied {
            let target = Image::open(images, name).await?;
            for snapshot in &snapshots {
                match target.remove_snapshot(&snapshot.name).await {
                    Ok(()) | Err(RbdError::NoSnapshot(_)) => {}
                    Err(stays) => tracing::warn!(name, %stays, "an unfinished copy stays"),
                }
            }
            target.close().await?;
            images.remove(name, &mut |_, _| {}).await?;
            return Err(error);
        }
        Ok(())
    }

    async fn copy_into(
        &self,
        images: &Images,
        name: &str,
        snapshots: &[Snapshot],
        progress: Progress<'_>,
    ) -> Result<(), RbdError> {
        let target = Image::open(images, name).await?;
        let copied = async {
            let steps = snapshots.len() as u64 + 1;
            let mut before: Option<&Snapshot> = None;
            for (step, snapshot) in snapshots.iter().enumerate() {
                let at = self.at(Some(snapshot)).await?;
                let mut far = |done, all| far_of(progress, step as u64, steps, done, all);
                at.copy_changes(&target, before, &mut far).await?;
                target.create_snapshot(&snapshot.name).await?;
                before = Some(snapshot);
            }
            let at = match self.inner.snap {
                Some(_) => self.clone(),
                None => self.at(None).await?,
            };
            let mut far = |done, all| far_of(progress, steps - 1, steps, done, all);
            at.copy_changes(&target, before, &mut far).await
        }
        .await;
        let closed = target.close().await;
        copied.and(closed)
    }

    /// The same image, to be read: the head, or a snapshot.
    async fn at(&self, snapshot: Option<&Snapshot>) -> Result<Image, RbdError> {
        let images = Images::new(self.inner.pool.clone());
        Image::open_id_read(&images, &self.inner.id, snapshot.map(|s| s.id)).await
    }

    /// Writes to another image what has changed here since a snapshot.
    async fn copy_changes(
        &self,
        target: &Image,
        since: Option<&Snapshot>,
        progress: Progress<'_>,
    ) -> Result<(), RbdError> {
        debug_assert!(self.inner.access == Access::Read || self.inner.snap.is_some());
        let size = self.size().await?;
        if target.size().await? != size {
            target.resize(size, &mut |_, _| {}).await?;
        }
        let since = since.map(|s| s.name.as_str());
        for batch in 0.. {
            let Some(extents) = self.diff_batch(since, batch).await? else { break };
            let end = extents.last().map(|last| last.offset + last.length);
            let pieces = extents.into_iter().flat_map(pieces);
            let jobs = pieces.map(|extent| self.copy_piece(target, extent));
            in_parallel(jobs).await?;
            if let Some(end) = end {
                progress(end, size);
            }
        }
        Ok(())
    }

    async fn copy_piece(&self, target: &Image, extent: Extent) -> Result<(), RbdError> {
        let Extent { offset, length, exists } = extent;
        if !exists {
            return target.discard(offset, length).await;
        }
        let bytes: Bytes = self.read(offset, length).await?;
        if bytes.iter().all(|byte| *byte == 0) {
            return target.discard(offset, length).await;
        }
        target.write(offset, bytes).await
    }
}

/// An extent in pieces of bounded length.
fn pieces(extent: Extent) -> impl Iterator<Item = Extent> {
    let end = extent.offset + extent.length;
    (extent.offset..end).step_by(PIECE as usize).map(move |offset| Extent {
        offset,
        length: PIECE.min(end - offset),
        exists: extent.exists,
    })
}

/// How far all steps are, when one of them is so far.
fn far_of(progress: &mut (dyn FnMut(u64, u64) + Send), step: u64, steps: u64, done: u64, all: u64) {
    const PARTS: u64 = 1000;
    let part = done.saturating_mul(PARTS).checked_div(all).unwrap_or(PARTS).min(PARTS);
    progress(step * PARTS + part, steps * PARTS);
}
