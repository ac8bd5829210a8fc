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
