//! Writes the folder: one PNG a glyph, and `metadata.jsonl`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::animals::{SIMPLE_ANIMALS, shown};
use super::captions::captions;
use super::render::render;
use super::select::{Glyph, glyphs};

const DEFAULT_SIZE: u32 = 64;

/// `emoji-dataset DIR [--size N]`.
pub fn run(args: &[String]) -> Result<()> {
    let (dir, size) = parse(args)?;
    fs::create_dir_all(&dir).with_context(|| format!("create `{}`", dir.display()))?;
    let glyphs = glyphs();
    let mut metadata = String::new();
    for glyph in &glyphs {
        write_picture(&dir, glyph, size)?;
        metadata.push_str(&line(glyph));
        metadata.push('\n');
    }
    let path = dir.join("metadata.jsonl");
    fs::write(&path, metadata).with_context(|| format!("write `{}`", path.display()))?;
    report(&dir, &glyphs);
    Ok(())
}

fn parse(args: &[String]) -> Result<(PathBuf, u32)> {
    let (dir, size) = match args {
        [dir] => (dir, DEFAULT_SIZE),
        [dir, flag, size] | [flag, size, dir] if flag == "--size" => {
            (dir, size.parse().with_context(|| format!("read the size `{size}`"))?)
        }
        _ => bail!("usage: cargo xtask emoji-dataset DIR [--size N]"),
    };
    if !(8..=72).contains(&size) {
        bail!("the size is {size}, wanted 8 to 72: the pictures are drawn from 72×72 ones");
    }
    Ok((dir.into(), size))
}

fn file_name(glyph: &Glyph) -> String {
    format!("{:04x}.png", u32::from(glyph.code))
}

fn write_picture(dir: &Path, glyph: &Glyph, size: u32) -> Result<()> {
    let path = dir.join(file_name(glyph));
    render(glyph.png, size)?.save(&path).with_context(|| format!("write `{}`", path.display()))
}

/// One line of `metadata.jsonl`. `animal` lists what of `simple-animals` the picture shows.
fn line(glyph: &Glyph) -> String {
    json!({
        "file_name": file_name(glyph),
        "text": captions(glyph.name),
        "codepoint": format!("{:04X}", u32::from(glyph.code)),
        "group": glyph.group,
        "name": glyph.name,
        "animal": shown(glyph.name),
    })
    .to_string()
}

fn report(dir: &Path, glyphs: &[Glyph]) {
    let shown: Vec<&str> = glyphs.iter().flat_map(|glyph| shown(glyph.name)).collect();
    let captioned = |animal: &&str| glyphs.iter().any(|g| captions(g.name).contains(&(*animal).into()));
    let missing: Vec<&str> = SIMPLE_ANIMALS.into_iter().filter(|a| !captioned(a)).collect();
    println!("{} pictures in {}", glyphs.len(), dir.display());
    println!("{} show one of the simple-animals", shown.len());
    println!("{} of 45 simple-animals occur as a bare noun", 45 - missing.len());
    if !missing.is_empty() {
        println!("missing: {}", missing.join(", "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_simple_animals_have_a_bare_caption_and_a_picture() {
        let glyphs = glyphs();
        for animal in SIMPLE_ANIMALS {
            assert!(glyphs.iter().any(|glyph| {
                captions(glyph.name).iter().any(|c| c == animal) && shown(glyph.name).contains(&animal)
            }));
        }
    }

    #[test]
    fn arguments_are_checked() {
        let parse = |text: &str| parse(&text.split(' ').map(String::from).collect::<Vec<_>>());
        assert_eq!(parse("out --size 32").unwrap(), ("out".into(), 32));
        assert_eq!(parse("--size 32 out").unwrap(), ("out".into(), 32));
        assert!(parse("out --size 0").is_err());
        assert!(parse("out --size").is_err());
    }
}
