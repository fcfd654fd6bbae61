//! `ddpo distill`: a training run with the preset `distill`.

use crate::args::{Distill, Train};

/// The preset under the file and the options.
const PRESET: &str = "distill";

/// The run that distils. One that is resumed knows what it is.
pub fn as_training(args: &Distill) -> ddpo::Result<Train> {
    let mut train = args.train.clone();
    if train.resume.is_some() {
        return Ok(train);
    }
    for (key, given) in [("--preset", &train.preset), ("--algorithm", &train.algorithm)] {
        if let Some(found) = given {
            let expected =
                "none with `ddpo distill`, which is `ddpo train` with a preset and an algorithm of its own".into();
            return Err(ddpo::Error::InvalidOption { key, found: found.clone(), expected });
        }
    }
    train.preset = Some(PRESET.to_owned());
    // What is set by its key goes before what a flag says.
    let guidance = args.guidance.map(|guidance| format!("distill.guidance={guidance:?}"));
    let flags = std::iter::once(format!("sample.steps={}", args.steps)).chain(guidance);
    train.set = flags.chain(std::mem::take(&mut train.set)).collect();
    Ok(train)
}
