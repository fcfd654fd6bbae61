//! Where the hub is, what it may be asked, and where files are kept: the environment variables of `huggingface_hub`.

use std::fmt;
use std::path::{Path, PathBuf};

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
}

impl HubSettings {
    /// The public hub.
    pub const ENDPOINT: &'static str = "https://huggingface.co";

    /// The settings of the environment and of the token file in `HF_HOME`. Trusted certificates are where Python's clients look
    /// for them, in `REQUESTS_CA_BUNDLE` or `SSL_CERT_FILE`.
    pub fn from_env() -> Self {
        Self::from_variables(&|name| std::env::var(name).ok(), std::env::home_dir().as_deref())
    }

    /// The settings that these variables make, an empty one being none.
    fn from_variables(get: &dyn Fn(&str) -> Option<String>, home: Option<&Path>) -> Self {
        let get = |name: &str| get(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let in_cache = |parent: PathBuf| parent.join("huggingface");
        let hf_home = get("HF_HOME")
            .map(PathBuf::from)
            .or_else(|| get("XDG_CACHE_HOME").map(|path| in_cache(path.into())))
            .unwrap_or_else(|| in_cache(home.unwrap_or(Path::new(".")).join(".cache")));
        let stored = get("HF_TOKEN_PATH").map_or_else(|| hf_home.join("token"), PathBuf::from);
        let token = get("HF_TOKEN").or_else(|| read_token(&stored));
        let endpoint = get("HF_ENDPOINT").unwrap_or_else(|| Self::ENDPOINT.to_owned());
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            cache: get("HF_HUB_CACHE").map_or_else(|| hf_home.join("hub"), PathBuf::from),
            token,
            offline: get("HF_HUB_OFFLINE").is_some_and(|value| is_true(&value)),
            certificates: get("REQUESTS_CA_BUNDLE").or_else(|| get("SSL_CERT_FILE")).map(PathBuf::from),
        }
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
    fn a_login_is_found() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("token"), "from file\n").unwrap();
        let path = home.path().to_str().unwrap();
        assert_eq!(settings(&[("HF_HOME", path)]).token.as_deref(), Some("from file"));
        assert_eq!(settings(&[("HF_HOME", path), ("HF_TOKEN", "set")]).token.as_deref(), Some("set"));
    }
}
