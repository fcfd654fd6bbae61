//! What `ddpo evaluate` measures: which pictures, by which rewards.

use std::path::Path;

use anyhow::Result;
use ddpo::config::RunConfig;
use ddpo::prompts::PromptSource;
use ddpo::{MeasureRequest, RewardPlan, RunPlan, RunPrompts};

use crate::args::Evaluate;

use super::sampler::{guidance, sampler};

/// What is measured: of a run with tasks, the rewards of each on its own prompts, those that share them together; unless other
/// rewards or prompts are asked for. Such are measured as a whole.
pub(super) fn requests(args: &Evaluate, config: &RunConfig) -> Result<Vec<(Option<String>, MeasureRequest)>> {
    let plan = RunPlan::new(config.clone())?;
    let names: Vec<String> = args.rewards.iter().flat_map(|list| split_rewards(list)).collect();
    let sampler = sampler(&args.sampler, config)?;
    let request = |prompts, rewards| MeasureRequest {
        count: config.eval.count.max(1),
        sampler: sampler.clone(),
        guidance: guidance(&args.sampler, config),
        ..MeasureRequest::of(config, prompts, rewards)
    };
    if plan.tasks.is_empty() || args.prompts.is_some() || !names.is_empty() {
        let prompts = match &args.prompts {
            None => RunPrompts::load(&plan)?.all().evaluation.clone(),
            Some(name) => source(name)?.load()?,
        };
        let rewards = match names.as_slice() {
            [] => once(plan.rewards()),
            names => named_rewards("--rewards", names)?,
        };
        return Ok(vec![(None, request(prompts, rewards))]);
    }
    let prompts = RunPrompts::load(&plan)?;
    let mut requests: Vec<(String, MeasureRequest)> = Vec::new();
    for (task, split) in plan.tasks.iter().zip(prompts.tasks()) {
        let own = task.reward.iter().map(|term| &term.reward);
        match requests.iter().position(|(_, request)| request.prompts == split.evaluation) {
            Some(place) => {
                let (names, request) = &mut requests[place];
                *names += &format!(", {}", task.name);
                request.rewards = once(own.chain(&request.rewards));
            }
            None => {
                let rewards = once(own.chain(&plan.held_out));
                requests.push((task.name.clone(), request(split.evaluation.clone(), rewards)));
            }
        }
    }
    Ok(requests.into_iter().map(|(names, request)| (Some(names), request)).collect())
}

/// Each reward once, by its name.
fn once<'a>(rewards: impl Iterator<Item = &'a RewardPlan>) -> Vec<RewardPlan> {
    let mut found: Vec<RewardPlan> = Vec::new();
    for reward in rewards {
        if !found.iter().any(|other| other.name() == reward.name()) {
            found.push(reward.clone());
        }
    }
    found
}

/// The rewards that an option names, each a reward as `--reward` takes one.
///
/// Two of the same name, whatever their options, are refused: what they say could not be told apart.
pub(super) fn named_rewards(key: &'static str, names: &[String]) -> Result<Vec<RewardPlan>> {
    let mut rewards: Vec<RewardPlan> = Vec::new();
    for name in names {
        let reward = ddpo::reward::named(name)?;
        if rewards.iter().any(|other| other.name() == reward.name()) {
            let (found, expected) =
                (format!("`{}` twice", reward.name()), "a reward once, as each is a row of its own");
            return Err(ddpo::Error::InvalidOption { key, found, expected: expected.into() }.into());
        }
        rewards.push(reward);
    }
    Ok(rewards)
}

/// A kind of prompts, or else a file.
fn source(name: &str) -> Result<PromptSource> {
    match PromptSource::named(name) {
        Err(_) if Path::new(name).exists() || name.contains(['/', '.']) => {
            Ok(PromptSource::File { path: name.into(), start: 0, end: None })
        }
        other => Ok(other?),
    }
}

/// The rewards of a list. A comma inside a table belongs to it, and one behind which there is no reward to the command of a
/// program, as in `exec:./score.py --weights 0.5,0.5`.
fn split_rewards(list: &str) -> Vec<String> {
    let registry = ddpo::RewardRegistry::default();
    let is_reward = |text: &str| text.starts_with("exec:") || registry.factories().any(|kind| kind.kind() == text);
    let mut names: Vec<String> = Vec::new();
    for part in list.split(',') {
        let goes_on = |last: &String| {
            last.matches('{').count() > last.matches('}').count()
                || last.starts_with("exec:") && !is_reward(part.trim())
        };
        match names.last_mut().filter(|last| goes_on(last)) {
            Some(command) => *command += &format!(",{part}"),
            None => names.push(part.trim().to_owned()),
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_of_a_command_are_its_own() {
        for (list, wanted) in [
            ("jpeg-compressibility, diversity", vec!["jpeg-compressibility", "diversity"]),
            ("exec:./a.py --weights 0.5,0.5", vec!["exec:./a.py --weights 0.5,0.5"]),
            ("{ kind = \"a\", b = 1 },diversity", vec!["{ kind = \"a\", b = 1 }", "diversity"]),
            ("exec:./a.py 1,2,diversity,exec:./b.py", vec!["exec:./a.py 1,2", "diversity", "exec:./b.py"]),
        ] {
            assert_eq!(split_rewards(list), wanted, "{list}");
        }
    }
}
