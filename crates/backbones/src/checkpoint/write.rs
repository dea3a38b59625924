//! Writing weights as safetensors.

use crate::{Params, Result};
use safetensors::tensor::{Dtype, TensorView};
use std::collections::HashMap;
use xexp_kernels::values;

/// All weights as the bytes of a safetensors file: sorted by name, `f32`, with the metadata `format: pt` without
/// which transformers refuses the file.
///
/// # Errors
/// When a weight is not a contiguous `f32` tensor; ours are.
pub fn serialize(params: &Params) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(params.len());
    for (name, weight) in params.by_name() {
        let raw: Vec<u8> = values(&weight.var)?.iter().flat_map(|v| v.to_le_bytes()).collect();
        bytes.push((name, weight.var.dims().to_vec(), raw));
    }
    let mut views = Vec::with_capacity(bytes.len());
    for (name, shape, raw) in &bytes {
        let view = TensorView::new(Dtype::F32, shape.clone(), raw).map_err(candle_core::Error::from)?;
        views.push((*name, view));
    }
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    Ok(safetensors::serialize(views, Some(metadata)).map_err(candle_core::Error::from)?)
}
