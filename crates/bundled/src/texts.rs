//! Text sets that the project wrote itself, sentence by sentence.

/// A labelled text set, each split a CSV file with the columns `text` and `label`.
pub struct TextSet {
    /// What `bundled:` is followed by.
    pub name: &'static str,
    /// What it holds.
    pub summary: &'static str,
    train: &'static [u8],
    valid: &'static [u8],
    test: &'static [u8],
}

impl TextSet {
    /// The CSV file of a split; `None` for a name that is none of [`crate::SPLITS`].
    pub fn split(&self, name: &str) -> Option<&'static [u8]> {
        match name {
            "train" => Some(self.train),
            "valid" => Some(self.valid),
            "test" => Some(self.test),
            _ => None,
        }
    }
}

/// All text sets.
pub const TEXTS: &[TextSet] = &[TextSet {
    name: "shop-requests",
    summary: "messages to the support desk of an online shop, by what the writer wants (14 classes)",
    train: include_bytes!("../texts/shop-requests/train.csv"),
    valid: include_bytes!("../texts/shop-requests/valid.csv"),
    test: include_bytes!("../texts/shop-requests/test.csv"),
}];
