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
    let refuse = |key, found: &str, expected: &str| ddpo::Error::InvalidOption {
        key,
        found: found.to_owned(),
        expected: expected.to_owned(),
    };
    let temperature = match args.temperature.as_str() {
        "adaptive" => Temperature::Adaptive,
        number => Temperature::Fixed(
            number.parse().map_err(|_| refuse("--temperature", number, "adaptive, or a number above 0"))?,
        ),
    };
    let wrong = || refuse("--lookahead", &args.lookahead, "one, or ode:N with N of at least 1");
    let lookahead = match args.lookahead.split_once(':') {
        None if args.lookahead == "one" => Lookahead::OneStep,
        Some(("ode", steps)) => Lookahead::Ode(steps.parse().ok().filter(|steps| *steps > 0).ok_or_else(wrong)?),
        _ => return Err(wrong().into()),
    };
    Ok(Some(SearchPlan {
        kind: chosen("search", kind, SearchKind::NAMES, SearchKind::from_name)?,
        reward: ddpo::reward::named(reward)?,
        candidates: args.candidates,
        temperature,
        lookahead,
        starts: args.starts,
        last_timestep: args.search_until,
    }))
}

/// The rewards that a search asked for.
pub fn queries(seen: &[SearchRecord]) -> usize {
    seen.iter().map(|seen| seen.queries).sum()
}
