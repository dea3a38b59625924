//! How far the experiments are, and how long they will still take.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::progress::{LINE_EVERY, Span};

/// The display on stderr. Work is counted in the seconds that experiments say they cost, and the time left by how long
/// the work that is done really took.
pub struct Progress {
    total: f64,
    done: f64,
    started: Instant,
    display: Display,
}

enum Display {
    Bar(ProgressBar),
    Lines { last: Instant },
    Nothing,
}

impl Progress {
    /// A display for this much work.
    pub fn new(total: f64, quiet: bool) -> Progress {
        let started = Instant::now();
        let display = if quiet {
            Display::Nothing
        } else if std::io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{wide_bar} {msg}")
                .expect("the template is a constant that names indicatif's own fields");
            let bar = ProgressBar::new((total * 1000.0) as u64).with_style(style);
            bar.enable_steady_tick(Duration::from_millis(200));
            Display::Bar(bar)
        } else {
            Display::Lines { last: started }
        };
        Progress { total, done: 0.0, started, display }
    }

    /// Tells what is being measured now.
    pub fn at(&mut self, what: &str) {
        let line = format!("{what}{}", self.left());
        match &mut self.display {
            Display::Bar(bar) => bar.set_message(line),
            Display::Lines { last } if last.elapsed() >= LINE_EVERY => {
                *last = Instant::now();
                eprintln!("{line}");
            }
            Display::Lines { .. } | Display::Nothing => {}
        }
    }

    /// Tells that this much work is done.
    pub fn add(&mut self, work: f64) {
        self.done += work;
        if let Display::Bar(bar) = &self.display {
            bar.set_position((self.done * 1000.0) as u64);
        }
    }

    /// Leaves out work that an interrupted run has done already.
    pub fn skip(&mut self, work: f64) {
        self.total -= work;
        if let Display::Bar(bar) = &self.display {
            bar.set_length((self.total * 1000.0) as u64);
        }
    }

    /// Prints a line while the display stands.
    pub fn say(&self, line: &str) {
        match &self.display {
            Display::Bar(bar) => bar.suspend(|| eprintln!("{line}")),
            Display::Lines { .. } => eprintln!("{line}"),
            Display::Nothing => {}
        }
    }

    /// Takes the display away.
    pub fn finish(self) {
        if let Display::Bar(bar) = &self.display {
            bar.finish_and_clear();
        }
    }

    fn left(&self) -> String {
        if self.done <= 0.0 {
            return String::new();
        }
        let left = self.started.elapsed().mul_f64(((self.total - self.done) / self.done).max(0.0));
        format!(", {} left", Span(left))
    }
}

/// The seconds in a cost such as `5 s` or `2 min`; 1 where there is none.
pub fn seconds(cost: &str) -> f64 {
    let number: String = cost.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    let unit = cost[number.len()..].trim();
    let factor = if unit.starts_with('m') { 60.0 } else { 1.0 };
    number.parse::<f64>().map_or(1.0, |number| (number * factor).max(0.01))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_read_in_seconds() {
        for (cost, expected) in [("5 s", 5.0), ("2 min", 120.0), ("0.5 s", 0.5), ("", 1.0), ("some", 1.0)] {
            assert_eq!(seconds(cost), expected, "{cost}");
        }
    }
}
