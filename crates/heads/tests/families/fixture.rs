//! A recorded fixture: a configuration, and what PyTorch made of the model.

use std::collections::BTreeMap;
use std::path::PathBuf;

use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};
use xexp_backbones::Input;
use xexp_backbones::families::Family;
use xexp_backbones::folder::Folder;
use xexp_heads::Classifier;

use crate::rule;

/// One tiny model.
pub struct Fixture {
    /// Name of the file.
    pub case: String,
    /// The recorded tensors.
    pub tensors: BTreeMap<String, Vec<f32>>,
    /// Names and shapes of all tensors of floats that transformers saves.
    pub shapes: BTreeMap<String, Vec<usize>>,
    /// The class of each text or image.
    pub labels: Vec<u32>,
    /// Its `config.json`.
    pub config: Value,
    /// Token ids of the texts.
    pub texts: Option<Vec<Vec<u32>>>,
}

impl Fixture {
    /// All of them, by name.
    pub fn all() -> Vec<Fixture> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/families/fixtures");
        let mut paths: Vec<PathBuf> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        assert!(!paths.is_empty(), "no fixtures: run tests/parity/fixtures.py");
        paths.iter().map(Fixture::read).collect()
    }

    fn read(path: &PathBuf) -> Fixture {
        let bytes = std::fs::read(path).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let said = header.metadata().clone().unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let floats = |raw: &[u8]| raw.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        let tensors = file.tensors().into_iter().map(|(name, view)| (name, floats(view.data()))).collect();
        Fixture {
            case: path.file_stem().unwrap().to_string_lossy().into_owned(),
            tensors,
            shapes: serde_json::from_str(&said["shapes"]).unwrap(),
            labels: serde_json::from_str(&said["labels"]).unwrap(),
            config: serde_json::from_str(&said["config"]).unwrap(),
            texts: said.get("texts").map(|texts| serde_json::from_str(texts).unwrap()),
        }
    }

    /// The family of the configuration.
    pub fn family(&self) -> &'static Family {
        self.folder().family
    }

    /// The recorded tensors under a prefix, without it.
    pub fn under(&self, prefix: &str) -> BTreeMap<String, Vec<f32>> {
        let under = |(name, values): (&String, &Vec<f32>)| {
            Some((name.strip_prefix(prefix)?.to_string(), values.clone()))
        };
        self.tensors.iter().filter_map(under).collect()
    }

    /// The model of the folder.
    pub fn classifier(&self) -> Classifier {
        Classifier::open(&self.folder()).unwrap().0
    }

    /// A folder such as transformers would have saved.
    pub fn folder(&self) -> Folder {
        let tensors: Vec<(&String, &Vec<usize>, Vec<u8>)> = self
            .shapes
            .iter()
            .map(|(name, shape)| {
                let raw = rule::values(name, shape).iter().flat_map(|v| v.to_le_bytes()).collect();
                (name, shape, raw)
            })
            .collect();
        let views = tensors.iter().map(|(name, shape, raw)| {
            (name, safetensors::tensor::TensorView::new(Dtype::F32, shape.to_vec(), raw).unwrap())
        });
        let weights = safetensors::serialize(views, None).unwrap();
        let config = serde_json::to_vec(&self.config).unwrap();
        let companion = serde_json::to_vec(&json!({})).unwrap();
        let leak = |bytes: Vec<u8>| -> &'static [u8] { Vec::leak(bytes) };
        let companions = ["tokenizer.json", "preprocessor_config.json"].map(|name| (name, &companion));
        let mut files = vec![("config.json", leak(config)), ("model.safetensors", leak(weights))];
        files.extend(companions.map(|(name, bytes)| (name, leak(bytes.clone()))));
        Folder::in_memory(&self.case, Vec::leak(files)).unwrap()
    }

    /// The batch.
    pub fn input(&self) -> Input {
        match &self.texts {
            Some(texts) => {
                let types: Vec<Vec<u32>> = texts.iter().map(|ids| vec![0; ids.len()]).collect();
                Input::pack(texts.iter().zip(&types).map(|(ids, types)| (&ids[..], &types[..]))).unwrap()
            }
            None => {
                let shape = self.classifier().backbone.image().unwrap();
                let values = shape.channels * shape.size * shape.size;
                let name = format!("{} pixels", self.case);
                let pixels: Vec<f32> = rule::uniform(&name, self.labels.len() * values)
                    .iter()
                    .map(|u| (1.5 * u) as f32)
                    .collect();
                Input::pack_images(pixels.chunks_exact(values), shape.tokens).unwrap()
            }
        }
    }
}
