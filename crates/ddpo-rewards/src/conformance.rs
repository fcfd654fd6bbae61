//! Whether a reward keeps what the protocol and training ask of it, found out by asking.

use std::error::Error as _;
use std::fmt;
use std::time::Instant;

use ddpo_core::{Judge, RewardBatch, RgbImage};

/// What was tried, and whether it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What should hold.
    pub law: &'static str,
    /// What was seen; an error where it does not hold.
    pub outcome: Result<String, String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Ok(seen) => write!(f, "holds   {}: {seen}", self.law),
            Err(seen) => write!(f, "FAILS   {}: {seen}", self.law),
        }
    }
}

/// What is asked about.
struct Picture {
    image: RgbImage,
    prompt: String,
}

type Outcome = Result<String, String>;

/// What should hold, and how that is found out.
type Law = (&'static str, fn(&Judge) -> Outcome);

/// Tries a reward that has been opened, and tells of each law whether it holds. The number of those that do not.
pub fn check_conformance(judge: &Judge, on_finding: &mut dyn FnMut(&Finding)) -> usize {
    let laws: [Law; 7] = [
        ("pictures of any size get a number", sizes),
        ("a request may have one picture or many", counts),
        ("prompts may be anything", prompts),
        ("the same request gets the same numbers", repeated),
        ("numbers are in the order of the pictures", ordered),
        ("a number does not depend on the others of its request", independent),
        ("it answers many requests", many),
    ];
    let mut failures = 0;
    for (law, check) in laws {
        let finding = Finding { law, outcome: check(judge) };
        failures += usize::from(finding.outcome.is_err());
        on_finding(&finding);
    }
    failures
}

/// A picture with a gradient of its own.
fn picture(seed: u32, width: u32, height: u32) -> ddpo_core::Result<Picture> {
    let byte = |place: u32| (place.wrapping_mul(seed * 2 + 1) / 7 % 256) as u8;
    let values: Vec<f32> = (0..width * height * 3).map(|place| f32::from(byte(place)) / 255.0).collect();
    Ok(Picture { image: RgbImage::from_unit(width, height, &values)?, prompt: format!("a picture of number {seed}") })
}

/// The numbers of pictures of 64x64 pixels, a seed each.
fn asked_about(judge: &Judge, seeds: &[u32]) -> Result<Vec<f32>, String> {
    let pictures = seeds.iter().map(|&seed| picture(seed, 64, 64)).collect::<ddpo_core::Result<Vec<_>>>();
    asked(judge, &pictures.map_err(|error| error.to_string())?)
}

fn asked(judge: &Judge, pictures: &[Picture]) -> Result<Vec<f32>, String> {
    let images: Vec<RgbImage> = pictures.iter().map(|picture| picture.image.clone()).collect();
    let prompts: Vec<String> = pictures.iter().map(|picture| picture.prompt.clone()).collect();
    let said = judge.assess_batch(&RewardBatch::new(&images, &prompts));
    let values = said.map_err(|error| error.source().map_or_else(|| error.to_string(), ToString::to_string))?.values;
    match values.iter().position(|value| !value.is_finite()) {
        Some(row) => Err(format!("picture {row} of {} got {}, a finite number wanted", pictures.len(), values[row])),
        None => Ok(values),
    }
}

fn sizes(judge: &Judge) -> Outcome {
    const SIZES: [(u32, u32); 5] = [(64, 64), (512, 512), (96, 40), (33, 129), (8, 8)];
    for (width, height) in SIZES {
        let picture = picture(1, width, height).map_err(|error| error.to_string())?;
        asked(judge, &[picture]).map_err(|error| format!("{width}x{height} pixels: {error}"))?;
    }
    Ok("8x8 to 512x512 pixels".to_owned())
}

fn counts(judge: &Judge) -> Outcome {
    for count in [1, 2, 7, 32] {
        let seeds: Vec<u32> = (0..count).collect();
        asked_about(judge, &seeds).map_err(|error| format!("{count} pictures: {error}"))?;
    }
    Ok("1, 2, 7 and 32 pictures".to_owned())
}

fn prompts(judge: &Judge) -> Outcome {
    let long = "very ".repeat(400) + "long";
    for prompt in
        ["", "eine Möwe", "кошка", "猫と犬", "a \u{1f98a}", "\"quoted\" \\ {braces} [brackets]", "two\nlines", &long]
    {
        let picture = picture(3, 64, 64).map_err(|error| error.to_string())?;
        let picture = Picture { prompt: prompt.to_owned(), ..picture };
        let shown: String = prompt.chars().take(20).collect();
        asked(judge, &[picture]).map_err(|error| format!("the prompt {shown:?}: {error}"))?;
    }
    Ok("empty, long, with quotes, in other scripts".to_owned())
}

const SEVERAL: [u32; 6] = [1, 6, 11, 16, 21, 26];

fn repeated(judge: &Judge) -> Outcome {
    compared(&asked_about(judge, &SEVERAL)?, &asked_about(judge, &SEVERAL)?, "twice the same")
}

fn ordered(judge: &Judge) -> Outcome {
    let first = asked_about(judge, &SEVERAL)?;
    let mut turned = SEVERAL;
    turned.reverse();
    let mut second = asked_about(judge, &turned)?;
    second.reverse();
    if first.iter().all(|value| *value == first[0]) {
        return Ok("all numbers are the same, so that there is nothing to see".to_owned());
    }
    compared(&first, &second, "turned round with the pictures")
}

fn independent(judge: &Judge) -> Outcome {
    let together = asked_about(judge, &SEVERAL)?;
    let alone: Result<Vec<f32>, String> = SEVERAL.iter().map(|seed| Ok(asked_about(judge, &[*seed])?[0])).collect();
    compared(&together, &alone?, "the same alone and together")
}

fn many(judge: &Judge) -> Outcome {
    const REQUESTS: u32 = 20;
    let start = Instant::now();
    for request in 0..REQUESTS {
        asked_about(judge, &[request]).map_err(|error| format!("request {request}: {error}"))?;
    }
    let each = start.elapsed().as_secs_f64() * 1000.0 / f64::from(REQUESTS);
    Ok(format!("{REQUESTS} one after the other, {each:.1} ms each"))
}

/// Numbers that should be the same, to the bit: only then does a run that is resumed end as one that was not.
fn compared(first: &[f32], second: &[f32], seen: &str) -> Outcome {
    let differs = |(a, b): &(&f32, &f32)| a.to_bits() != b.to_bits();
    match first.iter().zip(second).enumerate().find(|(_, pair)| differs(pair)) {
        Some((row, (a, b))) => Err(format!("picture {row} got {a}, and then {b}")),
        None => Ok(seen.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use ddpo_core::Reward;

    use super::*;
    use crate::JpegCompressibility;

    fn failures(reward: impl Reward + 'static) -> Vec<String> {
        let mut found = Vec::new();
        let count = check_conformance(&Judge::Image(Box::new(reward)), &mut |finding| {
            if finding.outcome.is_err() {
                found.push(finding.to_string());
            }
        });
        assert_eq!(count, found.len());
        found
    }

    #[test]
    fn a_good_reward_keeps_every_law() {
        assert_eq!(failures(JpegCompressibility), Vec::<String>::new());
    }

    /// A reward that breaks one law.
    struct Bad(fn(&RewardBatch<'_>) -> Vec<f32>);

    impl Reward for Bad {
        fn name(&self) -> &str {
            "bad"
        }

        fn score(&self, batch: &RewardBatch<'_>) -> ddpo_core::Result<Vec<f32>> {
            Ok((self.0)(batch))
        }
    }

    fn mean(image: &RgbImage) -> f32 {
        image.pixels().iter().map(|&byte| f32::from(byte)).sum::<f32>() / image.pixels().len() as f32
    }

    #[track_caller]
    fn check(bad: fn(&RewardBatch<'_>) -> Vec<f32>, expect: &[&str]) {
        let found = failures(Bad(bad));
        let laws: Vec<&str> = found.iter().map(|line| line[8..].split(':').next().unwrap()).collect();
        assert_eq!(laws, expect, "{found:?}");
    }

    #[test]
    fn each_law_is_broken_by_what_breaks_it() {
        check(
            |batch| batch.images.iter().map(|image| if image.width() == 33 { f32::NAN } else { mean(image) }).collect(),
            &["pictures of any size get a number"],
        );
        check(
            |batch| vec![mean(&batch.images[0])],
            &[
                "a request may have one picture or many",
                "the same request gets the same numbers",
                "numbers are in the order of the pictures",
                "a number does not depend on the others of its request",
            ],
        );
        check(
            |batch| {
                batch
                    .images
                    .iter()
                    .zip(batch.prompts)
                    .map(|(i, p)| if p.is_ascii() { mean(i) } else { f32::NAN })
                    .collect()
            },
            &["prompts may be anything"],
        );
        check(
            |batch| batch.images.iter().map(|image| mean(image) - mean(&batch.images[0])).collect(),
            &["numbers are in the order of the pictures", "a number does not depend on the others of its request"],
        );
        let sorted: fn(&RewardBatch<'_>) -> Vec<f32> = |batch| {
            let mut values: Vec<f32> = batch.images.iter().map(mean).collect();
            values.sort_by(f32::total_cmp);
            values
        };
        check(
            sorted,
            &["numbers are in the order of the pictures", "a number does not depend on the others of its request"],
        );
    }
}
