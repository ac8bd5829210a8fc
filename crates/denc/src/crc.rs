//! Ceph's CRC-32C convention: the raw register update, no inversion before or after.

/// `ceph_crc32c(seed, data)` as Ceph computes it (Castagnoli, reflected, raw register).
pub fn ceph_crc32c(seed: u32, data: &[u8]) -> u32 {
    !crc32c::crc32c_append(!seed, data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_convention_is_a_raw_register() {
        // CRC-32C of "123456789" is 0xe3069283 in the usual convention (both inversions).
        assert_eq!(ceph_crc32c(u32::MAX, b"123456789"), !0xe306_9283);
        let whole = ceph_crc32c(7, b"123456789");
        assert_eq!(ceph_crc32c(ceph_crc32c(7, b"1234"), b"56789"), whole);
    }
}
