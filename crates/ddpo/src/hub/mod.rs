//! Models from the hub: the files a pipeline needs, once, into the cache that Python's `huggingface_hub` uses too.

mod cache;
mod client;
mod model;
mod settings;

use std::path::{Path, PathBuf};

use ddpo_models::{RequiredFiles, required_configuration, required_files};
use ddpo_nn::shards_of;

use crate::error::{Error, Result};

use cache::Cache;
use client::{Client, Failure};
pub use model::{HubEvent, HubModel};
pub use settings::HubSettings;

/// The repositories of a hub, as these settings reach them.
#[derive(Clone, Debug)]
pub struct Hub {
    settings: HubSettings,
}

/// Picks the files that are needed out of a listing.
type Choice<'a> = &'a dyn Fn(&[String]) -> Result<RequiredFiles>;

/// A snapshot in the cache, and the files that were chosen of it.
type Got = (PathBuf, Vec<String>);

impl Hub {
    /// The branch that is taken where none is named.
    pub const MAIN: &'static str = "main";

    /// A hub with these settings.
    pub fn new(settings: HubSettings) -> Self {
        Self { settings }
    }

    /// The hub of the environment, see [`HubSettings::from_env`].
    pub fn from_env() -> Self {
        Self::new(HubSettings::from_env())
    }

    /// The directory in the cache which holds all files that the model's pipeline needs, fetched where they are missing.
    ///
    /// # Errors
    ///
    /// Fails when the hub refuses, when it is offline and the cache lacks a file, and when a file cannot be written.
    pub fn fetch(&self, model: HubModel<'_>, on_event: &mut dyn FnMut(HubEvent<'_>)) -> Result<PathBuf> {
        // A commit never changes, so that nobody needs to be asked about one that is here.
        if is_commit(model.revision)
            && let Ok(directory) = self.cached(model)
        {
            return Ok(directory);
        }
        Ok(self.get(model, &|listing| Ok(required(listing, model)?), on_event)?.0)
    }

    /// The directory in the cache which holds the files that `choose` picks out of the listing, and these files, fetched where they
    /// are missing.
    ///
    /// # Errors
    ///
    /// Those of [`Hub::fetch`] and of `choose`.
    pub(crate) fn fetch_files(
        &self,
        model: HubModel<'_>,
        choose: &dyn Fn(&[String]) -> Result<Vec<String>>,
        on_event: &mut dyn FnMut(HubEvent<'_>),
    ) -> Result<(PathBuf, Vec<String>)> {
        let choose = |listing: &[String]| Ok(RequiredFiles { files: choose(listing)?, ..RequiredFiles::default() });
        self.get(model, &choose, on_event)
    }

    /// The directory in the cache which holds the files that `choose` picks out of a repository's, fetched where they are missing.
    /// What is in the cache is not asked for again: a network that judges has to stay what it is.
    ///
    /// # Errors
    ///
    /// Those of [`Hub::fetch`] and of `choose`.
    pub fn fetch_chosen(
        &self,
        model: HubModel<'_>,
        choose: &dyn Fn(&[String]) -> ddpo_nn::Result<Vec<String>>,
        on_event: &mut dyn FnMut(HubEvent<'_>),
    ) -> Result<PathBuf> {
        if let Some(directory) = self.cached_chosen(model, choose) {
            return Ok(directory);
        }
        Ok(self.get(model, &|listing| chosen(listing, choose), on_event)?.0)
    }

    /// What [`Hub::fetch_chosen`] would give, if nothing has to be fetched for it.
    pub fn cached_chosen(
        &self,
        model: HubModel<'_>,
        choose: &dyn Fn(&[String]) -> ddpo_nn::Result<Vec<String>>,
    ) -> Option<PathBuf> {
        Some(self.in_cache(model, &|listing| chosen(listing, choose)).ok()?.0)
    }

    /// From the hub, or else from the cache.
    fn get(&self, model: HubModel<'_>, choose: Choice<'_>, on_event: &mut dyn FnMut(HubEvent<'_>)) -> Result<Got> {
        if self.settings.offline {
            return self.in_cache(model, choose);
        }
        match self.download(model, choose, on_event) {
            // What the cache has is as good as it was, whatever the hub says today.
            Err(Error::Hub { what, reason, id, denied }) => match self.in_cache(model, choose) {
                Ok(found) => {
                    on_event(HubEvent::FromCache { reason: &format!("cannot get {what}: {reason}") });
                    Ok(found)
                }
                Err(_) => Err(Error::Hub { what, reason, id, denied }),
            },
            outcome => outcome,
        }
    }

    /// Brings what is missing of a model into the cache.
    fn download(&self, model: HubModel<'_>, choose: Choice<'_>, on_event: &mut dyn FnMut(HubEvent<'_>)) -> Result<Got> {
        let client = Client::new(&self.settings).map_err(|failure| refused(model, "the model", &failure))?;
        let listing = client.listing(model).map_err(|failure| refused(model, "the list of files", &failure))?;
        let cache = self.cache(model);
        let required = choose(&listing.files)?;
        let mut get = |name: &str| -> Result<()> {
            let fetched = client.fetch(model, &listing.commit, name, &cache, &mut *on_event);
            fetched.map_err(|failure| refused(model, &format!("`{name}`"), &failure))
        };
        required.files.iter().try_for_each(|name| get(name))?;
        let snapshot = cache.snapshot(&listing.commit);
        shards(&snapshot, &required)?.iter().try_for_each(|name| get(name))?;
        cache.point(model.revision, &listing.commit)?;
        Ok((snapshot, required.files))
    }

    /// The directory in the cache which holds all files that the model's pipeline needs.
    ///
    /// # Errors
    ///
    /// Fails when it lacks one.
    pub fn cached(&self, model: HubModel<'_>) -> Result<PathBuf> {
        Ok(self.in_cache(model, &|listing| Ok(required(listing, model)?))?.0)
    }

    fn in_cache(&self, model: HubModel<'_>, choose: Choice<'_>) -> Result<Got> {
        let cache = self.cache(model);
        let lacks = |reason: String| Error::HubCache {
            id: model.id.to_owned(),
            cache: self.settings.cache.clone(),
            reason,
            offline: self.settings.offline,
        };
        let snapshot = cache.find(model.revision).ok_or_else(|| lacks(format!("no revision `{}`", model.revision)))?;
        let required = choose(&cache::list(&snapshot)).map_err(|error| lacks(error.to_string()))?;
        match shards(&snapshot, &required)?.into_iter().find(|name| !snapshot.join(name).is_file()) {
            Some(name) => Err(lacks(format!("no file `{name}`"))),
            None => Ok((snapshot, required.files)),
        }
    }

    fn cache(&self, model: HubModel<'_>) -> Cache {
        Cache::new(&self.settings.cache, model.id)
    }
}

fn required(listing: &[String], model: HubModel<'_>) -> ddpo_nn::Result<RequiredFiles> {
    if model.weights { required_files(listing, model.variant) } else { required_configuration(listing) }
}

/// What is picked out of a listing, with the indices among it.
fn chosen(listing: &[String], choose: &dyn Fn(&[String]) -> ddpo_nn::Result<Vec<String>>) -> Result<RequiredFiles> {
    let files = choose(listing)?;
    let indices = files.iter().filter(|name| name.ends_with(".index.json")).cloned().collect();
    Ok(RequiredFiles { files, indices })
}

/// Whether a revision is no branch and no tag but the checksum of a commit.
fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.chars().all(|c| c.is_ascii_hexdigit())
}

/// The files that the indices among `required` list.
fn shards(snapshot: &Path, required: &RequiredFiles) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for index in &required.indices {
        let content = crate::images::read_text(&snapshot.join(index))?;
        names.extend(shards_of(index, content.as_bytes())?);
    }
    Ok(names)
}

fn refused(model: HubModel<'_>, what: &str, failure: &Failure) -> Error {
    Error::Hub {
        id: model.id.to_owned(),
        what: what.to_owned(),
        reason: failure.to_string(),
        denied: matches!(failure, Failure::Denied { .. }),
    }
}
