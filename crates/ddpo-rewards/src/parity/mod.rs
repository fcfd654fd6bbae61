//! Statistical parity: pictures of a prompt that are of all classes alike.

mod credit;
mod labels;
mod options;

use ddpo_core::{Assessment, Grouping, Judge, RewardBatch, SetReward};
use toml::Table;

use crate::diversity::Over;
use crate::exec::ExecFactory;
use crate::options::within;
use crate::{Error, OptionSpec, Result, RewardContext, RewardFactory, Shorthand, read_options};

use credit::Counts;
use labels::Labels;
use options::{By, Credit, KIND, ParityOptions};

/// What a line of shell words of a program begins with.
const PROGRAM: &str = "exec:";

/// Makes [`Parity`].
pub struct ParityFactory;

impl ParityFactory {
    fn read(options: &Table) -> Result<ParityOptions> {
        let options: ParityOptions = read_options(KIND, options)?;
        let refuse = |reason: &str| Err(Error::Options { kind: KIND.to_owned(), reason: reason.to_owned() });
        match (options.by, &options.program) {
            (By::Program, None) => {
                return refuse("`program` is missing, expected a program, as in parity:exec:./classes.py");
            }
            (By::Style | By::Ground, Some(_)) => {
                return refuse("`program` is given, expected none, or by = \"program\"");
            }
            _ => {}
        }
        within(KIND, "classes", options.classes.unwrap_or(2) as u64, 2..=1 << 16)?;
        Ok(options)
    }
}

impl RewardFactory for ParityFactory {
    fn kind(&self) -> &str {
        KIND
    }

    fn about(&self) -> &str {
        "images that are of all classes alike: minus the squared distance of the classes' shares from equal ones"
    }

    fn options(&self) -> &[OptionSpec] {
        ParityOptions::SPECS
    }

    fn shorthand(&self) -> Option<Shorthand> {
        Some(Shorthand { placeholder: "CLASSES", parse: table })
    }

    fn check(&self, options: &Table) -> Result<String> {
        let options = Self::read(options)?;
        Ok(match (options.by, &options.program) {
            (By::Program, Some(program)) => format!("{KIND}:{PROGRAM}{program}"),
            (By::Ground, _) => format!("{KIND}:ground"),
            _ => format!("{KIND}:style"),
        })
    }

    fn check_files(&self, options: &Table) -> Result<()> {
        match labels::program(&Self::read(options)?) {
            Some(program) => ExecFactory.check_files(&program),
            None => Ok(()),
        }
    }

    fn check_context(&self, options: &Table, context: &RewardContext) -> Result<()> {
        Labels::check(&Self::read(options)?, context)
    }

    fn open(&self, options: &Table, context: &RewardContext) -> Result<Judge> {
        let name = self.check(options)?;
        let options = Self::read(options)?;
        let labels = Labels::open(&options, context)?;
        let classes = options.classes.or(labels.classes()).unwrap_or(2);
        let over = match options.over {
            Over::Prompt => Grouping::Prompt,
            Over::Epoch => Grouping::Epoch,
        };
        Ok(Judge::Set { reward: Box::new(Parity { name, labels, classes, credit: options.credit }), over })
    }
}

/// `style`, `ground` or `exec:PROGRAM WORDS`.
fn table(text: &str) -> Result<Table> {
    let named = |by: &str| Table::from_iter([("by".to_owned(), by.into())]);
    match text.strip_prefix(PROGRAM) {
        Some(words) => {
            let parse = ExecFactory.shorthand().map(|shorthand| shorthand.parse);
            let mut options = parse.map(|parse| parse(words)).transpose()?.unwrap_or_default();
            options.extend(named("program"));
            Ok(options)
        }
        None => Ok(named(text)),
    }
}

/// Minus the squared distance of the shares of classes in a set from equal shares (Zhang et al., arXiv 2401.12244, eq. 12),
/// `−Σ_a (p̂_a − 1/k)²`; training sees what each picture adds to it, or the same. Even shares are 0; so many pictures of classes
/// drawn evenly have `−(1 − 1/k)/n` on average, which is recorded beside it.
struct Parity {
    name: String,
    labels: Labels,
    classes: usize,
    credit: Credit,
}

impl SetReward for Parity {
    fn name(&self) -> &str {
        &self.name
    }

    fn score(&self, set: &RewardBatch<'_>) -> ddpo_core::Result<Vec<f32>> {
        self.assess(set).map(|assessment| assessment.values)
    }

    fn assess(&self, set: &RewardBatch<'_>) -> ddpo_core::Result<Assessment> {
        let labels = self.labels.of(set, self.classes).map_err(|error| ddpo_core::Error::reward(&self.name, error))?;
        Ok(assess(&self.name, &labels, self.classes, self.credit))
    }
}

/// What is said of a set with these labels. The value is the set's, so that what is reported is what is wanted, whatever training
/// is told; the floor of its size is a part.
fn assess(name: &str, labels: &[usize], classes: usize, credit: Credit) -> Assessment {
    let counts = Counts::of(labels, classes);
    let of_all = |value: f64| vec![value as f32; labels.len()];
    let optimised = match credit {
        Credit::Marginal => Some(labels.iter().map(|&label| counts.marginal(label) as f32).collect()),
        Credit::Shared => None,
    };
    let parts = [(format!("{name}/even-draw"), of_all(counts.floor()))].into();
    Assessment { optimised, parts, ..Assessment::of(of_all(counts.value())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RewardRegistry;

    fn refused(text: &str, options: &str) -> String {
        RewardRegistry::default().plan(text, &options.parse().unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn what_the_classes_are_is_in_a_line_or_in_options() {
        let plan = |text: &str, options: &str| RewardRegistry::default().plan(text, &options.parse().unwrap()).unwrap();
        assert_eq!(plan("parity", "").name(), "parity:style");
        assert_eq!(plan("parity:ground", ""), plan("parity", "by = \"ground\""));
        let of_program = plan("parity:exec:./classes.py --fast", "classes = 4");
        assert_eq!(of_program.name(), "parity:exec:./classes.py");
        assert_eq!(
            of_program,
            plan("parity", "by = \"program\"\nprogram = \"./classes.py\"\nargs = [\"--fast\"]\nclasses = 4")
        );
        assert!(refused("parity", "by = \"program\"").contains("`program` is missing"));
        assert!(refused("parity:style", "program = \"./a\"").contains("expected none, or by"));
        assert!(refused("parity:style", "classes = 1").contains("`classes` is 1, expected 2 to"));
        assert!(refused("parity:shape", "").contains("shape"));
    }

    #[test]
    fn whatever_the_credit_the_value_is_that_of_the_set() {
        let told = |credit| assess("parity", &[0, 0, 0, 1], 2, credit);
        let (marginal, shared) = (told(Credit::Marginal), told(Credit::Shared));
        assert_eq!(marginal.values, [-0.125; 4]);
        assert_eq!((&marginal.values, &marginal.parts), (&shared.values, &shared.parts));
        // Without one of three: two and one; without the one: three alike.
        let [many, few] = [-0.125 + 1.0 / 18.0, -0.125 + 0.5];
        let expected = [many, many, many, few];
        assert!(marginal.optimised().iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{marginal:?}");
        assert_eq!(shared.optimised(), shared.values);
    }

    #[test]
    fn a_judge_is_needed_for_what_a_judge_sees() {
        let plan = RewardRegistry::default().plan("parity:style", &Table::new()).unwrap();
        let message = plan.open(&RewardContext::default()).err().unwrap().to_string();
        assert!(message.contains("parity"), "{message}");
    }
}
