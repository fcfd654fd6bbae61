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
        if self.settings.offline {
            return self.cached(model);
        }
        match self.download(model, on_event) {
            // What the cache has is as good as it was, whatever the hub says today.
            Err(Error::Hub { what, reason, .. }) if self.cached(model).is_ok() => {
                on_event(HubEvent::FromCache { reason: &format!("cannot get {what}: {reason}") });
                self.cached(model)
            }
            outcome => outcome,
        }
    }

    /// Brings what is missing of a model into the cache.
    fn download(&self, model: HubModel<'_>, on_event: &mut dyn FnMut(HubEvent<'_>)) -> Result<PathBuf> {
        let client = Client::new(&self.settings).map_err(|failure| refused(model, "the model", &failure))?;
        let listing = client.listing(model).map_err(|failure| refused(model, "the list of files", &failure))?;
        let cache = self.cache(model);
        let required = required(&listing.files, model)?;
        let mut get = |name: &str| -> Result<()> {
            let fetched = client.fetch(model, &listing.commit, name, &cache, &mut *on_event);
            fetched.map_err(|failure| refused(model, &format!("`{name}`"), &failure))
        };
        required.files.iter().try_for_each(|name| get(name))?;
        let snapshot = cache.snapshot(&listing.commit);
        shards(&snapshot, &required)?.iter().try_for_each(|name| get(name))?;
        cache.point(model.revision, &listing.commit)?;
        Ok(snapshot)
    }

    /// The directory in the cache which holds all files that the model's pipeline needs.
    ///
    /// # Errors
    ///
    /// Fails when it lacks one.
    pub fn cached(&self, model: HubModel<'_>) -> Result<PathBuf> {
        let cache = self.cache(model);
        let lacks = |reason: String| Error::HubCache {
            id: model.id.to_owned(),
            cache: self.settings.cache.clone(),
            reason,
            offline: self.settings.offline,
        };
        let snapshot = cache.find(model.revision).ok_or_else(|| lacks(format!("no revision `{}`", model.revision)))?;
        let required = required(&cache::list(&snapshot), model).map_err(|error| lacks(error.to_string()))?;
        match shards(&snapshot, &required)?.into_iter().find(|name| !snapshot.join(name).is_file()) {
            Some(name) => Err(lacks(format!("no file `{name}`"))),
            None => Ok(snapshot),
        }
    }

    fn cache(&self, model: HubModel<'_>) -> Cache {
        Cache::new(&self.settings.cache, model.id)
    }
}

fn required(listing: &[String], model: HubModel<'_>) -> ddpo_nn::Result<RequiredFiles> {
    if model.weights { required_files(listing, model.variant) } else { required_configuration(listing) }
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
        denied: matches!(failure, Failure::Denied(_)),
    }
}
