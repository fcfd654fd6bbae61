//! The modules of a crate: which file each is, what it imports, and where the names that it uses are defined.

use std::collections::{BTreeMap, BTreeSet};

/// A module of a crate.
#[derive(Debug, Default)]
struct Module {
    /// Its file; none for a folder without one.
    file: Option<String>,
    /// The modules beneath it.
    children: BTreeSet<String>,
    /// Names that its `use` items bring in, with their paths as written.
    imports: BTreeMap<String, Vec<String>>,
    /// Paths that it uses, those of its public re-exports left out.
    used: Vec<Vec<String>>,
}

/// The modules of one crate, by their path from its root.
#[derive(Debug, Default)]
pub struct Modules(BTreeMap<Vec<String>, Module>);

impl Modules {
    /// Reads files of one crate, given by their path and text; `root` is its `src/`.
    pub fn new<'a>(root: &str, files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut modules = Self::default();
        for (path, text) in files {
            let Some(place) = path.strip_prefix(root).and_then(module_path) else { continue };
            for depth in 0..place.len() {
                modules.0.entry(place[..depth].to_vec()).or_default().children.insert(place[depth].clone());
            }
            let module = modules.0.entry(place).or_default();
            module.file = Some(path.to_owned());
            read(module, &without_tests(text));
        }
        modules
    }

    /// For every file the other files of the crate that it takes something from.
    pub fn edges(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut edges: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (place, module) in &self.0 {
            let Some(file) = module.file.as_deref() else { continue };
            let targets =
                module.used.iter().filter_map(|path| self.file_of(place, path, 0)).filter(|found| *found != file);
            edges.entry(file).or_default().extend(targets);
        }
        edges
    }

    /// The file that defines what `path` means in the module at `place`; none for other crates and for what is not found.
    fn file_of(&self, place: &[String], path: &[String], depth: usize) -> Option<&str> {
        // Names may lead in a circle, as when two modules have the same name imported from each other.
        if depth > 16 {
            return None;
        }
        let (first, rest) = path.split_first()?;
        let here = self.0.get(place)?;
        match first.as_str() {
            "crate" => self.descend(&[], rest, depth),
            "self" => self.descend(place, rest, depth),
            "super" => self.descend(place.split_last()?.1, rest, depth),
            name if here.children.contains(name) => self.descend(place, path, depth),
            name => {
                let import = here.imports.get(name).filter(|import| import.as_slice() != path)?;
                self.file_of(place, &[import, rest].concat(), depth + 1)
            }
        }
    }

    /// Follows `path` down from the module at `place`, and through its re-exports.
    fn descend(&self, place: &[String], path: &[String], depth: usize) -> Option<&str> {
        let module = self.0.get(place)?;
        let Some((first, rest)) = path.split_first() else {
            // A folder's own file only declares what is in it; what is used of it is named elsewhere.
            return module.file.as_deref().filter(|_| module.children.is_empty());
        };
        if first == "super" {
            return self.descend(place.split_last()?.1, rest, depth);
        }
        if module.children.contains(first) {
            return self.descend(&[place, std::slice::from_ref(first)].concat(), rest, depth);
        }
        match module.imports.get(first) {
            Some(import) => self.file_of(place, &[import, rest].concat(), depth + 1),
            None => module.file.as_deref(),
        }
    }
}

/// `["a", "b"]` of `a/b.rs` and of `a/b/mod.rs`; nothing of what is no module.
fn module_path(file: &str) -> Option<Vec<String>> {
    let mut parts: Vec<String> = file.strip_suffix(".rs")?.split('/').map(String::from).collect();
    if matches!(parts.last()?.as_str(), "mod" | "lib" | "main") {
        parts.pop();
    }
    Some(parts)
}

/// The text without its tests, comments and what stands between quotes.
fn without_tests(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod ").unwrap_or(text.len());
    let code = |line: &str| {
        let line = line.split("//").next().unwrap_or_default();
        line.split('"').step_by(2).collect::<Vec<_>>().join(" ")
    };
    text[..end].lines().map(code).collect::<Vec<_>>().join("\n")
}

fn read(module: &mut Module, text: &str) {
    let mut rest = text;
    let mut code = String::new();
    while let Some(at) = find_use(rest) {
        let item = &rest[at..];
        let end = item.find(';').unwrap_or(item.len());
        // An import that is passed on is no use of it.
        let is_public =
            rest[..at].trim_end().rsplit('\n').next().is_some_and(|line| line.trim_start().starts_with("pub"));
        for path in expand(item[..end].trim_start_matches("use ").trim()) {
            let name = path.last().cloned().unwrap_or_default();
            let path = if path.len() > 1 && name == "self" { path[..path.len() - 1].to_vec() } else { path };
            let (path, name) = renamed(path);
            if !is_public {
                module.used.push(path.clone());
            }
            module.imports.insert(name, path);
        }
        code.push_str(&rest[..at]);
        rest = &item[end..];
    }
    code.push_str(rest);
    module.used.extend(paths(&code));
}

/// Where the next `use` item begins.
fn find_use(text: &str) -> Option<usize> {
    let starts = |at: usize| {
        let line = text[..at].rsplit('\n').next().unwrap_or_default().trim();
        line.is_empty() || line.starts_with("pub")
    };
    text.match_indices("use ").map(|(at, _)| at).find(|at| starts(*at))
}

/// `a::{b, c::d}` is `a::b` and `a::c::d`.
fn expand(tree: &str) -> Vec<Vec<String>> {
    let Some(open) = tree.find('{') else {
        return vec![tree.split("::").map(|part| part.trim().to_owned()).collect()];
    };
    let close = tree.rfind('}').unwrap_or(tree.len());
    let prefix: Vec<String> =
        tree[..open].split("::").map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect();
    let branches = split_commas(&tree[open + 1..close]);
    branches.into_iter().flat_map(expand).map(|path| [prefix.clone(), path].concat()).collect()
}

/// The parts between commas that stand in no braces.
fn split_commas(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect()
}

/// The path and the name that it has here: `b as c` is called `c`.
fn renamed(mut path: Vec<String>) -> (Vec<String>, String) {
    let last = path.pop().unwrap_or_default();
    let (item, name) = last.split_once(" as ").unwrap_or((&last, &last));
    path.push(item.trim().to_owned());
    (path, name.trim().to_owned())
}

/// Every `a::b::c` in code.
fn paths(code: &str) -> Vec<Vec<String>> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':' || c == '$';
    code.split(|c| !is_part(c))
        .filter(|word| word.contains("::") && !word.starts_with(['$', ':']))
        .map(|word| {
            word.split("::").filter(|part| !part.is_empty()).map(|part| part.trim_matches(':').to_owned()).collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(files: &[(&str, &str)], from: &str, wanted: &[&str]) {
        let modules = Modules::new("src/", files.iter().copied());
        let edges = modules.edges();
        assert_eq!(edges[from].iter().copied().collect::<Vec<_>>(), wanted);
    }

    const FOLDER: (&str, &str) = ("src/a/mod.rs", "mod one;\nmod two;\npub use one::One;\npub struct Own;\n");

    #[test]
    fn a_reexported_name_belongs_to_the_file_that_defines_it() {
        let one = ("src/a/one.rs", "pub struct One;");
        check(&[FOLDER, one, ("src/b.rs", "use crate::a::{One, Own};")], "src/b.rs", &["src/a/mod.rs", "src/a/one.rs"]);
        check(&[FOLDER, one, ("src/b.rs", "use crate::a;\nfn f(x: a::One) {}")], "src/b.rs", &["src/a/one.rs"]);
        check(&[FOLDER, one], "src/a/mod.rs", &[]);
    }

    #[test]
    fn siblings_are_found_above_and_beside() {
        let files = [
            FOLDER,
            ("src/a/one.rs", "use super::two::{self, Two as Other};\nfn f() { two::g() }"),
            ("src/a/two.rs", ""),
        ];
        check(&files, "src/a/one.rs", &["src/a/two.rs"]);
        check(&[FOLDER, ("src/a/one.rs", "fn f(x: super::Own) {}")], "src/a/one.rs", &["src/a/mod.rs"]);
        check(&[("src/lib.rs", "mod c;\nfn f() { c::g() }"), ("src/c.rs", "")], "src/lib.rs", &["src/c.rs"]);
    }

    #[test]
    fn tests_comments_and_other_crates_do_not_count() {
        let text = "// crate::c::X\n/// [`crate::c::X`]\nuse std::fmt;\nfn f(x: fmt::Result) -> &'static str { \"crate::c::X\" }\n#[cfg(test)]\nmod tests {\n use crate::c;\n}";
        check(&[("src/b.rs", text), ("src/c.rs", "")], "src/b.rs", &[]);
    }
}
