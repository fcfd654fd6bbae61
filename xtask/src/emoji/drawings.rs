//! Which drawings show which thing, and which icon sets they are taken from.

/// A set of icons, drawn by one hand.
pub struct IconSet {
    /// The npm package is `@iconify-json/` and this.
    pub package: &'static str,
    /// The word for it in captions.
    pub style: &'static str,
    /// Who may see it.
    pub seen_by: SeenBy,
    /// Names that mean something else in this set, such as a roast turkey or a computer's mouse.
    pub without: &'static [&'static str],
}

impl IconSet {
    const fn new(package: &'static str, style: &'static str, seen_by: SeenBy) -> Self {
        Self { package, style, seen_by, without: &[] }
    }

    const fn without(self, without: &'static [&'static str]) -> Self {
        Self { without, ..self }
    }
}

/// Who may learn from a set.
#[derive(Clone, Copy)]
pub enum SeenBy {
    /// The model, and the judge.
    Model,
    /// The judge alone: more hands, some without colours, from which it learns shapes.
    Judge,
    /// No training.
    Nobody,
}

/// The six sets of training, nine that the judge learns from besides, and two that no training sees: unseen hands, for measurements.
pub const SETS: [IconSet; 17] = [
    IconSet::new("twemoji", "twemoji", SeenBy::Model),
    IconSet::new("noto", "noto", SeenBy::Model),
    IconSet::new("fluent-emoji", "fluent", SeenBy::Model),
    IconSet::new("fluent-emoji-flat", "flat", SeenBy::Model),
    IconSet::new("emojione", "emojione", SeenBy::Model),
    IconSet::new("fxemoji", "firefox", SeenBy::Model),
    IconSet::new("emojione-monotone", "monotone", SeenBy::Judge),
    IconSet::new("fluent-emoji-high-contrast", "contrast", SeenBy::Judge),
    IconSet::new("emojione-v1", "former", SeenBy::Judge),
    IconSet::new("streamline-emojis", "streamline", SeenBy::Judge),
    IconSet::new("game-icons", "silhouette", SeenBy::Judge),
    IconSet::new("openmoji", "openmoji", SeenBy::Nobody),
    IconSet::new("noto-v1", "blob", SeenBy::Nobody),
    IconSet::new("icon-park", "park", SeenBy::Judge).without(&["mouse", "turkey"]),
    IconSet::new("mdi", "material", SeenBy::Judge).without(&["mouse", "fly"]),
    IconSet::new("lucide-lab", "lucide", SeenBy::Judge),
    IconSet::new("pinhead", "pinhead", SeenBy::Judge),
];

/// What pictures show: the noun of captions, and the names of its drawings in the sets. A name that a set lacks is passed over.
///
/// Only kinds are widened, never resemblance: a rooster is a chicken and an ox is a cow, but a water buffalo is not a cow and a
/// unicorn is no horse. The one deliberate approximation is `chipmunk` (a ground squirrel) for `squirrel`, since Unicode has no
/// other squirrel and the chipmunk emoji is used for both.
pub type Thing = (&'static str, &'static [&'static str]);

/// The 45 animals of DDPO's aesthetic experiment, as `simple_animals.txt` of ddpo-pytorch lists them.
pub const ANIMALS: [Thing; 45] = [
    ("cat", &["cat", "cat-face", "catside", "cat-sitting"]),
    (
        "dog",
        &[
            "dog",
            "dog-face",
            "dogside",
            "poodle",
            "guide-dog",
            "sitting-dog",
            "jumping-dog",
            "sniffing-dog",
            "dog-side",
            "dog-sitting",
        ],
    ),
    ("horse", &["horse", "horse-face", "horseface", "horse-head", "horse-variant", "horse-running"]),
    ("monkey", &["monkey", "monkey-face", "monkeyface"]),
    ("rabbit", &["rabbit", "rabbit-face", "bunny", "rabbit-head", "rabbit-variant"]),
    ("zebra", &["zebra"]),
    ("spider", &["spider", "spider-alt"]),
    ("bird", &["bird", "dove", "doveofpeace", "eagle", "parrot", "bird-1", "bird-2"]),
    ("sheep", &["sheep", "ewe", "ram"]),
    ("deer", &["deer", "deer-head", "deer-head-with-antlers"]),
    ("cow", &["cow", "cow-face", "cowface", "ox", "cow-head"]),
    ("goat", &["goat"]),
    ("lion", &["lion", "lion-face"]),
    ("tiger", &["tiger", "tiger-face", "tigerside", "tiger-head"]),
    ("bear", &["bear", "bear-face", "bear-head"]),
    ("raccoon", &["raccoon", "raccoon-head"]),
    ("fox", &["fox", "fox-face", "foxgrin", "foxsmiling", "fox-face-1", "fox-face-2", "fox-head", "fox-face-tail"]),
    ("wolf", &["wolf", "wolf-face", "wolfface", "wolf-head", "wolf-howl"]),
    ("lizard", &["lizard"]),
    ("beetle", &["beetle", "lady-beetle", "ladybeetle", "scarab-beetle", "beetle-scarab"]),
    ("ant", &["ant"]),
    ("butterfly", &["butterfly"]),
    ("fish", &["fish", "tropical-fish", "tropicalfish", "blowfish", "fish-one"]),
    ("shark", &["shark", "shark-bite", "shark-jaws"]),
    ("whale", &["whale", "spouting-whale", "spurtingwhale", "sperm-whale"]),
    ("dolphin", &["dolphin"]),
    ("squirrel", &["chipmunk", "squirrel"]),
    ("mouse", &["mouse", "mouse-face", "mouseside", "seated-mouse"]),
    ("rat", &["rat", "rodent"]),
    ("snake", &["snake"]),
    ("turtle", &["turtle", "sea-turtle", "tortoise", "turtle-top"]),
    ("frog", &["frog", "frog-face", "frog-with-cartoon-eyes-and-open-mouth"]),
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
    ("duck", &["duck", "plastic-duck"]),
    ("goose", &["goose", "canadian-goose"]),
    ("bee", &["honeybee", "bee"]),
    ("pig", &["pig", "pig-face", "pigside", "boar", "pig-head", "pig-variant"]),
    ("turkey", &["turkey"]),
    ("fly", &["fly"]),
    ("llama", &["llama"]),
    ("camel", &["camel", "two-hump-camel", "dromedarycamel", "bactriancamel", "camel-head"]),
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
