//! The one place that knows which devices there are.

use burn::tensor::Device;

pub use ddpo_kernels::KeepingAllocator;

use crate::error::{Error, Result};

/// A device as the user names it.
///
/// Another backend is one more variant here and a cargo feature which turns on Burn's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceName {
    /// The processor.
    Cpu,
}

/// Names that mean something, and no backend of this build.
const NOT_COMPILED_IN: &[&str] = &["cuda", "vulkan", "metal", "rocm", "wgpu"];

impl DeviceName {
    /// The device of this name.
    ///
    /// # Errors
    ///
    /// Tells a backend that is not compiled in from a name that means nothing.
    pub fn parse(name: &str) -> Result<Self> {
        let backend = name.split(':').next().unwrap_or(name);
        match backend {
            "cpu" => Ok(Self::Cpu),
            known if NOT_COMPILED_IN.contains(&known) => {
                Err(Error::NotBuilt { what: format!("the device `{name}`"), instead: "use `cpu`".into() })
            }
            _ => Err(Error::UnknownName {
                what: "device",
                found: name.to_owned(),
                nearest: None,
                known: vec!["cpu".into()],
            }),
        }
    }

    /// Burn's device.
    pub fn open(self) -> Device {
        match self {
            Self::Cpu => Device::flex(),
        }
    }
}

/// Sets how many threads compute; 0 leaves one for every core.
///
/// Only the first call in a process has an effect, because the pool is shared by everything in it.
pub fn set_threads(threads: usize) {
    // A pool that exists already is the library user's own choice, which counts for more.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
}

/// How many threads compute.
pub fn threads() -> usize {
    rayon::current_num_threads()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_that_are_not_there_are_told_apart() {
        assert_eq!(DeviceName::parse("cpu").unwrap(), DeviceName::Cpu);
        assert_eq!(
            DeviceName::parse("cuda:1").unwrap_err().to_string(),
            "the device `cuda:1` is not built in this version: use `cpu`"
        );
        assert_eq!(DeviceName::parse("tpu").unwrap_err().to_string(), "unknown device `tpu`; known: cpu");
    }
}
