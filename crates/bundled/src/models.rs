//! Backbones that the project pretrained itself.

/// A pretrained backbone in Hugging Face layout.
pub struct Model {
    /// What `bundled:` is followed by.
    pub name: &'static str,
    /// What it is.
    pub summary: &'static str,
    /// Names and contents of its files.
    pub files: &'static [(&'static str, &'static [u8])],
    /// What fine-tunes it well.
    pub recipe: Recipe,
}

/// Settings that fine-tune a backbone well: small ones want a larger learning rate than the usual default.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// Passes over the training data.
    pub epochs: u32,
    /// Peak learning rate.
    pub lr: f64,
}

macro_rules! files {
    ($folder:literal: $($name:literal),*) => {
        &[$(($name, include_bytes!(concat!("../models/", $folder, "/", $name)))),*]
    };
}

/// All models.
pub const MODELS: &[Model] = &[
    Model {
        name: "mini-text",
        summary: "BERT of 3 blocks and width 384 for English, distilled from all-MiniLM-L6-v2 (5.3 million weights)",
        files: files!("mini-text": "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
            "special_tokens_map.json"),
        recipe: Recipe { epochs: 4, lr: 3e-4 },
    },
    Model {
        name: "mini-vision",
        summary: "ViT of 4 blocks and width 128 for 32 × 32 pictures, trained on bundled:shapes (0.8 million weights)",
        files: files!("mini-vision": "config.json", "model.safetensors", "preprocessor_config.json"),
        recipe: Recipe { epochs: 10, lr: 1e-3 },
    },
];
