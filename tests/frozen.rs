//! Families that are computed without gradients, from end to end: what is refused, what a probe saves, and that it opens.

use std::path::Path;

use serde_json::{Value, json};
use xexp_backbones::checkpoint::serialize_as;
use xexp_backbones::config::Config;
use xexp_backbones::{Seed, families};
use xexp_heads::Classifier;

use crate::program::{Outcome, outcome};
use crate::support::stage::{Stage, listing};
use crate::support::tiny_bert::vocabulary;

/// A backbone of this configuration with random weights, in half precision, under the names that `name` makes of ours.
fn write(folder: &Path, fields: &Value, whole: &Value, name: impl Fn(&str) -> Option<String>) {
    let config =
        |fields: &Value| Config { path: "config.json".into(), fields: fields.as_object().unwrap().clone() };
    let family = families::find(&config(whole)).unwrap();
    let (classifier, _) = Classifier::untrained(family, &config(whole), 2, Seed(3)).unwrap();
    let stored = xexp_backbones::checkpoint::Stored::F16;
    let bytes = serialize_as(&classifier.params, stored, |ours| name(ours).is_some()).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let renamed = file.tensors().into_iter().map(|(ours, view)| (name(&ours).unwrap(), view));
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("model.safetensors"), safetensors::serialize(renamed, None).unwrap()).unwrap();
    std::fs::write(folder.join("config.json"), fields.to_string()).unwrap();
}

/// A stage whose `t5` is an encoder that reads the words of its `model`; small weights leave its words apart.
fn stage() -> Stage {
    let stage = Stage::new();
    let fields = json!({
        "model_type": "t5", "architectures": ["T5ForConditionalGeneration"], "d_model": 128, "d_kv": 8, "d_ff": 64,
        "num_layers": 1, "num_heads": 4, "initializer_factor": 0.1, "vocab_size": vocabulary().len(), "feed_forward_proj": "gated-gelu",
    });
    write(&stage.path("t5"), &fields, &fields, |name| {
        (!name.starts_with("classifier")).then(|| name.to_string())
    });
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(stage.path("model").join(name), stage.path("t5").join(name)).unwrap();
    }
    stage
}

fn ended(stage: &Stage, arguments: &[&str]) -> Outcome {
    let ended = outcome(&mut stage.command(arguments));
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
    ended
}

#[test]
fn a_backbone_without_gradients_is_trained_by_no_strategy_but_a_probe() {
    let stage = stage();
    let full = outcome(&mut stage.finetune("out", &["--model", "t5"]));
    assert_eq!((full.code, full.stdout.as_str()), (Some(2), ""), "{}", full.stderr);
    let said: Vec<&str> = full.stderr.lines().collect();
    assert!(
        said[0].starts_with("error: t5: ") && said[0].contains("t5 is computed without gradients"),
        "{said:?}"
    );
    assert_eq!(said[1..], ["hint: train a head on its features: --strategy probe"]);
    let distil = ["distill", "--model", "t5", "--train", "train.csv", "--output", "out", "--quiet"];
    let distil = outcome(&mut stage.command(&distil));
    assert_eq!(distil.code, Some(2), "{}", distil.stderr);
    assert!(distil.stderr.contains("a student of the family t5 cannot learn"), "{}", distil.stderr);
    assert!(!stage.path("out").exists());
}

#[test]
fn a_probe_on_it_is_saved_whole_and_opens_with_the_same_logits() {
    let stage = stage();
    let flags = ["--model", "t5", "--strategy", "probe", "--test", "test.csv", "--epochs", "100"];
    stage.finetuned("out", &flags);
    let scores = stage.json("out/results.json")["test"].clone();
    // Guessing hits 40 of 80 with probability 1e-6.
    assert!(scores["accuracy"].as_f64().unwrap() > 0.5, "{scores}");

    let read = |name: &str| std::fs::read(stage.path(name)).unwrap();
    let (before, after) = (read("t5/model.safetensors"), read("out/model.safetensors"));
    let before = safetensors::SafeTensors::deserialize(&before).unwrap();
    let after = safetensors::SafeTensors::deserialize(&after).unwrap();
    assert_eq!(after.len(), before.len() + 2);
    for (name, tensor) in before.tensors() {
        let halves = tensor.data().as_chunks().0.iter().map(|bytes| half::f16::from_le_bytes(*bytes));
        let wide: Vec<u8> = halves.flat_map(|value| value.to_f32().to_le_bytes()).collect();
        assert!(after.tensor(&name).unwrap().data() == wide, "{name} has changed");
    }
    let config = stage.json("out/config.json");
    assert_eq!((&config["model_type"], &config["architectures"]), (&json!("t5"), &json!(["T5EncoderModel"])));
    let card = stage.text("out/README.md");
    assert!(card.contains("transformers has no class for `t5` with a classifier"), "{card}");
    assert!(card.contains("by which `T5EncoderModel` opens it"), "{card}");
    assert!(!card.contains("library_name"), "{card}");

    let evaluated =
        ended(&stage, &["evaluate", "--model", "out", "--data", "test.csv", "--format", "json", "--quiet"]);
    let evaluated: Value = serde_json::from_str(&evaluated.stdout).unwrap();
    for score in ["accuracy", "loss"] {
        assert_eq!(evaluated[score], scores[score], "{score}: {evaluated}");
    }
    // One text at a time or all at once: the same digits.
    let predict = |batch: &str| {
        let flags = ["predict", "--model", "out", "--input", "test.csv", "--quiet", "--batch-size", batch];
        ended(&stage, &flags).stdout
    };
    let alone = predict("1");
    assert_eq!(alone.lines().count(), 80);
    assert_eq!(alone, predict("64"));
}

#[test]
fn an_image_tower_by_itself_is_saved_as_the_classifier_of_transformers() {
    let stage = Stage::new();
    let tower = json!({
        "model_type": "clip_vision_model", "architectures": ["CLIPVisionModel"], "image_size": 32, "patch_size": 8,
        "num_channels": 3, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
    });
    let whole = json!({ "model_type": "clip", "vision_config": tower });
    // Without the prefix, as the newer transformers saves a tower.
    write(&stage.path("tower"), &tower, &whole, |name| {
        name.strip_prefix("vision_model.").map(str::to_string)
    });
    let processor = json!({ "image_processor_type": "CLIPImageProcessor", "size": 32, "crop_size": 32 });
    std::fs::write(stage.path("tower/preprocessor_config.json"), processor.to_string()).unwrap();
    let flags =
        ["finetune", "--model", "tower", "--train", "bundled:symbols", "--limit-train", "64", "--quiet"];
    ended(&stage, &[&flags[..], &["--strategy", "probe", "--epochs", "20", "--output", "out"]].concat());
    let config = stage.json("out/config.json");
    assert_eq!(
        (&config["model_type"], &config["architectures"]),
        (&json!("clip"), &json!(["CLIPForImageClassification"]))
    );
    assert_eq!((&config["vision_config"], config["id2label"].is_object()), (&tower, true));
    assert!(stage.text("out/README.md").contains("library_name: transformers"));
    let evaluated =
        ["evaluate", "--model", "out", "--data", "bundled:symbols/valid", "--format", "json", "--quiet"];
    let evaluated: Value = serde_json::from_str(&ended(&stage, &evaluated).stdout).unwrap();
    assert_eq!(evaluated["loss"], stage.json("out/results.json")["valid"]["loss"]);
    assert!(listing(&stage.path("out")).contains(&"preprocessor_config.json".to_string()));
}

#[test]
fn a_folder_of_timm_is_read_by_its_own_fields_and_stays_one() {
    let stage = Stage::new();
    let fields = json!({
        "architecture": "eva02_base_patch14_448", "num_classes": 1000, "global_pool": "avg",
        "model_args": { "embed_dim": 64, "depth": 1, "num_heads": 1 },
        "pretrained_cfg": {
            "input_size": [3, 448, 448], "interpolation": "bicubic", "crop_pct": 1.0, "crop_mode": "squash",
            "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5],
        },
    });
    write(&stage.path("eva"), &fields, &fields, |name| {
        (!name.starts_with("head.")).then(|| name.to_string())
    });
    for (class, value) in [("dark", 20), ("bright", 200)] {
        std::fs::create_dir_all(stage.path("photos").join(class)).unwrap();
        for index in 0..10 {
            let picture =
                image::RgbImage::from_pixel(40, 30, image::Rgb([value + index, value, value - index]));
            picture.save(stage.path("photos").join(class).join(format!("{index}.png"))).unwrap();
        }
    }
    let flags = ["finetune", "--model", "eva", "--train", "photos", "--strategy", "probe", "--epochs", "20"];
    ended(&stage, &[&flags[..], &["--split", "0.2", "--output", "out", "--quiet"]].concat());
    let config = stage.json("out/config.json");
    assert_eq!((&config["architecture"], &config["num_classes"]), (&fields["architecture"], &json!(2)));
    assert_eq!(
        (&config["label_names"], &config["pretrained_cfg"]),
        (&json!(["bright", "dark"]), &fields["pretrained_cfg"])
    );
    assert_eq!(stage.json("out/preprocessor_config.json")["size"], json!({ "height": 448, "width": 448 }));
    let predicted = ["predict", "--model", "out", "--input", "photos/dark", "--quiet"];
    let predicted = ended(&stage, &predicted).stdout;
    let labels: Vec<Value> = predicted.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // Brightness alone tells the classes.
    assert!(labels.len() == 10 && labels.iter().all(|line| line["label"] == "dark"), "{predicted}");
}

#[test]
fn a_backbone_that_another_library_computes_rounds_nothing() {
    let stage = stage();
    let more = ["--model", "t5", "--strategy", "probe", "--precision", "bf16"];
    let refused = outcome(&mut stage.finetune("out", &more));
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("--precision bf16") && refused.stderr.contains("t5"),
        "{}",
        refused.stderr
    );
    assert!(!stage.path("out").exists());
}
