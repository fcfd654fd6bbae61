//! How often a judge is right about compositions whose drawings are known.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use ddpo::device::DeviceName;
use ddpo::model::ModelSource;
use ddpo::pretrain::{Composition, Compositor, CompositorConfig, Drawings, Split};
use ddpo::rewards::recogniser::Recogniser;

/// Pictures of a measurement.
const COUNT: usize = 3000;

/// A seed that no training used.
const SEED: u64 = 1_000_003;

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
    Ok(())
}

impl Score {
    fn percent(&self) -> f64 {
        100.0 * self.right as f64 / self.all.max(1) as f64
    }
}
