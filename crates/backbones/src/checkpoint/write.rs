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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Checkpoint;
    use crate::{Declarations, Origin, Seed};
    use xexp_init::{Init, Layer};

    #[test]
    fn what_is_written_reads_back_bit_by_bit_under_the_metadata_that_transformers_wants() {
        let mut declared = Declarations::default();
        let normal = Init::Normal { std: 3.0 };
        for name in ["b.weight", "a.weight", "c.weight", "a.bias"] {
            declared.weight(name, Layer::Linear { input: 5, output: 7 }, normal, Origin::New);
        }
        // A safetensors file without tensors.
        let empty = b"\x02\0\0\0\0\0\0\0{}".to_vec();
        let empty = Checkpoint::from_bytes("empty.safetensors".as_ref(), empty).unwrap();
        let (params, _) = declared.load(&empty, Seed(4)).unwrap();

        let bytes = serialize(&params).unwrap();
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
        assert_eq!(header["__metadata__"], serde_json::json!({ "format": "pt" }));
        let sorted = ["a.bias", "a.weight", "b.weight", "c.weight"];
        let starts = sorted.map(|name| header[name]["data_offsets"][0].as_u64().unwrap());
        assert_eq!(starts, [0, 140, 280, 420]);

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        std::fs::write(&path, bytes).unwrap();
        let read = Checkpoint::open(&path).unwrap();
        assert_eq!(read.names(), sorted);
        for (id, weight) in params.iter() {
            assert_eq!(read.shape(&weight.name), Some(vec![7, 5]));
            assert_eq!(read.values(&weight.name).unwrap(), &*params.values(id).unwrap());
        }
    }
}
