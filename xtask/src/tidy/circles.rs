//! Files of a crate that import each other in a circle.

use std::collections::{BTreeMap, BTreeSet};

use super::modules::Modules;

/// The circles among the files of every crate, each as a violation, but for those of which a line of `architecture` names every
/// file and so says why. `files` are paths and texts.
pub fn violations(files: &[(String, String)], architecture: &str) -> Vec<String> {
    let roots: BTreeSet<&str> = files.iter().filter_map(|(path, _)| root(path)).collect();
    let of_crate = |root: &str| {
        let inside = files.iter().filter(|(path, _)| path.starts_with(root));
        let modules = Modules::new(root, inside.map(|(path, text)| (path.as_str(), text.as_str())));
        circles(&modules.edges())
            .into_iter()
            .map(|circle| circle.into_iter().map(String::from).collect())
            .collect::<Vec<Vec<String>>>()
    };
    let is_excused =
        |circle: &Vec<String>| architecture.lines().any(|line| circle.iter().all(|file| line.contains(file)));
    let all = roots.into_iter().flat_map(of_crate).filter(|circle| !is_excused(circle));
    all.map(|circle| format!("{}: files import each other in a circle: {}", circle[0], circle.join(", "))).collect()
}

/// `crates/NAME/src/` of a file beneath it.
fn root(path: &str) -> Option<&str> {
    let at = path.find("/src/")?;
    path.ends_with(".rs").then(|| &path[..at + "/src/".len()])
}

/// Sets of files each of which leads to every other, sorted.
fn circles<'a>(edges: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> Vec<Vec<&'a str>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> = edges.keys().map(|file| (*file, reachable(edges, file))).collect();
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for file in edges.keys().filter(|file| reached[*file].contains(*file)) {
        let circle: Vec<&str> = reached[file].iter().copied().filter(|other| reached[other].contains(file)).collect();
        if seen.insert(circle.clone()) {
            found.push(circle);
        }
    }
    found
}

/// Every file that `from` leads to; itself only through others.
fn reachable<'a>(edges: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&str> = edges[from].iter().copied().collect();
    while let Some(file) = open.pop() {
        if found.insert(file) {
            open.extend(edges.get(file).into_iter().flatten());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(texts: &[(&str, &str)]) -> Vec<(String, String)> {
        texts.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn a_circle_is_named_once_with_all_its_files() {
        let files = files(&[
            ("crates/x/src/a.rs", "use crate::b::B;"),
            ("crates/x/src/b.rs", "use crate::c::C;"),
            ("crates/x/src/c.rs", "use super::a::A;"),
            ("crates/x/src/d.rs", "use crate::a::A;"),
        ]);
        let wanted = "crates/x/src/a.rs: files import each other in a circle: crates/x/src/a.rs, crates/x/src/b.rs, crates/x/src/c.rs";
        assert_eq!(violations(&files, ""), [wanted]);
        let excuse = "- `crates/x/src/a.rs`, `crates/x/src/b.rs` and `crates/x/src/c.rs`: for a reason";
        assert!(violations(&files, excuse).is_empty());
        assert_eq!(violations(&files, "- `crates/x/src/a.rs` and `crates/x/src/b.rs`: half of it").len(), 1);
    }

    #[test]
    fn files_of_two_crates_make_no_circle() {
        let files = files(&[("crates/x/src/a.rs", "use crate::b::B;"), ("crates/y/src/b.rs", "use crate::a::A;")]);
        assert!(violations(&files, "").is_empty());
    }
}
