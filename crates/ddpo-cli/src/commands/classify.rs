//! `ddpo classify`.

use std::path::Path;

use anyhow::Result;
use ddpo::core::classifier::Classification;
use ddpo::device::DeviceName;
use ddpo::images::{read_image, write_text};
use ddpo::model::ModelSource;
use ddpo::pictures::list_pictures;
use ddpo::{ClassifyRequest, LoadedModel};
use serde_json::{Value, json};

use crate::args::Classify;
use crate::interrupt::stop_on_signal;
use crate::progress::{line, stage_bar};

/// Runners-up that are shown beside the answer.
const SHOWN: usize = 3;

/// Prints one line an image: the class and its posterior, and the next ones.
pub fn run(args: &Classify) -> Result<()> {
    let classes = classes(&args.classes);
    let pictures = list_pictures(&args.images)?;
    let images = pictures.iter().map(|picture| read_image(&picture.path)).collect::<ddpo::Result<Vec<_>>>()?;
    let loaded = open_model(&args.model, args.model_config.as_deref(), args.device.as_deref())?;
    let request = ClassifyRequest {
        classes,
        trials: args.trials,
        first_timestep: args.first_timestep,
        full: args.full,
        seed: args.seed,
        batch_size: 45,
    };
    let stop = stop_on_signal("stopping after this image")?;
    let bar = stage_bar("classifying", images.len());
    let classifications =
        ddpo::classify(&loaded, &images, &request, &stop, &mut |done, _| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    for (picture, classification) in pictures.iter().zip(&classifications) {
        line(&format!("{}  {}", picture.path.display(), answer(classification, &request.classes)));
    }
    if let Some(path) = &args.json {
        let rows = (pictures.iter().zip(&classifications))
            .map(|(picture, classification)| to_json(&picture.path, classification, &request.classes));
        write_text(path, &(serde_json::to_string_pretty(&rows.collect::<Vec<_>>())? + "\n"))?;
    }
    Ok(())
}

/// The model that is asked about pictures; it has no run to take options from.
pub(super) fn open_model(model: &str, config: Option<&str>, device: Option<&str>) -> Result<LoadedModel> {
    let device = DeviceName::parse(device.unwrap_or("auto"))?;
    let source = ModelSource::parse(model, None)?.with_config(config)?;
    Ok(LoadedModel::open(&source, device)?)
}

/// The names between the commas; what a comma too many leaves is none.
fn classes(names: &[String]) -> Vec<String> {
    names.iter().map(|name| name.trim()).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// `cat 0.981  dog 0.017  lion 0.002`.
fn answer(classification: &Classification, classes: &[String]) -> String {
    let posterior = classification.log_posterior();
    let shown = classification.ranking().into_iter().take(SHOWN);
    let texts: Vec<String> = shown.map(|class| format!("{} {:.3}", classes[class], posterior[class].exp())).collect();
    texts.join("  ")
}

fn to_json(image: &Path, classification: &Classification, classes: &[String]) -> Value {
    let posterior = classification.log_posterior();
    let evidence = |class: usize| {
        json!({
            "class": classes[class],
            "posterior": posterior[class].exp(),
            "error": classification.errors[class],
            "trials": classification.trials[class],
        })
    };
    let ranking = classification.ranking();
    json!({
        "image": image.display().to_string(),
        "class": ranking.first().map(|&class| classes[class].clone()),
        "predictions": classification.cost(),
        "classes": ranking.into_iter().map(evidence).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_too_many_names_nothing() {
        let of = |text: &str| classes(&text.split(',').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(of("cat, dog ,"), ["cat", "dog"]);
        assert_eq!(of(",cat,,a dog"), ["cat", "a dog"]);
        assert_eq!(of(" , "), [""; 0]);
    }
}
