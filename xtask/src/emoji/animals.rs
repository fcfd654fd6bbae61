//! Which glyphs show which of the 45 `simple-animals`, and under which short nouns.

/// The prompt set of DDPO's aesthetic experiment, as `simple_animals.txt` of ddpo-pytorch lists it.
pub const SIMPLE_ANIMALS: [&str; 45] = [
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

/// Short nouns for glyphs whose CLDR name is longer or more special than what people type.
///
/// Only kinds are widened, never resemblance: a rooster is a chicken and an ox is a cow, but a
/// water buffalo is not a cow, a moose is not listed as a deer, and a unicorn is no horse. The one
/// deliberate approximation is `chipmunk` (a ground squirrel) for `squirrel`, since Unicode has no
/// other squirrel and the chipmunk emoji is used for both.
const SHORT_NOUNS: &[(&str, &[&str])] = &[
    ("monkey face", &["monkey"]),
    ("dog face", &["dog"]),
    ("guide dog", &["dog"]),
    ("poodle", &["dog"]),
    ("cat face", &["cat"]),
    ("tiger face", &["tiger"]),
    ("horse face", &["horse"]),
    ("cow face", &["cow"]),
    ("ox", &["cow"]),
    ("pig face", &["pig"]),
    ("boar", &["pig"]),
    ("ram", &["sheep"]),
    ("ewe", &["sheep"]),
    ("two-hump camel", &["camel"]),
    ("mouse face", &["mouse"]),
    ("rabbit face", &["rabbit"]),
    ("chipmunk", &["squirrel"]),
    ("rooster", &["chicken"]),
    ("hatching chick", &["chick", "chicken"]),
    ("baby chick", &["chick", "chicken"]),
    ("front-facing baby chick", &["chick", "chicken"]),
    ("dove", &["bird"]),
    ("eagle", &["bird"]),
    ("parrot", &["bird"]),
    ("spouting whale", &["whale"]),
    ("tropical fish", &["fish"]),
    ("blowfish", &["fish"]),
    ("honeybee", &["bee"]),
    ("lady beetle", &["ladybug", "beetle"]),
    ("orca", &["killer whale"]),
    ("dragon face", &["dragon"]),
];

/// Glyphs that show an animal in a pose, whose short noun alone would be a poor caption.
///
/// They count as that animal when a generated picture is compared with the data, yet a bare "cat"
/// never names them, so that the prompt keeps meaning the plain animal.
const POSES: &[(&str, &str)] = &[
    ("grinning cat", "cat"),
    ("grinning cat with smiling eyes", "cat"),
    ("cat with tears of joy", "cat"),
    ("smiling cat with heart-eyes", "cat"),
    ("cat with wry smile", "cat"),
    ("kissing cat", "cat"),
    ("weary cat", "cat"),
    ("crying cat", "cat"),
    ("pouting cat", "cat"),
    ("see-no-evil monkey", "monkey"),
    ("hear-no-evil monkey", "monkey"),
    ("speak-no-evil monkey", "monkey"),
];

/// The short nouns of a glyph, most general use first; empty when its CLDR name serves.
pub fn short_nouns(name: &str) -> &'static [&'static str] {
    SHORT_NOUNS.iter().find(|(glyph, _)| *glyph == name).map_or(&[], |(_, nouns)| nouns)
}

/// The `simple-animals` that a glyph shows, in the order of [`SIMPLE_ANIMALS`].
pub fn shown(name: &str) -> Vec<&'static str> {
    let posed = POSES.iter().find(|(glyph, _)| *glyph == name).map(|(_, animal)| *animal);
    SIMPLE_ANIMALS
        .into_iter()
        .filter(|animal| *animal == name || short_nouns(name).contains(animal) || posed == Some(*animal))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_widened_and_resemblance_is_not() {
        assert_eq!(shown("rooster"), ["chicken"]);
        assert_eq!(shown("cat face"), ["cat"]);
        assert_eq!(shown("crying cat"), ["cat"]);
        assert!(shown("unicorn").is_empty());
        assert!(shown("computer mouse").is_empty());
    }

    #[test]
    fn every_table_entry_names_a_unicode_glyph() {
        let names: Vec<&str> = emojis::iter().map(emojis::Emoji::name).collect();
        for glyph in SHORT_NOUNS.iter().map(|e| e.0).chain(POSES.iter().map(|e| e.0)) {
            assert!(names.contains(&glyph), "no emoji is named {glyph}");
        }
    }
}
