//! `crush_ln`: 2^44 · log2(x + 1) in fixed point, as straw2's draws need it.
//!
//! The published tables are computed here, at compile time, from their formula. The one exception
//! is the second-level table: its entries are off the formula by a fixed amount and, from some
//! index on, by irregular ones. Placement of existing data depends on them, so they are law;
//! [`LL_OFFSETS`] lists them.
//!
//! Invariant: `crush_ln` is monotonic enough for its use and never above 2^48 for a 16-bit input.

/// What nearly every entry of the second-level table is above its formula.
const LL_OFFSET: u64 = 5_493_489_664;

/// Entries whose offset is not [`LL_OFFSET`]: (index, offset).
const LL_OFFSETS: [(usize, u64); 44] = [
    (0, 0),
    (1, 0),
    (56, 5_349_423_536),
    (127, 978_272_901),
    (134, 3_588_789_669),
    (181, 4_007_963_589),
    (184, 5_423_282_367),
    (188, 2_201_924_427),
    (193, 3_829_329_171),
    (198, 2_511_158_322),
    (199, 2_670_353_280),
    (200, 3_807_665_765),
    (203, 0),
    (207, 5_045_407_031),
    (210, 4_635_559_696),
    (212, 3_670_382_108),
    (216, 0),
    (222, 0),
    (225, 3_209_098_745),
    (227, 1_514_328_394),
    (228, 2_662_093_655),
    (229, 561_838_844),
    (231, 3_537_203_772),
    (233, 0),
    (235, 4_861_921_003),
    (236, 5_281_046_906),
    (237, 0),
    (238, 0),
    (239, 0),
    (240, 2_650_193_885),
    (241, 4_203_558_265),
    (243, 0),
    (244, 0),
    (245, 0),
    (246, 0),
    (247, 362_109_528),
    (248, 0),
    (249, 0),
    (250, 0),
    (251, 0),
    (252, 0),
    (253, 0),
    (254, 0),
    (255, 0),
];

/// (a · a) >> 127 for a fixed-point number with 127 fraction bits.
const fn square(a: u128) -> (bool, u128) {
    let (hi, lo) = (a >> 64, a & u64::MAX as u128);
    let mid = hi * lo;
    let low = lo * lo;
    // a² = hi²·2^128 + 2·mid·2^64 + low, as a 256-bit number (top, bottom).
    let (bottom, c1) = low.overflowing_add(mid << 65);
    let top = hi * hi + (mid >> 63) + c1 as u128;
    // Of the 256 bits those from 127 up are wanted; the result is below 4, so bit 254 and 255
    // are the integer part. Below 2 it keeps 127 fraction bits, else it is halved.
    if top >> 127 == 1 { (true, top) } else { (false, (top << 1) | (bottom >> 127)) }
}

/// floor(2^48 · log2(num / den)) for 1 <= num / den < 2: one squaring a digit.
///
/// The relative error of the start value, 2^-127, doubles at each of the 48 squarings: the digits
/// are those of the exact value.
const fn log2_48(num: u64, den: u64) -> u64 {
    // num / den with 127 fraction bits by long division.
    let mut rest = num as u128;
    let mut x: u128 = 0;
    let mut bit = 0;
    while bit < 128 {
        x <<= 1;
        if rest >= den as u128 {
            rest -= den as u128;
            x |= 1;
        }
        rest <<= 1;
        bit += 1;
    }
    let mut log = 0u64;
    let mut digit = 0;
    while digit < 48 {
        let (carry, y) = square(x);
        log = (log << 1) | carry as u64;
        x = y;
        digit += 1;
    }
    log
}

/// (ceil(2^48 / (1 + k/128)), floor(2^48 · log2(1 + k/128))) for k = 0..=128.
#[allow(long_running_const_eval)]
const HIGH: [(u64, u64); 129] = {
    let mut t = [(0, 0); 129];
    let mut k = 0;
    while k < 128 {
        t[k] = ((1u64 << 55).div_ceil(128 + k as u64), log2_48(128 + k as u64, 128));
        k += 1;
    }
    // One below the formula's 2^48 in the upper half, by definition of the published table.
    t[128] = (1 << 47, 0xffff_0000_0000);
    t
};

/// floor(2^48 · log2(1 + k/32768)) and its offset for k = 0..=255.
#[allow(long_running_const_eval)]
const LOW: [u64; 256] = {
    let mut t = [0; 256];
    let mut k = 0;
    while k < 256 {
        t[k] = log2_48(32_768 + k as u64, 32_768) + LL_OFFSET;
        k += 1;
    }
    let mut i = 0;
    while i < LL_OFFSETS.len() {
        let (k, offset) = LL_OFFSETS[i];
        t[k] = t[k] - LL_OFFSET + offset;
        i += 1;
    }
    t
};

static HIGH_TABLE: [(u64, u64); 129] = HIGH;
static LOW_TABLE: [u64; 256] = LOW;

/// 2^44 · log2(u + 1), approximately, for a 16-bit `u`; only the low 16 bits of `u` count.
#[inline]
pub fn crush_ln(u: u32) -> u64 {
    let mut x = (u & 0xffff) + 1;
    let mut exponent = 15;
    if x & 0x1_8000 == 0 {
        let shift = x.leading_zeros() - 16;
        x <<= shift;
        exponent -= shift;
    }
    // x is 0x8000..=0x10000, so the index is 0..=128.
    let (reciprocal, high) = HIGH_TABLE[((x >> 8) - 128) as usize];
    let low = LOW_TABLE[(((u64::from(x) * reciprocal) >> 48) & 0xff) as usize];
    (u64::from(exponent) << 44) + ((high + low) >> 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_the_logarithm() {
        // log2(3/2) = 0.58496250072115618145...
        assert_eq!(log2_48(3, 2), (0.584_962_500_721_156_2_f64 * (1u64 << 48) as f64) as u64);
        assert_eq!(log2_48(1, 1), 0);
        assert_eq!(HIGH[0], (1 << 48, 0));
        assert_eq!(HIGH[1].0, (1u64 << 55).div_ceil(129));
    }

    #[test]
    fn ends() {
        assert_eq!(crush_ln(0), 0);
        assert_eq!(crush_ln(0xffff), (15 << 44) + (0xffff_0000_0000 >> 4));
        assert!((0..=0xffff).all(|u| crush_ln(u) <= 1 << 48));
    }
}
