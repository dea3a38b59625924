//! Progress of long work, on stderr: a bar on a terminal, a line every few seconds elsewhere.

use std::fmt;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// The time between two lines when nobody watches a bar.
pub const LINE_EVERY: Duration = Duration::from_secs(5);

/// The display of how far a loop has come.
pub struct Progress {
    what: &'static str,
    first_step: u64,
    total_steps: u64,
    started: Instant,
    pace: Pace,
    display: Display,
}

enum Display {
    Bar(ProgressBar),
    Lines { last: Instant },
    Nothing,
}

impl Progress {
    /// The display for `what` ("training"), of which `first_step` of `total_steps` are already done,
    /// as in a resumed run. Quiet shows nothing.
    pub fn new(what: &'static str, first_step: u64, total_steps: u64, quiet: bool) -> Self {
        let started = Instant::now();
        let display = if quiet {
            Display::Nothing
        } else if std::io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} {msg}")
                .expect("the template is a constant that names indicatif's own fields");
            Display::Bar(ProgressBar::new(total_steps).with_style(style).with_prefix(what))
        } else {
            Display::Lines { last: started }
        };
        Self { what, first_step, total_steps, started, pace: Pace::default(), display }
    }

    /// Tells that `step` steps are done in all, the newest with `loss` (if there is one) on
    /// `examples` examples.
    pub fn tick(&mut self, step: u64, loss: Option<f64>, examples: usize) {
        self.pace = Pace {
            done: step.saturating_sub(self.first_step),
            left: self.total_steps.saturating_sub(step),
            examples: self.pace.examples + examples as u64,
            elapsed: self.started.elapsed(),
            loss,
        };
        match &mut self.display {
            Display::Bar(bar) => {
                bar.set_position(step);
                bar.set_message(self.pace.to_string());
            }
            Display::Lines { last } if last.elapsed() >= LINE_EVERY => {
                *last = Instant::now();
                eprintln!("{} {step}/{} {}", self.what, self.total_steps, self.pace);
            }
            Display::Lines { .. } | Display::Nothing => {}
        }
    }

    /// Runs `print` with the bar out of the way, for messages while it is shown.
    pub fn suspend(&self, print: impl FnOnce()) {
        match &self.display {
            Display::Bar(bar) => bar.suspend(print),
            Display::Lines { .. } | Display::Nothing => print(),
        }
    }

    /// Takes the bar away and leaves one line that sums up.
    pub fn finish(self) {
        if let Display::Bar(bar) = &self.display {
            bar.finish_and_clear();
        }
        if !matches!(self.display, Display::Nothing) {
            let elapsed = self.started.elapsed();
            let pace = Pace { elapsed, ..self.pace };
            eprintln!("{}: {} steps in {}, {}", self.what, pace.done, Span(elapsed), Rate(&pace));
        }
    }
}

/// How fast a loop goes, and how long it will still take.
#[derive(Debug, Default)]
struct Pace {
    /// Steps done since the display began.
    done: u64,
    /// Steps still to do.
    left: u64,
    /// Examples in the steps done.
    examples: u64,
    /// Time since the display began.
    elapsed: Duration,
    /// The newest loss.
    loss: Option<f64>,
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(loss) = self.loss {
            write!(f, "loss {loss:.4} ")?;
        }
        write!(f, "{}", Rate(self))?;
        if self.done > 0 {
            let left = self.elapsed.mul_f64(self.left as f64 / self.done as f64);
            write!(f, " {} left", Span(left))?;
        }
        Ok(())
    }
}

/// Examples a second, with as many digits as mean something.
struct Rate<'a>(&'a Pace);

impl fmt::Display for Rate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.elapsed.as_secs_f64();
        let rate = if seconds > 0.0 { self.0.examples as f64 / seconds } else { 0.0 };
        if rate < 10.0 { write!(f, "{rate:.1} examples/s") } else { write!(f, "{rate:.0} examples/s") }
    }
}

/// A time as `7s`, `2m03s` or `1h02m`, rounded to the second.
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64().round() as u64;
        match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
            (0, 0, s) => write!(f, "{s}s"),
            (0, m, s) => write!(f, "{m}m{s:02}s"),
            (h, m, _) => write!(f, "{h}h{m:02}m"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_loss_rate_and_time_left() {
        // 10 of 40 steps in 20 s: 30 steps at 2 s each are left; 320 examples in 20 s are 16 a second.
        let elapsed = Duration::from_secs(20);
        let pace = Pace { done: 10, left: 30, examples: 320, elapsed, loss: Some(0.5) };
        assert_eq!(pace.to_string(), "loss 0.5000 16 examples/s 1m00s left");
    }

    #[test]
    fn a_resumed_run_is_paced_by_its_own_steps() {
        let mut progress = Progress::new("training", 90, 100, true);
        progress.tick(95, None, 32);
        assert_eq!((progress.pace.done, progress.pace.left), (5, 5));
    }

    #[test]
    fn a_message_gets_through_with_no_bar_to_suspend() {
        let progress = Progress::new("training", 0, 1, true);
        let mut printed = false;
        progress.suspend(|| printed = true);
        progress.finish();
        assert!(printed);
    }

    #[test]
    fn spans_read_like_a_clock() {
        for (seconds, expected) in [(0, "0s"), (59, "59s"), (123, "2m03s"), (3720, "1h02m")] {
            assert_eq!(Span(Duration::from_secs(seconds)).to_string(), expected);
        }
    }

    #[test]
    fn nothing_is_divided_by_zero_at_the_start() {
        assert_eq!(Pace::default().to_string(), "0.0 examples/s");
    }
}
