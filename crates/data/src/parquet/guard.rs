//! A library's panics on damaged files as errors.
//!
//! The crate `parquet` 60.1 asserts a few facts about pages that a damaged file breaks.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::errors::{ParquetError, Result};

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread is about to become an error of ours. A panic hook that reports bugs keeps silent then.
pub fn panic_is_expected() -> bool {
    GUARDED.get()
}

/// The answer of a call into the library. What was half done is given up by whoever gets the error.
pub(super) fn guarded<T>(call: impl FnOnce() -> Result<T>) -> Result<T> {
    let outer = GUARDED.replace(true);
    let answer = catch_unwind(AssertUnwindSafe(call));
    GUARDED.set(outer);
    answer.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_string());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(ParquetError::General(format!("damaged ({})", text.as_deref().unwrap_or("no reason given"))))
    })
}
