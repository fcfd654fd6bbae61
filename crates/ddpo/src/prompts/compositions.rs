//! An animal and a thing beside it: prompts that a small model is right about in a part of its pictures.

use super::animals::{ANIMALS, article};

/// What stands beside an animal.
pub(super) const THINGS: [&str; 24] = [
    "umbrella", "balloon", "apple", "car", "tulip", "tree", "house", "book", "cake", "star", "mushroom", "cactus",
    "rocket", "guitar", "ball", "crown", "key", "hat", "boat", "banana", "pizza", "gift", "heart", "bell",
];

/// One pair in so many is kept from training, of models and of policies alike.
const HELD_OUT: u64 = 5;

/// "a cat and an umbrella", for every animal and every thing.
pub(super) fn compositions() -> Vec<String> {
    pairs().map(|(animal, thing)| prompt(animal, thing)).collect()
}

/// Those of pairs that no model and no policy was trained on.
pub(super) fn held_out() -> Vec<String> {
    let held_out = pairs().filter(|(animal, thing)| is_held_out_pair(animal, thing));
    held_out.map(|(animal, thing)| prompt(animal, thing)).collect()
}

/// Whether a pair is kept from training: one in five, by a hash of both nouns (FNV-1a, 64 bits).
pub(crate) fn is_held_out_pair(subject: &str, beside: &str) -> bool {
    let bytes = subject.bytes().chain([b' ']).chain(beside.bytes());
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (hash >> 32).is_multiple_of(HELD_OUT)
}

fn pairs() -> impl Iterator<Item = (&'static str, &'static str)> {
    ANIMALS.into_iter().flat_map(|animal| THINGS.into_iter().map(move |thing| (animal, thing)))
}

fn prompt(animal: &str, thing: &str) -> String {
    format!("{} {animal} and {} {thing}", article(animal), article(thing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn articles_go_with_the_nouns() {
        assert!(compositions().contains(&"an ant and a tulip".to_owned()));
        assert!(compositions().contains(&"a cat and an umbrella".to_owned()));
    }

    #[test]
    fn about_a_fifth_is_held_out_and_no_noun_is_whole() {
        let count = held_out().len();
        assert!((160..280).contains(&count), "{count}");
        for animal in ANIMALS {
            assert!(THINGS.iter().any(|thing| !is_held_out_pair(animal, thing)), "{animal}");
        }
    }
}
