//! An address that takes JSON and answers with some.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use ureq::http::{Response, Uri};
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Body};

use super::failure::WebFailure;
use super::key::Key;
use crate::protocol::shortened;
use crate::{Error, Result};

/// More than any answer has.
const LARGEST_ANSWER: u64 = 16 << 20;

/// As much of a refusal as is read for its message.
const LARGEST_REFUSAL: u64 = 64 << 10;

/// An address that takes JSON and answers with some.
#[derive(Debug)]
pub struct Endpoint {
    agent: Agent,
    url: String,
    key: Option<Key>,
    timeout: Duration,
}

/// What an endpoint is made of.
pub struct EndpointOptions<'a> {
    /// The kind of reward, for messages.
    pub kind: &'a str,
    /// The address.
    pub url: &'a str,
    /// The environment variable that holds its key.
    pub key_env: Option<&'a str>,
    /// How long a request may take, sending and receiving included.
    pub timeout: Duration,
}

impl Endpoint {
    /// Nothing is connected before the first request.
    pub fn new(options: &EndpointOptions<'_>) -> Result<Self> {
        let uri = check_address(options.kind, options.url)?;
        let is_encrypted = uri.scheme_str() == Some("https");
        if is_encrypted && !can_encrypt() {
            return Err(Error::Web { url: options.url.to_owned(), failure: WebFailure::NoEncryption });
        }
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(Arc::new(rustls_graviola::default_provider()))
            .root_certs(RootCerts::WebPki)
            .build();
        let mut config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            // The key is for the address that was configured, and pictures go nowhere else.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("ddpo/", env!("CARGO_PKG_VERSION")))
            .timeout_global(Some(options.timeout));
        if is_this_machine(&uri) {
            config = config.proxy(None);
        }
        let key = options.key_env.map(|variable| Key::from_environment(options.kind, variable)).transpose()?;
        Ok(Self { agent: config.build().into(), url: options.url.to_owned(), key, timeout: options.timeout })
    }

    /// The address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What the server answers to `request`.
    pub fn post(&self, request: &Value) -> Result<String> {
        self.answer(request).map_err(|failure| Error::Web { url: self.url.clone(), failure })
    }

    fn answer(&self, request: &Value) -> Result<String, WebFailure> {
        let mut post = self.agent.post(&self.url).header("content-type", "application/json");
        if let Some(key) = &self.key {
            post = post.header("authorization", key.bearer());
        }
        let mut response = post.send(request.to_string()).map_err(|error| self.failure(error))?;
        let status = response.status().as_u16();
        if !(200..=299).contains(&status) {
            let body = read(&mut response, LARGEST_REFUSAL).unwrap_or_default();
            return Err(WebFailure::Status { status, body: self.shown(&body), retry_after: retry_after(&response) });
        }
        let body = read(&mut response, LARGEST_ANSWER).map_err(|error| self.failure(error))?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// A text of the server's for a message.
    pub fn shown(&self, body: &[u8]) -> String {
        let text = shortened(&String::from_utf8_lossy(body));
        self.key.as_ref().map_or_else(|| text.clone(), |key| key.hidden_in(&text))
    }

    fn failure(&self, error: ureq::Error) -> WebFailure {
        match error {
            ureq::Error::Timeout(_) => WebFailure::Timeout(self.timeout.as_secs()),
            ureq::Error::BodyExceedsLimit(limit) => WebFailure::TooLarge(limit),
            ureq::Error::Io(source) if is_unreachable(&source) => WebFailure::Unreachable(source.to_string()),
            ureq::Error::Io(source) => WebFailure::BrokenOff(source.to_string()),
            ureq::Error::Protocol(source) => WebFailure::BrokenOff(source.to_string()),
            other => WebFailure::Unreachable(other.to_string()),
        }
    }
}

/// Whether this is an address that can be asked, without anything secret in it.
pub fn check_address(kind: &str, url: &str) -> Result<Uri> {
    let invalid = |reason: String| Error::Options { kind: kind.to_owned(), reason };
    let uri: Uri = url.parse().map_err(|error| invalid(format!("`{url}` is no address: {error}")))?;
    let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
    match uri.authority() {
        Some(authority) if authority.as_str().contains('@') => {
            // The address goes into the run's directory, and so would they; they are not shown here either.
            let reason = "the address holds a name and a password, expected none: name a variable of the environment by `key-env`";
            Err(invalid(reason.to_owned()))
        }
        Some(authority) if is_web && !authority.host().is_empty() => Ok(uri),
        _ => Err(invalid(format!("the address is `{url}`, expected http://HOST:PORT/PATH or https://HOST/PATH"))),
    }
}

fn read(response: &mut Response<Body>, limit: u64) -> Result<Vec<u8>, ureq::Error> {
    response.body_mut().with_config().limit(limit).read_to_vec()
}

/// The header of this name in its form of seconds.
fn retry_after(response: &Response<Body>) -> Option<Duration> {
    let seconds = response.headers().get("retry-after")?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// A proxy is for other machines.
fn is_this_machine(uri: &Uri) -> bool {
    uri.host().is_some_and(|host| host == "localhost" || host == "[::1]" || host.starts_with("127."))
}

fn is_unreachable(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::AddrNotAvailable
    )
}

/// Whether the processor has what the cryptography of `https` is written with.
#[must_use]
pub fn can_encrypt() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        std::is_x86_feature_detected!("aes")
            && std::is_x86_feature_detected!("pclmulqdq")
            && std::is_x86_feature_detected!("bmi1")
            && std::is_x86_feature_detected!("adx")
            && std::is_x86_feature_detected!("avx2")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expect: &str) {
        let found = check_address("http", url).map_or_else(|error| error.to_string(), |uri| uri.to_string());
        assert_eq!(found, expect);
    }

    #[test]
    fn an_address_is_checked_and_holds_no_password() {
        check("http://localhost:8000/score", "http://localhost:8000/score");
        check("https://example.org", "https://example.org/");
        check(
            "http://me:secret@host/score",
            "invalid reward `http`: the address holds a name and a password, expected none: name a variable of the \
             environment by `key-env`",
        );
        for wrong in ["http://", "ftp://host/x", "host/x", "http:///x", "http://a b"] {
            assert!(check_address("http", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_key_comes_from_the_environment_and_is_never_shown() {
        let options = |key_env| EndpointOptions {
            kind: "http",
            url: "http://localhost:1",
            key_env,
            timeout: Duration::from_secs(1),
        };
        let message = Endpoint::new(&options(Some("DDPO_TEST_NO_SUCH_KEY"))).unwrap_err().to_string();
        assert_eq!(
            message,
            "invalid reward `http`: `key-env` names the environment variable DDPO_TEST_NO_SUCH_KEY, which is not set"
        );
        // Any variable will do: this one is always set where tests run.
        let path = std::env::var("CARGO_MANIFEST_DIR").unwrap();
        let endpoint = Endpoint::new(&options(Some("CARGO_MANIFEST_DIR"))).unwrap();
        assert!(!format!("{endpoint:?}").contains(&path));
        assert_eq!(endpoint.shown(format!("wrong key {path}").as_bytes()), "wrong key …");
    }
}
