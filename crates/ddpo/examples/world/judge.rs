//! How often a judge is right about compositions whose drawings are known.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use ddpo::core::RgbImage;
use ddpo::device::DeviceName;
use ddpo::model::ModelSource;
use ddpo::pretrain::{Composition, Compositor, CompositorConfig, Drawings, Split};
use ddpo::rewards::recogniser::{Asked, Recogniser, Recognition};

/// Pictures of a measurement.
const COUNT: usize = 3000;

/// A seed that no training used.
const SEED: u64 = 1_000_003;

/// How sure a judge might have to be.
const SURE: [f32; 6] = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5];

/// Right answers of some pictures.
#[derive(Default)]
struct Score {
    right: usize,
    all: usize,
}

/// Prints the shares by split and by hand, and the commonest errors.
pub fn measure(model: &str, data: &Path) -> Result<(), Box<dyn Error>> {
    let files = ModelSource::parse(model, None)?.files()?;
    let judge = Recogniser::of_model(&files, &DeviceName::parse("cpu")?.open()?)?.ok_or("the model has no judge")?;
    for (split, name) in [(Split::Train, "trained"), (Split::HeldOut, "held-out"), (Split::Unseen, "unseen")] {
        let drawings = Drawings::load(data, split)?;
        let single =
            CompositorConfig { beside: 0.0, thing_alone: 0.0, says_style: 0.0, says_ground: 0.0, ..Default::default() };
        report(&judge, &Compositor::new(drawings.clone(), single), &format!("{name}, an animal"))?;
        let pair = CompositorConfig { beside: 1.0, says_beside: 1.0, ..single };
        report(&judge, &Compositor::new(drawings, pair), &format!("{name}, an animal and a thing"))?;
    }
    Ok(())
}

fn report(judge: &Recogniser, compositor: &Compositor, what: &str) -> Result<(), Box<dyn Error>> {
    let drawn = compositor.sheet(SEED, COUNT);
    let pictures = drawn.iter().map(Composition::picture).collect::<Result<Vec<_>, _>>()?;
    let prompts: Vec<String> = drawn.iter().map(|drawn| drawn.caption.clone()).collect();
    let verdicts = judge.as_asked(&pictures, &prompts)?;
    let seen = judge.recognise(&pictures)?;
    let nouns: Vec<&str> = compositor.drawings.nouns().collect();
    let (mut total, mut by_style, mut errors) = (Score::default(), BTreeMap::<&str, Score>::new(), BTreeMap::new());
    for ((drawn, verdict), seen) in drawn.iter().zip(verdicts).zip(&seen) {
        let is_right = verdict == Some(true);
        let style = by_style.entry(&compositor.drawings.styles[drawn.style]).or_default();
        for score in [&mut total, style] {
            score.all += 1;
            score.right += usize::from(is_right);
        }
        if !is_right {
            let subjects = &seen.nouns[..compositor.drawings.subjects.len()];
            let best = subjects.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(noun, _)| noun);
            *errors.entry((nouns[drawn.subject], nouns[best])).or_insert(0) += 1;
        }
    }
    let styles: Vec<String> = by_style.iter().map(|(style, score)| format!("{style} {:.1}", score.percent())).collect();
    println!("{what}: {:.1} % of {} ({})", total.percent(), total.all, styles.join(", "));
    let mut errors: Vec<((&str, &str), usize)> = errors.into_iter().collect();
    errors.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let errors: Vec<String> =
        errors.iter().take(8).map(|((is, seen), count)| format!("{is} as {seen} {count}")).collect();
    println!("  errors: {}", errors.join(", "));
    thresholds(judge, &pictures, &prompts, &seen)
}

/// By how sure the judge has to be: the share of pictures that it sees their prompts on, the next picture's prompt on, and their prompts
/// on what is left of them as blobs.
fn thresholds(
    judge: &Recogniser,
    pictures: &[RgbImage],
    prompts: &[String],
    seen: &[Recognition],
) -> Result<(), Box<dyn Error>> {
    let blobs = judge.recognise(&pictures.iter().map(blob).collect::<Result<Vec<_>, _>>()?)?;
    let asked: Vec<Option<Asked>> = prompts.iter().map(|prompt| Asked::of(prompt, judge.config())).collect();
    for sure in SURE {
        let share = |seen: &[Recognition], shift: usize| {
            let of = |(row, seen): (usize, &Recognition)| {
                let asked = asked[(row + shift) % asked.len()].as_ref()?;
                // The same prompt is no other one.
                (shift == 0 || prompts[row] != prompts[(row + shift) % prompts.len()])
                    .then(|| asked.is_shown_from(seen, sure))
            };
            let answers: Vec<bool> = seen.iter().enumerate().filter_map(of).collect();
            100.0 * answers.iter().filter(|shown| **shown).count() as f64 / answers.len().max(1) as f64
        };
        println!(
            "  sure from {sure}: {:.1} %, another's prompt {:.1} %, blobs {:.1} %",
            share(seen, 0),
            share(seen, 1),
            share(&blobs, 0)
        );
    }
    Ok(())
}

/// A picture of sixteen colours, each the mean of a square, with no edge between them.
fn blob(picture: &RgbImage) -> ddpo::core::Result<RgbImage> {
    const CELLS: usize = 4;
    let (side, pixels) = (picture.width() as usize, picture.pixels());
    let cell = side / CELLS;
    let mean = |x: usize, y: usize, channel: usize| {
        let rows = (0..cell * cell).map(|i| ((y * cell + i / cell) * side + x * cell + i % cell) * 3 + channel);
        rows.map(|i| f32::from(pixels[i])).sum::<f32>() / (cell * cell) as f32
    };
    let at = |position: usize| {
        let place = ((position as f32 + 0.5) / cell as f32 - 0.5).clamp(0.0, (CELLS - 1) as f32);
        (place as usize, (place as usize + 1).min(CELLS - 1), place.fract())
    };
    let mut bytes = Vec::with_capacity(pixels.len());
    for y in 0..side {
        for x in 0..side {
            let ((left, right, u), (top, below, v)) = (at(x), at(y));
            for channel in 0..3 {
                let upper = (1.0 - u) * mean(left, top, channel) + u * mean(right, top, channel);
                let lower = (1.0 - u) * mean(left, below, channel) + u * mean(right, below, channel);
                bytes.push(((1.0 - v) * upper + v * lower).round() as u8);
            }
        }
    }
    RgbImage::new(side as u32, side as u32, bytes)
}

impl Score {
    fn percent(&self) -> f64 {
        100.0 * self.right as f64 / self.all.max(1) as f64
    }
}
