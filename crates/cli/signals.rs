//! Ctrl-C and SIGTERM: the first asks the run to save and stop, the second kills it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;

use crate::failure::Failure;

/// What a shell reports for a process that signal `n` killed: 128 + n.
const KILLED: i32 = 128;

/// A flag that SIGINT or SIGTERM raises; long loops poll it, save, and end with 75.
///
/// Once it is up, another signal ends the process at once with 130 or 143, for the user who does
/// not want to wait for the save.
///
/// # Errors
/// The system refuses a handler.
pub fn watch() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // Handlers run in the order of registration: on the first signal the shutdown still finds
        // the flag down, then the flag goes up.
        flag::register_conditional_shutdown(signal, KILLED + signal, Arc::clone(&stop))
            .and_then(|_| flag::register(signal, Arc::clone(&stop)))
            .map_err(|error| Failure::environment("cannot watch for Ctrl-C and SIGTERM").because(&error))?;
    }
    // By default this ends a process that meets a file-size limit; handled, the write fails and says why.
    flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false)))
        .map_err(|error| Failure::environment("cannot watch for SIGXFSZ").because(&error))?;
    Ok(stop)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn the_first_signal_raises_the_flag_and_the_process_lives() {
        let stop = watch().unwrap();
        assert!(!stop.load(Ordering::SeqCst));
        signal_hook::low_level::raise(SIGTERM).unwrap();
        assert!(stop.load(Ordering::SeqCst));
    }
}
