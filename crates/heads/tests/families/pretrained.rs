//! A real checkpoint: MobileNetV2 0.35, with the logits that transformers gives (`tests/parity/pretrained.py`).

use std::path::PathBuf;

use xexp_backbones::folder::Folder;
use xexp_backbones::{Input, Mode, Pass, Seed};
use xexp_heads::Classifier;
use xexp_init::Layer;
use xexp_kernels::Pool;

use crate::rule;

/// Two images, six classes.
const LOGITS: [f32; 12] = [
    0.034671, -0.060502, -1.01434, 0.085050, -0.204745, 0.440767, //
    0.217826, 0.040860, -0.946623, 0.192645, -0.208645, 0.360401,
];

/// The real model; none, said loudly, where the shared data are missing, which CI does not allow.
fn folder() -> Option<PathBuf> {
    let default = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let shared = std::env::var_os("XEXP_SHARED").map_or_else(default, PathBuf::from);
    let folder = shared.join("data/models/mobilenet_v2_0.35_224");
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(std::env::var_os("CI").is_none(), "CI needs the shared data: {} is not there", folder.display());
    eprintln!("NOT TESTED: no model at {}; set XEXP_SHARED to the shared folder", folder.display());
    None
}

#[test]
fn the_real_mobilenet_gives_the_logits_of_transformers() {
    let Some(folder) = folder() else { return };
    let folder = Folder::open(&folder).unwrap();
    let (classifier, report) = Classifier::with_new_head(&folder, 6, Seed(1)).unwrap();
    assert_eq!((report.new.len(), report.ignored), (2, vec![]));
    for name in ["classifier.weight", "classifier.bias"] {
        let (id, weight) = classifier.params.find(name).unwrap();
        classifier.params.set(id, &rule::values(name, &weight.layer.shape())).unwrap();
    }
    let statistics = |layer: &Layer| matches!(layer, Layer::Statistic { .. } | Layer::Count);
    let seen = classifier.params.iter().filter(|(_, weight)| statistics(&weight.layer)).collect::<Vec<_>>();
    assert!(!seen.is_empty() && seen.iter().all(|(_, weight)| !weight.trainable && !weight.decays()));

    let size = 3 * 224 * 224;
    let pixels: Vec<f32> = rule::uniform("pretrained pixels", 2 * size).iter().map(|u| *u as f32).collect();
    let tokens = classifier.backbone.image().unwrap().tokens;
    let input = Input::pack_images(pixels.chunks_exact(size), tokens).unwrap();
    let pool = Pool::default();
    let logits = classifier.forward(&input, &mut Pass::new(&pool, Mode::Eval)).unwrap();
    // Fifty layers of f32, added in another order.
    let worst = logits.values.iter().zip(LOGITS).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
    assert!(worst < 1e-4, "differ by {worst}: {:?}", &*logits.values);
}
