//! Residual streams with ReLUs: how a common mean builds up.

use core::f64::consts::PI;

/// Second moment and its variance by depth for `x ← x + relu(W x)`, averaged over weights, with the fluctuations of a
/// finite width to first order in 1/n.
///
/// For one input let `q = |x|²/n` and `m = Σx/n`. Given both, over the weights, `E q' = 2q + 2m√(q/π)` and
/// `E m' = m + √(q/π)` exactly: the branch's units are independent of `x` but for `q`. The means of the products of
/// fluctuating `q` and `m` need their covariance, which is carried along by the same map's slope plus what a block adds.
pub(crate) fn relu_stream(width: usize, depth: usize) -> (Vec<f64>, f64) {
    let n = width as f64;
    let (mut q, mut m) = (1.0, 0.0);
    // Covariance of (q, m); the input is scaled to q = 1.
    let (mut vq, mut c, mut vm) = (0.0, 0.0, 1.0 / n);
    let mut stream = vec![q];
    for _ in 0..depth {
        let root = (q / PI).sqrt();
        let slope = 0.5 / (PI * q).sqrt();
        // Second-order means of √q and m√q over the fluctuations.
        let mean_root = root - vq / (8.0 * q * q) * root;
        let mean_product = m * mean_root + c * slope;
        // Moments of a unit r = relu(√(2q) z): E r³ = (2q)^{3/2} √(2/π), E r⁴ = 6q².
        let r3 = (2.0 * q).powf(1.5) * (2.0 / PI).sqrt();
        let var = q - q / PI;
        let skew = r3 - root * q;
        let var2 = 5.0 * q * q;
        let added = [(4.0 * q * var + 4.0 * m * skew + var2) / n, (2.0 * m * var + skew) / n, var / n];
        // The map's slopes: q by q and m, m by q (and m by m is 1).
        let (qq, qm, mq) = (2.0 + 2.0 * m * slope, 2.0 * root, slope);
        let next = [
            qq * qq * vq + 2.0 * qq * qm * c + qm * qm * vm + added[0],
            qq * mq * vq + (qq + qm * mq) * c + qm * vm + added[1],
            mq * mq * vq + 2.0 * mq * c + vm + added[2],
        ];
        (q, m) = (2.0 * q + 2.0 * mean_product, m + mean_root);
        [vq, c, vm] = next;
        stream.push(q);
    }
    (stream, vq / (q * q))
}

/// Cosine behind a He layer with ReLU of two inputs of cosine `rho`. Source: Cho & Saul 2009, eq. 6.
pub(crate) fn relu_cosine(rho: f64) -> f64 {
    let rho = rho.clamp(-1.0, 1.0);
    ((1.0 - rho * rho).sqrt() + (PI - libm::acos(rho)) * rho) / PI
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_relu_stream_of_infinite_width_is_the_plain_recursion() {
        // q ← 2q + 2μ√(q/π), μ ← μ + √(q/π), by hand for two blocks: q₁ = 2, μ₁ = 1/√π.
        let (stream, spread) = relu_stream(usize::MAX >> 12, 10);
        assert!((stream[1] - 2.0).abs() < 1e-9);
        assert!((stream[2] - (4.0 + 2.0 * 2.0f64.sqrt() / PI)).abs() < 1e-9);
        // Ten blocks: 21 719 by an independent program.
        assert!((stream[10] - 21_719.0).abs() < 1.0 && spread < 1e-9, "{}", stream[10]);
    }
}
