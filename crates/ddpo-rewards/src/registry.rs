//! The kinds of rewards there are.

use std::sync::Arc;

use toml::Table;

use crate::alignment::AlignmentFactory;
use crate::diversity::DiversityFactory;
use crate::exec::ExecFactory;
use crate::http::HttpFactory;
use crate::jpeg::{JpegCompressibilityFactory, JpegIncompressibilityFactory};
use crate::learned::{AestheticFactory, CLIP_SCORE, HPS_V2, ImageRewardFactory, PICK_SCORE};
use crate::managed::{HandlingOptions, KEYS};
use crate::parity::ParityFactory;
use crate::posterior::PosteriorFactory;
use crate::recogniser::AsAskedFactory;
use crate::{Error, Result, RewardFactory, RewardPlan, files, nearest};

/// How the kinds of this crate are written in a line.
pub const USAGES: [&str; 14] = [
    "jpeg-compressibility",
    "jpeg-incompressibility",
    "diffusion-classifier",
    "diversity",
    "parity:CLASSES",
    "as-asked",
    "aesthetic",
    "clip-score",
    "pickscore",
    "hpsv2",
    "image-reward",
    "alignment:URL",
    "exec:PROGRAM",
    "http://HOST/PATH",
];

/// What a line begins with whose reward is averaged over noised copies.
const SMOOTH: &str = "smooth:";

/// Keys that every entry of a configuration may have besides options.
const COMMON: [&str; 3] = ["weight", "clip", "normalise"];

/// The kinds of rewards that a configuration may name.
#[derive(Clone)]
pub struct RewardRegistry {
    factories: Vec<Arc<dyn RewardFactory>>,
}

impl Default for RewardRegistry {
    /// The kinds of this crate.
    fn default() -> Self {
        Self { factories: Vec::new() }
            .with(JpegCompressibilityFactory)
            .with(JpegIncompressibilityFactory)
            .with(PosteriorFactory)
            .with(DiversityFactory)
            .with(ParityFactory)
            .with(AsAskedFactory)
            .with(AestheticFactory)
            .with(CLIP_SCORE)
            .with(PICK_SCORE)
            .with(HPS_V2)
            .with(ImageRewardFactory)
            .with(AlignmentFactory)
            .with(ExecFactory)
            .with(HttpFactory)
    }
}

impl RewardRegistry {
    /// Adds a kind, in the place of the one that has its name.
    #[must_use]
    pub fn with(mut self, factory: impl RewardFactory + 'static) -> Self {
        self.factories.retain(|other| other.kind() != factory.kind());
        self.factories.push(Arc::new(factory));
        self
    }

    /// Every kind.
    pub fn factories(&self) -> impl Iterator<Item = &dyn RewardFactory> {
        self.factories.iter().map(|factory| &**factory)
    }

    /// How every kind is written in a line: `exec:PROGRAM`.
    pub fn usages(&self) -> Vec<String> {
        let usage = |factory: &dyn RewardFactory| match factory.shorthand() {
            None => factory.kind().to_owned(),
            Some(shorthand) => format!("{}:{}", factory.kind(), shorthand.placeholder),
        };
        self.factories().map(usage).collect()
    }

    /// The reward that is written as `text`, a kind or `KIND:TEXT`, with these options besides. Nothing is opened.
    ///
    /// # Errors
    /// [`Error::Unknown`] for a kind that does not exist, [`Error::UnknownOption`] and
    /// [`Error::Options`] for options which the kind does not have or cannot take.
    pub fn plan(&self, text: &str, options: &Table) -> Result<RewardPlan> {
        if let Some(inner) = text.strip_prefix(SMOOTH) {
            return self.smoothed(inner, options);
        }
        let (kind, rest) = match text.split_once(':') {
            Some(("http" | "https", rest)) if rest.starts_with("//") => (HttpFactory::KIND, Some(text)),
            Some((kind, rest)) if !rest.starts_with("//") => (kind, Some(rest)),
            _ => (text, None),
        };
        let factory = self.factories.iter().find(|factory| factory.kind() == kind).ok_or_else(|| self.missing(text))?;
        let stated = match (rest, factory.shorthand()) {
            (None, _) => Table::new(),
            (Some(rest), Some(shorthand)) => (shorthand.parse)(rest)?,
            (Some(rest), None) => {
                let reason = format!("`{rest}` after the colon, expected nothing");
                return Err(Error::Options { kind: kind.to_owned(), reason });
            }
        };
        let (handling, options): (Table, Table) =
            options.clone().into_iter().partition(|(key, _)| KEYS.contains(&key.as_str()));
        let options = joined(&**factory, stated, &options)?;
        let inner = factory.check(&options)?;
        let name = match HandlingOptions::read(factory.kind(), &factory.handling(), &handling)?.smooth {
            Some(sigma) => format!("{SMOOTH}{sigma}:{inner}"),
            None => inner,
        };
        Ok(RewardPlan { factory: factory.clone(), name, options, handling })
    }

    /// `smooth:SIGMA:REWARD`, of which `text` is what is behind the first colon.
    fn smoothed(&self, text: &str, options: &Table) -> Result<RewardPlan> {
        let invalid = |reason: String| Error::Options { kind: "smooth".to_owned(), reason };
        let usage =
            || format!("`{SMOOTH}{text}` found, expected smooth:SIGMA:REWARD, as in smooth:0.1:exec:./score.py");
        let (sigma, inner) = text.split_once(':').ok_or_else(|| invalid(usage()))?;
        let sigma: f64 = sigma.parse().map_err(|_| invalid(usage()))?;
        let mut options = options.clone();
        if inner.starts_with(SMOOTH) || options.insert("smooth".to_owned(), sigma.into()).is_some() {
            return Err(invalid("a reward is smoothed twice, expected once".to_owned()));
        }
        self.plan(inner, &options)
    }

    /// Why there is no such kind.
    fn missing(&self, text: &str) -> Error {
        let known = self.usages();
        let program = files::as_program(text).map(|program| format!("{}:{program}", ExecFactory::KIND));
        let kinds = self.factories().map(RewardFactory::kind);
        Error::Unknown {
            name: text.to_owned(),
            nearest: program.or_else(|| nearest(text, kinds).map(String::from)),
            known,
        }
    }
}

/// The options of the line and of the table, all of which the kind must have; no option may be in both.
fn joined(factory: &dyn RewardFactory, mut stated: Table, table: &Table) -> Result<Table> {
    let keys: Vec<String> = factory.options().iter().map(crate::OptionSpec::key).collect();
    for (key, value) in table {
        if !keys.contains(key) {
            return Err(Error::UnknownOption {
                kind: factory.kind().to_owned(),
                option: key.clone(),
                nearest: nearest(key, keys.iter().map(String::as_str).chain(COMMON).chain(KEYS)).map(String::from),
                known: keys,
            });
        }
        if stated.insert(key.clone(), value.clone()).is_some() {
            let reason = format!("`{key}` is given twice, after the colon and as an option");
            return Err(Error::Options { kind: factory.kind().to_owned(), reason });
        }
    }
    Ok(stated)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(text: &str, options: &str) -> Result<RewardPlan> {
        RewardRegistry::default().plan(text, &options.parse().unwrap())
    }

    #[test]
    fn usages_are_those_of_the_factories() {
        assert_eq!(RewardRegistry::default().usages(), USAGES);
    }

    #[test]
    fn rewards_are_found_under_their_own_name() {
        for name in [
            "jpeg-compressibility",
            "jpeg-incompressibility",
            "diffusion-classifier",
            "diversity",
            "aesthetic",
            "clip-score",
            "pickscore",
            "hpsv2",
            "image-reward",
            "exec:./score --fast",
            "http://localhost:8000/score",
            "https://example.org/score?model=1",
        ] {
            assert_eq!(plan(name, "").unwrap().name(), name);
        }
    }

    #[track_caller]
    fn check_error(text: &str, options: &str, expect: &str) {
        assert_eq!(plan(text, options).unwrap_err().to_string(), expect);
    }

    #[test]
    fn what_is_not_there_and_what_lacks_an_address_are_named() {
        check_error(
            "jpeg-compresibility",
            "",
            "unknown reward `jpeg-compresibility` (did you mean `jpeg-compressibility`?); known: jpeg-compressibility, \
             jpeg-incompressibility, diffusion-classifier, diversity, parity:CLASSES, as-asked, aesthetic, clip-score, pickscore, hpsv2, \
             image-reward, alignment:URL, exec:PROGRAM, http://HOST/PATH",
        );
        let message = plan("alignment", "").unwrap_err().to_string();
        assert!(message.starts_with("invalid reward `alignment`: `url` is missing"), "{message}");
        plan("alignment:http://localhost:8000/v1", "model = \"llava\"").unwrap();
        let message = plan("alignment:http://localhost:8000/v1", "reference = \"a fox\"").unwrap_err().to_string();
        assert!(message.ends_with("expected a text with {prompt} in it"), "{message}");
    }

    #[test]
    fn options_are_checked_by_kind() {
        plan("diffusion-classifier", "trials = 3").unwrap();
        check_error(
            "diffusion-classifier",
            "trails = 3",
            "the reward `diffusion-classifier` has no option `trails` (did you mean `trials`?); it has: distractors, trials, \
             first-timestep, value",
        );
        check_error(
            "jpeg-compressibility",
            "wieght = 3",
            "the reward `jpeg-compressibility` has no option `wieght` (did you mean `weight`?); it has none of its own",
        );
        check_error(
            "diffusion-classifier",
            "trials = 0",
            "invalid reward `diffusion-classifier`: `trials` is 0, expected 1 to 65536",
        );
        let message = plan("diffusion-classifier", "trials = \"many\"").unwrap_err().to_string();
        assert!(message.contains("diffusion-classifier") && message.contains("trials"), "{message}");
        check_error(
            "exec",
            "",
            "invalid reward `exec`: `program` is missing, expected a program, as in exec:./score.py",
        );
        check_error(
            "exec:a",
            "program = \"b\"",
            "invalid reward `exec`: `program` is given twice, after the colon and as an option",
        );
    }

    #[test]
    fn every_kind_has_the_options_of_asking_and_may_be_smoothed() {
        let handled = plan("exec:a", "concurrency = 3\non-failure = \"skip-sample\"").unwrap();
        assert!(handled.is_free("concurrency") && !handled.is_free("smooth") && !handled.is_free("args"));
        assert_eq!(plan("smooth:0.25:exec:./a -x", "").unwrap().name(), "smooth:0.25:exec:./a -x");
        assert_eq!(plan("exec:a", "smooth = 0.25").unwrap(), plan("smooth:0.25:exec:a", "").unwrap());
        check_error(
            "smooth:exec:a",
            "",
            "invalid reward `smooth`: `smooth:exec:a` found, expected smooth:SIGMA:REWARD, as in \
             smooth:0.1:exec:./score.py",
        );
        check_error(
            "smooth:0.1:exec:a",
            "smooth = 0.2",
            "invalid reward `smooth`: a reward is smoothed twice, expected once",
        );
        check_error("smooth:2:exec:a", "", "invalid reward `exec`: `smooth` is 2, expected 0 to 1");
        check_error(
            "exec:a",
            "concurency = 2",
            "the reward `exec` has no option `concurency` (did you mean \
             `concurrency`?); it has: program, args, timeout, metadata, directory",
        );
        let message = plan("diversity", "retries = 2").unwrap().open(&crate::RewardContext::default()).err().unwrap();
        assert!(message.to_string().ends_with("are for rewards of single images"), "{message}");
    }

    #[test]
    fn a_cache_is_anchored() {
        let anchored = plan("exec:a", "cache = \"scores\"").unwrap().anchor(std::path::Path::new("/run"));
        assert_eq!(anchored["cache"].as_str(), Some("/run/scores"));
    }

    #[test]
    fn every_option_is_explained_and_its_default_reads_back() {
        for factory in RewardRegistry::default().factories() {
            for option in factory.options() {
                assert!(!option.about.is_empty(), "{} {}", factory.kind(), option.field);
                let default = (option.default)();
                assert!(default.is_some() || option.example.is_some(), "{} {}", factory.kind(), option.field);
            }
        }
    }
}
