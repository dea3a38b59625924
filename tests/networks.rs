//! Image networks of other sizes than their configuration's, and batch norms that stay.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::program::xexp;

const PICTURES: [&str; 6] = ["--train", "bundled:symbols", "--limit-train", "48", "--batch-size", "16"];

fn finetune(model: &Path, output: &Path, more: &[&str]) -> (Option<i32>, String) {
    let mut arguments =
        vec!["finetune", "--model", model.to_str().unwrap(), "--output", output.to_str().unwrap()];
    arguments.extend(PICTURES);
    arguments.extend(more);
    let ran = xexp(&arguments);
    (ran.code, ran.stderr)
}

/// The bundled vision model as a folder, with the preprocessor's images of `side` pixels.
fn mini_vision(folder: &Path, side: usize) -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/bundled/models/mini-vision");
    let model = folder.join("model");
    fs::create_dir(&model).unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(from.join(name), model.join(name)).unwrap();
    }
    preprocessor(&model, side);
    model
}

fn preprocessor(model: &Path, side: usize) {
    let fields = json!({
        "image_processor_type": "ViTImageProcessor", "do_resize": true, "size": { "height": side, "width": side },
        "resample": 2, "do_rescale": true, "rescale_factor": 1.0 / 255.0, "do_normalize": true,
        "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
    });
    fs::write(model.join("preprocessor_config.json"), fields.to_string()).unwrap();
}

/// A small ResNet without weights, whose configuration says nothing of the images' size.
fn resnet(folder: &Path) -> PathBuf {
    let model = folder.join("resnet");
    fs::create_dir(&model).unwrap();
    let config = json!({
        "model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic",
    });
    fs::write(model.join("config.json"), config.to_string()).unwrap();
    preprocessor(&model, 24);
    model
}

fn config(folder: &Path) -> Value {
    serde_json::from_slice(&fs::read(folder.join("config.json")).unwrap()).unwrap()
}

#[test]
fn a_model_takes_images_of_the_size_that_its_preprocessor_makes() {
    let folder = tempfile::tempdir().unwrap();
    for (model, side) in [(mini_vision(folder.path(), 48), 48), (resnet(folder.path()), 24)] {
        let output = folder.path().join(format!("out-{side}"));
        let random = if side == 24 { &["--backbone", "random"][..] } else { &[] };
        let (code, stderr) = finetune(&model, &output, &[random, &["--max-steps", "2"]].concat());
        assert_eq!(code, Some(0), "{stderr}");
        assert_eq!(stderr.contains("images of 48 pixels"), side == 48, "{stderr}");
        assert_eq!(config(&output)["image_size"], side);
        // As saved, and with a preprocessor that was changed since.
        for side in [side, side + 16] {
            preprocessor(&output, side);
            let model = output.to_str().unwrap();
            let ran = xexp(&["predict", "--model", model, "--input", "bundled:symbols/test", "--quiet"]);
            assert_eq!(ran.code, Some(0), "{side}: {}", ran.stderr);
        }
    }
}

#[test]
fn a_size_that_patches_do_not_divide_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let model = mini_vision(folder.path(), 33);
    let (code, stderr) = finetune(&model, &folder.path().join("out"), &["--max-steps", "1"]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("patch_size"), "{stderr}");
}

#[test]
fn frozen_batch_norms_stay_as_they_were_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let (base, model) = (folder.path().join("base"), resnet(folder.path()));
    let (code, stderr) = finetune(&model, &base, &["--backbone", "random", "--max-steps", "3", "--quiet"]);
    assert_eq!(code, Some(0), "{stderr}");
    let changed = |mode: &str| {
        let output = folder.path().join(mode);
        let flags = ["--batch-norm", mode, "--max-steps", "2", "--lr", "0.01", "--quiet"];
        let (code, stderr) = finetune(&base, &output, &flags);
        assert_eq!(code, Some(0), "{stderr}");
        let read = |folder: &Path| fs::read(folder.join("model.safetensors")).unwrap();
        let (before, after) = (read(&base), read(&output));
        let before = safetensors::SafeTensors::deserialize(&before).unwrap();
        let after = safetensors::SafeTensors::deserialize(&after).unwrap();
        let mut changed: Vec<String> = before
            .tensors()
            .into_iter()
            .filter(|(name, tensor)| after.tensor(name).unwrap().data() != tensor.data())
            .map(|(name, _)| name)
            .collect();
        changed.sort();
        changed
    };
    let norm = |name: &String| name.contains("normalization");
    let (frozen, train) = (changed("frozen"), changed("train"));
    assert!(!frozen.iter().any(norm), "{frozen:?}");
    // All else moves alike; in training a norm of five tensors goes with each convolution.
    let others: Vec<&String> = train.iter().filter(|name| !norm(name)).collect();
    assert_eq!(frozen.iter().collect::<Vec<_>>(), others);
    assert_eq!(train.len() - frozen.len(), 5 * (others.len() - 2), "{train:?}");
}

#[test]
fn batch_norms_cannot_be_frozen_in_a_model_without_any() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out");
    let out = output.to_str().unwrap();
    let ran = xexp(&["finetune", "--train", "bundled:symbols", "--batch-norm", "frozen", "--output", out]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(ran.stderr.contains("no batch norms") && !output.exists(), "{}", ran.stderr);
}
