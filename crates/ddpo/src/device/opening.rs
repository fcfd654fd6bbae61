//! From a name to a device.

use burn::tensor::Device;

use super::list::{best, of};
use super::name::DeviceName;
use crate::error::{Error, Result};

impl DeviceName {
    /// The device that is meant: of [`DeviceName::Auto`], what it is on this machine.
    pub fn resolve(self) -> Self {
        match self {
            Self::Auto => best(),
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
            Self::Gpu(backend, index) => {
                let found = of(backend);
                let count = found.len();
                found.into_iter().nth(index).ok_or_else(|| Error::NoDevice { name: self.to_string(), found: count })
            }
        }
    }
}
