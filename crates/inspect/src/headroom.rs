//! How far numbers are from the ends of short formats.

/// The largest number of IEEE 754 binary16.
pub const F16: f64 = 65_504.0;
/// The largest number of bfloat16, `(2 − 2⁻⁷)·2¹²⁷`.
pub const BF16: f64 = 3.389_531_389_251_535_5e38;
/// The largest number of FP8 e4m3 without infinities. Source: Micikevicius et al. 2022, table 1.
pub const E4M3: f64 = 448.0;
/// Half of the smallest number of binary16, `2⁻²⁵`: what is smaller becomes zero.
const F16_ZERO: f32 = 2.980_232_2e-8;

/// Bits between a number and a format's largest, `log₂(largest/|x|)`; negative beyond it, infinite for zero.
pub fn bits(largest: f64, x: f64) -> f64 {
    (largest / x.abs()).log2()
}

/// Share of values that binary16 makes zero of, though they are not.
pub fn lost_in_f16(values: &[f32]) -> f64 {
    let lost = values.iter().filter(|v| **v != 0.0 && v.abs() <= F16_ZERO).count();
    lost as f64 / values.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_count_doublings_up_to_the_end() {
        assert_eq!(bits(F16, 65_504.0), 0.0);
        assert_eq!(bits(E4M3, 56.0), 3.0);
        assert_eq!(bits(E4M3, -896.0), -1.0);
        assert!(bits(BF16, 1.0) > 127.9);
        assert_eq!(lost_in_f16(&[0.0, 1e-9, -1e-9, 1e-7]), 0.5);
    }
}
