//! Adapters as the commands take them.

use anyhow::Result;
use ddpo::LoadedModel;
use ddpo::adapter::AdapterSource;
use ddpo::config::RunConfig;

use crate::args::Evaluate;

/// What `--lora` names, the lowest first.
pub fn parse(texts: &[String]) -> Result<Vec<AdapterSource>> {
    Ok(texts.iter().map(|text| AdapterSource::parse("--lora", text)).collect::<ddpo::Result<_>>()?)
}

/// The adapters of the two models that are compared.
pub struct Stacks {
    /// Of the base: the frozen ones that a run was trained over.
    base: Vec<AdapterSource>,
    /// Of what became of it, if that is asked for.
    tuned: Option<Vec<AdapterSource>>,
}

impl Stacks {
    /// A run is compared with what it started from, adapters with the model alone.
    pub fn new(args: &Evaluate, config: &RunConfig) -> Result<Self> {
        let run = args.run.as_ref().map(|run| vec![AdapterSource { path: run.clone(), strength: 1.0 }]);
        let base = if run.is_some() { config.lora.frozen_adapters()? } else { Vec::new() };
        let named = parse(&args.lora)?;
        Ok(Self { base, tuned: run.or((!named.is_empty()).then_some(named)) })
    }

    /// Whether there are two models.
    pub fn is_pair(&self) -> bool {
        self.tuned.is_some()
    }

    /// The base, or what became of it.
    pub fn model(&self, loaded: &LoadedModel, is_tuned: bool) -> Result<LoadedModel> {
        let adapters = self.tuned.as_ref().filter(|_| is_tuned).unwrap_or(&self.base);
        Ok(loaded.adapted(adapters)?)
    }
}
