//! Tiles of 16 rows of 64 bytes: Intel's AMX, by inline assembly, since its intrinsics are not stable.

use std::arch::{asm, x86_64::__cpuid_count};

use super::{SIDE, step::Step};

/// Whether the processor has AMX with bf16 and the system lends its registers to this process, for which it is asked.
pub(super) fn is_permitted() -> bool {
    // The tiles' extent and the product of bf16 in leaf 7.
    const NEEDED: u32 = 1 << 24 | 1 << 22;
    let leaves = __cpuid_count(0, 0).eax;
    leaves >= 7 && __cpuid_count(7, 0).edx & NEEDED == NEEDED && ask()
}

/// Asks Linux for the registers, once for all threads: `arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)`. A kernel that
/// does not know the question has not turned them on.
#[cfg(target_os = "linux")]
fn ask() -> bool {
    const ARCH_PRCTL: usize = 158;
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    const XFEATURE_XTILEDATA: usize = 18;
    let result: isize;
    // SAFETY: the call reads and writes no memory of ours; `rcx` and `r11` are what a system call changes.
    unsafe {
        asm!("syscall", inlateout("rax") ARCH_PRCTL => result, in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA, out("rcx") _, out("r11") _, options(nostack));
    }
    result == 0
}

#[cfg(not(target_os = "linux"))]
fn ask() -> bool {
    false
}

/// The shape of each tile register.
#[repr(C, align(64))]
struct Shapes {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// All eight registers at their largest, which is what all tiles are.
static WHOLE: Shapes = {
    let mut shapes = Shapes { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
    let mut register = 0;
    while register < 8 {
        shapes.row_bytes[register] = 64;
        shapes.rows[register] = SIDE as u8;
        register += 1;
    }
    shapes
};

/// Runs `body` with the registers of this thread in use, and gives them back.
///
/// # Safety
///
/// [`is_permitted`] must have said so.
pub(super) unsafe fn configured<R>(body: impl FnOnce() -> R) -> R {
    struct Release;
    impl Drop for Release {
        fn drop(&mut self) {
            // SAFETY: the processor has the instruction, as the caller of `configured` vouches; nothing is kept in tiles.
            unsafe { asm!("tilerelease", options(nomem, nostack, preserves_flags)) };
        }
    }
    // SAFETY: the caller vouches for the registers; the shapes are 64 readable bytes of a valid configuration.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const WHOLE, options(readonly, nostack, preserves_flags)) };
    let _release = Release;
    body()
}

/// Adds the product of `depth` tiles of one or two tiles of rows and two of columns to their sums.
///
/// # Safety
///
/// It must run within [`configured`]; each tile of rows must be `depth` tiles, the right-hand side twice as many, and `depth` at least one.
pub(super) unsafe fn accumulate(step: Step<'_>, depth: usize) {
    let (right, sums) = (step.right.as_ptr(), step.sums.as_mut_ptr());
    match step.left {
        // SAFETY: the caller vouches for the registers and the lengths; the array holds two rows of two tiles of sums, each row of which is 128 bytes.
        [upper, lower] => unsafe {
            asm!(
                "tileloadd tmm0, [{sums} + {sum_row}*1]",
                "tileloadd tmm1, [{sums} + {sum_row}*1 + 64]",
                "tileloadd tmm2, [{sums} + {sum_row}*1 + 2048]",
                "tileloadd tmm3, [{sums} + {sum_row}*1 + 2112]",
                "2:",
                "tileloadd tmm4, [{upper} + {row}*1]",
                "tileloadd tmm6, [{right} + {row}*1]",
                "tileloadd tmm7, [{right} + {row}*1 + 1024]",
                "tileloadd tmm5, [{lower} + {row}*1]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {upper}, 1024",
                "add {lower}, 1024",
                "add {right}, 2048",
                "dec {depth}",
                "jnz 2b",
                "tilestored [{sums} + {sum_row}*1], tmm0",
                "tilestored [{sums} + {sum_row}*1 + 64], tmm1",
                "tilestored [{sums} + {sum_row}*1 + 2048], tmm2",
                "tilestored [{sums} + {sum_row}*1 + 2112], tmm3",
                upper = inout(reg) upper.as_ptr() => _,
                lower = inout(reg) lower.as_ptr() => _,
                right = inout(reg) right => _,
                depth = inout(reg) depth => _,
                sums = in(reg) sums,
                row = in(reg) 64_usize,
                sum_row = in(reg) 128_usize,
                options(nostack),
            );
        },
        // SAFETY: as above.
        [upper] => unsafe {
            asm!(
                "tileloadd tmm0, [{sums} + {sum_row}*1]",
                "tileloadd tmm1, [{sums} + {sum_row}*1 + 64]",
                "2:",
                "tileloadd tmm4, [{upper} + {row}*1]",
                "tileloadd tmm6, [{right} + {row}*1]",
                "tileloadd tmm7, [{right} + {row}*1 + 1024]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "add {upper}, 1024",
                "add {right}, 2048",
                "dec {depth}",
                "jnz 2b",
                "tilestored [{sums} + {sum_row}*1], tmm0",
                "tilestored [{sums} + {sum_row}*1 + 64], tmm1",
                upper = inout(reg) upper.as_ptr() => _,
                right = inout(reg) right => _,
                depth = inout(reg) depth => _,
                sums = in(reg) sums,
                row = in(reg) 64_usize,
                sum_row = in(reg) 128_usize,
                options(nostack),
            );
        },
        _ => {}
    }
}
