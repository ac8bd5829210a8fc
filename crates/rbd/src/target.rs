//! One object of an image, read and changed; and the parent that shows where it does not exist.

use std::pin::Pin;
use std::sync::Arc;

use seabed_denc::{Bytes, BytesMut};
use seabed_rados::{Operation, Pool};

use crate::call::rbd;
use crate::error::during;
use crate::image::{Image, Inner};
use crate::layout::{Piece, below};
use crate::{Header, RbdError, names};

/// Reads a parent, which may have a parent.
pub(crate) fn through(
    parent: &Image,
    offset: u64,
    length: u64,
) -> Pin<Box<dyn Future<Output = Result<Bytes, RbdError>> + Send>> {
    let parent = parent.clone();
    Box::pin(async move { parent.read(offset, length).await })
}

/// Where an image's bytes are read from.
pub(crate) struct Source {
    pub pool: Pool,
    pub header: Arc<Header>,
    pub overlap: u64,
    pub parent: Option<Image>,
}

impl Source {
    /// Bytes of a piece; fewer of them if the rest is zero.
    pub(crate) async fn read(&self, piece: Piece) -> Result<Bytes, RbdError> {
        let object = names::data(&self.header.object_prefix, piece.object);
        match self.pool.read(&object, piece.within, piece.length).await {
            // More than was asked for is none of it.
            Ok(bytes) if bytes.len() as u64 <= piece.length => Ok(bytes),
            Ok(_) => Err(RbdError::Malformed("read")),
            Err(error) if error.is_not_found() => {
                let Some(parent) = &self.parent else { return Ok(Bytes::new()) };
                let length = self.overlap.saturating_sub(piece.offset).min(piece.length);
                if length == 0 {
                    return Ok(Bytes::new());
                }
                through(parent, piece.offset, length).await
            }
            Err(error) => Err(during("read")(error)),
        }
    }
}

/// What is to become of a part of an object.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// These bytes.
    Write(Bytes),
    /// These bytes, if those are there now.
    CompareAndWrite(Bytes, Bytes),
    /// Zeroes.
    Zero,
}

impl Change {
    /// The ops that do it, behind what `operation` has.
    fn add(self, operation: Operation, piece: Piece, size: u64) -> Operation {
        let whole = piece.within == 0 && piece.length == size;
        match self {
            Change::Write(bytes) if whole => operation.alloc_hint(size, size).write_full(bytes),
            Change::Write(bytes) => operation.alloc_hint(size, size).write(piece.within, bytes),
            Change::CompareAndWrite(compare, bytes) => {
                operation.compare(piece.within, compare).write(piece.within, bytes)
            }
            // An object must be there to hide what the parent has.
            Change::Zero if whole => operation.create(false).truncate(0),
            Change::Zero if piece.within + piece.length == size => operation.truncate(piece.within),
            Change::Zero => operation.zero(piece.within, piece.length),
        }
    }

    /// It leaves nothing of what was there.
    fn replaces(&self, piece: Piece, size: u64) -> bool {
        let whole = piece.within == 0 && piece.length == size;
        whole && !matches!(self, Change::CompareAndWrite(..))
    }
}

/// Where an image's bytes are written to.
pub(crate) struct Target {
    image: Arc<Inner>,
    pool: Pool,
    /// As `pool`, after no snapshot: what is written there belongs to all of them.
    bare: Pool,
    source: Source,
    has_snapshots: bool,
}

impl Target {
    pub(crate) fn new(image: &Arc<Inner>, header: &Arc<Header>, parent: Option<Image>) -> Self {
        let inner = Arc::clone(image);
        let (seq, snaps) = header.snap_context();
        let has_snapshots = !snaps.is_empty();
        let overlap = header.parent.as_ref().map_or(0, |parent| parent.overlap);
        let header = Arc::clone(header);
        Target {
            image: Arc::clone(image),
            pool: inner.data.with_snap_context(seq, snaps),
            bare: inner.data.clone(),
            source: Source { pool: inner.data.clone(), header, overlap, parent },
            has_snapshots,
        }
    }

    /// Changes a part of an object; `fresh` if it certainly does not exist.
    pub(crate) async fn change(
        &self,
        piece: Piece,
        change: Change,
        fresh: bool,
    ) -> Result<(), RbdError> {
        let size = self.source.header.layout.object_size();
        let object = names::data(&self.source.header.object_prefix, piece.object);
        let through = self.parent_pieces(piece.object);
        if through.is_empty() || (change.replaces(piece, size) && !self.has_snapshots) {
            let operation = change.add(Operation::new(), piece, size);
            return self.pool.operate(&object, operation).await.map(drop).map_err(during("write"));
        }
        if !fresh {
            let guarded = change.clone().add(Operation::new().stat(), piece, size);
            match self.pool.operate(&object, guarded).await {
                Err(error) if error.is_not_found() => {}
                result => return result.map(drop).map_err(during("write")),
            }
        }
        // Always an operation of its own: a method's change is not seen by the ops behind it.
        let copied = self.parent_bytes(&through).await?;
        if self.has_snapshots {
            self.image.will_copy_up(&self.source.header, &[piece.object]).await?;
        }
        self.copy_up(piece.object, copied).await?;
        let operation = change.add(Operation::new(), piece, size);
        self.pool.operate(&object, operation).await.map(drop).map_err(during("write"))
    }

    /// Where whole objects go.
    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// True if the parent may show where this object is not.
    pub(crate) fn is_over_parent(&self, object: u64) -> bool {
        !self.parent_pieces(object).is_empty()
    }

    /// Makes an object of the parent's bytes, unless it exists. Snapshots see them too: the object
    /// is there before the first of them.
    pub(crate) async fn copy_up(&self, object: u64, bytes: Bytes) -> Result<(), RbdError> {
        let object = names::data(&self.source.header.object_prefix, object);
        let copyup = rbd(Operation::new(), "copyup", Raw(bytes));
        self.bare.operate(&object, copyup).await.map(drop).map_err(during("copyup"))
    }

    /// The parent's bytes of an object that does not exist; `None` if it does, or they are zero.
    pub(crate) async fn missing(&self, object: u64) -> Result<Option<Bytes>, RbdError> {
        let through = self.parent_pieces(object);
        if through.is_empty() {
            return Ok(None);
        }
        let name = names::data(&self.source.header.object_prefix, object);
        match self.bare.stat(&name).await {
            Ok(_) => return Ok(None),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(during("flatten")(error)),
        }
        let bytes = self.parent_bytes(&through).await?;
        Ok(bytes.iter().any(|byte| *byte != 0).then_some(bytes))
    }

    /// What of an object the parent shows through.
    fn parent_pieces(&self, object: u64) -> Vec<Piece> {
        if self.source.parent.is_none() || self.source.overlap == 0 {
            return Vec::new();
        }
        below(self.source.header.layout.of_object(object, 0, u64::MAX), self.source.overlap)
    }

    /// The parent's bytes of an object.
    async fn parent_bytes(&self, pieces: &[Piece]) -> Result<Bytes, RbdError> {
        let Some(parent) = &self.source.parent else { return Ok(Bytes::new()) };
        let end = pieces.iter().map(|piece| piece.within + piece.length).max().unwrap_or_default();
        let mut out = BytesMut::zeroed(usize::try_from(end).unwrap_or(usize::MAX));
        for piece in pieces {
            let bytes = through(parent, piece.offset, piece.length).await?;
            let at = piece.within as usize;
            out[at..at + bytes.len()].copy_from_slice(&bytes);
        }
        Ok(out.freeze())
    }
}

/// Input of a method that is bytes without a length.
struct Raw(Bytes);

impl seabed_denc::Encode for Raw {
    fn encode(&self, out: &mut BytesMut, _: seabed_denc::Features) {
        out.extend_from_slice(&self.0);
    }
}
