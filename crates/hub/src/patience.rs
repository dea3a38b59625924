//! How long a failing request is repeated.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::{Error, Event, Result, Watch};

/// How often a pause looks whether it is to end.
const LOOK: Duration = Duration::from_millis(100);

/// How often, and after what pauses, a request is repeated that failed for a passing reason.
///
/// The pause doubles from [`first`](Patience::first) to [`longest`](Patience::longest), unless the server names one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Attempts in all.
    pub attempts: u32,
    /// The first pause.
    pub first: Duration,
    /// The longest pause of our own choice.
    pub longest: Duration,
    /// The longest pause that the server may ask for; a longer one ends the attempts.
    pub obeyed: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience {
            attempts: 6,
            first: Duration::from_secs(1),
            longest: Duration::from_secs(8),
            // The Hub counts requests in windows of five minutes.
            obeyed: Duration::from_secs(300),
        }
    }
}

impl Patience {
    /// Tries until it succeeds, fails for good, or the attempts are used up.
    pub(crate) fn insist<T>(
        &self,
        watch: Watch<'_>,
        attempt: impl FnMut(Watch<'_>) -> Result<T>,
    ) -> Result<T> {
        self.insist_until(&AtomicBool::new(false), watch, attempt)
    }

    /// The same, given up as soon as `stop` is raised.
    pub(crate) fn insist_until<T>(
        &self,
        stop: &AtomicBool,
        watch: Watch<'_>,
        mut attempt: impl FnMut(Watch<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut failures = 0;
        loop {
            let error = match attempt(watch) {
                Err(error) if error.is_transient() => error,
                done => return done,
            };
            failures += 1;
            self.wait_until(stop, failures, error, watch)?;
        }
    }

    /// Pauses after a passing failure, the `failures`-th in a row; gives the error back when there have been enough.
    pub(crate) fn wait(&self, failures: u32, error: Error, watch: Watch<'_>) -> Result<()> {
        self.wait_until(&AtomicBool::new(false), failures, error, watch)
    }

    /// The same, ended by [`Error::Stopped`] as soon as `stop` is raised.
    pub(crate) fn wait_until(
        &self,
        stop: &AtomicBool,
        failures: u32,
        error: Error,
        watch: Watch<'_>,
    ) -> Result<()> {
        // Without any network, waiting long would only delay the message and the way to the cache; and a content that
        // is wrong twice is so on the other side.
        let hopeless = matches!(error, Error::Unreachable { .. } | Error::Checksum { .. });
        let attempts = if hopeless { self.attempts.min(2) } else { self.attempts };
        let asked = error.retry_after();
        if failures >= attempts || asked.is_some_and(|pause| pause > self.obeyed) {
            return Err(error);
        }
        let doubled = self.first.saturating_mul(1 << (failures - 1).min(16)).min(self.longest);
        let pause = asked.unwrap_or(doubled);
        watch(Event::Waiting { reason: &error, pause });
        let began = Instant::now();
        loop {
            if stop.load(Ordering::SeqCst) {
                return Err(Error::Stopped);
            }
            match pause.checked_sub(began.elapsed()) {
                Some(left) if !left.is_zero() => std::thread::sleep(left.min(LOOK)),
                _ => return Ok(()),
            }
        }
    }
}
