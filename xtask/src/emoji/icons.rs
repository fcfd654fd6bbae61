//! An icon set as Iconify packs it: `icons.json`, an object of SVG bodies, and names that stand for other names.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// One set.
#[derive(Deserialize)]
pub struct Icons {
    #[serde(default = "side")]
    width: f32,
    #[serde(default = "side")]
    height: f32,
    icons: HashMap<String, Icon>,
    #[serde(default)]
    aliases: HashMap<String, Alias>,
}

#[derive(Deserialize)]
struct Icon {
    body: String,
    left: Option<f32>,
    top: Option<f32>,
    width: Option<f32>,
    height: Option<f32>,
}

#[derive(Deserialize)]
struct Alias {
    parent: String,
}

/// The side of an icon where a set does not say, by Iconify's definition.
fn side() -> f32 {
    16.0
}

impl Icons {
    /// Reads the `icons.json` of `package` in `folder`, which holds the unpacked packages, by the path of npm's own folder or
    /// directly.
    pub fn read(folder: &Path, package: &str) -> Result<Self> {
        let nested = folder.join("@iconify-json").join(package);
        let directory = if nested.is_dir() { nested } else { folder.join(package) };
        let path = directory.join("icons.json");
        let text = fs::read_to_string(&path).with_context(|| {
            format!("read `{}` (unpack `npm pack @iconify-json/{package}` into a folder of that name)", path.display())
        })?;
        serde_json::from_str(&text).with_context(|| format!("read `{}`", path.display()))
    }

    /// The drawing called `name` as an SVG file, and the name it has in the set: a drawing may have several.
    pub fn svg(&self, name: &str) -> Option<(&str, String)> {
        let name = self.aliases.get(name).map_or(name, |alias| &alias.parent);
        let (name, icon) = self.icons.get_key_value(name)?;
        let view = [
            icon.left.unwrap_or(0.0),
            icon.top.unwrap_or(0.0),
            icon.width.unwrap_or(self.width),
            icon.height.unwrap_or(self.height),
        ];
        Some((name, document(view, &icon.body)))
    }
}

fn document([left, top, width, height]: [f32; 4], body: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\" \
         viewBox=\"{left} {top} {width} {height}\" width=\"{width}\" height=\"{height}\">{body}</svg>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_is_its_parent_and_a_size_of_ones_own_wins() {
        let json = r#"{"width": 36, "height": 36, "icons": {"fox": {"body": "<g/>", "width": 25}},
            "aliases": {"fox-face": {"parent": "fox"}}}"#;
        let icons: Icons = serde_json::from_str(json).unwrap();
        let (name, svg) = icons.svg("fox-face").unwrap();
        assert_eq!(name, "fox");
        assert!(svg.contains("viewBox=\"0 0 25 36\"") && svg.ends_with("<g/></svg>"), "{svg}");
        assert!(icons.svg("wolf").is_none());
    }
}
