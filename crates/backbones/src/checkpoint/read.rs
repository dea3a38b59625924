//! Reading a checkpoint: one safetensors file, or several with an index.

use super::file::File;
use crate::{Error, Result};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// An open checkpoint: headers read, tensors still on disk.
pub struct Checkpoint {
    path: PathBuf,
    files: Vec<File>,
    /// The file of each tensor.
    places: BTreeMap<String, usize>,
}

impl Checkpoint {
    /// Maps a safetensors file and reads its header.
    ///
    /// # Errors
    /// [`Error::Read`], or [`Error::Corrupt`] when header and length do not fit.
    pub fn open(path: &Path) -> Result<Self> {
        Self::whole(path, vec![File::open(path)?])
    }

    /// The same of bytes in memory; `path` is for messages.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn from_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self> {
        Self::whole(path, vec![File::from_bytes(path, bytes)?])
    }

    /// The same of bytes that are part of the program.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn from_static(path: &Path, bytes: &'static [u8]) -> Result<Self> {
        Self::whole(path, vec![File::from_static(path, bytes)?])
    }

    /// A checkpoint in several files: `path` is the `model.safetensors.index.json` beside them, whose `weight_map` says in
    /// which file each tensor lies.
    ///
    /// # Errors
    /// As [`Checkpoint::open`]; [`Error::Missing`] for a file that the index names; [`Error::Index`] for an index of
    /// another form, a tensor that is not in its file, or one that is in two.
    pub fn open_sharded(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.into(), source })?;
        let index: Value = serde_json::from_str(&text).map_err(|e| wrong(path, e.to_string()))?;
        let map = index.get("weight_map").and_then(Value::as_object);
        let map = map.filter(|map| !map.is_empty()).ok_or_else(|| {
            wrong(path, "expected an index with a weight_map of tensors to files".to_string())
        })?;
        let mut files = BTreeMap::new();
        for (tensor, file) in map {
            // A name that leads out of the folder is none of a model's files.
            let file = file.as_str().filter(|name| Path::new(name).file_name() == Some(name.as_ref()));
            let file = file.ok_or_else(|| wrong(path, format!("{tensor} is not mapped to a file name")))?;
            files.entry(file).or_insert_with(Vec::new).push(tensor);
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut opened = Vec::with_capacity(files.len());
        for (name, tensors) in files {
            let part = folder.join(name);
            if !part.is_file() {
                return Err(Error::Missing { path: part });
            }
            let file = File::open(&part)?;
            if let Some(absent) = tensors.iter().find(|tensor| file.shape(tensor).is_none()) {
                return Err(wrong(path, format!("{absent} is not in {name}, where the index has it")));
            }
            opened.push(file);
        }
        Self::whole(path, opened)
    }

    fn whole(path: &Path, files: Vec<File>) -> Result<Self> {
        let mut places = BTreeMap::new();
        for (index, file) in files.iter().enumerate() {
            for name in file.names() {
                if let Some(other) = places.insert(name.clone(), index) {
                    let (a, b) = (files[other].path().display(), file.path().display());
                    return Err(wrong(path, format!("{name} is both in {a} and in {b}")));
                }
            }
        }
        Ok(Checkpoint { path: path.into(), files, places })
    }

    /// The contents of its files, in the order of their names, as hashes are taken of them.
    pub fn contents(&self) -> impl Iterator<Item = &[u8]> {
        self.files.iter().map(File::bytes)
    }

    /// The file, or the index of several.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names of all tensors, sorted.
    pub fn names(&self) -> Vec<String> {
        self.places.keys().cloned().collect()
    }

    /// A tensor's shape; `None` when there is none of this name.
    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.places.get(name).and_then(|place| self.files[*place].shape(name))
    }

    /// A tensor's values, widened to `f32`. A whole number without axes is a count, such as a batch norm's of batches.
    ///
    /// # Errors
    /// A missing tensor, one that is neither of floats nor a count up to 2²⁴, beyond which `f32` has not every whole number,
    /// or one that holds values that are not finite.
    pub fn values(&self, name: &str) -> Result<Vec<f32>> {
        self.file(name)?.values(name)
    }

    /// The same, also of values that are not finite: what is in the file, for whoever looks for what is wrong with it.
    ///
    /// # Errors
    /// A missing tensor, or one of another type.
    pub fn stored(&self, name: &str) -> Result<Vec<f32>> {
        self.file(name)?.stored(name)
    }

    fn file(&self, name: &str) -> Result<&File> {
        let missing = || Error::MissingTensors { path: self.path.clone(), count: 1, names: name.to_string() };
        self.places.get(name).map(|place| &self.files[*place]).ok_or_else(missing)
    }
}

fn wrong(path: &Path, reason: String) -> Error {
    Error::Index { path: path.into(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::Dtype;
    use safetensors::tensor::TensorView;
    use serde_json::json;

    const INDEX: &str = "model.safetensors.index.json";

    /// A folder with the tensors `a` in the first file, `b` and `c` in the second, each of two values, and an index.
    fn sharded(map: Value) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let put = |file: &str, tensors: &[(&str, f32)]| {
            let raw: Vec<Vec<u8>> = tensors.iter().map(|(_, v)| v.to_le_bytes().repeat(2)).collect();
            let view = |raw| TensorView::new(Dtype::F32, vec![2], raw).unwrap();
            let views = tensors.iter().zip(&raw).map(|((name, _), raw)| (*name, view(raw)));
            let bytes = safetensors::serialize(views, None).unwrap();
            std::fs::write(folder.path().join(file), bytes).unwrap();
        };
        put("one.safetensors", &[("a", 1.0)]);
        put("two.safetensors", &[("b", 2.0), ("c", 3.0)]);
        std::fs::write(folder.path().join(INDEX), json!({ "weight_map": map }).to_string()).unwrap();
        folder
    }

    fn open(map: Value) -> Result<Checkpoint> {
        Checkpoint::open_sharded(&sharded(map).path().join(INDEX))
    }

    #[test]
    fn tensors_are_read_from_the_files_that_have_them() {
        // What the index leaves out of a file is there all the same, and will be listed as ignored.
        let checkpoint = open(json!({ "a": "one.safetensors", "c": "two.safetensors" })).unwrap();
        assert_eq!(checkpoint.names(), ["a", "b", "c"]);
        for (name, value) in [("a", 1.0), ("b", 2.0), ("c", 3.0)] {
            assert_eq!(checkpoint.shape(name), Some(vec![2]));
            assert_eq!(checkpoint.values(name).unwrap(), [value; 2]);
        }
        assert_eq!(checkpoint.contents().count(), 2);
        assert!(matches!(checkpoint.values("d"), Err(Error::MissingTensors { names, .. }) if names == "d"));
    }

    #[test]
    fn what_an_index_says_wrongly_is_named() {
        for (map, named) in [
            (json!({ "a": "one.safetensors", "d": "three.safetensors" }), "three.safetensors"),
            (json!({ "a": "one.safetensors", "b": "one.safetensors" }), "b is not in one.safetensors"),
            (json!({ "a": "one.safetensors", "x": "two.safetensors" }), "x is not in two.safetensors"),
            (json!({ "a": "../one.safetensors" }), "a is not mapped"),
            (json!({ "a": 3 }), "a is not mapped"),
            (json!({}), "weight_map"),
            (json!(null), "weight_map"),
        ] {
            let error = open(map.clone()).err().unwrap();
            assert!(error.to_string().contains(named) && error.hint().is_some(), "{map}: {error}");
        }
    }

    #[test]
    fn a_tensor_in_two_files_is_none() {
        let folder = sharded(json!({ "a": "one.safetensors", "b": "two.safetensors" }));
        let bytes = {
            let raw = [0u8; 8];
            let views = ["a", "b"].map(|name| (name, TensorView::new(Dtype::F32, vec![2], &raw).unwrap()));
            safetensors::serialize(views, None).unwrap()
        };
        std::fs::write(folder.path().join("two.safetensors"), bytes).unwrap();
        let error = Checkpoint::open_sharded(&folder.path().join(INDEX)).err().unwrap().to_string();
        assert!(error.contains("a is both in"), "{error}");
    }
}
