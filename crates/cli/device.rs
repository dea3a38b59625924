//! `--device` and `--precision`: what is asked for, and what this build can give.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::failure::Failure;

/// Whether CUDA kernels are compiled into this program.
pub const CUDA_COMPILED: bool = false;

/// The device that computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// CUDA where it is available, the CPU otherwise.
    Auto,
    /// The CPU, with rayon's threads.
    Cpu,
    /// The CUDA device with this number.
    Cuda(usize),
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            other => other
                .strip_prefix("cuda:")
                .and_then(|index| index.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| "expected auto, cpu, cuda or cuda:N".into()),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl Serialize for Device {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The number format that a model computes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// IEEE single precision.
    F32,
    /// bfloat16, on CUDA.
    Bf16,
}

/// The device to use: never [`Device::Auto`].
///
/// Falling back from `auto` is said on stderr, unless `quiet`.
///
/// # Errors
/// The device or the precision is not available in this build.
pub fn choose(device: Device, precision: Precision, quiet: bool) -> Result<Device, Failure> {
    if let Device::Cuda(_) = device {
        return Err(Failure::environment(format!("--device {device}: this build of xexp has no CUDA"))
            .hint("use --device cpu, or --device auto to take the best that there is"));
    }
    if precision == Precision::Bf16 {
        return Err(Failure::environment(
            "--precision bf16 needs CUDA, which this build of xexp does not have",
        )
        .hint("use --precision f32"));
    }
    if device == Device::Auto && !quiet {
        eprintln!("device: cpu (this build has no CUDA)");
    }
    Ok(Device::Cpu)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn devices_read_back_as_written() {
        for text in ["auto", "cpu", "cuda:0", "cuda:3"] {
            assert_eq!(text.parse::<Device>().unwrap().to_string(), text);
        }
        assert_eq!("cuda".parse(), Ok(Device::Cuda(0)));
        for text in ["", "gpu", "cuda:", "cuda:x", "cuda:-1"] {
            assert!(text.parse::<Device>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_this_build_lacks_is_an_environment_failure() {
        assert_eq!(choose(Device::Auto, Precision::F32, true).unwrap(), Device::Cpu);
        assert_eq!(choose(Device::Cuda(0), Precision::F32, true).unwrap_err().exit, Exit::Environment);
        assert_eq!(choose(Device::Cpu, Precision::Bf16, true).unwrap_err().exit, Exit::Environment);
    }
}
