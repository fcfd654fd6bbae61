//! Ctrl-C: the first one asks the run to stop, the second one ends the program.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use ddpo::train::StopFlag;

/// The exit code of a program that was ended by SIGINT, as shells have it.
const INTERRUPTED: i32 = 130;

/// A flag that the first Ctrl-C (or SIGTERM) sets, saying `notice`. The second ends the program at once.
///
/// May be called once in a process.
pub fn stop_on_signal(notice: &'static str) -> Result<StopFlag> {
    static ASKED: AtomicBool = AtomicBool::new(false);
    let flag = StopFlag::new();
    let handled = flag.clone();
    ctrlc::set_handler(move || {
        if ASKED.swap(true, Ordering::Relaxed) {
            end();
        }
        handled.stop();
        eprintln!("\n{notice} (Ctrl-C again to stop at once)");
    })
    .context("cannot listen for Ctrl-C")?;
    Ok(flag)
}

/// Ends the program at the first Ctrl-C (or SIGTERM), with the reward programs that it has started.
///
/// May be called once in a process.
pub fn end_on_signal() -> Result<()> {
    ctrlc::set_handler(|| end()).context("cannot listen for Ctrl-C")
}

/// Leaves the process at once, and nothing of it behind.
fn end() -> ! {
    // Held to the end: otherwise the thread that waits for a program would report its death, and end the process first.
    let _ended = ddpo::rewards::exec::end_programs();
    std::process::exit(INTERRUPTED)
}
