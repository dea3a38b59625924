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

/// All models.
pub const MODELS: &[Model] = &[];
