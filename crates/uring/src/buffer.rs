//! Memory aligned for O_DIRECT.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use bytes::Bytes;

use crate::BLOCK_SIZE;

const ALIGNMENT: usize = BLOCK_SIZE as usize;

/// An owned buffer whose address is a multiple of the block. What is filled can be read; nothing is
/// zeroed only to be written over.
#[derive(Debug)]
pub(crate) struct AlignedBuffer {
    memory: NonNull<u8>,
    layout: Layout,
    filled: usize,
}

// SAFETY: the buffer owns its memory as a `Vec<u8>` does; no other pointer to it is kept.
unsafe impl Send for AlignedBuffer {}
// SAFETY: shared access only reads.
unsafe impl Sync for AlignedBuffer {}

impl AlignedBuffer {
    /// Room for `length` bytes; `length` is not 0.
    pub(crate) fn with_capacity(length: usize) -> Self {
        assert!(length > 0, "an empty buffer has no address");
        let layout = Layout::from_size_align(length, ALIGNMENT).expect("length fits isize");
        // SAFETY: the layout's size is not 0.
        let memory = unsafe { alloc(layout) };
        let Some(memory) = NonNull::new(memory) else { handle_alloc_error(layout) };
        Self { memory, layout, filled: 0 }
    }

    pub(crate) fn zeroed(length: usize) -> Self {
        let mut buffer = Self::with_capacity(length);
        buffer.spare().fill(MaybeUninit::new(0));
        buffer.filled = length;
        buffer
    }

    /// The pieces one behind the other.
    pub(crate) fn joined(pieces: &[Bytes]) -> Self {
        let mut buffer = Self::with_capacity(pieces.iter().map(Bytes::len).sum());
        for piece in pieces {
            buffer.spare()[..piece.len()].write_copy_of_slice(piece);
            buffer.filled += piece.len();
        }
        buffer
    }

    /// Bytes there is room for.
    pub(crate) fn capacity(&self) -> usize {
        self.layout.size()
    }

    /// What is not filled yet.
    pub(crate) fn spare(&mut self) -> &mut [MaybeUninit<u8>] {
        let rest = self.layout.size() - self.filled;
        // SAFETY: memory of our own, within the allocation; `MaybeUninit` asks for no content.
        unsafe {
            std::slice::from_raw_parts_mut(self.memory.as_ptr().add(self.filled).cast(), rest)
        }
    }

    /// Counts `length` more bytes as filled.
    ///
    /// # Safety
    /// The first `length` bytes of [`Self::spare`] have been written.
    pub(crate) unsafe fn advance(&mut self, length: usize) {
        assert!(length <= self.layout.size() - self.filled, "inside the buffer");
        self.filled += length;
    }
}

impl AsRef<[u8]> for AlignedBuffer {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: these bytes have been written, and are owned by us.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr(), self.filled) }
    }
}

impl AsMut<[u8]> for AlignedBuffer {
    fn as_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `as_ref`, and `&mut self` is the only access.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_ptr(), self.filled) }
    }
}

impl Drop for AlignedBuffer {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, freed once.
        unsafe { dealloc(self.memory.as_ptr(), self.layout) }
    }
}

/// The pieces as one aligned run of bytes: shared if they are that already, copied if not.
pub(crate) fn aligned(mut pieces: Vec<Bytes>) -> Bytes {
    pieces.retain(|p| !p.is_empty());
    if let [one] = pieces.as_slice()
        && one.as_ptr().addr().is_multiple_of(ALIGNMENT)
    {
        return one.clone();
    }
    Bytes::from_owner(AlignedBuffer::joined(&pieces))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_joined_at_an_aligned_address() {
        let pieces = vec![Bytes::from(vec![1; 4096]), Bytes::new(), Bytes::from(vec![2; 8192])];
        let all = aligned(pieces);
        assert_eq!(all.as_ptr().addr() % ALIGNMENT, 0);
        assert_eq!((all.len(), all[4095], all[4096]), (12288, 1, 2));
        assert_eq!(aligned(vec![all.clone()]).as_ptr(), all.as_ptr());
    }
}
