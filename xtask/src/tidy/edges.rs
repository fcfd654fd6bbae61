//! Which crate of the workspace may depend on which.

use serde_json::Value;

/// The edges of ARCHITECTURE.md. `ddpo-train`, `ddpo-models` and `ddpo-rewards` never see each other: the
/// recipe in `ddpo` joins them.
const ALLOWED: &[(&str, &[&str])] = &[
    ("ddpo-kernels", &[]),
    ("ddpo-core", &[]),
    ("ddpo-nn", &["ddpo-kernels"]),
    ("ddpo-models", &["ddpo-core", "ddpo-kernels", "ddpo-nn"]),
    ("ddpo-rewards", &["ddpo-core", "ddpo-nn"]),
    ("ddpo-train", &["ddpo-core"]),
    ("ddpo-testing", &["ddpo-core"]),
    ("ddpo", &["ddpo-core", "ddpo-kernels", "ddpo-models", "ddpo-nn", "ddpo-rewards", "ddpo-train"]),
    ("ddpo-cli", &["ddpo"]),
    ("xtask", &[]),
];

/// What tests may use besides: it is for tests alone.
const FOR_TESTS: &str = "ddpo-testing";

/// The forbidden edges in the output of `cargo metadata --no-deps`.
pub fn violations(metadata: &Value) -> Vec<String> {
    let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    packages.iter().flat_map(package_violations).collect()
}

fn package_violations(package: &Value) -> Vec<String> {
    let name = package["name"].as_str().unwrap_or_default();
    let Some((_, allowed)) = ALLOWED.iter().find(|(crate_name, _)| *crate_name == name) else {
        return vec![format!("`{name}`: crate without a line in xtask/src/tidy/edges.rs")];
    };
    let dependencies = package["dependencies"].as_array().map_or(&[][..], Vec::as_slice);
    let inside = dependencies.iter().filter(|dependency| dependency["path"].is_string());
    inside.filter_map(|dependency| edge_violation(name, allowed, dependency)).collect()
}

fn edge_violation(name: &str, allowed: &[&str], dependency: &Value) -> Option<String> {
    let target = dependency["name"].as_str().unwrap_or_default();
    let for_tests = dependency["kind"] == "dev" && target == FOR_TESTS;
    if allowed.contains(&target) || for_tests {
        return None;
    }
    Some(format!("`{name}`: dependency on `{target}` found, one of {allowed:?} wanted"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(name: &str, target: &str, kind: Option<&str>, expect: usize) {
        let dependency = json!({ "name": target, "kind": kind, "path": "somewhere" });
        let metadata = json!({ "packages": [{ "name": name, "dependencies": [dependency] }] });
        assert_eq!(violations(&metadata).len(), expect, "{name} -> {target}");
    }

    #[test]
    fn edges_point_one_way() {
        check("ddpo-models", "ddpo-core", None, 0);
        check("ddpo-core", "ddpo-models", None, 1);
        check("ddpo-cli", "ddpo-core", None, 1);
        check("ddpo-rewards", "ddpo-nn", None, 0);
        check("ddpo-nn", "ddpo-core", None, 1);
    }

    #[test]
    fn rewards_and_models_never_see_each_other() {
        check("ddpo-rewards", "ddpo-models", None, 1);
        check("ddpo-models", "ddpo-rewards", None, 1);
    }

    #[test]
    fn train_and_models_never_see_each_other_not_even_in_tests() {
        check("ddpo-train", "ddpo-models", None, 1);
        check("ddpo-models", "ddpo-train", Some("dev"), 1);
    }

    #[test]
    fn the_testing_crate_is_for_tests_only() {
        check("ddpo-core", "ddpo-testing", Some("dev"), 0);
        check("ddpo-core", "ddpo-testing", None, 1);
    }

    #[test]
    fn an_unknown_crate_is_named_and_outside_dependencies_are_free() {
        let metadata = json!({ "packages": [{ "name": "new", "dependencies": [] }] });
        assert_eq!(violations(&metadata), ["`new`: crate without a line in xtask/src/tidy/edges.rs"]);
        let burn = json!({ "packages": [{ "name": "ddpo-core", "dependencies": [{ "name": "burn", "path": null }] }] });
        assert!(violations(&burn).is_empty());
    }
}
