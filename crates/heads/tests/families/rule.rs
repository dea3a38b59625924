//! The rule by which tiny models get their weights and inputs: a function of a tensor's name and the place in it. Its
//! other half is `tests/parity/tiny.py`.

/// `count` numbers in [-1, 1): SplitMix64 from the FNV-1a hash of the name. Source: Steele, Lea and Flood 2014.
pub fn uniform(name: &str, count: usize) -> Vec<f64> {
    let key = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |key, byte| (key ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let draw = |place: u64| {
        let mut word = key.wrapping_add(place.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^= word >> 31;
        (word >> 11) as f64 * 2f64.powi(-52) - 1.0
    };
    (0..count as u64).map(draw).collect()
}

/// The values of a tensor.
pub fn values(name: &str, shape: &[usize]) -> Vec<f32> {
    let (centre, spread) = if name.ends_with("running_var") {
        (1.0, 0.5)
    } else if shape.len() > 1 {
        (0.0, 1.2 * (3.0 / shape[1..].iter().product::<usize>() as f64).sqrt())
    } else if ["weight", "gamma", "lambda1", "lambda_1", "lambda_2", "layer_scale_parameter"]
        .iter()
        .any(|end| name.ends_with(end))
    {
        (1.0, 0.2)
    } else {
        (0.0, 0.2)
    };
    uniform(name, shape.iter().product()).into_iter().map(|u| (centre + spread * u) as f32).collect()
}
