//! Writes the folder: one transparent PNG a drawing, and `metadata.jsonl`.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::drawings::{ANIMALS, IconSet, SETS, SeenBy, THINGS, Thing};
use super::icons::Icons;
use super::render::cut_out;

/// The longer side of every cut-out, in pixels: more than a picture of 64 pixels ever shows.
const SIDE: u32 = 96;

/// One pair of a drawing and a set in so many is held out of training.
const HELD_OUT: u64 = 10;

/// What became of a set.
struct Counted {
    package: &'static str,
    drawings: usize,
    animals: usize,
}

/// `emoji-dataset DIR --icons FOLDER`.
pub fn run(args: &[String]) -> Result<()> {
    let (dir, icons) = match args {
        [dir, flag, icons] | [flag, icons, dir] if flag == "--icons" => (PathBuf::from(dir), PathBuf::from(icons)),
        _ => bail!("usage: cargo xtask emoji-dataset DIR --icons FOLDER"),
    };
    let mut metadata = String::new();
    for set in &SETS {
        let counted = write_set(&dir, &icons, set, &mut metadata)?;
        println!("{}: {} drawings, {} of 45 animals", counted.package, counted.drawings, counted.animals);
    }
    let path = dir.join("metadata.jsonl");
    fs::write(&path, metadata).with_context(|| format!("write `{}`", path.display()))
}

fn write_set(dir: &Path, folder: &Path, set: &IconSet, metadata: &mut String) -> Result<Counted> {
    let icons = Icons::read(folder, set.package)?;
    let here = dir.join(set.style);
    fs::create_dir_all(&here).with_context(|| format!("create `{}`", here.display()))?;
    let mut written = HashSet::new();
    let mut counted = Counted { package: set.package, drawings: 0, animals: 0 };
    let animals = ANIMALS.iter().map(|thing| ("subject", thing));
    for (role, thing) in animals.chain(THINGS.iter().map(|thing| ("beside", thing))) {
        let drawings = drawings(&icons, thing, set.without);
        counted.animals += usize::from(role == "subject" && !drawings.is_empty());
        for (name, svg) in drawings {
            if !written.insert(name.to_owned()) {
                continue;
            }
            let file = format!("{}/{name}.png", set.style);
            let path = dir.join(&file);
            let picture = cut_out(&svg, SIDE).with_context(|| format!("draw `{name}` of {}", set.package))?;
            picture.save(&path).with_context(|| format!("write `{}`", path.display()))?;
            metadata.push_str(&line(&file, thing.0, role, set));
            counted.drawings += 1;
        }
    }
    Ok(counted)
}

/// The drawings of a thing that the set has, each once.
fn drawings<'a>(icons: &'a Icons, (_, names): &Thing, without: &[&str]) -> Vec<(&'a str, String)> {
    let mut found: Vec<(&str, String)> = Vec::new();
    let names = names.iter().filter(|name| !without.contains(name));
    for (name, svg) in names.filter_map(|name| icons.svg(name)) {
        if !found.iter().any(|(other, _)| *other == name) {
            found.push((name, svg));
        }
    }
    found
}

fn line(file: &str, text: &str, role: &str, set: &IconSet) -> String {
    let split = match set.seen_by {
        SeenBy::Nobody => "unseen",
        SeenBy::Judge => "judge",
        SeenBy::Model if is_held_out(file) => "held-out",
        SeenBy::Model => "train",
    };
    let row = json!({ "file_name": file, "text": text, "role": role, "style": set.style, "split": split });
    format!("{row}\n")
}

/// Whether a drawing of a set is kept from training: one in ten, by a hash of its file's name (FNV-1a, 64 bits).
fn is_held_out(file: &str) -> bool {
    let hash = file
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (hash >> 32).is_multiple_of(HELD_OUT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn about_a_tenth_is_held_out() {
        let held = (0..10_000).filter(|i| is_held_out(&format!("noto/{i}.png"))).count();
        assert!((850..1150).contains(&held), "{held}");
    }
}
