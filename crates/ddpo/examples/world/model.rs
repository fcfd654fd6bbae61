//! What a model draws: how much of it is as asked for, and how much it differs.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use ddpo::config::Layers;
use ddpo::device::DeviceName;
use ddpo::images::{grid, write_png};
use ddpo::model::ModelSource;
use ddpo::pretrain::{Drawings, Split};
use ddpo::prompts::{PromptSource, PromptSplit};
use ddpo::rewards::jpeg_bytes;
use ddpo::rewards::recogniser::Recogniser;
use ddpo::train::StopFlag;
use ddpo::{LoadedModel, RunConfig, SampleRequest, core::RgbImage, sample};

/// Samples of a prompt.
const COUNT: usize = 16;

/// Samples and their judge.
pub struct World {
    loaded: LoadedModel,
    judge: Arc<Recogniser>,
    config: RunConfig,
}

/// Prints the tables, and writes the pictures of animals into `out`; `settings` are assignments over the default configuration.
pub fn measure(model: &str, data: &Path, out: &Path, settings: &[&str]) -> Result<(), Box<dyn Error>> {
    let world = World::open(model, settings)?;
    std::fs::create_dir_all(out)?;
    world.animals(out)?;
    world.held_out(data)?;
    world.pairs()
}

impl World {
    /// Opens a model with its judge.
    pub fn open(model: &str, settings: &[&str]) -> Result<Self, Box<dyn Error>> {
        let mut layers = Layers::default();
        settings.iter().try_for_each(|setting| layers.push_assignment(setting))?;
        let loaded = LoadedModel::open(&ModelSource::parse(model, None)?, DeviceName::parse("cpu")?)?;
        let judge = loaded.judge().ok_or("the model has no judge")?;
        Ok(Self { loaded, judge, config: layers.resolve()? })
    }

    fn animals(&self, out: &Path) -> Result<(), Box<dyn Error>> {
        let prompts = PromptSource::SimpleAnimals.load()?.texts;
        let images = self.draw(&prompts, COUNT)?;
        let (mut hits, mut styles, mut grounds, mut deviations) = (0, Vec::new(), Vec::new(), Vec::new());
        for (prompt, images) in prompts.iter().zip(images.chunks(COUNT)) {
            let verdicts = self.judge.as_asked(images, &vec![prompt.clone(); images.len()])?;
            let shown = verdicts.iter().filter(|verdict| **verdict == Some(true)).count();
            let seen = self.judge.recognise(images)?;
            let distinct = |of: &dyn Fn(usize) -> usize| (0..seen.len()).map(of).collect::<BTreeSet<_>>().len();
            let (style, ground) = (distinct(&|i| seen[i].style), distinct(&|i| seen[i].ground));
            let bytes: Vec<f64> = images
                .iter()
                .map(|image| {
                    jpeg_bytes(image.width() as usize, image.height() as usize, image.pixels()).unwrap_or(0) as f64
                })
                .collect();
            let deviation = super::deviation(&bytes);
            println!("{prompt:10} {shown:2} of {COUNT}  {style} styles  {ground} grounds  {deviation:.0} bytes");
            hits += shown;
            styles.push(style);
            grounds.push(ground);
            deviations.push(deviation);
        }
        let least = |values: &[usize]| values.iter().min().copied().unwrap_or(0);
        let mean = super::mean(&deviations);
        println!(
            "animals: {hits} of {} as asked ({:.1} %), at least {} styles and {} grounds, JPEG sizes deviate by {mean:.0} bytes",
            images.len(),
            100.0 * hits as f64 / images.len() as f64,
            least(&styles),
            least(&grounds)
        );
        write_png(&out.join("animals.png"), &grid(&images, COUNT)?)?;
        Ok(())
    }

    /// Drawings that training never saw, asked for by noun and hand.
    fn held_out(&self, data: &Path) -> Result<(), Box<dyn Error>> {
        let trained = Drawings::load(data, Split::Train)?.pairs();
        let mut held_out = Drawings::load(data, Split::HeldOut)?.pairs();
        // A noun that training has in the same hand by another drawing is no invention.
        held_out.retain(|pair| !trained.contains(pair));
        for (pairs, name) in [(held_out, "held-out"), (trained, "trained")] {
            let prompts: Vec<String> = pairs.iter().map(|(noun, style)| format!("{noun} in {style} style")).collect();
            let count = 8;
            let images = self.draw(&prompts, count)?;
            let (shown, all) = self.share(&prompts, count, &images)?;
            let seen = self.judge.recognise(&images)?;
            let style = |row: usize| self.judge.config().styles.iter().position(|style| *style == pairs[row / count].1);
            let in_style = (0..seen.len()).filter(|&row| style(row) == Some(seen[row].style)).count();
            println!(
                "{name} (noun, hand) pairs: {} pairs, {:.1} % as asked, {:.1} % in the hand asked for",
                pairs.len(),
                100.0 * shown as f64 / all as f64,
                100.0 * in_style as f64 / all as f64
            );
        }
        Ok(())
    }

    fn pairs(&self) -> Result<(), Box<dyn Error>> {
        let split = PromptSplit::load(&PromptSource::Compositions, None)?;
        for (name, prompts) in [("trained", &split.training), ("held-out", &split.evaluation)] {
            let every = (prompts.texts.len() / 200).max(1);
            let prompts: Vec<String> = prompts.texts.iter().step_by(every).cloned().collect();
            let count = 4;
            let images = self.draw(&prompts, count)?;
            let mut by_noun: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
            for (prompt, images) in prompts.iter().zip(images.chunks(count)) {
                let thing = prompt.rsplit(' ').next().unwrap_or_default();
                let verdicts = self.judge.as_asked(images, &vec![prompt.clone(); images.len()])?;
                let score = by_noun.entry(thing).or_default();
                score[0] += verdicts.iter().filter(|verdict| **verdict == Some(true)).count();
                score[1] += images.len();
            }
            let shares: Vec<String> = by_noun
                .iter()
                .map(|(noun, [shown, all])| format!("{noun} {:.0}", 100.0 * *shown as f64 / *all as f64))
                .collect();
            let shown: usize = by_noun.values().map(|score| score[0]).sum();
            println!(
                "{name} compositions: {} pairs, {:.1} % of {} as asked",
                prompts.len(),
                100.0 * shown as f64 / images.len() as f64,
                images.len()
            );
            println!("  by thing, %: {}", shares.join(", "));
        }
        Ok(())
    }

    /// Hits and samples.
    fn share(&self, prompts: &[String], count: usize, images: &[RgbImage]) -> Result<(usize, usize), Box<dyn Error>> {
        let prompts: Vec<String> = prompts.iter().flat_map(|prompt| vec![prompt.clone(); count]).collect();
        let verdicts = self.judge.as_asked(images, &prompts)?;
        Ok((verdicts.iter().filter(|verdict| **verdict == Some(true)).count(), verdicts.len()))
    }

    /// `count` samples of each prompt, at the default settings; all prompts have the same noise.
    pub fn draw(&self, prompts: &[String], count: usize) -> Result<Vec<RgbImage>, Box<dyn Error>> {
        self.draw_from(prompts, count, self.config.eval.seed)
    }

    /// The same from the noise of another seed.
    pub fn draw_from(&self, prompts: &[String], count: usize, seed: u64) -> Result<Vec<RgbImage>, Box<dyn Error>> {
        let sampling = &self.config.sample;
        let request = SampleRequest {
            prompts: prompts.to_vec(),
            count,
            sampler: sampling.sampler(),
            guidance: sampling.guidance,
            negative_prompt: sampling.negative_prompt.clone(),
            seed,
            batch_size: 64,
            size: [None; 2],
        };
        let model = self.loaded.denoiser(&[])?;
        Ok(sample(&self.loaded, &*model, &request, &StopFlag::new(), &mut |_, _| {})?.images)
    }
}
