//! What the user reads when a command cannot go on.

use std::error::Error;
use std::fmt;
use std::panic::PanicHookInfo;

use crate::exit::Exit;

/// The end of a command: its exit code, what went wrong, why, and what to do next.
///
/// Its `Display` is what stderr shows, one fact a line:
///
/// ```text
/// error: cannot write to the output folder out/
///   caused by: Permission denied (os error 13)
/// hint: choose another folder with --output
/// ```
#[derive(Debug)]
pub struct Failure {
    /// The code that the process ends with.
    pub exit: Exit,
    /// What was expected, what was found, and where.
    message: String,
    /// The reasons behind the message, the nearest first.
    causes: Vec<String>,
    /// What to do next.
    hints: Vec<String>,
}

impl Failure {
    /// A mistake in the arguments, the config, the data or the checkpoint.
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(Exit::Input, message)
    }

    /// A device, a disk or an output that is not up to the task.
    pub fn environment(message: impl Into<String>) -> Self {
        Self::new(Exit::Environment, message)
    }

    /// A failure with a code of the caller's choice.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), causes: Vec::new(), hints: Vec::new() }
    }

    /// A library's error: its message, its chain of causes, and the hint it has for the user.
    pub fn of(error: &dyn Error, environment: bool, hint: Option<String>) -> Self {
        let exit = if environment { Exit::Environment } else { Exit::Input };
        let mut failure = Self::new(exit, error.to_string());
        if let Some(cause) = error.source() {
            failure = failure.because(cause);
        }
        Self { hints: hint.into_iter().collect(), ..failure }
    }

    /// What went wrong, without its causes and hints.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The same failure with `cause` and what lies behind it as the reason.
    pub fn because(mut self, cause: &dyn Error) -> Self {
        let mut next = Some(cause);
        while let Some(error) = next {
            let text = error.to_string();
            // Many errors repeat their source in their own message; saying it twice helps nobody.
            if !self.message.contains(&text) && !self.causes.iter().any(|known| known.contains(&text)) {
                self.causes.push(text);
            }
            next = error.source();
        }
        self
    }

    /// The same failure with what to do next.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hints: vec![hint.into()], ..self }
    }

    /// The same failure with one more thing to do next.
    pub fn also(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

macro_rules! from_library {
    ($($error:ty),*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Failure::of(&error, error.is_environment(), error.hint())
            }
        }
    )*};
}

from_library!(
    xexp_backbones::Error,
    xexp_data::Error,
    xexp_heads::Error,
    xexp_report::Error,
    xexp_train::Error
);

impl From<xexp_hub::Error> for Failure {
    fn from(error: xexp_hub::Error) -> Self {
        let failure = Failure::of(&error, error.is_environment(), error.hint());
        let own = error.is_environment() || error.is_input();
        Failure { exit: if own { failure.exit } else { Exit::Network }, ..failure }
    }
}

impl From<xexp_experiments::Error> for Failure {
    fn from(error: xexp_experiments::Error) -> Self {
        use xexp_experiments::Error as Lab;
        match error {
            Lab::Report(error) => error.into(),
            Lab::Backbone(error) => error.into(),
            Lab::Head(error) => error.into(),
            Lab::Train(error) => error.into(),
            Lab::Data(error) => error.into(),
            Lab::Tensor(_) => Failure::of(&error, true, None),
            other => Failure::of(&other, false, None),
        }
    }
}

impl From<xexp_inspect::Error> for Failure {
    fn from(error: xexp_inspect::Error) -> Self {
        use xexp_inspect::Error as Inspect;
        match error {
            Inspect::Report(error) => error.into(),
            Inspect::Backbone(error) => error.into(),
            Inspect::Head(error) => error.into(),
            Inspect::Train(error) => error.into(),
            other @ Inspect::Init(_) => Failure::of(&other, false, None),
        }
    }
}

impl From<xexp_train::metrics::Error> for Failure {
    fn from(error: xexp_train::metrics::Error) -> Self {
        xexp_train::Error::from(error).into()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error: {}", self.message)?;
        for cause in &self.causes {
            writeln!(f, "  caused by: {cause}")?;
        }
        for hint in &self.hints {
            writeln!(f, "hint: {hint}")?;
        }
        Ok(())
    }
}

/// The panic hook: a panic is our bug, never the user's, and the process exits with 101. A library's panic on a damaged
/// file becomes an error and is passed over.
pub fn report_bug(panic: &PanicHookInfo<'_>) {
    if xexp_data::panic_is_expected() {
        return;
    }
    let message = panic.payload_as_str().unwrap_or("no message");
    let place = panic.location().map_or_else(String::new, |place| format!(" ({place})"));
    eprintln!("error: a bug in xexp: {message}{place}");
    eprintln!("hint: please report it with the command line and the output of `xexp doctor`");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Layered(&'static str, Option<Box<Layered>>);

    impl fmt::Display for Layered {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Layered {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_ref().map(|inner| inner.as_ref() as &(dyn Error + 'static))
        }
    }

    #[test]
    fn every_fact_has_its_line() {
        let error = Layered(
            "cannot read a.csv",
            Some(Box::new(Layered("line 3", Some(Box::new(Layered("no label", None)))))),
        );
        let failure = Failure::of(&error, false, Some("fix the row".into()));
        assert_eq!(failure.exit, Exit::Input);
        assert_eq!(
            failure.to_string(),
            "error: cannot read a.csv\n  caused by: line 3\n  caused by: no label\nhint: fix the row\n"
        );
    }

    #[test]
    fn a_cause_that_the_message_holds_is_not_repeated() {
        let error = Layered("cannot write: disk full", Some(Box::new(Layered("disk full", None))));
        let failure = Failure::of(&error, true, None);
        assert_eq!(failure.exit, Exit::Environment);
        assert_eq!(failure.to_string(), "error: cannot write: disk full\n");
    }
}
