//! `ddpo score`.

use anyhow::Result;
use ddpo::images::{read_image, write_text};
use ddpo::pictures::{NamedPicture, assign_prompts, list_pictures};
use ddpo::prompts::PromptList;
use ddpo::score;
use serde_json::{Map, Value};

use crate::args::Score;
use crate::interrupt::end_on_signal;
use crate::progress::fetch_networks;

/// Prints one line an image.
pub fn run(args: &Score) -> Result<()> {
    let rewards = args.reward.iter().map(|name| ddpo::reward::named(name)).collect::<ddpo::Result<Vec<_>>>()?;
    let pictures = pictures(args)?;
    let images = pictures.iter().map(|picture| read_image(&picture.path)).collect::<ddpo::Result<Vec<_>>>()?;
    let prompt = |picture: &NamedPicture| (picture.prompt.clone().unwrap_or_default(), picture.metadata.clone());
    let prompts: PromptList = pictures.iter().map(prompt).collect();
    let image = |picture: &NamedPicture| ("image".to_owned(), Value::from(picture.path.display().to_string()));
    end_on_signal()?;
    fetch_networks(&rewards)?;
    let mut rows: Vec<Map<String, Value>> = pictures.iter().map(|picture| Map::from_iter([image(picture)])).collect();
    for reward in &rewards {
        let values = score(reward, &images, &prompts)?;
        rows.iter_mut().zip(values).for_each(|(row, value)| drop(row.insert(reward.to_string(), json_number(value))));
    }
    for row in &rows {
        let values = row.iter().skip(1).map(|(name, value)| format!("  {name} {value}"));
        println!("{}{}", row["image"].as_str().unwrap_or_default(), values.collect::<String>());
    }
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&rows)? + "\n";
        write_text(path, &text)?;
    }
    Ok(())
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
