//! One safetensors file.

use crate::{Error, Result};
use memmap2::Mmap;
use safetensors::tensor::Metadata;
use safetensors::{Dtype, SafeTensors};
use std::io::{Read, Seek, SeekFrom};
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};

enum Bytes {
    /// The file as well: what is read through it does not count as this process's memory, as touched pages of a map do.
    Map(Mmap, std::fs::File),
    Memory(Vec<u8>),
    Static(&'static [u8]),
}

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Map(map, _) => map,
            Bytes::Memory(bytes) => bytes,
            Bytes::Static(bytes) => bytes,
        }
    }
}

/// An open safetensors file: header read, tensors still on disk.
pub(super) struct File {
    path: PathBuf,
    bytes: Bytes,
    start: usize,
    metadata: Metadata,
}

impl File {
    /// Maps the file and reads its header.
    ///
    /// # Errors
    /// [`Error::Read`], or [`Error::Corrupt`] when header and length do not fit.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let read = |source| Error::Read { path: path.into(), source };
        let file = std::fs::File::open(path).map_err(read)?;
        if file.metadata().map_err(read)?.len() == 0 {
            return Err(corrupt(path, "the file is empty".to_string()));
        }
        // SAFETY: the map is read-only. A process that truncates the file meanwhile would end this one by a
        // signal, as with every program that maps its weights; our own writes replace files by rename.
        #[allow(unsafe_code)]
        let map = unsafe { Mmap::map(&file) }.map_err(read)?;
        Self::parse(path, Bytes::Map(map, file))
    }

    /// The same of bytes in memory; `path` is for messages.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub(super) fn from_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self> {
        Self::parse(path, Bytes::Memory(bytes))
    }

    /// The same of bytes that are part of the program.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub(super) fn from_static(path: &Path, bytes: &'static [u8]) -> Result<Self> {
        Self::parse(path, Bytes::Static(bytes))
    }

    /// The whole file, as hashes are taken of it.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn parse(path: &Path, bytes: Bytes) -> Result<Self> {
        let (header, metadata) =
            SafeTensors::read_metadata(&bytes).map_err(|e| corrupt(path, e.to_string()))?;
        let start = header + 8;
        let end = start + metadata.data_len();
        if end != bytes.len() {
            return Err(corrupt(
                path,
                format!("the header calls for {end} bytes, the file has {}", bytes.len()),
            ));
        }
        Ok(File { path: path.into(), bytes, start, metadata })
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Names of all tensors.
    pub(super) fn names(&self) -> Vec<String> {
        self.metadata.offset_keys()
    }

    /// A tensor's shape; `None` when there is none of this name.
    pub(super) fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.metadata.info(name).map(|info| info.shape.clone())
    }

    /// A tensor's values, widened to `f32`.
    ///
    /// # Errors
    /// A missing tensor, one that is neither of floats nor a count up to 2²⁴, beyond which `f32` has not every whole number, or one that holds values that are not finite.
    pub(super) fn values(&self, name: &str) -> Result<Vec<f32>> {
        let values = self.stored(name)?;
        if values.iter().any(|v| !v.is_finite()) {
            return Err(Error::NotFinite { path: self.path.clone(), name: name.to_string() });
        }
        Ok(values)
    }

    /// The same, whatever the values are.
    ///
    /// # Errors
    /// A missing tensor, or one of another type.
    pub(super) fn stored(&self, name: &str) -> Result<Vec<f32>> {
        let missing = || Error::MissingTensors { path: self.path.clone(), count: 1, names: name.to_string() };
        let info = self.metadata.info(name).ok_or_else(missing)?;
        let range = self.start + info.data_offsets.0..self.start + info.data_offsets.1;
        let mut values = Vec::with_capacity(info.shape.iter().product());
        match info.dtype {
            Dtype::F32 => {
                self.parts(range, |bytes| values.extend(words(bytes).map(f32::from_le_bytes)))?;
            }
            Dtype::F64 => {
                self.parts(range, |bytes| values.extend(words(bytes).map(|b| f64::from_le_bytes(b) as f32)))?;
            }
            // A bf16 is the upper half of an f32.
            Dtype::BF16 => {
                let wide = |b| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16);
                self.parts(range, |bytes| values.extend(words(bytes).map(wide)))?;
            }
            Dtype::F16 => {
                let wide = |b| half(u16::from_le_bytes(b));
                self.parts(range, |bytes| values.extend(words(bytes).map(wide)))?;
            }
            Dtype::I64 if info.shape.is_empty() => {
                let count = words(&self.bytes[range]).map(i64::from_le_bytes).next().unwrap_or_default();
                if !(0..=1 << 24).contains(&count) {
                    let (path, name) = (self.path.clone(), name.to_string());
                    return Err(Error::DType { path, name, found: format!("the count {count}") });
                }
                values.push(count as f32);
            }
            other => {
                let (path, name) = (self.path.clone(), name.to_string());
                return Err(Error::DType { path, name, found: format!("{other:?}") });
            }
        }
        Ok(values)
    }

    /// Calls back with some of the file's bytes, part by part, in whole numbers of eight bytes as far as they go.
    fn parts(&self, range: Range<usize>, mut take: impl FnMut(&[u8])) -> Result<()> {
        const PART: usize = 1 << 20;
        let Bytes::Map(_, file) = &self.bytes else {
            take(&self.bytes[range]);
            return Ok(());
        };
        let read = |source| Error::Read { path: self.path.clone(), source };
        let mut file = file;
        file.seek(SeekFrom::Start(range.start as u64)).map_err(read)?;
        let mut part = vec![0; PART.min(range.len())];
        let mut left = range.len();
        while left > 0 {
            let now = left.min(PART);
            file.read_exact(&mut part[..now]).map_err(read)?;
            take(&part[..now]);
            left -= now;
        }
        Ok(())
    }
}

fn words<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> + '_ {
    bytes.as_chunks::<N>().0.iter().copied()
}

/// IEEE 754 binary16 to binary32, exactly.
fn half(bits: u16) -> f32 {
    let (sign, exponent, fraction) =
        (u32::from(bits >> 15) << 31, u32::from(bits >> 10 & 31), u32::from(bits & 1023));
    match exponent {
        // Subnormal: fraction · 2⁻²⁴, exact in f32.
        0 => f32::from_bits(sign | (fraction as f32 * 2f32.powi(-24)).to_bits()),
        31 => f32::from_bits(sign | 0x7f80_0000 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | fraction << 13),
    }
}

fn corrupt(path: &Path, reason: String) -> Error {
    Error::Corrupt { path: path.into(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    use safetensors::tensor::TensorView;

    fn file(dtype: Dtype, raw: &[u8], shape: &[usize]) -> Vec<u8> {
        let view = TensorView::new(dtype, shape.to_vec(), raw).unwrap();
        safetensors::serialize([("w", view)], None).unwrap()
    }

    fn values(bytes: Vec<u8>) -> Result<Vec<f32>> {
        File::from_bytes("w.safetensors".as_ref(), bytes)?.values("w")
    }

    #[test]
    fn every_kind_of_float_reads_to_the_same_values() {
        let expected = [1.5f32, -2.0, 0.25, 0.0];
        // The bits by IEEE 754 and by bf16's definition, the upper half of an f32.
        let f16 = [0x3e00u16, 0xc000, 0x3400, 0].map(u16::to_le_bytes).concat();
        let bf16 = [0x3fc0u16, 0xc000, 0x3e80, 0].map(u16::to_le_bytes).concat();
        let f32 = expected.map(f32::to_le_bytes).concat();
        let f64 = expected.map(|v| f64::from(v).to_le_bytes()).concat();
        for (dtype, raw) in [(Dtype::F16, f16), (Dtype::BF16, bf16), (Dtype::F32, f32), (Dtype::F64, f64)] {
            assert_eq!(values(file(dtype, &raw, &[2, 2])).unwrap(), expected, "{dtype:?}");
        }
    }

    #[test]
    fn whole_numbers_and_what_is_no_number_are_refused_by_name() {
        let found = values(file(Dtype::I64, &[0; 16], &[2]));
        assert!(matches!(found, Err(Error::DType { name, found, .. }) if (&*name, &*found) == ("w", "I64")));
        let count = |count: i64| values(file(Dtype::I64, &count.to_le_bytes(), &[]));
        assert_eq!(count(1 << 24).unwrap(), [16_777_216.0]);
        for wrong in [-1, (1 << 24) + 1] {
            assert!(matches!(count(wrong), Err(Error::DType { .. })));
        }
        // 1e300 is a number until it is one of 32 bits.
        for raw in [f64::NAN, f64::INFINITY, 1e300].map(f64::to_le_bytes) {
            let found = values(file(Dtype::F64, &raw, &[1]));
            assert!(matches!(found, Err(Error::NotFinite { name, .. }) if name == "w"));
        }
    }

    #[test]
    fn a_file_cut_anywhere_or_too_long_is_corrupt() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let whole = file(Dtype::F32, &[1; 24], &[2, 3]);
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let error = File::open(&path).err().unwrap();
            assert!(matches!(error, Error::Corrupt { .. }) && error.hint().is_some(), "{length}: {error}");
        }
        std::fs::write(&path, [&whole[..], &[0]].concat()).unwrap();
        assert!(matches!(File::open(&path), Err(Error::Corrupt { .. })));
        std::fs::write(&path, &whole).unwrap();
        assert_eq!(File::open(&path).unwrap().shape("w"), Some(vec![2, 3]));
    }

    #[test]
    fn every_half_is_that_of_candle() {
        use candle_core::{DType, Device, Tensor};
        let bits: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        let tensor = Tensor::from_raw_buffer(&bits, DType::F16, &[65536], &Device::Cpu).unwrap();
        let wide = tensor.to_dtype(DType::F32).unwrap().to_vec1::<f32>().unwrap();
        for (bits, wide) in (0..=u16::MAX).zip(wide) {
            let ours = half(bits);
            assert!(ours.to_bits() == wide.to_bits() || (ours.is_nan() && wide.is_nan()), "{bits:#x}");
        }
    }
}
