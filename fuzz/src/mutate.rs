//! Deterministic mutation: the same seed makes the same inputs.

/// A small generator (splitmix64).
pub struct Random(u64);

impl Random {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: usize) -> usize {
        (self.number() % n as u64) as usize
    }
}

/// Numbers that break arithmetic and lengths.
const WORDS: &[u64] =
    &[0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX, 1 << 63];
/// Inputs do not grow beyond this.
const BYTES_MAX: usize = 64 << 10;

/// Changes `input` in one to eight places; may take pieces of `other`.
pub fn mutate(random: &mut Random, input: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..1 << random.below(4) {
        if input.is_empty() {
            input.push(random.number() as u8);
        }
        let at = random.below(input.len());
        match random.below(8) {
            0 => input[at] ^= 1 << random.below(8),
            1 => input[at] = random.number() as u8,
            2 | 3 => word(random, input, at),
            4 => {
                let end = (at + 1 + random.below(32)).min(input.len());
                input.drain(at..end);
            }
            5 => {
                let from = random.below(input.len());
                let end = (from + 1 + random.below(64)).min(input.len());
                let piece = input[from..end].to_vec();
                input.splice(at..at, piece);
            }
            6 if !other.is_empty() => {
                let from = random.below(other.len());
                let end = (from + 1 + random.below(256)).min(other.len());
                input.splice(at..at, other[from..end].iter().copied());
            }
            _ => input.truncate(at),
        }
        input.truncate(BYTES_MAX);
    }
}

/// Writes a little-endian integer of 1, 2, 4 or 8 bytes; sometimes one near the input's length.
fn word(random: &mut Random, input: &mut [u8], at: usize) {
    let near = (input.len() as u64).wrapping_add(random.number() % 9).wrapping_sub(4);
    let value = if random.below(4) == 0 { near } else { WORDS[random.below(WORDS.len())] };
    let width = 1 << random.below(4);
    let end = (at + width).min(input.len());
    let bytes = value.to_le_bytes();
    input[at..end].copy_from_slice(&bytes[..end - at]);
}
