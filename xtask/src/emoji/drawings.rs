//! Which drawings show which thing, and which icon sets they are taken from.

/// A set of icons, drawn by one hand.
pub struct IconSet {
    /// The npm package is `@iconify-json/` and this.
    pub package: &'static str,
    /// The word for it in captions.
    pub style: &'static str,
    /// Whether training may see it.
    pub trained: bool,
}

/// The six sets of training, and two that no training sees: unseen hands, for measurements.
pub const SETS: [IconSet; 8] = [
    IconSet { package: "twemoji", style: "twemoji", trained: true },
    IconSet { package: "noto", style: "noto", trained: true },
    IconSet { package: "fluent-emoji", style: "fluent", trained: true },
    IconSet { package: "fluent-emoji-flat", style: "flat", trained: true },
    IconSet { package: "emojione", style: "emojione", trained: true },
    IconSet { package: "fxemoji", style: "firefox", trained: true },
    IconSet { package: "openmoji", style: "openmoji", trained: false },
    IconSet { package: "noto-v1", style: "blob", trained: false },
];

/// What pictures show: the noun of captions, and the names of its drawings in the sets. A name that a set lacks is passed over.
///
/// Only kinds are widened, never resemblance: a rooster is a chicken and an ox is a cow, but a water buffalo is not a cow and a
/// unicorn is no horse. The one deliberate approximation is `chipmunk` (a ground squirrel) for `squirrel`, since Unicode has no
/// other squirrel and the chipmunk emoji is used for both.
pub type Thing = (&'static str, &'static [&'static str]);

/// The 45 animals of DDPO's aesthetic experiment, as `simple_animals.txt` of ddpo-pytorch lists them.
pub const ANIMALS: [Thing; 45] = [
    ("cat", &["cat", "cat-face", "catside"]),
    ("dog", &["dog", "dog-face", "dogside", "poodle", "guide-dog"]),
    ("horse", &["horse", "horse-face", "horseface"]),
    ("monkey", &["monkey", "monkey-face", "monkeyface"]),
    ("rabbit", &["rabbit", "rabbit-face", "bunny"]),
    ("zebra", &["zebra"]),
    ("spider", &["spider"]),
    ("bird", &["bird", "dove", "doveofpeace", "eagle", "parrot"]),
    ("sheep", &["sheep", "ewe", "ram"]),
    ("deer", &["deer"]),
    ("cow", &["cow", "cow-face", "cowface", "ox"]),
    ("goat", &["goat"]),
    ("lion", &["lion", "lion-face"]),
    ("tiger", &["tiger", "tiger-face", "tigerside"]),
    ("bear", &["bear", "bear-face"]),
    ("raccoon", &["raccoon"]),
    ("fox", &["fox", "fox-face", "foxgrin", "foxsmiling"]),
    ("wolf", &["wolf", "wolf-face", "wolfface"]),
    ("lizard", &["lizard"]),
    ("beetle", &["beetle", "lady-beetle", "ladybeetle"]),
    ("ant", &["ant"]),
    ("butterfly", &["butterfly"]),
    ("fish", &["fish", "tropical-fish", "tropicalfish", "blowfish"]),
    ("shark", &["shark"]),
    ("whale", &["whale", "spouting-whale", "spurtingwhale"]),
    ("dolphin", &["dolphin"]),
    ("squirrel", &["chipmunk"]),
    ("mouse", &["mouse", "mouse-face", "mouseside"]),
    ("rat", &["rat"]),
    ("snake", &["snake"]),
    ("turtle", &["turtle"]),
    ("frog", &["frog", "frog-face"]),
    (
        "chicken",
        &[
            "chicken",
            "rooster",
            "hatching-chick",
            "hatchingchick",
            "baby-chick",
            "babychick",
            "front-facing-baby-chick",
            "frontfacingchick",
        ],
    ),
    ("duck", &["duck"]),
    ("goose", &["goose"]),
    ("bee", &["honeybee"]),
    ("pig", &["pig", "pig-face", "pigside", "boar"]),
    ("turkey", &["turkey"]),
    ("fly", &["fly"]),
    ("llama", &["llama"]),
    ("camel", &["camel", "two-hump-camel", "dromedarycamel", "bactriancamel"]),
    ("bat", &["bat"]),
    ("gorilla", &["gorilla"]),
    ("hedgehog", &["hedgehog"]),
    ("kangaroo", &["kangaroo"]),
];

/// What stands beside an animal, and sometimes alone.
pub const THINGS: [Thing; 24] = [
    ("umbrella", &["umbrella"]),
    ("balloon", &["balloon"]),
    ("apple", &["red-apple", "redapple"]),
    ("car", &["automobile"]),
    ("tulip", &["tulip"]),
    ("tree", &["deciduous-tree", "deciduoustree"]),
    ("house", &["house", "house-building", "housebuilding"]),
    ("book", &["closed-book", "closedbook", "blue-book", "bluebook"]),
    ("cake", &["birthday-cake", "birthdaycake"]),
    ("star", &["star"]),
    ("mushroom", &["mushroom"]),
    ("cactus", &["cactus"]),
    ("rocket", &["rocket"]),
    ("guitar", &["guitar"]),
    ("ball", &["soccer-ball", "soccerball"]),
    ("crown", &["crown"]),
    ("key", &["key", "old-key", "oldkey"]),
    ("hat", &["top-hat", "tophat"]),
    ("boat", &["sailboat"]),
    ("banana", &["banana"]),
    ("pizza", &["pizza", "slice-of-pizza", "sliceofpizza"]),
    ("gift", &["wrapped-gift", "present"]),
    ("heart", &["red-heart", "redheart"]),
    ("bell", &["bell", "ringingbell"]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_drawing_shows_two_things() {
        let names = ANIMALS.iter().chain(&THINGS).flat_map(|(_, names)| names.iter());
        let mut seen = HashSet::new();
        assert!(names.into_iter().all(|name| seen.insert(name)));
    }
}
