//! The processor and the memory, as Linux tells them; elsewhere what the standard library knows.

use std::fmt;

use serde::Serialize;

/// The processor.
#[derive(Debug, Serialize)]
pub struct Cpu {
    /// Its name, where the system tells.
    pub model: Option<String>,
    /// Threads that this process may run on at once, by affinity and quota.
    pub available: Option<usize>,
    /// The vector extensions that our kernels ask for, and whether they are there.
    pub features: Vec<Feature>,
}

/// A vector extension.
#[derive(Debug, Serialize)]
pub struct Feature {
    /// Its name as in `/proc/cpuinfo`.
    pub name: &'static str,
    /// Whether the processor has it.
    pub present: bool,
}

impl Cpu {
    /// The processor that runs this program.
    pub fn of_this_machine() -> Self {
        let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Self {
            model: field(&info, "model name").map(str::to_owned),
            available: std::thread::available_parallelism().ok().map(usize::from),
            features: features(),
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn features() -> Vec<Feature> {
    let feature = |name, present| Feature { name, present };
    vec![
        feature("avx2", is_x86_feature_detected!("avx2")),
        feature("fma", is_x86_feature_detected!("fma")),
        feature("avx512f", is_x86_feature_detected!("avx512f")),
        feature("avx512_bf16", is_x86_feature_detected!("avx512bf16")),
    ]
}

/// Other processors have no optional extension that we ask for.
#[cfg(not(target_arch = "x86_64"))]
fn features() -> Vec<Feature> {
    Vec::new()
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.model.as_deref().unwrap_or("model not known"))?;
        if let Some(available) = self.available {
            write!(f, ", {available} available")?;
        }
        for feature in &self.features {
            let sign = if feature.present { '+' } else { '-' };
            write!(f, " {sign}{}", feature.name)?;
        }
        Ok(())
    }
}

/// Main memory, in bytes.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// All of it.
    pub total_bytes: u64,
    /// What new work can have without swapping.
    pub available_bytes: u64,
}

impl Memory {
    /// The memory of this machine, where `/proc/meminfo` tells.
    pub fn of_this_machine() -> Option<Self> {
        Self::parse(&std::fs::read_to_string("/proc/meminfo").ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let (total, available) = (kilobytes(text, "MemTotal")?, kilobytes(text, "MemAvailable")?);
        Some(Self { total_bytes: total, available_bytes: available })
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
        write!(f, "{:.1} GiB free of {:.1} GiB", gib(self.available_bytes), gib(self.total_bytes))
    }
}

/// Memory that this process has, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resident {
    /// Now.
    pub now: u64,
    /// At most so far.
    pub peak: u64,
}

impl Resident {
    /// Where `/proc/self/status` tells.
    pub fn of_this_process() -> Option<Self> {
        Self::parse(&std::fs::read_to_string("/proc/self/status").ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        Some(Self { now: kilobytes(text, "VmRSS")?, peak: kilobytes(text, "VmHWM")? })
    }
}

/// The bytes of a line in kB.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    field(text, name)?.strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The value of the first `name : value` line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_is_read_in_bytes() {
        let text = "MemTotal:       16384000 kB\nMemFree:         1000 kB\nMemAvailable:    8192000 kB\n";
        let expected = Memory { total_bytes: 16_777_216_000, available_bytes: 8_388_608_000 };
        assert_eq!(Memory::parse(text), Some(expected));
        assert_eq!(Memory::parse("MemTotal: lots\n"), None);
        let status = "VmHWM:\t    3000 kB\nVmRSS:\t    2000 kB\n";
        assert_eq!(Resident::parse(status), Some(Resident { now: 2_048_000, peak: 3_072_000 }));
    }
}
