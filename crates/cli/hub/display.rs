//! The fetching or uploading of files, shown on stderr.

use std::io::IsTerminal;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use xexp_hub::{Event, Repository};

use crate::progress::{LINE_EVERY, Span};

/// What is shown of it: a bar of bytes on a terminal, a line every few seconds elsewhere.
pub struct Display {
    /// What is done: "fetching".
    doing: &'static str,
    quiet: bool,
    bar: Option<ProgressBar>,
    /// When the last line was, where there is no bar.
    line: Option<Instant>,
    started: Instant,
    file: (String, Option<u64>),
    files: usize,
    /// Bytes of the files before this one, and of this one.
    bytes: (u64, u64),
}

impl Display {
    /// Before anything is done; `progress` as the variables have it.
    pub fn new(doing: &'static str, quiet: bool, progress: bool) -> Self {
        let (shown, terminal) = (progress && !quiet, std::io::stderr().is_terminal());
        let style = || {
            ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta} left")
                .expect("the template is a constant that names indicatif's own fields")
        };
        let started = Instant::now();
        Display {
            doing,
            quiet,
            bar: (shown && terminal).then(|| ProgressBar::no_length().with_style(style())),
            line: (shown && !terminal).then_some(started),
            started,
            file: (String::new(), None),
            files: 0,
            bytes: (0, 0),
        }
    }

    /// Shows an event.
    pub fn show(&mut self, event: Event<'_>) {
        match event {
            Event::File { name, bytes } => {
                self.files += 1;
                self.bytes = (self.bytes.0 + self.bytes.1, 0);
                self.file = (name.to_owned(), bytes);
                if let Some(bar) = &self.bar {
                    bar.reset();
                    bar.set_length(bytes.unwrap_or_default());
                    bar.set_message(self.file.0.clone());
                }
            }
            Event::Received { bytes } | Event::Sent { bytes } => {
                self.bytes.1 = bytes;
                if let Some(bar) = &self.bar {
                    bar.set_position(bytes);
                }
                if self.line.is_some_and(|last| last.elapsed() >= LINE_EVERY) {
                    self.line = Some(Instant::now());
                    let of = self.file.1.map_or_else(String::new, |size| format!(" of {}", Megabytes(size)));
                    eprintln!("{} {}: {}{of}", self.doing, self.file.0, Megabytes(bytes));
                }
            }
            Event::Created { settings } => {
                self.say(&format!("a new repository, which only its owners see; to change that: {settings}"));
            }
            Event::Waiting { reason, pause } => {
                self.say(&format!("{reason}; trying again in {:.0} s", pause.as_secs_f64().ceil()));
            }
        }
    }

    /// A line, with the bar out of the way.
    fn say(&self, line: &str) {
        match &self.bar {
            _ if self.quiet => {}
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    /// Takes the bar away and leaves one line that sums up, if there was anything to do.
    pub fn finish(self, repository: &Repository) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if self.files > 0 && (self.bar.is_some() || self.line.is_some()) {
            let bytes = Megabytes(self.bytes.0 + self.bytes.1);
            eprintln!("{repository}: {} file(s), {bytes}, in {}", self.files, Span(self.started.elapsed()));
        }
    }
}

/// A number of bytes in millions.
struct Megabytes(u64);

impl std::fmt::Display for Megabytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1} MB", self.0 as f64 / 1e6)
    }
}
