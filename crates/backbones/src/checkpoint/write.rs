//! Writing weights as safetensors.

use super::Extent;
use super::stream::{Format, Tensors};
use crate::{Params, Result, Weight};
use half::{bf16, f16};
use xexp_init::Layer;
use xexp_kernels::values;

/// The number format of weights on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Stored {
    /// 32 bits: as they are.
    #[default]
    F32,
    /// 16 bits with 11 of precision, for magnitudes up to 65504.
    F16,
    /// 16 bits with 8 of precision, for all magnitudes of `F32`.
    Bf16,
}

impl Stored {
    /// PyTorch's name, as `config.json` has it.
    pub fn name(self) -> &'static str {
        match self {
            Stored::F32 => "float32",
            Stored::F16 => "float16",
            Stored::Bf16 => "bfloat16",
        }
    }

    /// Rounds the weights of a file to what this format can hold, so that what is scored is what is saved.
    ///
    /// # Errors
    /// When a weight is not a contiguous `f32` tensor; ours are.
    pub fn round(self, params: &Params, extent: Extent) -> Result<()> {
        let nearest: fn(f32) -> f32 = match self {
            Stored::F32 => return Ok(()),
            Stored::F16 => |v| f16::from_f32(v).to_f32(),
            Stored::Bf16 => |v| bf16::from_f32(v).to_f32(),
        };
        let held = |weight: &Weight| weight.layer != Layer::Count && extent.key(weight).is_some();
        for (id, _) in params.iter().filter(|(_, weight)| held(weight)) {
            let rounded: Vec<f32> = params.values(id)?.iter().map(|v| nearest(*v)).collect();
            params.set(id, &rounded)?;
        }
        Ok(())
    }
}

/// All weights as the bytes of a safetensors file: sorted by name, `f32`, with the metadata `format: pt` without
/// which transformers refuses the file.
///
/// # Errors
/// When a weight is not a contiguous `f32` tensor; ours are.
pub fn serialize(params: &Params) -> Result<Vec<u8>> {
    serialize_as(params, Stored::F32, |_| true)
}

/// [`serialize`] of the weights whose names are `wanted`, in another number format, rounded to the nearest; counts are 64-bit
/// whole numbers in all of them.
///
/// # Errors
/// As [`serialize`].
pub fn serialize_as(params: &Params, stored: Stored, wanted: impl Fn(&str) -> bool) -> Result<Vec<u8>> {
    tensors(params, stored, |weight| wanted(&weight.name).then(|| weight.name.clone()))?.bytes()
}

/// [`serialize`] of a file of this extent, in another number format.
///
/// # Errors
/// As [`serialize`].
pub fn serialize_extent(params: &Params, extent: Extent, stored: Stored) -> Result<Vec<u8>> {
    extent_tensors(params, extent, stored)?.bytes()
}

/// What [`serialize_extent`] makes bytes of, to be written without them.
///
/// # Errors
/// As [`serialize`].
pub fn extent_tensors(params: &Params, extent: Extent, stored: Stored) -> Result<Tensors<'_>> {
    tensors(params, stored, |weight| extent.key(weight))
}

fn tensors(params: &Params, stored: Stored, key: impl Fn(&Weight) -> Option<String>) -> Result<Tensors<'_>> {
    let mut tensors = Tensors::of_weights();
    for (_, weight) in params.by_name() {
        let Some(name) = key(weight) else { continue };
        let format = match weight.layer {
            Layer::Count => Format::Count,
            _ => Format::Float(stored),
        };
        tensors.push(name, format, weight.var.dims().to_vec(), values(&weight.var)?);
    }
    Ok(tensors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Checkpoint;
    use crate::{Declarations, Origin, Seed};
    use safetensors::Dtype;
    use xexp_init::Init;

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

    #[test]
    fn counts_are_whole_numbers_in_every_format() {
        let mut declared = Declarations::default();
        declared.weight("n", Layer::Count, Init::Constant(70_001.0), Origin::New);
        let params = declared.draw(Seed(1)).unwrap();
        for stored in [Stored::F32, Stored::F16, Stored::Bf16] {
            stored.round(&params, Extent::Model).unwrap();
            let bytes = serialize_as(&params, stored, |_| true).unwrap();
            let view = safetensors::SafeTensors::deserialize(&bytes).unwrap();
            let view = view.tensor("n").unwrap();
            let raw = 70_001i64.to_le_bytes();
            assert_eq!((view.dtype(), view.shape(), view.data()), (Dtype::I64, &[][..], &raw[..]));
        }
    }

    #[test]
    fn halves_are_rounded_to_the_nearest_and_only_what_is_wanted_is_there() {
        let mut declared = Declarations::default();
        declared.weight("a.bias", Layer::Vector { len: 1 }, Init::Constant(1.0 + 1.0 / 256.0), Origin::New);
        declared.weight("b.bias", Layer::Vector { len: 1 }, Init::Constant(0.0), Origin::New);
        let params = declared.draw(Seed(1)).unwrap();
        // 1 + 2⁻⁸ has nine bits: exact in f16; halfway between two bf16, of which 1 is the even one.
        for (stored, expected) in
            [(Stored::F32, 1.003_906_2), (Stored::F16, 1.003_906_2), (Stored::Bf16, 1.0)]
        {
            let bytes = serialize_as(&params, stored, |name| name != "b.bias").unwrap();
            stored.round(&params, Extent::Model).unwrap();
            assert_eq!(bytes, serialize_as(&params, stored, |name| name != "b.bias").unwrap());
            let read = Checkpoint::from_bytes("a".as_ref(), bytes).unwrap();
            assert_eq!(
                (read.names(), read.values("a.bias").unwrap()),
                (vec!["a.bias".into()], vec![expected])
            );
        }
    }
}
