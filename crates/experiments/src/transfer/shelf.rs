//! What is computed once and used by many draws.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::Result;

type Place<T> = Arc<Mutex<Option<Arc<T>>>>;

/// Values by key, each made by the first who asks for it. Whoever asks must make the same of the same key, so that it does
/// not matter who comes first.
pub struct Shelf<K, T> {
    places: Mutex<BTreeMap<K, Place<T>>>,
}

impl<K, T> Default for Shelf<K, T> {
    fn default() -> Self {
        Shelf { places: Mutex::default() }
    }
}

impl<K: Ord, T: Send + Sync> Shelf<K, T> {
    /// The value of `key`; those who ask for it while it is being made wait.
    ///
    /// # Errors
    /// Those of `make`; the next who asks tries again.
    pub fn get(&self, key: K, make: impl FnOnce() -> Result<T> + Send) -> Result<Arc<T>> {
        let place = Arc::clone(lock(&self.places).entry(key).or_default());
        let mut value = lock(&place);
        match &*value {
            Some(made) => Ok(Arc::clone(made)),
            None => {
                let made = Arc::new(apart(make)?);
                *value = Some(Arc::clone(&made));
                Ok(made)
            }
        }
    }
}

/// A thread that panicked while it made a value has left no half of one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `work` in a thread pool of its own while the caller waits.
///
/// A worker that makes a shared value in its own pool would take up other draws while it waits for parts of the work, and
/// such a draw may wait for the very value that lies unfinished below it on the same stack: for ever.
fn apart<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let threads = rayon::current_num_threads();
    let in_pool = || {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.map_err(candle_core::Error::wrap)?.install(work)
    };
    match thread::scope(|scope| scope.spawn(in_pool).join()) {
        Ok(made) => made,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rayon::prelude::*;

    use super::*;

    #[test]
    fn draws_that_work_in_parallel_inside_get_one_value_and_do_not_wait_for_ever() {
        let (shelf, made) = (Shelf::default(), AtomicUsize::new(0));
        let value = |key: usize| {
            shelf.get(key, || {
                made.fetch_add(1, Ordering::Relaxed);
                Ok((0..10_000usize).into_par_iter().map(|i| i % (key + 2)).sum::<usize>())
            })
        };
        let found: Vec<usize> = (0..200).into_par_iter().map(|i| *value(i % 3).unwrap()).collect();
        assert_eq!(made.load(Ordering::Relaxed), 3);
        assert!(
            found.iter().enumerate().all(|(i, &v)| v == (0..10_000).map(|j| j % (i % 3 + 2)).sum::<usize>())
        );
    }
}
