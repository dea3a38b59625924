//! What timm's folders say of images, in the spelling of transformers' processors.

use crate::Result;
use crate::config::Config;
use serde_json::{Value, json};

/// The preprocessor of a folder that has none of its own: timm keeps it in `pretrained_cfg`. `None` where the
/// configuration is not timm's.
///
/// # Errors
/// A way of cutting or resizing that the processors here do not have, by the name of the field.
pub(crate) fn preprocessor(config: &Config) -> Result<Option<Vec<u8>>> {
    if !config.fields.contains_key("pretrained_cfg") || config.fields.contains_key("model_type") {
        return Ok(None);
    }
    let own = config.section("pretrained_cfg")?;
    let size = own.sizes("input_size", &[3, 224, 224])?;
    let [3, height, width] = size[..] else {
        return Err(own.unexpected("input_size", "3, a height and a width", own.fields.get("input_size")));
    };
    // Anything else would cut the image.
    own.only("crop_mode", &json!("squash"))?;
    if own.fields.get("crop_mode").is_none_or(Value::is_null) || own.number("crop_pct", 0.875)? != 1.0 {
        let found = own.fields.get("crop_pct");
        return Err(own.unexpected("crop_pct", "1 and a crop_mode of \"squash\"", found));
    }
    own.only("interpolation", &json!("bicubic"))?;
    let [mean, spread] = ["mean", "std"].map(|field| own.fields.get(field));
    let (Some(mean), Some(spread)) = (mean, spread) else {
        return Err(own.unexpected("mean", "mean and std of the colours", mean));
    };
    let processor = json!({
        "image_processor_type": "ViTImageProcessor",
        "do_resize": true,
        "size": { "height": height, "width": width },
        "resample": 3,
        "do_rescale": true,
        "rescale_factor": 1.0 / 255.0,
        "do_normalize": true,
        "image_mean": mean,
        "image_std": spread,
        "do_convert_rgb": true,
    });
    Ok(Some(processor.to_string().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: Value) -> Result<Option<Vec<u8>>> {
        preprocessor(&Config { path: "config.json".into(), fields: fields.as_object().unwrap().clone() })
    }

    #[test]
    fn the_size_and_the_colours_are_those_of_the_folder_and_other_cuts_are_refused() {
        let own = json!({
            "input_size": [3, 448, 448], "crop_pct": 1.0, "crop_mode": "squash", "interpolation": "bicubic",
            "mean": [0.5, 0.4, 0.3], "std": [0.25, 0.25, 0.25],
        });
        let found = of(json!({ "pretrained_cfg": own })).unwrap().unwrap();
        let found: Value = serde_json::from_slice(&found).unwrap();
        assert_eq!(found["size"], json!({ "height": 448, "width": 448 }));
        assert_eq!((&found["image_mean"], &found["resample"]), (&own["mean"], &json!(3)));
        for (field, value) in [
            ("crop_pct", json!(0.9)),
            ("crop_mode", json!("center")),
            ("interpolation", json!("bilinear")),
            ("input_size", json!([1, 448, 448])),
            ("mean", json!(null)),
        ] {
            let mut own = own.clone();
            own[field] = value;
            if field == "mean" {
                own.as_object_mut().unwrap().remove("mean");
            }
            let error = of(json!({ "pretrained_cfg": own })).unwrap_err().to_string();
            assert!(error.contains(field) && error.contains("pretrained_cfg of"), "{error}");
        }
        assert!(of(json!({ "model_type": "vit", "pretrained_cfg": 3 })).unwrap().is_none());
    }
}
