//! `--search` of `ddpo sample` and `ddpo evaluate`.

use anyhow::Result;
use ddpo::config::SearchKind;
use ddpo::core::search::{Lookahead, Temperature};
use ddpo::{SearchPlan, SearchRecord};

use crate::args::SearchOptions;
use crate::values::chosen;

/// What is searched for, if anything is.
pub fn search_plan(args: &SearchOptions) -> Result<Option<SearchPlan>> {
    let (Some(kind), Some(reward)) = (&args.search, &args.reward) else { return Ok(None) };
    let kind = chosen("search", kind, SearchKind::NAMES, SearchKind::from_name)?;
    check_used(args, kind)?;
    let temperature = match args.temperature.as_deref() {
        None | Some("adaptive") => Temperature::Adaptive,
        Some(number) => Temperature::Fixed(
            number.parse().map_err(|_| refuse("--temperature", number, "adaptive, or a number above 0"))?,
        ),
    };
    let lookahead = match args.lookahead.as_deref() {
        None => Lookahead::Ode(4),
        Some("one") => Lookahead::OneStep,
        Some(text) => {
            let steps = text.strip_prefix("ode:").and_then(|steps| steps.parse().ok()).filter(|steps| *steps > 0);
            Lookahead::Ode(steps.ok_or_else(|| refuse("--lookahead", text, "one, or ode:N with N of at least 1"))?)
        }
    };
    Ok(Some(SearchPlan {
        kind,
        reward: ddpo::reward::named(reward)?,
        candidates: args.candidates,
        temperature,
        lookahead,
        starts: args.starts.unwrap_or(1),
        last_timestep: args.search_until.unwrap_or(0.0),
    }))
}

/// Refuses an option that this kind of search has no use for.
fn check_used(args: &SearchOptions, kind: SearchKind) -> Result<()> {
    let (steps, weights) = (kind != SearchKind::BestOf, matches!(kind, SearchKind::Demon | SearchKind::DemonBoltzmann));
    let options = [
        ("--temperature", args.temperature.clone(), weights),
        ("--lookahead", args.lookahead.clone(), steps),
        ("--starts", args.starts.map(|starts| starts.to_string()), steps),
        ("--search-until", args.search_until.map(|timestep| timestep.to_string()), steps),
    ];
    match options.into_iter().find_map(|(key, found, used)| Some((key, found.filter(|_| !used)?))) {
        Some((key, found)) => {
            Err(refuse(key, &found, &format!("no {key} with --search {kind}, which has no use for it")).into())
        }
        None => Ok(()),
    }
}

fn refuse(key: &'static str, found: &str, expected: &str) -> ddpo::Error {
    ddpo::Error::InvalidOption { key, found: found.to_owned(), expected: expected.to_owned() }
}

/// The rewards that a search asked for.
pub fn queries(seen: &[SearchRecord]) -> usize {
    seen.iter().map(|seen| seen.queries).sum()
}
