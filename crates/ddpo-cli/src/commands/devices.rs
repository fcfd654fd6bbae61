//! `ddpo devices`.

use anyhow::Result;
use ddpo::device::{Backend, DeviceName, FoundDevice, list};

use crate::numbers::bytes;

/// Prints a line for each device that is there, and which kinds this build does not know.
pub fn run() -> Result<()> {
    let chosen = DeviceName::Auto.resolve();
    for FoundDevice { name, description, memory } in list() {
        let memory = memory.map(|memory| format!(", {}", bytes(memory))).unwrap_or_default();
        let chosen = if name == chosen { "  (auto)" } else { "" };
        println!("{:<10}{description}{memory}{chosen}", name.to_string());
    }
    let missing: Vec<&str> =
        Backend::ALL.into_iter().filter(|backend| !backend.is_built()).map(Backend::name).collect();
    if !missing.is_empty() {
        println!("not built into this program: {} (`cargo build --release --features NAME`)", missing.join(", "));
    }
    Ok(())
}
