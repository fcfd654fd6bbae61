//! How the allocator treats the memory of tensors.

/// Lets the C library keep freed memory for the next tensor.
///
/// By default glibc maps every block above 128 KiB from the system and gives it back when it is freed, so that each
/// activation of each forward pass costs a page fault for every 4 KiB: a tenth of the time of training the embedded model.
/// Other C libraries are left as they are. For programs, first thing in `main`: the setting is the whole process's.
pub fn keep_freed_pages() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const LARGEST_KEPT: libc::c_int = 64 << 20;
        const KEPT_AT_THE_TOP: libc::c_int = 512 << 20;
        // SAFETY: `mallopt` takes two integers and is called before there is a second thread.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, LARGEST_KEPT);
            libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_AT_THE_TOP);
        }
    }
}
