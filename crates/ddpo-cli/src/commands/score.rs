//! `ddpo score`.

use anyhow::Result;
use ddpo::images::{read_image, write_text};
use ddpo::reward::RewardName;
use ddpo::score;
use serde_json::{Map, Value};

use crate::args::Score;

/// Prints one line an image.
pub fn run(args: &Score) -> Result<()> {
    let rewards = args.reward.iter().map(|name| RewardName::parse(name)).collect::<ddpo::Result<Vec<_>>>()?;
    let images = args.images.iter().map(|path| read_image(path)).collect::<ddpo::Result<Vec<_>>>()?;
    let prompts = vec![args.prompt.clone(); images.len()];
    let mut rows: Vec<Map<String, Value>> =
        args.images.iter().map(|path| Map::from_iter([("image".into(), path.display().to_string().into())])).collect();
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

/// The shortest decimal that reads back as the same f32, and not the longer one of its f64.
fn json_number(value: f32) -> Value {
    value.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}
