//! The number format of saved weights.

use serde::Serialize;
use xexp_backbones::checkpoint::Stored;

/// The number format of saved weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SaveDtype {
    /// 32 bits.
    F32,
    /// 16 bits, more precise.
    F16,
    /// 16 bits, of a wider range.
    Bf16,
}

impl SaveDtype {
    /// The checkpoint's term.
    pub fn stored(self) -> Stored {
        match self {
            SaveDtype::F32 => Stored::F32,
            SaveDtype::F16 => Stored::F16,
            SaveDtype::Bf16 => Stored::Bf16,
        }
    }
}
