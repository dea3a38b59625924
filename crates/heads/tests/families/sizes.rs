//! Images of another size than the checkpoint's.

use serde_json::json;
use xexp_backbones::{Input, Mode, Pass, Seed};
use xexp_heads::Classifier;
use xexp_kernels::Pool;

use crate::fixture::Fixture;
use crate::rule;
use crate::step::worst;

/// Logits by transformers 5.23 of two images of another size, given to the model of a fixture (`tests/parity/tiny.py`, with
/// `interpolate_pos_encoding=True` where the model asks for it), whose tables it resamples in every forward pass.
const LOGITS: [(&str, usize, [f32; 6]); 6] = [
    ("beit", 20, [1.064319, -0.4146944, -0.07951143, -0.3165595, 0.7422203, -1.249568]),
    ("deit", 8, [-1.690737, 0.2550326, -1.242263, -1.277165, -0.7434276, -0.2790154]),
    ("dinov2", 20, [-0.845427, 0.384251, -0.9860733, -0.8460369, 0.3894302, -1.191952]),
    ("dinov2_with_registers", 8, [-1.438581, -0.01660486, -1.515393, -1.755756, 0.5223112, -2.0862]),
    ("swin", 20, [-1.627725, 1.451482, 0.2802252, -1.662781, 1.118231, 0.3767034]),
    ("vit", 20, [1.07198, -0.3538519, 2.17265, 1.59289, -0.2182772, 1.559088]),
];

#[test]
fn a_checkpoint_goes_on_with_images_of_another_size_as_in_transformers() {
    let fixtures = Fixture::all();
    for (case, size, logits) in LOGITS {
        let fixture = fixtures.iter().find(|fixture| fixture.case == case).unwrap();
        let mut folder = fixture.folder();
        folder.config.fields.insert("image_size".to_string(), json!(size));
        let (classifier, report) = Classifier::with_new_head(&folder, 3, Seed(1)).unwrap();
        assert!(!report.resampled.is_empty(), "{case}");
        for name in ["classifier.weight", "classifier.bias"] {
            let (id, weight) = classifier.params.find(name).unwrap();
            classifier.params.set(id, &rule::values(name, &weight.layer.shape())).unwrap();
        }
        // With the head of the file, the same.
        let (opened, _) = Classifier::open(&folder).unwrap();
        let shape = classifier.backbone.image().unwrap();
        assert_eq!(shape.size, size);
        let values = shape.channels * size * size;
        let pixels = rule::uniform(&format!("{case} pixels"), 2 * values);
        let pixels: Vec<f32> = pixels.iter().map(|u| (1.5 * u) as f32).collect();
        let input = Input::pack_images(pixels.chunks_exact(values), shape.tokens).unwrap();
        let pool = Pool::default();
        for model in [&classifier, &opened] {
            let found = model.forward(&input, &mut Pass::new(&pool, Mode::Eval)).unwrap();
            // The bound of the whole comparison.
            assert!(worst(&found.values, &logits) < 1e-4, "{case}: {:?}", &found.values[..]);
        }
    }
}
