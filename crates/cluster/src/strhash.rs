//! The two hashes of object names.
//!
//! Bob Jenkins' public 96-bit mix over 12-byte blocks, and the old dcache hash of Linux.

fn mix(a: &mut u32, b: &mut u32, c: &mut u32) {
    // (target, first and second subtrahend, shift): right for positive, left for negative.
    for (ra, lb, rc) in [(13u32, 8u32, 13u32), (12, 16, 5), (3, 10, 15)] {
        *a = a.wrapping_sub(*b).wrapping_sub(*c) ^ (*c >> ra);
        *b = b.wrapping_sub(*c).wrapping_sub(*a) ^ (*a << lb);
        *c = c.wrapping_sub(*a).wrapping_sub(*b) ^ (*b >> rc);
    }
}

fn word(bytes: &[u8]) -> u32 {
    let mut w = [0; 4];
    w[..bytes.len()].copy_from_slice(bytes);
    u32::from_le_bytes(w)
}

/// The hash of pools with `object_hash` 2, and of every [`HObject`](crate::HObject).
pub fn hash_rjenkins(bytes: &[u8]) -> u32 {
    const GOLDEN: u32 = 0x9e37_79b9;
    let (mut a, mut b, mut c) = (GOLDEN, GOLDEN, 0u32);
    let mut blocks = bytes.chunks_exact(12);
    for k in &mut blocks {
        a = a.wrapping_add(word(&k[0..4]));
        b = b.wrapping_add(word(&k[4..8]));
        c = c.wrapping_add(word(&k[8..12]));
        mix(&mut a, &mut b, &mut c);
    }
    // Mod 2^32 by definition: the length is only mixed in.
    c = c.wrapping_add(bytes.len() as u32);
    let rest = blocks.remainder();
    a = a.wrapping_add(word(&rest[..rest.len().min(4)]));
    if rest.len() > 4 {
        b = b.wrapping_add(word(&rest[4..rest.len().min(8)]));
    }
    if rest.len() > 8 {
        // The low byte of c is the length.
        c = c.wrapping_add(word(&rest[8..]) << 8);
    }
    mix(&mut a, &mut b, &mut c);
    c
}

/// The hash of pools with `object_hash` 1.
pub fn hash_linux(bytes: &[u8]) -> u32 {
    let mut h = 0u32;
    for &byte in bytes {
        let c = u32::from(byte);
        h = h.wrapping_add(c << 4).wrapping_add(c >> 4).wrapping_mul(11);
    }
    h
}
