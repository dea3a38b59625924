//! A safetensors file written tensor by tensor, so that what is written is never in memory a second time.

use super::Stored;
use crate::{Error, Result};
use half::{bf16, f16};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use std::collections::{HashMap, HashSet};
use std::io::{self, Write};
use std::ops::Deref;

/// Values turned into bytes at once: enough for a fast loop, few enough to stay in the first cache.
const CHUNK: usize = 4096;

/// How the numbers of a tensor are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// As floats.
    Float(Stored),
    /// As 64-bit whole numbers.
    Count,
}

impl Format {
    fn dtype(self) -> Dtype {
        match self {
            Format::Float(Stored::F32) => Dtype::F32,
            Format::Float(Stored::F16) => Dtype::F16,
            Format::Float(Stored::Bf16) => Dtype::BF16,
            Format::Count => Dtype::I64,
        }
    }

    /// Bytes of a number.
    fn size(self) -> usize {
        match self {
            Format::Float(Stored::F32) => 4,
            Format::Float(Stored::F16 | Stored::Bf16) => 2,
            Format::Count => 8,
        }
    }

    fn append(self, values: &[f32], bytes: &mut Vec<u8>) {
        match self {
            Format::Float(Stored::F32) => bytes.extend(values.iter().flat_map(|v| v.to_le_bytes())),
            Format::Float(Stored::F16) => {
                bytes.extend(values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()));
            }
            Format::Float(Stored::Bf16) => {
                bytes.extend(values.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()));
            }
            Format::Count => bytes.extend(values.iter().flat_map(|v| (*v as i64).to_le_bytes())),
        }
    }
}

/// What a safetensors file will hold.
#[derive(Default)]
pub struct Tensors<'a> {
    metadata: Option<HashMap<String, String>>,
    entries: Vec<Entry<'a>>,
}

struct Entry<'a> {
    name: String,
    format: Format,
    shape: Vec<usize>,
    values: Box<dyn Deref<Target = [f32]> + 'a>,
}

impl<'a> Tensors<'a> {
    /// Of a file with the metadata `format: pt`, without which transformers refuses a file of weights.
    pub fn of_weights() -> Self {
        let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
        Tensors { metadata: Some(metadata), entries: vec![] }
    }

    /// Adds a tensor of as many values as its shape has places.
    pub fn push(
        &mut self,
        name: String,
        format: Format,
        shape: Vec<usize>,
        values: impl Deref<Target = [f32]> + 'a,
    ) {
        self.entries.push(Entry { name, format, shape, values: Box::new(values) });
    }

    /// Writes the file: wider numbers first, among equal ones sorted by name, as the safetensors crate does.
    ///
    /// # Errors
    /// A name that stands twice, a tensor whose values are not as many as its shape says, or what `out` reports.
    pub fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut entries: Vec<&Entry<'_>> = self.entries.iter().collect();
        entries.sort_by(|a, b| b.format.dtype().cmp(&a.format.dtype()).then_with(|| a.name.cmp(&b.name)));
        let header = self.header(&entries).map_err(io::Error::other)?;
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        let mut bytes = Vec::with_capacity(8 * CHUNK);
        for entry in entries {
            for part in entry.values.chunks(CHUNK) {
                bytes.clear();
                entry.format.append(part, &mut bytes);
                out.write_all(&bytes)?;
            }
        }
        Ok(())
    }

    /// Bytes of the tensors, without the header.
    pub fn size(&self) -> usize {
        self.entries.iter().map(|entry| entry.values.len() * entry.format.size()).sum()
    }

    /// The bytes of the file.
    ///
    /// # Errors
    /// As [`Tensors::write_to`].
    pub fn bytes(&self) -> Result<Vec<u8>> {
        // The header takes a hundred bytes a tensor, a long name more.
        let mut bytes = Vec::with_capacity(self.size() + 256 * (1 + self.entries.len()));
        self.write_to(&mut bytes).map_err(|error| Error::Serialize { reason: error.to_string() })?;
        Ok(bytes)
    }

    /// JSON, with spaces up to a multiple of 8 bytes.
    fn header(
        &self,
        entries: &[&Entry<'_>],
    ) -> std::result::Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        let mut end = 0;
        let infos = entries.iter().map(|entry| {
            let begin = end;
            end += entry.values.len() * entry.format.size();
            let info = TensorInfo {
                dtype: entry.format.dtype(),
                shape: entry.shape.clone(),
                data_offsets: (begin, end),
            };
            (entry.name.clone(), info)
        });
        let infos: Vec<(String, TensorInfo)> = infos.collect();
        let mut names = HashSet::new();
        if let Some((twice, _)) = infos.iter().find(|(name, _)| !names.insert(name)) {
            return Err(format!("two tensors of the name {twice}").into());
        }
        let metadata = Metadata::new(self.metadata.clone(), infos)?;
        let mut header = serde_json::to_vec(&metadata)?;
        header.resize(header.len().next_multiple_of(8), b' ');
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::tensor::TensorView;

    #[test]
    fn the_bytes_are_those_of_the_safetensors_crate() {
        // Longer than a chunk, so that its parts have to meet.
        let long: Vec<f32> = (0..10_000).map(|i| i as f32 / 7.0).collect();
        let mut ours = Tensors::of_weights();
        ours.push("b".into(), Format::Float(Stored::F32), vec![100, 100], &long[..]);
        ours.push("a\"ü".into(), Format::Float(Stored::F32), vec![3], &long[1..4]);
        ours.push("half".into(), Format::Float(Stored::F16), vec![2], &long[5..7]);
        ours.push("brain".into(), Format::Float(Stored::Bf16), vec![2], &long[5..7]);
        ours.push("n".into(), Format::Count, vec![], &[70_001.0f32][..]);
        ours.push("none".into(), Format::Float(Stored::F32), vec![0, 4], &long[..0]);

        let raw = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
        let half = long[5..7].iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect();
        let brain = long[5..7].iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect();
        let tensors: [(&str, Dtype, Vec<usize>, Vec<u8>); 6] = [
            ("none", Dtype::F32, vec![0, 4], vec![]),
            ("a\"ü", Dtype::F32, vec![3], raw(&long[1..4])),
            ("b", Dtype::F32, vec![100, 100], raw(&long)),
            ("brain", Dtype::BF16, vec![2], brain),
            ("half", Dtype::F16, vec![2], half),
            ("n", Dtype::I64, vec![], 70_001i64.to_le_bytes().to_vec()),
        ];
        let views = tensors
            .iter()
            .map(|(name, dtype, shape, raw)| (*name, TensorView::new(*dtype, shape.clone(), raw).unwrap()));
        let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
        let expected = safetensors::serialize(views.collect::<Vec<_>>(), Some(metadata)).unwrap();
        assert_eq!(ours.bytes().unwrap(), expected);
    }

    #[test]
    fn what_would_be_no_file_is_refused() {
        let values = [0.0f32; 4];
        let mut short = Tensors::default();
        short.push("a".into(), Format::Float(Stored::F32), vec![5], &values[..]);
        assert!(short.bytes().is_err());
        let mut twice = Tensors::default();
        for _ in 0..2 {
            twice.push("a".into(), Format::Float(Stored::F32), vec![4], &values[..]);
        }
        assert!(twice.bytes().is_err());
    }
}
