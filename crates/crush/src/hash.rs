//! The rjenkins hash of one to four 32-bit words: the only source of "randomness" in CRUSH.
//!
//! Invariant: pure arithmetic modulo 2^32; the value for given words never changes.

const SEED: u32 = 1_315_423_911;
const X: u32 = 231_232;
const Y: u32 = 1_232;

/// Bob Jenkins' 96-bit mix.
#[inline(always)]
const fn mix(mut a: u32, mut b: u32, mut c: u32) -> (u32, u32, u32) {
    a = a.wrapping_sub(b).wrapping_sub(c) ^ (c >> 13);
    b = b.wrapping_sub(c).wrapping_sub(a) ^ (a << 8);
    c = c.wrapping_sub(a).wrapping_sub(b) ^ (b >> 13);
    a = a.wrapping_sub(b).wrapping_sub(c) ^ (c >> 12);
    b = b.wrapping_sub(c).wrapping_sub(a) ^ (a << 16);
    c = c.wrapping_sub(a).wrapping_sub(b) ^ (b >> 5);
    a = a.wrapping_sub(b).wrapping_sub(c) ^ (c >> 3);
    b = b.wrapping_sub(c).wrapping_sub(a) ^ (a << 10);
    c = c.wrapping_sub(a).wrapping_sub(b) ^ (b >> 15);
    (a, b, c)
}

/// Hash of one word.
pub const fn hash1(a: u32) -> u32 {
    let (_, _, h) = mix(a, X, SEED ^ a);
    mix(Y, a, h).2
}

/// Hash of two words.
#[inline]
pub const fn hash2(a: u32, b: u32) -> u32 {
    let (a, b, h) = mix(a, b, SEED ^ a ^ b);
    let (_, _, h) = mix(X, a, h);
    mix(b, Y, h).2
}

/// Hash of three words.
#[inline]
pub const fn hash3(a: u32, b: u32, c: u32) -> u32 {
    let (a, b, h) = mix(a, b, SEED ^ a ^ b ^ c);
    let (c, x, h) = mix(c, X, h);
    let (y, _, h) = mix(Y, a, h);
    let (_, _, h) = mix(b, x, h);
    mix(y, c, h).2
}

/// Hash of four words.
#[inline]
pub const fn hash4(a: u32, b: u32, c: u32, d: u32) -> u32 {
    let (a, b, h) = mix(a, b, SEED ^ a ^ b ^ c ^ d);
    let (c, d, h) = mix(c, d, h);
    let (_, x, h) = mix(a, X, h);
    let (y, _, h) = mix(Y, b, h);
    let (_, _, h) = mix(c, x, h);
    mix(y, d, h).2
}

/// How many hashes [`hash3_lanes`] computes side by side.
pub(crate) const LANES: usize = 8;

type Lanes = [u32; LANES];

/// Each of the three operations of a mix on all lanes: vector instructions, where there are some.
#[inline(always)]
fn step(a: &mut Lanes, b: &Lanes, c: &Lanes, shifted: impl Fn(u32) -> u32) {
    for i in 0..LANES {
        a[i] = a[i].wrapping_sub(b[i]).wrapping_sub(c[i]) ^ shifted(c[i]);
    }
}

#[inline(always)]
fn mix_lanes(a: &mut Lanes, b: &mut Lanes, c: &mut Lanes) {
    step(a, b, c, |n| n >> 13);
    step(b, c, a, |n| n << 8);
    step(c, a, b, |n| n >> 13);
    step(a, b, c, |n| n >> 12);
    step(b, c, a, |n| n << 16);
    step(c, a, b, |n| n >> 5);
    step(a, b, c, |n| n >> 3);
    step(b, c, a, |n| n << 10);
    step(c, a, b, |n| n >> 15);
}

/// [`hash3`] of the same `a` and `c` with many `b`.
#[inline]
pub(crate) fn hash3_lanes(a: u32, b: &Lanes, c: u32) -> Lanes {
    let (mut b, mut h) = (*b, *b);
    h.iter_mut().for_each(|h| *h ^= SEED ^ a ^ c);
    let (mut a, mut c) = ([a; LANES], [c; LANES]);
    let (mut x, mut y) = ([X; LANES], [Y; LANES]);
    mix_lanes(&mut a, &mut b, &mut h);
    mix_lanes(&mut c, &mut x, &mut h);
    mix_lanes(&mut y, &mut a, &mut h);
    mix_lanes(&mut b, &mut x, &mut h);
    mix_lanes(&mut y, &mut c, &mut h);
    h
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_equal_to_single_hashes() {
        for round in 0..1000u32 {
            let (a, c) = (round.wrapping_mul(2_654_435_761), round ^ 0xdead_beef);
            let b: Lanes = std::array::from_fn(|i| round.wrapping_mul(77).wrapping_sub(i as u32));
            assert_eq!(hash3_lanes(a, &b, c), b.map(|b| hash3(a, b, c)));
        }
    }
}
