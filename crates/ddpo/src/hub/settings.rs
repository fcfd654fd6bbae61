//! Where the hub is, what it may be asked, and where files are kept: the environment variables of `huggingface_hub`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How to reach the hub.
#[derive(Clone, PartialEq, Eq)]
pub struct HubSettings {
    /// The hub's address, without a slash at the end.
    pub endpoint: String,
    /// The directory of the cache, `hub` inside of `HF_HOME`.
    pub cache: PathBuf,
    /// What proves who asks.
    pub token: Option<String>,
    /// Whether nothing may be asked at all.
    pub offline: bool,
    /// A PEM file of the certificates that are trusted instead of Mozilla's list.
    pub certificates: Option<PathBuf>,
    /// How long the hub may say nothing.
    pub timeout: Duration,
}

impl HubSettings {
    /// The public hub.
    pub const ENDPOINT: &'static str = "https://huggingface.co";

    /// How long the hub may say nothing where the environment does not tell: for a slow line, and a hub that has to think.
    const TIMEOUT: Duration = Duration::from_secs(60);

    /// The settings of the environment and of the token file in `HF_HOME`, by the variables of Python's clients:
    ///
    /// - the cache: `HF_HUB_CACHE` or its older name `HUGGINGFACE_HUB_CACHE`, else `hub` in `HF_HOME`, else in
    ///   `XDG_CACHE_HOME/huggingface`, else in `~/.cache/huggingface`; `~` and `$NAME` in them are what they are in a shell;
    /// - the token: `HF_TOKEN` or `HUGGING_FACE_HUB_TOKEN`, else the file `HF_TOKEN_PATH`, which a login leaves, unless
    ///   `HF_HUB_DISABLE_IMPLICIT_TOKEN` is set;
    /// - `HF_ENDPOINT`; `HF_HUB_OFFLINE` or `TRANSFORMERS_OFFLINE`; `HF_HUB_DOWNLOAD_TIMEOUT` in seconds;
    /// - trusted certificates: `REQUESTS_CA_BUNDLE`, `CURL_CA_BUNDLE` or `SSL_CERT_FILE`.
    pub fn from_env() -> Self {
        Self::from_variables(&|name| std::env::var(name).ok(), std::env::home_dir().as_deref())
    }

    /// The settings that these variables make, an empty one being none.
    fn from_variables(get: &dyn Fn(&str) -> Option<String>, home: Option<&Path>) -> Self {
        let home = home.unwrap_or(Path::new("."));
        let text = |name: &str| get(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let first = |names: &[&str]| names.iter().find_map(|name| text(name));
        let path = |names: &[&str]| first(names).map(|value| expand(&value, home, get));
        let is_set = |names: &[&str]| names.iter().any(|name| text(name).is_some_and(|value| is_true(&value)));
        let hf_home = path(&["HF_HOME"])
            .or_else(|| path(&["XDG_CACHE_HOME"]).map(|cache| cache.join("huggingface")))
            .unwrap_or_else(|| home.join(".cache/huggingface"));
        let stored = path(&["HF_TOKEN_PATH"]).unwrap_or_else(|| hf_home.join("token"));
        let implicit = || if is_set(&["HF_HUB_DISABLE_IMPLICIT_TOKEN"]) { None } else { read_token(&stored) };
        let seconds =
            text("HF_HUB_DOWNLOAD_TIMEOUT").and_then(|value| value.parse().ok()).filter(|&seconds| seconds > 0);
        Self {
            endpoint: text("HF_ENDPOINT").as_deref().unwrap_or(Self::ENDPOINT).trim_end_matches('/').to_owned(),
            cache: path(&["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"]).unwrap_or_else(|| hf_home.join("hub")),
            token: first(&["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"]).or_else(implicit),
            offline: is_set(&["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"]),
            certificates: path(&["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"]),
            timeout: seconds.map_or(Self::TIMEOUT, Duration::from_secs),
        }
    }
}

/// A path with its `~` and its variables as `os.path.expanduser` and `os.path.expandvars` read them: a variable that is not set
/// stays as it is written.
fn expand(path: &str, home: &Path, get: &dyn Fn(&str) -> Option<String>) -> PathBuf {
    let mut expanded = String::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('$') {
        let (name, written) = match after.strip_prefix('{').and_then(|braced| braced.split_once('}')) {
            Some((name, _)) => (name, name.len() + 2),
            None => {
                let end = after.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(after.len());
                (&after[..end], end)
            }
        };
        expanded += before;
        match get(name).filter(|_| !name.is_empty()) {
            Some(value) => expanded += &value,
            None => expanded += &format!("${}", &after[..written]),
        }
        rest = &after[written..];
    }
    expanded += rest;
    match expanded.strip_prefix('~') {
        Some("") => home.to_owned(),
        Some(below) if below.starts_with('/') => home.join(below.trim_start_matches('/')),
        _ => expanded.into(),
    }
}

/// What `huggingface_hub` takes for yes.
fn is_true(value: &str) -> bool {
    ["1", "on", "yes", "true"].iter().any(|yes| value.eq_ignore_ascii_case(yes))
}

/// The token a login left. Without one the hub answers all the same, to what is public.
fn read_token(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned()).filter(|token| !token.is_empty())
}

/// Without the token, which is nobody else's business.
impl fmt::Debug for HubSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubSettings")
            .field("endpoint", &self.endpoint)
            .field("cache", &self.cache)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("offline", &self.offline)
            .field("certificates", &self.certificates)
            .field("timeout", &self.timeout)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> HubSettings {
        let get = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        HubSettings::from_variables(&get, Some(Path::new("/h")))
    }

    #[test]
    fn the_environment_decides() {
        let plain = settings(&[]);
        assert_eq!(plain.endpoint, "https://huggingface.co");
        assert_eq!(plain.cache, Path::new("/h/.cache/huggingface/hub"));
        assert_eq!((plain.token, plain.offline, plain.certificates), (None, false, None));
        let set = settings(&[
            ("HF_HOME", "/data/hf"),
            ("HF_TOKEN", "secret"),
            ("HF_HUB_OFFLINE", "true"),
            ("HF_ENDPOINT", "http://mirror/"),
        ]);
        assert_eq!((set.endpoint.as_str(), set.cache.as_path()), ("http://mirror", Path::new("/data/hf/hub")));
        assert!(set.offline);
        assert!(!format!("{set:?}").contains("secret"));
        assert_eq!(settings(&[("HF_HUB_CACHE", "/c"), ("HF_HOME", "/data/hf")]).cache, Path::new("/c"));
        assert!(!settings(&[("HF_HUB_OFFLINE", "0")]).offline);
        let trusting = settings(&[("SSL_CERT_FILE", "/b"), ("REQUESTS_CA_BUNDLE", "/a")]);
        assert_eq!(trusting.certificates.as_deref(), Some(Path::new("/a")));
    }

    #[test]
    fn paths_are_expanded_as_python_expands_them() {
        let cache = |value: &str| settings(&[("HF_HUB_CACHE", value), ("USER_1", "me"), ("D", "/data")]).cache;
        for (written, meant) in [
            ("~", "/h"),
            ("~/hf/hub", "/h/hf/hub"),
            ("~other/hub", "~other/hub"),
            ("$D/hub", "/data/hub"),
            ("/x/${USER_1}y/$USER_1", "/x/mey/me"),
            ("/x/$NONE/${NONE}/$", "/x/$NONE/${NONE}/$"),
        ] {
            assert_eq!(cache(written), Path::new(meant), "{written}");
        }
        assert_eq!(settings(&[("HF_HOME", "~/hf")]).cache, Path::new("/h/hf/hub"));
        assert_eq!(settings(&[("XDG_CACHE_HOME", "~/c")]).cache, Path::new("/h/c/huggingface/hub"));
    }

    #[test]
    fn older_names_and_those_of_transformers_count() {
        assert_eq!(settings(&[("HUGGINGFACE_HUB_CACHE", "/c")]).cache, Path::new("/c"));
        assert_eq!(settings(&[("HUGGINGFACE_HUB_CACHE", "/c"), ("HF_HUB_CACHE", "/d")]).cache, Path::new("/d"));
        assert!(settings(&[("TRANSFORMERS_OFFLINE", "1")]).offline);
        assert_eq!(settings(&[("HUGGING_FACE_HUB_TOKEN", "old")]).token.as_deref(), Some("old"));
        assert_eq!(settings(&[("CURL_CA_BUNDLE", "/b")]).certificates.as_deref(), Some(Path::new("/b")));
        assert_eq!(settings(&[("HF_HUB_DOWNLOAD_TIMEOUT", "7")]).timeout, Duration::from_secs(7));
        assert_eq!(settings(&[("HF_HUB_DOWNLOAD_TIMEOUT", "soon")]).timeout, HubSettings::TIMEOUT);
    }

    #[test]
    fn a_login_is_found() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("token"), "from file\n").unwrap();
        let path = home.path().to_str().unwrap();
        assert_eq!(settings(&[("HF_HOME", path)]).token.as_deref(), Some("from file"));
        assert_eq!(settings(&[("HF_HOME", path), ("HF_TOKEN", "set")]).token.as_deref(), Some("set"));
        assert_eq!(settings(&[("HF_HOME", path), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]).token, None);
    }
}
