//! Memory aligned for O_DIRECT.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;

use bytes::Bytes;

use crate::BLOCK_SIZE;

const ALIGNMENT: usize = BLOCK_SIZE as usize;

/// An owned, zeroed buffer whose address is a multiple of the block.
#[derive(Debug)]
pub(crate) struct AlignedBuffer {
    memory: NonNull<u8>,
    layout: Layout,
}

// SAFETY: the buffer owns its memory as a `Vec<u8>` does; no other pointer to it is kept.
unsafe impl Send for AlignedBuffer {}
// SAFETY: shared access only reads.
unsafe impl Sync for AlignedBuffer {}

impl AlignedBuffer {
    /// `length` bytes of zeros; `length` is not 0.
    pub(crate) fn zeroed(length: usize) -> Self {
        assert!(length > 0, "an empty buffer has no address");
        let layout = Layout::from_size_align(length, ALIGNMENT).expect("length fits isize");
        // SAFETY: the layout's size is not 0.
        let memory = unsafe { alloc_zeroed(layout) };
        let Some(memory) = NonNull::new(memory) else { handle_alloc_error(layout) };
        Self { memory, layout }
    }

    /// The pieces one behind the other.
    pub(crate) fn joined(pieces: &[Bytes]) -> Self {
        let mut buffer = Self::zeroed(pieces.iter().map(Bytes::len).sum());
        let mut rest = buffer.as_mut();
        for piece in pieces {
            let (head, tail) = rest.split_at_mut(piece.len());
            head.copy_from_slice(piece);
            rest = tail;
        }
        buffer
    }
}

impl AsRef<[u8]> for AlignedBuffer {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: memory of that size, initialised by `alloc_zeroed`, owned by us.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr(), self.layout.size()) }
    }
}

impl AsMut<[u8]> for AlignedBuffer {
    fn as_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `as_ref`, and `&mut self` is the only access.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_ptr(), self.layout.size()) }
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
