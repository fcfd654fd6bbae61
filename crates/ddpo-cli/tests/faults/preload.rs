//! A library for `LD_PRELOAD` that makes calls to the file system fail, as a full or a dying disk does. The tests compile
//! it by itself; nothing links to it.
//!
//! It counts the calls that change files under `FAULT_UNDER`, and fails `FAULT_COUNT` of them (all that follow, for 0) from
//! the `FAULT_AT`-th on with `FAULT_ERRNO`. A write that fails has written half. With `FAULT_REPORT` the number of calls is
//! left in that file at the end.

use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

unsafe extern "C" {
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    fn readlink(path: *const c_char, buffer: *mut c_char, size: usize) -> isize;
    fn __errno_location() -> *mut c_int;
}

const O_WRITES: c_int = 0o1 | 0o2 | 0o100;

struct Plan {
    under: Vec<u8>,
    at: u64,
    count: u64,
    errno: c_int,
}

static CALLS: AtomicU64 = AtomicU64::new(0);

fn plan() -> Option<&'static Plan> {
    static PLAN: OnceLock<Option<Plan>> = OnceLock::new();
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let read = || {
        let under = std::env::var("FAULT_UNDER").ok()?.into_bytes();
        Some(Plan {
            under,
            at: number("FAULT_AT"),
            count: number("FAULT_COUNT"),
            errno: number("FAULT_ERRNO") as c_int,
        })
    };
    PLAN.get_or_init(read).as_ref()
}

/// Whether this call, on something called `name`, is to fail.
fn fails(name: &[u8]) -> bool {
    let Some(plan) = plan().filter(|plan| name.starts_with(&plan.under)) else { return false };
    let call = CALLS.fetch_add(1, Ordering::SeqCst) + 1;
    let hit = plan.at > 0 && call >= plan.at && (plan.count == 0 || call < plan.at + plan.count);
    if hit {
        // SAFETY: the location is the calling thread's own.
        unsafe { *__errno_location() = plan.errno };
    }
    hit
}

fn path_fails(path: *const c_char) -> bool {
    // SAFETY: the caller passes a path to the C library, which is a string that ends in 0.
    fails(unsafe { CStr::from_ptr(path) }.to_bytes())
}

fn file_fails(file: c_int) -> bool {
    let link = format!("/proc/self/fd/{file}\0");
    let mut buffer = [0u8; 4096];
    // SAFETY: both pointers are to buffers of the sizes given.
    let length = unsafe { readlink(link.as_ptr().cast(), buffer.as_mut_ptr().cast(), buffer.len()) };
    length > 0 && fails(&buffer[..length as usize])
}

/// Calls the C library's own function of this name.
macro_rules! real {
    ($name:expr, fn($($type:ty),*) -> $result:ty, $($argument:expr),*) => {{
        // SAFETY: the function has this name and signature in the C library, and -1 is RTLD_NEXT.
        unsafe {
            let function = dlsym(-1isize as *mut c_void, CStr::as_ptr($name));
            std::mem::transmute::<*mut c_void, extern "C" fn($($type),*) -> $result>(function)($($argument),*)
        }
    }};
}

macro_rules! interpose {
    ($($name:ident($($argument:ident: $type:ty),*) -> $result:ty, $condition:expr;)*) => {$(
        #[unsafe(no_mangle)]
        pub extern "C" fn $name($($argument: $type),*) -> $result {
            if $condition {
                return -1;
            }
            const NAME: &[u8] = concat!(stringify!($name), "\0").as_bytes();
            real!(CStr::from_bytes_with_nul_unchecked(NAME), fn($($type),*) -> $result, $($argument),*)
        }
    )*};
}

interpose! {
    open(path: *const c_char, flags: c_int, mode: c_uint) -> c_int, flags & O_WRITES != 0 && path_fails(path);
    open64(path: *const c_char, flags: c_int, mode: c_uint) -> c_int, flags & O_WRITES != 0 && path_fails(path);
    fsync(file: c_int) -> c_int, file_fails(file);
    ftruncate64(file: c_int, length: c_long) -> c_int, file_fails(file);
    rename(from: *const c_char, to: *const c_char) -> c_int, path_fails(to);
    mkdir(path: *const c_char, mode: c_uint) -> c_int, path_fails(path);
    unlink(path: *const c_char) -> c_int, path_fails(path);
    rmdir(path: *const c_char) -> c_int, path_fails(path);
}

#[unsafe(no_mangle)]
pub extern "C" fn write(file: c_int, bytes: *const c_void, count: usize) -> isize {
    if file > 2 && file_fails(file) {
        // SAFETY: the location is the calling thread's own.
        let errno = unsafe { *__errno_location() };
        real!(c"write", fn(c_int, *const c_void, usize) -> isize, file, bytes, count / 2);
        // SAFETY: as above.
        unsafe { *__errno_location() = errno };
        return -1;
    }
    real!(c"write", fn(c_int, *const c_void, usize) -> isize, file, bytes, count)
}

extern "C" fn report() {
    if let Ok(path) = std::env::var("FAULT_REPORT") {
        let _ = std::fs::write(path, CALLS.load(Ordering::SeqCst).to_string());
    }
}

#[used]
#[unsafe(link_section = ".fini_array")]
static REPORT: extern "C" fn() = report;
