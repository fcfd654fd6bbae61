//! Pictures that somebody names: files, and what folders hold, each with the prompt it was drawn for where that is known.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ddpo_core::PromptMetadata;

use crate::error::{Error, Result};
use crate::metadata::{self, METADATA};
use crate::prompts::PromptSource;

/// Endings of the files that are taken from a folder.
const ENDINGS: [&str; 6] = ["png", "jpg", "jpeg", "webp", "gif", "bmp"];

/// A picture that was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPicture {
    /// The file.
    pub path: PathBuf,
    /// What it should show.
    pub prompt: Option<String>,
    /// What else its line says of it.
    pub metadata: Arc<PromptMetadata>,
}

impl NamedPicture {
    /// A file of which no more is known.
    fn of_file(path: PathBuf) -> Self {
        Self { path, prompt: None, metadata: Arc::default() }
    }
}

/// The pictures that `paths` name. Of a folder these are the pictures its `metadata.jsonl` lists, in that order and with their
/// first caption as the prompt; without that file, its PNG, JPEG, WebP, GIF and BMP files by name. Folders inside it are not looked into.
///
/// # Errors
///
/// Fails for a folder without pictures, and for metadata that cannot be read. Whether a file is a picture shows when it is read.
pub fn list_pictures(paths: &[PathBuf]) -> Result<Vec<NamedPicture>> {
    let mut pictures = Vec::new();
    for path in paths {
        if path.is_dir() {
            pictures.extend(of_folder(path)?);
        } else {
            pictures.push(NamedPicture::of_file(path.clone()));
        }
    }
    Ok(pictures)
}

fn of_folder(folder: &Path) -> Result<Vec<NamedPicture>> {
    let listed = folder.join(METADATA);
    let pictures: Vec<NamedPicture> = if listed.is_file() {
        let picture = |row: metadata::Row| NamedPicture {
            path: folder.join(&row.file_name),
            prompt: row.captions().first().cloned(),
            metadata: row.other.into(),
        };
        metadata::read(&listed)?.into_iter().map(picture).collect()
    } else {
        let names = ddpo_train::fs::list_directory(folder)?;
        let names = names.into_iter().filter(|name| is_picture(name));
        names.map(|name| NamedPicture::of_file(folder.join(name))).collect()
    };
    if pictures.is_empty() {
        return Err(Error::NoPictures { path: folder.to_owned() });
    }
    Ok(pictures)
}

fn is_picture(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|found| ENDINGS.iter().any(|ending| found.eq_ignore_ascii_case(ending)))
}

/// Gives every picture its prompt from a file: by file name from a `metadata.jsonl` (or any other name that ends in `.jsonl`),
/// else a line a picture, in order.
///
/// # Errors
///
/// Fails when the file cannot be read, names no prompt for a picture, or has another number of lines than there are pictures.
pub fn assign_prompts(pictures: &mut [NamedPicture], file: &Path) -> Result<()> {
    if file.extension().is_some_and(|ending| ending == "jsonl") {
        return by_name(pictures, file);
    }
    let prompts = PromptSource::File { path: file.to_owned(), start: 0, end: None }.load()?;
    if prompts.len() != pictures.len() {
        return Err(Error::PromptCount { path: file.to_owned(), found: prompts.len(), wanted: pictures.len() });
    }
    let known = prompts.metadata.into_iter().chain(std::iter::repeat(Arc::default()));
    for ((picture, prompt), metadata) in pictures.iter_mut().zip(prompts.texts).zip(known) {
        (picture.prompt, picture.metadata) = (Some(prompt), metadata);
    }
    Ok(())
}

fn by_name(pictures: &mut [NamedPicture], file: &Path) -> Result<()> {
    let rows = metadata::read(file)?;
    for picture in pictures {
        let row = rows.iter().find(|row| picture.path.ends_with(&row.file_name));
        let found = row.and_then(|row| Some((row.captions().first()?, &row.other)));
        let missing =
            || Error::NoPrompts { reason: format!("{} has none for {}", file.display(), picture.path.display()) };
        let (prompt, metadata) = found.ok_or_else(missing)?;
        (picture.prompt, picture.metadata) = (Some(prompt.clone()), metadata.clone().into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, text)| std::fs::write(folder.path().join(name), text).unwrap());
        folder
    }

    #[track_caller]
    fn check(folder: &tempfile::TempDir, wanted: &[(&str, Option<&str>)]) {
        let found = list_pictures(&[folder.path().to_owned()]).unwrap();
        let found: Vec<_> = (found.iter())
            .map(|picture| (picture.path.file_name().unwrap().to_str().unwrap(), picture.prompt.as_deref()))
            .collect();
        assert_eq!(found, wanted);
    }

    #[test]
    fn a_folder_is_its_pictures_by_name() {
        let folder = folder(&[
            ("b.PNG", ""),
            ("a.jpeg", ""),
            ("notes.txt", ""),
            ("c.jpg", ""),
            ("d.webp", ""),
            ("e.gif", ""),
            ("f.bmp", ""),
        ]);
        std::fs::create_dir(folder.path().join("inside")).unwrap();
        let names = ["a.jpeg", "b.PNG", "c.jpg", "d.webp", "e.gif", "f.bmp"];
        check(&folder, &names.map(|name| (name, None)));
    }

    #[test]
    fn metadata_chooses_the_pictures_and_says_their_prompts() {
        let rows =
            "{\"file_name\":\"b.png\",\"text\":[\"a dog\",\"dog\"]}\n{\"file_name\":\"a.png\",\"text\":\"a cat\"}\n";
        let folder = folder(&[("a.png", ""), ("b.png", ""), ("grid.png", ""), (METADATA, rows)]);
        check(&folder, &[("b.png", Some("a dog")), ("a.png", Some("a cat"))]);
    }

    #[test]
    fn a_folder_without_pictures_is_named() {
        let error = list_pictures(&[folder(&[("a.txt", "")]).path().to_owned()]).unwrap_err().to_string();
        assert!(
            error.starts_with("no pictures: ") && error.ends_with(" has no PNG, JPEG, WebP, GIF or BMP file"),
            "{error}"
        );
    }

    #[test]
    fn prompts_are_given_by_line_or_by_name() {
        let folder = folder(&[
            ("a.png", ""),
            ("b.png", ""),
            ("two.txt", "# these\nfirst\nsecond\n"),
            ("one.txt", "first\n"),
            ("by-name.jsonl", "{\"file_name\":\"b.png\",\"text\":\"of b\",\"tag\":7}\n"),
            ("two.csv", "prompt,tag\nfirst,1\nsecond,2\n"),
        ]);
        let mut pictures = list_pictures(&[folder.path().to_owned()]).unwrap();
        assign_prompts(&mut pictures, &folder.path().join("two.txt")).unwrap();
        assert_eq!(pictures[1].prompt.as_deref(), Some("second"));
        assign_prompts(&mut pictures[1..], &folder.path().join("by-name.jsonl")).unwrap();
        assert_eq!((pictures[1].prompt.as_deref(), pictures[1].metadata["tag"].as_u64()), (Some("of b"), Some(7)));
        assign_prompts(&mut pictures, &folder.path().join("two.csv")).unwrap();
        assert_eq!(pictures[1].metadata["tag"], "2");
        let message = |pictures: &mut [NamedPicture], name: &str| {
            assign_prompts(pictures, &folder.path().join(name)).unwrap_err().to_string()
        };
        assert!(message(&mut pictures, "one.txt").ends_with("one.txt has 1 prompt, wanted 2, one for each picture"));
        assert!(message(&mut pictures, "by-name.jsonl").contains("by-name.jsonl has none for "));
    }
}
