//! Rewards by the name that the command line and the configuration use.

use ddpo_core::Reward;

use crate::{Checked, Error, Exec, JpegCompressibility, JpegIncompressibility, Result};

/// The names that [`by_name`] knows, as a user would write them.
pub const NAMES: [&str; 3] = ["jpeg-compressibility", "jpeg-incompressibility", "exec:PROGRAM"];

/// The reward of this name, its answers [checked](Checked).
///
/// # Errors
/// [`Error::Unknown`] with the names that exist, or [`Error::NoProgram`].
pub fn by_name(name: &str) -> Result<Box<dyn Reward>> {
    Ok(Box::new(Checked::new(by_name_unchecked(name)?)))
}

/// The same reward with its answers as they are, for a trainer that checks them itself and knows where in a run they are.
///
/// # Errors
/// Those of [`by_name`].
pub fn by_name_unchecked(name: &str) -> Result<Box<dyn Reward>> {
    if let Some(command) = name.strip_prefix("exec:") {
        return Ok(Box::new(Exec::new(command)?));
    }
    match name {
        "jpeg-compressibility" => Ok(Box::new(JpegCompressibility)),
        "jpeg-incompressibility" => Ok(Box::new(JpegIncompressibility)),
        _ => Err(Error::Unknown { name: name.to_owned(), known: NAMES.to_vec() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rewards_are_found_under_their_own_name() {
        for name in ["jpeg-compressibility", "jpeg-incompressibility", "exec:./score --fast"] {
            assert_eq!(by_name(name).unwrap().name(), name);
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let message = by_name("jpeg").err().unwrap().to_string();
        assert_eq!(
            message,
            "find a reward: `jpeg` found, one of jpeg-compressibility, jpeg-incompressibility, exec:PROGRAM wanted"
        );
        assert!(matches!(by_name("exec:  "), Err(Error::NoProgram)));
    }
}
