//! Images from folders: trained on, augmented, labelled and scored.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::program::xexp;

/// A folder of splits: in `bright` pictures are lighter than in `dark`, in every split others.
fn pictures() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (split, each) in [("train", 24), ("val", 6), ("test", 6)] {
        for (class, base) in [("bright", 150), ("dark", 20)] {
            let place = folder.path().join(split).join(class);
            fs::create_dir_all(&place).unwrap();
            for index in 0..each {
                let value = |x: u32, y: u32| (base + (7 * x + 11 * y + 13 * index + each) % 80) as u8;
                let picture = image::RgbImage::from_fn(40, 30, |x, y| {
                    image::Rgb([value(x, y), value(y, x), base as u8])
                });
                picture.save(place.join(format!("{index}.png"))).unwrap();
            }
        }
    }
    folder
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_folder_of_splits_is_trained_on_and_the_saved_model_labels_its_images() {
    let folder = pictures();
    let (data, output) = (folder.path().to_str().unwrap(), folder.path().join("out"));
    let out = output.to_str().unwrap();
    let ran = xexp(&["finetune", "--train", data, "--output", out, "--epochs", "4", "--quiet"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let card = std::fs::read_to_string(output.join("README.md")).unwrap();
    assert!(
        card.contains("\npipeline_tag: image-classification\n") && card.contains("\nAn image classifier"),
        "{card}"
    );
    let receipt = json(&output.join("data.json"));
    let rows: Vec<u64> = receipt["splits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|split| split["rows_used"].as_u64().unwrap())
        .collect();
    assert_eq!(rows, [48, 12, 12]);
    assert_eq!(receipt["splits"][0]["images"]["largest"], serde_json::json!([40, 30]));
    // Brightness alone tells the classes: a model that reads its images the right way round learns it.
    assert_eq!(json(&output.join("results.json"))["test"]["accuracy"], 1.0);

    let ran = xexp(&["predict", "--model", out, "--input", &format!("{data}/test/dark"), "--quiet"]);
    let lines: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[0]["id"], &lines[0]["label"]), (6, &"0.png".into(), &"dark".into()));
    let listed = folder.path().join("list.csv");
    fs::write(&listed, "path,label\ntest/dark/0.png,dark\ntest/bright/0.png,bright\n").unwrap();
    let ran = xexp(&["evaluate", "--model", out, "--data", listed.to_str().unwrap(), "--quiet"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

#[test]
fn an_augmented_run_is_the_same_with_and_without_images_kept_in_memory() {
    let folder = pictures();
    let data = folder.path().join("train");
    let hash = |name: &str, more: &[&str]| {
        let output = folder.path().join(name);
        let mut arguments =
            vec!["finetune", "--train", data.to_str().unwrap(), "--max-steps", "4", "--quiet"];
        arguments.extend(["--output", output.to_str().unwrap(), "--batch-size", "8"]);
        arguments.extend(more);
        let ran = xexp(&arguments);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        json(&output.join("results.json"))["weights_sha256"].as_str().unwrap().to_string()
    };
    let whole = [
        "--hflip",
        "0.5",
        "--rand-augment",
        "2,9",
        "--color-jitter",
        "0.4",
        "--mixup",
        "0.2",
        "--cutmix",
        "1",
    ];
    let pieces = [&whole[..], &["--random-crop", "0.3"]].concat();
    let nothing_kept = |flags: &[&'static str]| [flags, &["--image-cache", "0"]].concat();
    let (first, second) = (hash("a", &whole), hash("b", &pieces));
    assert_eq!(first, hash("c", &nothing_kept(&whole)));
    assert_eq!(second, hash("d", &nothing_kept(&pieces)));
    let plain = hash("e", &[]);
    assert!(first != second && first != plain && second != plain);
}

#[test]
fn augmentation_of_texts_or_of_a_probe_is_refused() {
    for arguments in [
        &["finetune", "--hflip", "0.5"][..],
        &["finetune", "--train", "bundled:symbols", "--strategy", "probe", "--mixup", "0.2"],
    ] {
        let ran = xexp(arguments);
        assert_eq!(ran.code, Some(2), "{}", ran.stderr);
        assert!(ran.stderr.contains("augment"), "{}", ran.stderr);
    }
}
