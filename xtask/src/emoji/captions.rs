//! The caption forms of a glyph: "cat", "a cat", "an emoji of a cat", …

use super::animals::short_nouns;

/// Names that take no article although they look like one thing: masses, places, persons' names.
const NO_ARTICLE: &[&str] = &[
    "love-you gesture",
    "nail polish",
    "mount fuji",
    "tokyo tower",
    "statue of liberty",
    "santa claus",
    "mrs. claus",
    "building construction",
    "construction",
    "night with stars",
    "bridge at night",
    "hot springs",
    "sunrise over mountains",
    "cityscape at dusk",
    "wood",
    "fog",
    "bread",
    "baguette bread",
    "flatbread",
    "stuffed flatbread",
    "meat on bone",
    "bacon",
    "pizza",
    "popcorn",
    "butter",
    "salt",
    "canned food",
    "cooked rice",
    "curry rice",
    "spaghetti",
    "oden",
    "sushi",
    "soft ice cream",
    "shaved ice",
    "ice cream",
    "candy",
    "custard",
    "sake",
    "ice",
    "mate",
    "pouring liquid",
    "bubble tea",
    "garlic",
    "ginger root",
    "broccoli",
    "leafy green",
    "coral",
    "money with wings",
    "confetti ball",
    "horse racing",
    "tennis",
    "bowling",
    "field hockey",
    "ice hockey",
    "lacrosse",
    "ping pong",
    "badminton",
    "american football",
    "rugby football",
    "performing arts",
    "soap",
    "dna",
    "fire",
    "high voltage",
    "snowflake",
    "poo",
    "breast-feeding",
    "milky way",
    "cloud with lightning and rain",
    "cooking",
    "folded hands",
    "palms up together",
    "dashing away",
    "yarn",
    "thread",
    "map of japan",
    "moon viewing ceremony",
    "camping",
    "foggy",
    "locked",
    "unlocked",
    "luggage",
    "dizzy",
    "rolling on the floor laughing",
    "star-struck",
    "skis",
    "maracas",
    "people wrestling",
    "people hugging",
    "locked with key",
];

/// Plurals that do not end in s.
const IRREGULAR_PLURALS: &[&str] = &["people", "women", "men", "lungs", "eyes", "children", "teeth"];

/// Words that end in s and are one thing all the same.
const SINGULAR_IN_S: &[&str] = &[
    "octopus",
    "cactus",
    "hibiscus",
    "lotus",
    "bus",
    "trolleybus",
    "minibus",
    "oncoming bus",
    "compass",
    "hourglass done",
    "magnifying glass tilted left",
    "dress",
    "ballot box with ballot",
    "abacus",
    "kiss",
    "princess",
    "rhinoceros",
];

/// The captions of a glyph, the short noun first; lower case, no repeats.
///
/// Every noun comes bare, with its article, and as "an emoji of …".
pub fn captions(name: &str) -> Vec<String> {
    let name = plain(name);
    let mut nouns: Vec<String> = short_nouns(&name).iter().map(|noun| (*noun).into()).collect();
    nouns.push(name);
    let mut forms = Vec::new();
    for form in [bare, with_article, emoji_of] {
        for caption in nouns.iter().map(|noun| form(noun)) {
            if !forms.contains(&caption) {
                forms.push(caption);
            }
        }
    }
    forms
}

/// The CLDR name as one would type it: lower case, ASCII quotes, no "person: beard".
fn plain(name: &str) -> String {
    let name = name.to_lowercase().replace('’', "'").replace('ñ', "n");
    name.replace(": ", " with ").trim_end_matches(" done").to_owned()
}

fn bare(noun: &str) -> String {
    noun.to_owned()
}

fn emoji_of(noun: &str) -> String {
    format!("an emoji of {}", with_article(noun))
}

fn with_article(noun: &str) -> String {
    if NO_ARTICLE.contains(&noun) || is_plural(noun) {
        return noun.to_owned();
    }
    format!("{} {noun}", article(noun))
}

/// Whether the head of a name ("busts" in "busts in silhouette") is plural.
fn is_plural(noun: &str) -> bool {
    let head = head(noun);
    let last = head.rsplit(' ').next().unwrap_or(head);
    IRREGULAR_PLURALS.contains(&last)
        || (last.ends_with('s')
            && !["ss", "us", "is", "as"].iter().any(|end| last.ends_with(end))
            && !SINGULAR_IN_S.contains(&head))
}

/// The part of a name before its first preposition.
fn head(noun: &str) -> &str {
    [" with ", " of ", " in ", " on ", " from ", " at ", " over ", " behind ", " holding ", " and "]
        .iter()
        .filter_map(|word| noun.find(word))
        .min()
        .map_or(noun, |end| &noun[..end])
}

/// "a" or "an", by sound.
fn article(noun: &str) -> &'static str {
    let silent = ["hour", "x-ray"].iter().any(|start| noun.starts_with(start));
    let spoken = ["uni", "eu", "ewe", "one", "ut"].iter().any(|start| noun.starts_with(start));
    let vowel = noun.starts_with(['a', 'e', 'i', 'o', 'u', '8']);
    if silent || (vowel && !spoken) { "an" } else { "a" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expect: &[&str]) {
        assert_eq!(captions(name), expect);
    }

    #[test]
    fn compound_names_reduce_to_the_animal() {
        check("cat face", &["cat", "cat face", "a cat", "a cat face", "an emoji of a cat", "an emoji of a cat face"]);
    }

    #[test]
    fn plain_names_have_three_forms() {
        check("owl", &["owl", "an owl", "an emoji of an owl"]);
        check("unicorn", &["unicorn", "a unicorn", "an emoji of a unicorn"]);
        check("octopus", &["octopus", "an octopus", "an emoji of an octopus"]);
    }

    #[test]
    fn masses_and_plurals_take_no_article() {
        check("socks", &["socks", "an emoji of socks"]);
        check("bread", &["bread", "an emoji of bread"]);
        check("Santa Claus", &["santa claus", "an emoji of santa claus"]);
    }
}
