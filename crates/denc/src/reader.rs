//! The cursor of decoding: a shared buffer and a position.

use bytes::Bytes;

use crate::DecodeError;

/// Reads from a shared buffer; slices taken from it share its memory.
#[derive(Debug, Clone)]
pub struct Reader {
    buf: Bytes,
}

impl Reader {
    /// A reader over the whole of `buf`.
    pub fn new(buf: Bytes) -> Self {
        Self { buf }
    }

    /// Bytes left.
    pub fn remaining(&self) -> usize {
        self.buf.len()
    }

    /// True when nothing is left.
    pub fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }

    /// The bytes left, without consuming them.
    pub fn peek(&self) -> &[u8] {
        &self.buf
    }

    /// Takes the next `n` bytes, sharing memory.
    pub fn take(&mut self, n: usize) -> Result<Bytes, DecodeError> {
        if n > self.buf.len() {
            return Err(DecodeError::Short { need: n, have: self.buf.len() });
        }
        Ok(self.buf.split_to(n))
    }

    /// Takes all that is left.
    pub fn take_rest(&mut self) -> Bytes {
        self.buf.split_off(0)
    }

    /// Takes a fixed number of bytes by value.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some(head) = self.buf.first_chunk::<N>() else {
            return Err(DecodeError::Short { need: N, have: self.buf.len() });
        };
        let head = *head;
        let _ = self.buf.split_to(N);
        Ok(head)
    }

    /// A reader of its own over the next `n` bytes, which this one passes.
    pub fn sub(&mut self, n: usize) -> Result<Reader, DecodeError> {
        Ok(Reader::new(self.take(n)?))
    }

    /// Reads a `u32` element count and checks that `count * min_element_size` bytes are there.
    /// `min_element_size` of 0 counts as 1, so that a count alone never drives an allocation.
    pub fn count(
        &mut self,
        what: &'static str,
        min_element_size: usize,
    ) -> Result<usize, DecodeError> {
        let count = u32::from_le_bytes(self.array()?);
        let fits = usize::try_from(count)
            .ok()
            .and_then(|n| n.checked_mul(min_element_size.max(1)))
            .is_some_and(|bytes| bytes <= self.buf.len());
        if !fits {
            return Err(DecodeError::TooLong {
                what,
                count: u64::from(count),
                have: self.buf.len(),
            });
        }
        Ok(count as usize)
    }

    /// Fails if bytes are left.
    pub fn finish(&self) -> Result<(), DecodeError> {
        if self.buf.is_empty() {
            Ok(())
        } else {
            Err(DecodeError::Trailing { left: self.buf.len() })
        }
    }
}
