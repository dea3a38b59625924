//! `--device` and `--precision`: what is asked for, and what this build and this model can give.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use xexp_heads::Classifier;

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
    /// Matrix products of the backbone with operands rounded to bfloat16; sums, weights, head and loss in f32.
    Bf16,
}

impl Precision {
    /// Has a classifier compute so.
    ///
    /// # Errors
    /// A backbone without a dense layer of ours, which computes in f32 alone.
    pub fn settle(self, classifier: &mut Classifier, quiet: bool) -> Result<(), Failure> {
        if self == Precision::F32 {
            return Ok(());
        }
        if classifier.multiply_in(xexp_kernels::Precision::Bf16) == 0 {
            let model = classifier.family.model_type;
            let message =
                format!("--precision bf16 rounds in dense layers, and a {model} backbone computes without");
            return Err(Failure::input(message).hint("use --precision f32"));
        }
        if !xexp_kernels::Precision::Bf16.is_native() && !quiet {
            eprintln!(
                "precision: bf16, which this processor does not multiply: rounded as asked, slower than f32"
            );
        }
        Ok(())
    }
}

/// The device to use: never [`Device::Auto`].
///
/// Falling back from `auto` is said on stderr, unless `quiet`.
///
/// # Errors
/// The device is not available in this build.
pub fn choose(device: Device, quiet: bool) -> Result<Device, Failure> {
    if let Device::Cuda(_) = device {
        return Err(Failure::environment(format!("--device {device}: this build of xexp has no CUDA"))
            .hint("use --device cpu, or --device auto to take the best that there is"));
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
        assert_eq!(choose(Device::Auto, true).unwrap(), Device::Cpu);
        assert_eq!(choose(Device::Cuda(0), true).unwrap_err().exit, Exit::Environment);
    }
}
