//! The one place that knows which devices there are.

mod list;
mod name;
mod opening;

use burn::tensor::Device;

pub use ddpo_kernels::KeepingAllocator;
pub use list::{FoundDevice, list};
pub use name::{Backend, DeviceName};

/// Whether a device is the processor.
pub fn is_cpu(device: &Device) -> bool {
    device.clone().inner() == Device::flex()
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
    fn names_are_read_and_written() {
        assert_eq!(DeviceName::parse("cpu").unwrap(), DeviceName::Cpu);
        assert_eq!(DeviceName::parse("auto").unwrap(), DeviceName::Auto);
        assert_eq!(DeviceName::Gpu(Backend::Cuda, 1).to_string(), "cuda:1");
        assert_eq!(DeviceName::Any(Backend::Cuda).to_string(), "cuda");
        for backend in Backend::ALL.into_iter().filter(|backend| backend.is_built()) {
            for device in [DeviceName::Any(backend), DeviceName::Gpu(backend, 0), DeviceName::Gpu(backend, 3)] {
                assert_eq!(DeviceName::parse(&device.to_string()).unwrap(), device);
            }
        }
    }

    #[test]
    fn processes_of_a_machine_take_turns_at_its_gpus() {
        let turns = |gpus: &[usize]| (0..5).map(|local_rank| list::turn(gpus, local_rank)).collect::<Option<Vec<_>>>();
        assert_eq!(turns(&[0, 1]), Some(vec![0, 1, 0, 1, 0]));
        // The first and the third stand in for a card.
        assert_eq!(turns(&[1, 3, 4]), Some(vec![1, 3, 4, 1, 3]));
        assert_eq!(turns(&[]), None);
        // What is named by its number is the same for everybody.
        for named in [DeviceName::Cpu, DeviceName::Gpu(Backend::Cuda, 1)] {
            assert_eq!(named.of_local_rank(3), named);
        }
    }

    #[test]
    fn devices_that_are_not_there_are_told_apart() {
        if !Backend::Cuda.is_built() {
            assert_eq!(
                DeviceName::parse("cuda:1").unwrap_err().to_string(),
                "the device `cuda:1` is not built in this version: build the program with `cargo build --release --features cuda`, or use `cpu`"
            );
        }
        for unknown in ["tpu", "cuda:x", "cpu:0", ""] {
            let message = DeviceName::parse(unknown).unwrap_err().to_string();
            assert_eq!(
                message,
                format!("unknown device `{unknown}`; known: auto, cpu, cuda, rocm, metal, vulkan, wgpu")
            );
        }
    }

    #[test]
    fn a_gpu_that_is_not_there_is_refused_with_how_many_there_are() {
        for backend in Backend::ALL {
            let count = list::of(backend).len();
            let message = DeviceName::Gpu(backend, count).open().unwrap_err().to_string();
            assert!(
                message.starts_with(&format!("there is no device `{}`", DeviceName::Gpu(backend, count))),
                "{message}"
            );
        }
    }
}
