//! Philox4x32-10: a random permutation of counters, the same on every device.
//!
//! The function has no state. Whoever needs random numbers at many places at once (dropout on a GPU, a tensor filled
//! by blocks) takes a [`Seed::key`](crate::Seed::key) and counts.
//!
//! Source: Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

/// Multipliers of the two halves of a round. Source: Salmon et al. 2011, table 2; `philox.h` of Random123.
const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];

/// Weyl increments of the key: the golden ratio and √3 − 1, in units of 2⁻³². Source: as above.
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// Four random words for a counter, under a key; a bijection of the counter for each key.
///
/// Source: Salmon et al. 2011, section 3.3, with ten rounds.
#[inline]
pub fn philox4x32_10(key: [u32; 2], counter: [u32; 4]) -> [u32; 4] {
    let [mut k0, mut k1] = key;
    let mut c = counter;
    for _ in 0..10 {
        let left = u64::from(MULTIPLIERS[0]) * u64::from(c[0]);
        let right = u64::from(MULTIPLIERS[1]) * u64::from(c[2]);
        c = [(right >> 32) as u32 ^ c[1] ^ k0, right as u32, (left >> 32) as u32 ^ c[3] ^ k1, left as u32];
        k0 = k0.wrapping_add(WEYL[0]);
        k1 = k1.wrapping_add(WEYL[1]);
    }
    c
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_known_answers_of_random123() {
        // Source: `kat_vectors` of the Random123 distribution, philox 4x32 10.
        assert_eq!(philox4x32_10([0; 2], [0; 4]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(
            philox4x32_10([u32::MAX; 2], [u32::MAX; 4]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox4x32_10([0xa409_3822, 0x299f_31d0], [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }
}
