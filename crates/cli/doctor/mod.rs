//! `xexp doctor`: what this program finds on this machine, for people and for bug reports.

mod caches;
pub mod machine;

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use serde::Serialize;
use xexp_hub::Environment;

use crate::args::Format;
use crate::device::CUDA_COMPILED;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::stdout;
use caches::Caches;
use machine::{Cpu, Memory};

/// The arguments of `xexp doctor`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The form of the result on stdout.
    #[arg(long, env = "XEXP_FORMAT", value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// All that doctor finds out.
#[derive(Debug, Serialize)]
struct Findings {
    version: &'static str,
    target: String,
    optimised: bool,
    cpu: Cpu,
    /// Threads of the pool that computes.
    threads: usize,
    memory: Option<Memory>,
    device: DeviceFound,
    folder: Option<String>,
    caches: Caches,
    /// The variables that change what the program does, as far as they are set; secrets masked.
    environment: BTreeMap<String, String>,
}

/// What `--device auto` comes to.
#[derive(Debug, Serialize)]
struct DeviceFound {
    auto: &'static str,
    cuda_compiled: bool,
}

/// Variables of other people's making that change what the program does.
const VARIABLES: [&str; 12] = [
    "CLICOLOR_FORCE",
    "CUDA_VISIBLE_DEVICES",
    "DO_NOT_TRACK",
    "HUGGINGFACE_HUB_CACHE",
    "NO_COLOR",
    "RAYON_NUM_THREADS",
    "RUST_BACKTRACE",
    "RUST_LOG",
    "SOURCE_DATE_EPOCH",
    "TMPDIR",
    "TRANSFORMERS_OFFLINE",
    "XDG_CACHE_HOME",
];

/// Prints what is found.
///
/// # Errors
/// Stdout cannot be written; a variable of Hugging Face's has a value that means nothing.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let findings = Findings::gather()?;
    let text = match args.format {
        Format::Text => findings.to_string(),
        Format::Json => format!("{:#}\n", serde_json::json!(findings)),
    };
    stdout::write(text.as_bytes())?;
    Ok(Exit::Done)
}

impl Findings {
    fn gather() -> Result<Self, Failure> {
        Ok(Self {
            version: env!("CARGO_PKG_VERSION"),
            target: format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
            optimised: !cfg!(debug_assertions),
            cpu: Cpu::of_this_machine(),
            threads: rayon::current_num_threads(),
            memory: Memory::of_this_machine(),
            device: DeviceFound { auto: "cpu", cuda_compiled: CUDA_COMPILED },
            folder: std::env::current_dir().ok().map(|folder| folder.display().to_string()),
            caches: Caches::new(Environment::of_process()?),
            environment: environment(std::env::vars_os().filter_map(|(name, value)| {
                Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
            })),
        })
    }
}

/// The variables that matter among `all`, with the values of secrets masked.
fn environment(all: impl Iterator<Item = (String, String)>) -> BTreeMap<String, String> {
    let ours = |name: &str| name.starts_with("XEXP_") || name.starts_with("HF_") || VARIABLES.contains(&name);
    let masked = |(name, value): (String, String)| {
        let secret = name.ends_with("TOKEN") || name.ends_with("KEY") || name.ends_with("SECRET");
        let value = if secret { "(set, not shown)".to_owned() } else { value };
        (name, value)
    };
    all.filter(|(name, _)| ours(name)).map(masked).collect()
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let build = if self.optimised { "release" } else { "debug: slow, build with --release" };
        writeln!(f, "xexp         {} ({}, {build})", self.version, self.target)?;
        writeln!(f, "cpu          {}", self.cpu)?;
        writeln!(f, "threads      {}", self.threads)?;
        match &self.memory {
            Some(memory) => writeln!(f, "memory       {memory}")?,
            None => writeln!(f, "memory       not known on this system")?,
        }
        let cuda = if self.device.cuda_compiled { "compiled in" } else { "not in this build" };
        writeln!(f, "device       {} (cuda: {cuda})", self.device.auto)?;
        if let Some(folder) = &self.folder {
            writeln!(f, "folder       {folder}")?;
        }
        write!(f, "{}", self.caches)?;
        let mut variables = String::new();
        for (name, value) in &self.environment {
            writeln!(variables, "  {name}={value}")?;
        }
        let none = if variables.is_empty() { "  nothing set\n" } else { "" };
        write!(f, "environment\n{variables}{none}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_never_shown() {
        let all = [("HF_TOKEN", "hf_secret"), ("XEXP_SEED", "1"), ("HOME", "/root"), ("HF_HOME", "/h")];
        let shown = environment(all.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())));
        assert_eq!(shown.keys().collect::<Vec<_>>(), ["HF_HOME", "HF_TOKEN", "XEXP_SEED"]);
        assert!(shown.values().all(|value| !value.contains("secret")), "{shown:?}");
    }
}
