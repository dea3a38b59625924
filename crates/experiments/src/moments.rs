//! Moments of tensors, summed in f64.
//!
//! What propagates through a linear map is the second moment `E[x²]`, not the variance: the two are equal at zero mean
//! alone.

use candle_core::{DType, Tensor};

use crate::Result;

/// The values, as f64, in row-major order.
///
/// # Errors
/// A device that cannot be read.
pub fn values(x: &Tensor) -> Result<Vec<f64>> {
    Ok(x.flatten_all()?.to_dtype(DType::F64)?.to_vec1()?)
}

/// `E[x²]` over all values.
///
/// # Errors
/// A device that cannot be read.
pub fn second_moment(x: &Tensor) -> Result<f64> {
    let values = values(x)?;
    Ok(values.iter().map(|v| v * v).sum::<f64>() / values.len() as f64)
}

/// `E[x]` over all values.
///
/// # Errors
/// A device that cannot be read.
pub fn mean(x: &Tensor) -> Result<f64> {
    let values = values(x)?;
    Ok(values.iter().sum::<f64>() / values.len() as f64)
}

/// `E[x²] − E[x]²` over all values.
///
/// # Errors
/// A device that cannot be read.
pub fn variance(x: &Tensor) -> Result<f64> {
    let values = values(x)?;
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    Ok(values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n)
}

/// Cosine of two tensors of the same number of values.
///
/// # Errors
/// A device that cannot be read.
pub fn cosine(x: &Tensor, y: &Tensor) -> Result<f64> {
    let (x, y) = (values(x)?, values(y)?);
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    Ok(dot(&x, &y) / (dot(&x, &x) * dot(&y, &y)).sqrt())
}
