//! How devices are named.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// A device as the user names it. What is not compiled in cannot be named: each kind of GPU is a cargo feature of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceName {
    /// The first GPU that is there, in the order of [`Backend::ALL`]; without one, the processor.
    Auto,
    /// The processor.
    Cpu,
    /// A GPU of a backend: the first, or of several processes of a machine a GPU each.
    Any(Backend),
    /// The GPU of this number, from 0, that a backend finds.
    Gpu(Backend, usize),
}

/// What a GPU is driven by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend {
    /// NVIDIA's.
    Cuda,
    /// AMD's.
    Rocm,
    /// Apple's.
    Metal,
    /// Any vendor's Vulkan driver, with kernels in SPIR-V.
    Vulkan,
    /// Whatever graphics interface the system has, with kernels in WGSL; also software that stands in for a GPU.
    Wgpu,
}

impl Backend {
    /// All of them, the preferred one first.
    pub const ALL: [Self; 5] = [Self::Cuda, Self::Rocm, Self::Metal, Self::Vulkan, Self::Wgpu];

    /// The name of the backend, which is also that of the cargo feature.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cuda => "cuda",
            Self::Rocm => "rocm",
            Self::Metal => "metal",
            Self::Vulkan => "vulkan",
            Self::Wgpu => "wgpu",
        }
    }

    /// Whether this build has it.
    pub fn is_built(self) -> bool {
        match self {
            Self::Cuda => cfg!(feature = "cuda"),
            Self::Rocm => cfg!(feature = "rocm"),
            Self::Metal => cfg!(feature = "metal"),
            Self::Vulkan => cfg!(feature = "vulkan"),
            Self::Wgpu => cfg!(feature = "wgpu"),
        }
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Any(backend) => f.write_str(backend.name()),
            Self::Gpu(backend, index) => write!(f, "{}:{index}", backend.name()),
        }
    }
}

impl DeviceName {
    /// The device of this name: `auto`, `cpu`, `cuda`, `cuda:1` and so on. Whether it is there is found out by
    /// [`DeviceName::open`].
    ///
    /// # Errors
    ///
    /// Tells a backend that is not compiled in from a name that means nothing.
    pub fn parse(name: &str) -> Result<Self> {
        let (kind, index) = match name.split_once(':') {
            Some((kind, index)) => (kind, Some(index)),
            None => (name, None),
        };
        let backend = Backend::ALL.into_iter().find(|backend| backend.name() == kind);
        match (kind, backend, index.map(usize::from_str)) {
            ("auto", _, None) => Ok(Self::Auto),
            ("cpu", _, None) => Ok(Self::Cpu),
            (_, Some(backend), None) => Self::Any(backend).built(backend),
            (_, Some(backend), Some(Ok(index))) => Self::Gpu(backend, index).built(backend),
            _ => {
                let known =
                    ["auto", "cpu"].into_iter().chain(Backend::ALL.map(Backend::name)).map(String::from).collect();
                Err(Error::UnknownName { what: "device", found: name.to_owned(), nearest: None, known })
            }
        }
    }

    fn built(self, backend: Backend) -> Result<Self> {
        if backend.is_built() {
            return Ok(self);
        }
        let instead =
            format!("build the program with `cargo build --release --features {}`, or use `cpu`", backend.name());
        Err(Error::NotBuilt { what: format!("the device `{self}`"), instead })
    }
}
