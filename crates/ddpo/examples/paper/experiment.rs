//! What an experiment is: tasks times variants times seeds over a base configuration.

use ddpo::config::Layers;
use ddpo::{RunConfig, RunPlan};
use serde::Deserialize;
use toml::Table;

/// An experiment as its configuration states it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Experiment {
    /// What it shows.
    pub title: String,
    /// One run of each task and variant for each of these.
    pub seeds: Vec<u64>,
    /// What is drawn over reward queries, a figure each: `reward`, `kl`, `diversity`, `improved`, `training-reward`, or
    /// `held-out` (the first reward that is not optimised).
    pub figures: Vec<String>,
    /// The search for learning rates; without it the variants' own are used.
    #[serde(default)]
    pub search: Option<Search>,
    /// How much of the reward is had while pictures stay what was asked for; without it that is not measured.
    #[serde(default)]
    pub frontier: Option<Frontier>,
    /// What all runs share.
    pub base: Table,
    /// What is optimised or measured; a figure each.
    #[serde(rename = "task")]
    pub tasks: Vec<Part>,
    /// What is compared; a line each.
    #[serde(rename = "variant")]
    pub variants: Vec<Part>,
}

/// The same small search for every variant of every task.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Search {
    /// The learning rates.
    pub rates: Vec<f64>,
    /// The seed, which no run that counts has.
    pub seed: u64,
    /// Epochs of each run of the search.
    pub epochs: u64,
    /// The divergence from the base model, in nats, above which a run of the search makes its rate no candidate. A reward
    /// alone prefers rates at which the pictures are lost.
    #[serde(default)]
    pub most_nats: Option<f64>,
    /// The share of the base model's pictures as asked for below which a rate is no candidate.
    #[serde(default)]
    pub least_as_asked: Option<f64>,
}

/// What of a frontier is measured.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Frontier {
    /// The strengths of each run's product; 1 is its last evaluation.
    pub scales: Vec<f64>,
    /// The numbers of pictures of the base model of which the best is taken.
    #[serde(default)]
    pub best_of: Vec<usize>,
    /// The shares of the base model's pictures as asked for that must stay.
    pub shares: Vec<f64>,
}

/// A named layer of options.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Part {
    /// What figures and tables call it.
    pub name: String,
    /// Its options over the base.
    #[serde(default)]
    pub set: Table,
}

/// Small enough for seconds, large enough for every part to be used.
const SMOKE: &str = "
run.epochs = 2
sample = { steps = 5, batch-size = 8, batches-per-epoch = 1 }
train.batch-size = 8
rwr = { batch-size = 8, updates-per-round = 2 }
eval = { every = 1, count = 4 }
";

impl Experiment {
    /// Reads a configuration and checks that every run of it is possible.
    pub fn parse(text: &str, smoke: bool) -> Result<Self, Box<dyn std::error::Error>> {
        let mut experiment: Self = toml::from_str(text)?;
        if smoke {
            experiment.seeds.truncate(2);
            experiment.search.iter_mut().for_each(|search| {
                search.rates.truncate(2);
                search.epochs = 1;
            });
            let smoke: Table = SMOKE.parse()?;
            // Later layers win, so that no variant undoes the smallness.
            experiment.variants.iter_mut().for_each(|variant| merge(&mut variant.set, &smoke));
        }
        for (task, variant) in experiment.pairs() {
            RunPlan::new(experiment.config(task, variant, Table::new())?)
                .map_err(|error| format!("{} / {}: {error}", task.name, variant.name))?;
        }
        experiment.check()?;
        Ok(experiment)
    }

    /// Checks the numbers that no run's plan has.
    fn check(&self) -> Result<(), String> {
        let share = |value: f64| value > 0.0 && value <= 1.0;
        if let Some(search) = &self.search {
            if let Some(most) = search.most_nats.filter(|most| most.is_nan() || *most <= 0.0) {
                return Err(format!("`search.most-nats` is {most}, wanted a number above 0"));
            }
            if let Some(least) = search.least_as_asked.filter(|least| !share(*least)) {
                return Err(format!("`search.least-as-asked` is {least}, wanted a share above 0, at most 1"));
            }
        }
        let Some(frontier) = &self.frontier else { return Ok(()) };
        if let Some(wrong) = frontier.shares.iter().find(|value| !share(**value)) {
            return Err(format!("`frontier.shares` has {wrong}, wanted shares above 0, at most 1"));
        }
        if frontier.scales.iter().any(|scale| !scale.is_finite()) || frontier.best_of.contains(&0) {
            return Err("`frontier.scales` and `frontier.best-of` want finite numbers and counts above 0".to_owned());
        }
        Ok(())
    }

    /// Every line: each variant of each task.
    pub fn pairs(&self) -> impl Iterator<Item = (&Part, &Part)> {
        self.tasks.iter().flat_map(|task| self.variants.iter().map(move |variant| (task, variant)))
    }

    /// The configuration of a run: base, task, variant and then `last`.
    pub fn config(&self, task: &Part, variant: &Part, last: Table) -> Result<RunConfig, Box<dyn std::error::Error>> {
        let mut layers = Layers::default();
        for (origin, table) in [("base", &self.base), ("task", &task.set), ("variant", &variant.set), ("run", &last)] {
            layers.push_toml(origin, &toml::to_string(table)?)?;
        }
        Ok(layers.resolve()?)
    }
}

/// Tables merge key by key; anything else is replaced.
fn merge(base: &mut Table, over: &Table) {
    for (key, value) in over {
        match (base.get_mut(key), value) {
            (Some(toml::Value::Table(base)), toml::Value::Table(over)) => merge(base, over),
            _ => drop(base.insert(key.clone(), value.clone())),
        }
    }
}
