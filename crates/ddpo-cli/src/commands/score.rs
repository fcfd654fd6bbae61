//! `ddpo score`.

use anyhow::{Result, bail};
use ddpo::images::{read_image, write_text};
use ddpo::pictures::{NamedPicture, assign_prompts, list_pictures};
use ddpo::prompts::PromptList;
use ddpo::{Assessment, score};
use serde_json::{Map, Value};

use crate::args::Score;
use crate::interrupt::end_on_signal;
use crate::progress::{fetch_networks, line};

use super::classify::open_model;
use super::requests::named_rewards;

/// Prints one line an image, or one a law that a reward should keep.
pub fn run(args: &Score) -> Result<()> {
    if let Some(reward) = &args.check {
        return check(reward);
    }
    let rewards = named_rewards("--reward", &args.reward)?;
    let pictures = pictures(args)?;
    let images = pictures.iter().map(|picture| read_image(&picture.path)).collect::<ddpo::Result<Vec<_>>>()?;
    let prompt = |picture: &NamedPicture| (picture.prompt.clone().unwrap_or_default(), picture.metadata.clone());
    let prompts: PromptList = pictures.iter().map(prompt).collect();
    let image = |picture: &NamedPicture| ("image".to_owned(), Value::from(picture.path.display().to_string()));
    end_on_signal()?;
    fetch_networks(&rewards)?;
    let open = |model: &String| open_model(model, args.model_config.as_deref(), args.device.as_deref());
    let model = args.model.as_ref().map(open).transpose()?;
    let mut rows: Vec<Map<String, Value>> = pictures.iter().map(|picture| Map::from_iter([image(picture)])).collect();
    for reward in &rewards {
        fill(&mut rows, reward.name(), &score(reward, model.as_ref(), &images, &prompts)?);
    }
    for row in &rows {
        let values = row.iter().skip(1).map(|(name, value)| format!("  {name} {value}"));
        line(&format!("{}{}", row["image"].as_str().unwrap_or_default(), values.collect::<String>()));
    }
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&rows)? + "\n";
        write_text(path, &text)?;
    }
    Ok(())
}

/// Says line by line whether a reward keeps the protocol.
fn check(reward: &str) -> Result<()> {
    let reward = ddpo::reward::named(reward)?;
    end_on_signal()?;
    fetch_networks(std::slice::from_ref(&reward))?;
    let failures = ddpo::check_reward(&reward, &mut |finding| line(&finding.to_string()))?;
    if failures > 0 {
        bail!("{reward} does not keep the protocol of rewards: {failures} of its laws fail");
    }
    line(&format!("{reward} keeps the protocol of rewards"));
    Ok(())
}

/// Puts what a reward says of each image into its row.
fn fill(rows: &mut [Map<String, Value>], name: &str, said: &Assessment) {
    for (row, columns) in rows.iter_mut().enumerate() {
        columns.insert(name.to_owned(), json_number(said.values[row]));
        for (part, values) in &said.parts {
            columns.insert(format!("{name}/{part}"), json_number(values[row]));
        }
        for (_, text) in said.remarks.iter().filter(|(place, _)| *place == row) {
            columns.insert(format!("{name}/answer"), text.clone().into());
        }
    }
    said.warnings.iter().for_each(|warning| eprintln!("warning: {name}: {warning}"));
}

/// The images, each with its prompt.
fn pictures(args: &Score) -> Result<Vec<NamedPicture>> {
    let mut pictures = list_pictures(&args.images)?;
    if let Some(prompt) = &args.prompt {
        pictures.iter_mut().for_each(|picture| picture.prompt = Some(prompt.clone()));
    }
    if let Some(file) = &args.prompts {
        assign_prompts(&mut pictures, file)?;
    }
    Ok(pictures)
}

/// The shortest decimal that reads back as the same f32, and not the longer one of its f64.
fn json_number(value: f32) -> Value {
    value.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}
