//! One trip through the model: what it does on the way.

use crate::tap::Tap;
use xexp_init::Seed;
use xexp_kernels::{Buffer, Dropout, Pool};

/// Whether a pass trains.
#[derive(Clone, Copy, Debug)]
pub enum Mode {
    /// No dropout, nothing kept for a backward pass.
    Eval,
    /// No dropout, running statistics as they are, and a tape: gradients of the function that is evaluated.
    Trace,
    /// Dropout from the streams `(seed, layer name)` at this count of forward passes; a tape is kept.
    Train {
        /// Seed of the dropout streams.
        seed: Seed,
        /// Number of the forward pass within the run.
        step: u32,
    },
}

/// What a forward pass carries along.
pub struct Pass<'a> {
    /// Train or evaluate.
    pub mode: Mode,
    /// Where activations come from.
    pub pool: &'a Pool,
    /// Watches the pass; costs nothing when unset.
    pub tap: Option<&'a dyn Tap>,
}

impl<'a> Pass<'a> {
    /// A pass that nobody watches.
    pub fn new(pool: &'a Pool, mode: Mode) -> Self {
        Pass { mode, pool, tap: None }
    }

    /// Whether a backward pass will follow.
    pub fn trains(&self) -> bool {
        matches!(self.mode, Mode::Train { .. } | Mode::Trace)
    }

    /// Whether running statistics follow this pass's data.
    pub fn follows_data(&self) -> bool {
        matches!(self.mode, Mode::Train { .. })
    }

    /// The dropout of a place with probability `p`; `None` where it would change nothing.
    pub fn dropout(&self, place: &str, p: f64) -> Option<Dropout> {
        match self.mode {
            Mode::Train { seed, step } if p > 0.0 => Some(Dropout { p, key: seed.key(place), step }),
            _ => None,
        }
    }

    /// A buffer from the pool; see [`Pool::buffer`].
    pub fn buffer(&self, len: usize) -> Buffer {
        self.pool.buffer(len)
    }

    /// Shows `(rows, width)` values to the tap, if there is one.
    pub fn show(&self, place: &str, part: &str, values: &[f32], width: usize) {
        if let Some(tap) = self.tap {
            let dot = if part.is_empty() { "" } else { "." };
            tap.values(&format!("{place}{dot}{part}"), values, width);
        }
    }

    /// Lets the tap see something, if there is one.
    pub fn tell(&self, tell: impl FnOnce(&dyn Tap)) {
        if let Some(tap) = self.tap {
            tell(tap);
        }
    }
}
