//! Reading and writing.

use std::sync::Arc;

use seabed_cluster::Errno;
use seabed_denc::{Bytes, BytesMut};

use crate::call::rbd;
use crate::error::during;
use crate::image::{Image, Inner};
use crate::layout::Piece;
use crate::lock::Held;
use crate::object_map::{EXISTS, ObjectMap, Update};
use crate::parallel::{each_in_parallel, in_parallel};
use crate::target::{Change, Source, Target};
use crate::{RbdError, names};

impl Image {
    /// Reads a range.
    ///
    /// Errors: [`RbdError::OutOfRange`] beyond the end.
    pub async fn read(&self, offset: u64, length: u64) -> Result<Bytes, RbdError> {
        let inner = &self.inner;
        let header = inner.header().await?;
        let (size, overlap) = header.at(inner.snap)?;
        check(offset, length, size)?;
        let pool = match inner.snap {
            Some(snap) => inner.data.at_snap(snap),
            None => inner.data.clone(),
        };
        let pieces: Vec<Piece> = header.layout.pieces(offset, length).collect();
        let source = Arc::new(Source { pool, header, overlap, parent: self.parent() });
        let one = |piece: Piece| {
            let source = Arc::clone(&source);
            async move { source.read(piece).await }
        };
        if let [piece] = pieces[..] {
            return Ok(whole(one(piece).await?, piece.length));
        }
        let mut out = BytesMut::zeroed(usize::try_from(length).unwrap_or(usize::MAX));
        let starts: Vec<u64> = pieces.iter().map(|piece| piece.offset - offset).collect();
        each_in_parallel(pieces.into_iter().map(one), |index, bytes| {
            let at = starts[index] as usize;
            out[at..at + bytes.len()].copy_from_slice(&bytes);
        })
        .await?;
        Ok(out.freeze())
    }

    /// Writes a range. It is durable when this returns.
    ///
    /// Errors: [`RbdError::OutOfRange`] beyond the end; [`RbdError::Busy`] if another client keeps
    /// the lock.
    pub async fn write(&self, offset: u64, data: impl Into<Bytes>) -> Result<(), RbdError> {
        let (inner, data) = (&self.inner, data.into());
        let held = inner.writer().await?;
        let header = inner.header().await?;
        check(offset, data.len() as u64, header.size)?;
        let pieces: Vec<Piece> = header.layout.pieces(offset, data.len() as u64).collect();
        // Of a cloned image's objects those that are new need what the parent has.
        let fresh = inner.will_write(&held, &pieces).await?;
        let target = Arc::new(Target::new(inner, &header, self.parent()));
        let jobs = pieces.into_iter().map(|piece| {
            let target = Arc::clone(&target);
            let start = (piece.offset - offset) as usize;
            let bytes = data.slice(start..start + piece.length as usize);
            let fresh = fresh.contains(&piece.object);
            async move { target.change(piece, Change::Write(bytes), fresh).await }
        });
        let done = in_parallel(jobs).await.map(drop);
        drop(held);
        done
    }

    /// Makes a range zero, and gives its space back.
    pub async fn discard(&self, offset: u64, length: u64) -> Result<(), RbdError> {
        let inner = &self.inner;
        let held = inner.writer().await?;
        let header = inner.header().await?;
        check(offset, length, header.size)?;
        let target = Arc::new(Target::new(inner, &header, self.parent()));
        let size = header.layout.object_size();
        let whole = |p: &Piece| p.length == size && !target.is_over_parent(p.object);
        let (gone, parts): (Vec<Piece>, Vec<Piece>) =
            header.layout.pieces(offset, length).partition(whole);
        let there: Vec<Piece> = {
            let map = held.map.lock().await;
            let may_exist = |object| map.as_ref().is_none_or(|map| map.may_exist(object));
            // What does not exist is zero, unless the parent shows.
            let shows = |p: &Piece| may_exist(p.object) || target.is_over_parent(p.object);
            parts.into_iter().filter(shows).collect()
        };
        let fresh = inner.will_write(&held, &there).await?;
        let jobs = there.into_iter().map(|piece| {
            let target = Arc::clone(&target);
            let fresh = fresh.contains(&piece.object);
            async move { target.change(piece, Change::Zero, fresh).await }
        });
        in_parallel(jobs).await?;
        if !gone.is_empty() {
            let objects = gone.into_iter().map(|piece| piece.object);
            let mut map = held.map.lock().await;
            inner.remove_objects(target.pool(), &header, map.as_mut(), objects).await?;
        }
        drop(held);
        Ok(())
    }

    /// Makes a range zero; it may give its space back, as [`Image::discard`] does.
    pub async fn write_zeroes(&self, offset: u64, length: u64) -> Result<(), RbdError> {
        self.discard(offset, length).await
    }

    /// Writes `data`, if `compare` is what is there now; all of it in one stripe unit.
    ///
    /// Errors: [`RbdError::Mismatch`].
    pub async fn compare_and_write(
        &self,
        offset: u64,
        compare: impl Into<Bytes>,
        data: impl Into<Bytes>,
    ) -> Result<(), RbdError> {
        let (inner, compare, data) = (&self.inner, compare.into(), data.into());
        let wrong = |reason| RbdError::Invalid { what: "compare-and-write".into(), reason };
        if compare.len() != data.len() {
            return Err(wrong("what is compared and what is written differ in length"));
        }
        let held = inner.writer().await?;
        let header = inner.header().await?;
        check(offset, data.len() as u64, header.size)?;
        let pieces: Vec<Piece> = header.layout.pieces(offset, data.len() as u64).collect();
        let piece = match pieces[..] {
            [] => return Ok(()),
            [piece] => piece,
            _ => return Err(wrong("it crosses a stripe unit")),
        };
        let fresh = !inner.will_write(&held, &[piece]).await?.is_empty();
        let target = Target::new(inner, &header, self.parent());
        let change = Change::CompareAndWrite(compare, data);
        let done = target.change(piece, change, fresh).await;
        drop(held);
        done.map_err(|error| match error.errno() {
            // Ceph's MAX_ERRNO and how far into the bytes they differ.
            Some(errno) if errno.0 >= 4095 => {
                RbdError::Mismatch { offset: offset + errno.0.abs_diff(4095) as u64 }
            }
            _ => error,
        })
    }

    /// Waits for nothing: a write that has returned is durable.
    pub async fn flush(&self) -> Result<(), RbdError> {
        Ok(())
    }
}

fn check(offset: u64, length: u64, size: u64) -> Result<(), RbdError> {
    match offset.checked_add(length) {
        Some(end) if end <= size => Ok(()),
        _ => Err(RbdError::OutOfRange { offset, length, size }),
    }
}

/// The bytes, with zeroes up to `length`.
fn whole(bytes: Bytes, length: u64) -> Bytes {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if bytes.len() >= length {
        return bytes.slice(..length);
    }
    let mut out = BytesMut::zeroed(length);
    out[..bytes.len()].copy_from_slice(&bytes);
    out.freeze()
}

impl Inner {
    /// Says in the object map that the objects of these pieces exist, before they are written.
    /// Those of them are returned that certainly did not.
    async fn will_write(&self, held: &Held, pieces: &[Piece]) -> Result<Vec<u64>, RbdError> {
        let mut objects: Vec<u64> = pieces.iter().map(|piece| piece.object).collect();
        objects.sort_unstable();
        objects.dedup();
        self.will_exist(held, &objects, EXISTS).await
    }

    /// The same of numbered objects, in order; `state` says whether they differ from the last
    /// snapshot.
    pub(crate) async fn will_exist(
        &self,
        held: &Held,
        objects: &[u64],
        state: u8,
    ) -> Result<Vec<u64>, RbdError> {
        let mut map = held.map.lock().await;
        let Some(map) = map.as_mut() else { return Ok(Vec::new()) };
        let fresh = objects.iter().copied().filter(|object| !map.may_exist(*object)).collect();
        let updates = objects.iter().filter_map(|object| map.before_write(*object));
        let updates: Vec<Update> = updates.map(|update| Update { state, ..update }).collect();
        for update in joined(updates) {
            self.store_update(map, update).await?;
        }
        Ok(fresh)
    }

    /// Stores a change of the object map, guarded by its lock, and notes it.
    pub(crate) async fn store_update(
        &self,
        map: &mut ObjectMap,
        update: Update,
    ) -> Result<(), RbdError> {
        let Update { objects, state, current } = &update;
        let operation = crate::lock::assert_map_locked();
        let input = (objects.start, objects.end, *state, *current);
        let operation = rbd(operation, "object_map_update", input);
        let object = names::object_map(&self.id, None);
        match self.pool.operate(&object, operation).await {
            Ok(_) => {}
            // Another client has it now: the lock was broken, and this client may not write.
            Err(error) if error.errno() == Some(Errno::EBUSY) => {
                return Err(self.busy("the lock was lost".into()));
            }
            Err(error) => return Err(during("object map")(error)),
        }
        map.stored(&update);
        Ok(())
    }
}

/// Updates of neighbours as one.
fn joined(updates: Vec<Update>) -> Vec<Update> {
    let mut all: Vec<Update> = Vec::new();
    for update in updates {
        match all.last_mut() {
            Some(last)
                if last.objects.end == update.objects.start
                    && (last.state, last.current) == (update.state, update.current) =>
            {
                last.objects.end = update.objects.end;
            }
            _ => all.push(update),
        }
    }
    all
}
