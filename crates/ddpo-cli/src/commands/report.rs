//! `ddpo report`.

use anyhow::Result;

use crate::args::Report;

/// Writes the report and says where it is.
pub fn run(args: &Report) -> Result<()> {
    let path = ddpo::report::write_report(&args.run)?;
    println!("{}", path.display());
    Ok(())
}
