//! What a prompt names, and whether it is there.

use ddpo_nn::RecogniserConfig;

use super::recognition::Recognition;

/// How sure the network must be of a noun that is asked for. Of the embedded model's judge, which learns from bent and recoloured
/// drawings, a half would lose one in ten of the drawings by unseen hands that it knows, and refuse no more blobs.
const SURE: f32 = 0.3;

/// The nouns of a prompt that a network knows, by their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    subjects: Vec<usize>,
    things: Vec<usize>,
    /// Where the numbers of things begin.
    first_thing: usize,
}

impl Asked {
    /// What `prompt` names, word by word, in the singular or with an s; nothing if it names nothing that is known.
    #[must_use]
    pub fn of(prompt: &str, config: &RecogniserConfig) -> Option<Self> {
        let lower = prompt.to_lowercase();
        let words: Vec<&str> = lower.split(|letter: char| !letter.is_alphanumeric()).collect();
        let is_named = |noun: &String| {
            words.iter().any(|word| *word == noun.as_str() || word.strip_suffix('s') == Some(noun.as_str()))
        };
        let named = |nouns: &[String], first: usize| -> Vec<usize> {
            (first..).zip(nouns).filter(|(_, noun)| is_named(noun)).map(|(number, _)| number).collect()
        };
        let first_thing = config.subjects.len();
        let (subjects, things) = (named(&config.subjects, 0), named(&config.things, first_thing));
        let is_empty = subjects.is_empty() && things.is_empty();
        (!is_empty).then_some(Self { subjects, things, first_thing })
    }

    /// Whether a picture shows all of it: the network is sure enough of every noun, and each is the likeliest of its kind, which is subjects or
    /// things. What the prompt does not speak of may be there or not.
    #[must_use]
    pub fn is_shown(&self, seen: &Recognition) -> bool {
        self.is_shown_from(seen, SURE)
    }

    /// The same for a network that must be `sure` of every noun, by a number from 0 to 1.
    #[must_use]
    pub fn is_shown_from(&self, seen: &Recognition, sure: f32) -> bool {
        let (subjects, things) = seen.nouns.split_at(self.first_thing.min(seen.nouns.len()));
        lead(subjects, &self.subjects, 0, sure) && lead(things, &self.things, self.first_thing, sure)
    }
}

/// Whether the values of `asked` are at least `sure`, and as large as all others'.
fn lead(values: &[f32], asked: &[usize], first: usize, sure: f32) -> bool {
    let least = asked.iter().map(|number| values[number - first]).fold(f32::INFINITY, f32::min);
    let others = (first..).zip(values).filter(|(number, _)| !asked.contains(number));
    asked.is_empty() || (least >= sure && others.into_iter().all(|(_, value)| *value <= least))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> RecogniserConfig {
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        RecogniserConfig {
            size: 16,
            channels: [8, 8, 8],
            subjects: words(&["cat", "bat"]),
            things: words(&["hat"]),
            styles: words(&["flat"]),
            grounds: words(&["white"]),
        }
    }

    fn shown(prompt: &str, nouns: [f32; 3]) -> Option<bool> {
        let seen = Recognition { nouns: nouns.to_vec(), style: 0, ground: 0 };
        Some(Asked::of(prompt, &config())?.is_shown(&seen))
    }

    #[test]
    fn words_are_whole() {
        assert_eq!(shown("a category of hats", [0.9, 0.1, 0.1]), Some(false));
        assert_eq!(shown("combat", [0.9, 0.1, 0.1]), None);
        assert_eq!(shown("Two CATS, please", [0.9, 0.1, 0.1]), Some(true));
    }

    #[test]
    fn the_subject_has_to_lead_and_what_is_not_asked_is_free() {
        assert_eq!(shown("a cat", [0.9, 0.2, 0.9]), Some(true));
        assert_eq!(shown("a cat", [0.8, 0.9, 0.0]), Some(false));
        assert_eq!(shown("a cat", [0.2, 0.1, 0.0]), Some(false));
    }

    #[test]
    fn both_of_a_pair_have_to_be_there() {
        assert_eq!(shown("a cat and a hat", [0.9, 0.2, 0.9]), Some(true));
        assert_eq!(shown("a cat and a hat", [0.9, 0.2, 0.1]), Some(false));
    }
}
