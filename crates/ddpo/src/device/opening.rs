//! From a name to a device.

use burn::tensor::Device;

use super::list::{best, of, turn};
use super::name::DeviceName;
use crate::error::{Error, Result};

impl DeviceName {
    /// The device that is meant: of [`DeviceName::Auto`] and [`DeviceName::Any`], what it is on this machine.
    pub fn resolve(self) -> Self {
        self.of_local_rank(0)
    }

    /// The device that is meant by the process of this number among those of a machine which do a run together: where no GPU is named by its
    /// number, they take turns at those there are.
    pub fn of_local_rank(self, local_rank: usize) -> Self {
        match self {
            Self::Auto => best(local_rank),
            Self::Any(backend) => {
                let all: Vec<usize> = (0..of(backend).len()).collect();
                Self::Gpu(backend, turn(&all, local_rank).unwrap_or(0))
            }
            named => named,
        }
    }

    /// Burn's device.
    ///
    /// # Errors
    ///
    /// If it is not there.
    pub fn open(self) -> Result<Device> {
        match self.resolve() {
            Self::Auto | Self::Cpu => Ok(Device::flex()),
            Self::Any(backend) => Self::Gpu(backend, 0).open(),
            Self::Gpu(backend, index) => {
                let found = of(backend);
                let count = found.len();
                found.into_iter().nth(index).ok_or_else(|| Error::NoDevice { name: self.to_string(), found: count })
            }
        }
    }
}
