//! What changed in an image between two snapshots.

use std::sync::Arc;

use seabed_cluster::SnapId;
use seabed_rados::Pool;

use crate::image::Image;
use crate::map_check::history;
use crate::parallel::in_parallel;
use crate::{Header, RbdError, names};

/// A range that differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Where in the image.
    pub offset: u64,
    /// How many bytes.
    pub length: u64,
    /// False if it is zero now.
    pub exists: bool,
}

/// Objects that are asked about together.
const BATCH: u64 = 256;

impl Image {
    /// Hands over, in order, what differs from the snapshot `from` (without one: what is there at
    /// all, the parent's included) to what is open: the head, or a snapshot.
    pub async fn diff(
        &self,
        from: Option<&str>,
        mut take: impl FnMut(Extent),
    ) -> Result<(), RbdError> {
        let mut batch = 0;
        loop {
            let extents = self.diff_batch(from, batch).await?;
            let Some(extents) = extents else { return Ok(()) };
            extents.into_iter().for_each(&mut take);
            batch += 1;
        }
    }

    /// A part of [`Image::diff`], from 0 on; `None` behind the last. Of an image with striping
    /// there is one part only: its objects do not follow each other.
    pub async fn diff_batch(
        &self,
        from: Option<&str>,
        batch: u64,
    ) -> Result<Option<Vec<Extent>>, RbdError> {
        let inner = &self.inner;
        let header = inner.header().await?;
        let (size, overlap) = header.at(inner.snap)?;
        let begin = match from {
            None => None,
            Some(name) => Some(self.snapshot(name).await?),
        };
        // What the parent showed then and does not show now is zero, without any object.
        let overlap_before = begin.as_ref().map_or(0, |s| s.parent_overlap.unwrap_or_default());
        let begin = begin.map(|s| s.id);
        let to = inner.snap.unwrap_or(SnapId::HEAD);
        if begin.is_some_and(|from| from > to) {
            let what = from.unwrap_or_default().to_owned();
            return Err(RbdError::Invalid { what, reason: "it is newer than what is compared" });
        }
        // What was cut off is not in the image, and not told: the size tells it.
        let objects = header.layout.objects(size);
        let step = if header.layout.is_striped() { objects.max(1) } else { BATCH };
        let first = batch.saturating_mul(step);
        if first >= objects {
            return Ok(None);
        }
        let parent = if begin.is_none() { self.parent() } else { None };
        let question = Arc::new(Question {
            pool: inner.data.at_snap(SnapId::DIR),
            header,
            from: begin,
            to,
            size,
            overlap,
            overlap_before,
            parent,
        });
        let jobs = (first..objects.min(first.saturating_add(step))).map(|object| {
            let question = Arc::clone(&question);
            async move { question.of_object(object).await }
        });
        let mut found: Vec<Extent> = in_parallel(jobs).await?.into_iter().flatten().collect();
        found.sort_unstable_by_key(|extent| extent.offset);
        let mut joined: Vec<Extent> = Vec::with_capacity(found.len());
        for extent in found {
            match joined.last_mut() {
                Some(last)
                    if last.offset + last.length == extent.offset
                        && last.exists == extent.exists =>
                {
                    last.length += extent.length;
                }
                _ => joined.push(extent),
            }
        }
        Ok(Some(joined))
    }
}

struct Question {
    /// Reads of lists of clones.
    pool: Pool,
    header: Arc<Header>,
    from: Option<SnapId>,
    to: SnapId,
    size: u64,
    overlap: u64,
    overlap_before: u64,
    parent: Option<Image>,
}

impl Question {
    async fn of_object(&self, object: u64) -> Result<Vec<Extent>, RbdError> {
        let name = names::data(&self.header.object_prefix, object);
        let history = history(&self.pool, &name).await?;
        let layout = self.header.layout;
        if let Some(parent) = &self.parent
            && !history.exists(self.to)
        {
            return self.of_parent(parent, object).await;
        }
        let mut found = Vec::new();
        let absent = |at| !history.exists(at);
        if self.overlap_before > self.overlap && self.from.is_some_and(absent) && absent(self.to) {
            let whole = layout.of_object(object, 0, u64::MAX);
            for piece in crate::layout::below(whole, self.overlap_before.min(self.size)) {
                let end = piece.offset + piece.length;
                let offset = piece.offset.max(self.overlap);
                if offset < end {
                    found.push(Extent { offset, length: end - offset, exists: false });
                }
            }
        }
        for (start, end, exists) in history.changes(self.from, self.to) {
            for piece in layout.of_object(object, start, end.saturating_sub(start)) {
                let length = self.size.saturating_sub(piece.offset).min(piece.length);
                if length > 0 {
                    found.push(Extent { offset: piece.offset, length, exists });
                }
            }
        }
        Ok(found)
    }

    /// What of the parent shows where there is no object: read, since that says it best.
    async fn of_parent(&self, parent: &Image, object: u64) -> Result<Vec<Extent>, RbdError> {
        let pieces = self.header.layout.of_object(object, 0, u64::MAX);
        let mut found = Vec::new();
        for piece in crate::layout::below(pieces, self.overlap) {
            let bytes = crate::target::through(parent, piece.offset, piece.length).await?;
            if bytes.iter().any(|byte| *byte != 0) {
                let (offset, length) = (piece.offset, piece.length);
                found.push(Extent { offset, length, exists: true });
            }
        }
        Ok(found)
    }
}
