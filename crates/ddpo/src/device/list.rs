//! Looking for devices.

use burn::tensor::Device;
#[cfg(feature = "gpu")]
use burn::{backend::DispatchDevice, tensor::DeviceType};

use super::name::{Backend, DeviceName};

/// A device that is there.
#[derive(Clone, Debug)]
pub struct FoundDevice {
    /// How it is named.
    pub name: DeviceName,
    /// What it calls itself.
    pub description: String,
    /// Its memory in bytes, where it is told.
    pub memory: Option<u64>,
}

/// The processor, then every GPU, by backend: one that several backends reach is listed under each.
pub fn list() -> Vec<FoundDevice> {
    let threads = rayon::current_num_threads();
    let description = format!("the processor, {threads} {}", if threads == 1 { "thread" } else { "threads" });
    let cpu = FoundDevice { name: DeviceName::Cpu, description, memory: None };
    let gpus = Backend::ALL.into_iter().flat_map(|backend| {
        of(backend).into_iter().enumerate().map(move |(index, device)| {
            let (description, memory) = described(&device);
            FoundDevice { name: DeviceName::Gpu(backend, index), description, memory }
        })
    });
    std::iter::once(cpu).chain(gpus).collect()
}

/// A GPU that is no software, of the first backend that has one: the first, and for further processes of the machine the others in turn.
/// Without any, the processor.
pub(super) fn best(local_rank: usize) -> DeviceName {
    let of_backend = |backend| {
        let found = of(backend).into_iter().enumerate();
        let hardware: Vec<usize> = found.filter(|(_, device)| is_hardware(device)).map(|(index, _)| index).collect();
        turn(&hardware, local_rank).map(|index| DeviceName::Gpu(backend, index))
    };
    Backend::ALL.into_iter().find_map(of_backend).unwrap_or(DeviceName::Cpu)
}

/// Which of these numbers a process has, when the processes of a machine take turns.
pub(super) fn turn(numbers: &[usize], local_rank: usize) -> Option<usize> {
    numbers.get(local_rank.checked_rem(numbers.len())?).copied()
}

/// The devices of a backend; none if it is not compiled in, or its driver is not there.
#[cfg(feature = "gpu")]
pub(super) fn of(backend: Backend) -> Vec<Device> {
    let kind = match backend {
        #[cfg(feature = "cuda")]
        Backend::Cuda => DeviceType::Cuda,
        #[cfg(feature = "rocm")]
        Backend::Rocm => DeviceType::Rocm,
        #[cfg(feature = "metal")]
        Backend::Metal => DeviceType::Metal,
        #[cfg(feature = "vulkan")]
        Backend::Vulkan => DeviceType::Vulkan,
        #[cfg(feature = "wgpu")]
        Backend::Wgpu => DeviceType::Wgpu,
        #[cfg(not(all(feature = "cuda", feature = "rocm", feature = "metal", feature = "vulkan", feature = "wgpu")))]
        _ => return Vec::new(),
    };
    Device::enumerate(kind).into_iter().collect()
}

/// Whether there is a card behind a device.
#[cfg(feature = "gpu")]
fn is_hardware(device: &Device) -> bool {
    device.identity().is_some_and(|identity| identity.physical.is_some())
}

/// What a device calls itself, and its memory in bytes.
#[cfg(feature = "gpu")]
fn described(device: &Device) -> (String, Option<u64>) {
    let name = device.identity().map_or_else(|| "without a name".to_owned(), |identity| identity.name);
    let memory = match device.as_dispatch() {
        DispatchDevice::Cube(device) => device.client().properties().memory.max_memory(),
        _ => None,
    };
    (name, memory)
}

#[cfg(not(feature = "gpu"))]
pub(super) fn of(_: Backend) -> Vec<Device> {
    Vec::new()
}

#[cfg(not(feature = "gpu"))]
fn is_hardware(_: &Device) -> bool {
    false
}

#[cfg(not(feature = "gpu"))]
fn described(_: &Device) -> (String, Option<u64>) {
    (String::new(), None)
}
