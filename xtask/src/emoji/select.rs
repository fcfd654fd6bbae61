//! Which glyphs become training pictures.

use emojis::{Emoji, Group};
use twemoji_assets::png::PngTwemojiAsset;

/// Pictures that are lettering or signs, by CLDR name. The groups Symbols and Flags go altogether.
const SIGNS: &[&str] = &[
    "hundred points",
    "anger symbol",
    "speech balloon",
    "left speech bubble",
    "right anger bubble",
    "thought balloon",
    "ZZZ",
    "spade suit",
    "heart suit",
    "diamond suit",
    "club suit",
    "mahjong red dragon",
    "bus stop",
    "e-mail",
];

/// Pictures that repeat another one but for a detail that is lost at 64 pixels, by CLDR name.
const NEAR_DUPLICATES: &[&str] = &[
    "speaker low volume",
    "speaker medium volume",
    "muted speaker",
    "bell with slash",
    "mobile phone with arrow",
    "low battery",
    "envelope with arrow",
    "incoming envelope",
    "inbox tray",
    "yen banknote",
    "euro banknote",
    "pound banknote",
    "closed mailbox with lowered flag",
    "open mailbox with raised flag",
    "open mailbox with lowered flag",
    "locked with pen",
    "camera with flash",
    "hourglass not done",
    "globe showing Europe-Africa",
    "globe showing Asia-Australia",
    "magnifying glass tilted right",
    "chart increasing with yen",
    "tear-off calendar",
    "backhand index pointing left",
    "backhand index pointing right",
    "raised back of hand",
    "leftwards hand",
    "rightwards hand",
    "leftwards pushing hand",
    "right-facing fist",
    "snowman without snow",
    "open file folder",
    "pregnant person",
    "women holding hands",
    "men holding hands",
    "busts in silhouette",
];

/// One chosen picture.
pub struct Glyph {
    /// The single code point, without variation selector.
    pub code: char,
    /// The CLDR short name.
    pub name: &'static str,
    /// The Unicode group, as Unicode writes it.
    pub group: &'static str,
    /// The 72×72 picture, a PNG file.
    pub png: &'static [u8],
}

/// All chosen glyphs, by code point.
pub fn glyphs() -> Vec<Glyph> {
    let mut glyphs: Vec<Glyph> = emojis::iter().filter_map(choose).collect();
    glyphs.sort_by_key(|glyph| glyph.code);
    glyphs
}

fn choose(emoji: &'static Emoji) -> Option<Glyph> {
    let code = single_code_point(emoji.as_str())?;
    let group = group_name(emoji.group())?;
    let name = emoji.name();
    if is_clock_face(code) || SIGNS.contains(&name) || NEAR_DUPLICATES.contains(&name) {
        return None;
    }
    // Unicode may be ahead of Twemoji: what has no picture yet is left out.
    let asset = PngTwemojiAsset::from_emoji(code.encode_utf8(&mut [0; 4]))
        .or_else(|| PngTwemojiAsset::from_emoji(emoji.as_str()))?;
    Some(Glyph { code, name, group, png: asset.data.0 })
}

/// The one code point of an emoji, ignoring the selector that asks for the coloured picture.
fn single_code_point(emoji: &str) -> Option<char> {
    let mut codes = emoji.chars().filter(|code| *code != '\u{fe0f}');
    let first = codes.next()?;
    codes.next().is_none().then_some(first)
}

fn is_clock_face(code: char) -> bool {
    ('\u{1f550}'..='\u{1f567}').contains(&code)
}

fn group_name(group: Group) -> Option<&'static str> {
    match group {
        Group::SmileysAndEmotion => Some("Smileys & Emotion"),
        Group::PeopleAndBody => Some("People & Body"),
        Group::AnimalsAndNature => Some("Animals & Nature"),
        Group::FoodAndDrink => Some("Food & Drink"),
        Group::TravelAndPlaces => Some("Travel & Places"),
        Group::Activities => Some("Activities"),
        Group::Objects => Some("Objects"),
        Group::Symbols | Group::Flags => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_excluded_name_exists() {
        let names: Vec<&str> = emojis::iter().map(Emoji::name).collect();
        for name in SIGNS.iter().chain(NEAR_DUPLICATES) {
            assert!(names.contains(name), "no emoji is named {name}");
        }
    }

    #[test]
    fn glyphs_are_single_sorted_and_without_signs() {
        let glyphs = glyphs();
        assert!(glyphs.windows(2).all(|pair| pair[0].code < pair[1].code));
        assert!(glyphs.iter().all(|glyph| glyph.name != "twelve o’clock" && glyph.name != "ZZZ"));
        assert!(glyphs.iter().any(|glyph| glyph.code == '\u{1f408}' && glyph.name == "cat"));
    }
}
