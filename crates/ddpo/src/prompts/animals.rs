//! The 45 animals of the paper, and the prompts made of them.

/// The animals of the paper's aesthetic experiment (arXiv 2305.13301, appendix).
pub(super) const ANIMALS: [&str; 45] = [
    "cat",
    "dog",
    "horse",
    "monkey",
    "rabbit",
    "zebra",
    "spider",
    "bird",
    "sheep",
    "deer",
    "cow",
    "goat",
    "lion",
    "tiger",
    "bear",
    "raccoon",
    "fox",
    "wolf",
    "lizard",
    "beetle",
    "ant",
    "butterfly",
    "fish",
    "shark",
    "whale",
    "dolphin",
    "squirrel",
    "mouse",
    "rat",
    "snake",
    "turtle",
    "frog",
    "chicken",
    "duck",
    "goose",
    "bee",
    "pig",
    "turkey",
    "fly",
    "llama",
    "camel",
    "bat",
    "gorilla",
    "hedgehog",
    "kangaroo",
];

/// The animals that training never sees when evaluation prompts are held out: one in about six, of every kind
/// (mammals of the farm, the wild and the sea, a bird, a reptile, an insect).
pub(super) const HELD_OUT: [&str; 8] = ["horse", "tiger", "fox", "butterfly", "whale", "turtle", "duck", "llama"];

const ACTIVITIES: [&str; 3] = ["washing the dishes", "riding a bike", "playing chess"];

const NUMBERS: [&str; 8] = ["two", "three", "four", "five", "six", "seven", "eight", "nine"];

/// `a cat riding a bike`, for every animal and activity.
pub(super) fn nouns_activities(animals: &[&str]) -> Vec<String> {
    let phrase = |animal: &&str| ACTIVITIES.map(|activity| format!("{} {animal} {activity}", article(animal)));
    animals.iter().flat_map(phrase).collect()
}

/// `three cats`, for every animal and number from two to `max_count`.
pub(super) fn counting(animals: &[&str], max_count: usize) -> Vec<String> {
    let numbers = NUMBERS.get(..max_count.saturating_sub(1)).unwrap_or(&NUMBERS);
    let phrase = |animal: &&str| {
        let plural = plural(animal);
        numbers.iter().map(move |number| format!("{number} {plural}")).collect::<Vec<_>>()
    };
    animals.iter().flat_map(phrase).collect()
}

/// "a" or "an", by the first letter.
pub(crate) fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

fn plural(noun: &str) -> String {
    match noun {
        "sheep" | "deer" | "fish" => noun.to_owned(),
        "mouse" => "mice".into(),
        "goose" => "geese".into(),
        "wolf" => "wolves".into(),
        "fox" => "foxes".into(),
        "fly" => "flies".into(),
        "butterfly" => "butterflies".into(),
        _ => format!("{noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_whole_and_has_the_held_out_part() {
        let unique: std::collections::BTreeSet<_> = ANIMALS.iter().collect();
        assert_eq!(unique.len(), 45);
        assert!(HELD_OUT.iter().all(|animal| ANIMALS.contains(animal)));
    }

    #[test]
    fn phrases_are_grammatical() {
        assert_eq!(nouns_activities(&["ant"])[1], "an ant riding a bike");
        assert_eq!(nouns_activities(&ANIMALS).len(), 135);
        assert_eq!(counting(&["wolf"], 3), ["two wolves", "three wolves"]);
        assert_eq!(counting(&ANIMALS, 9).len(), 45 * 8);
        let plurals: Vec<_> = ["sheep", "mouse", "monkey", "butterfly", "bear"].map(plural).into();
        assert_eq!(plurals, ["sheep", "mice", "monkeys", "butterflies", "bears"]);
    }
}
