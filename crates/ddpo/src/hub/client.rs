//! The hub's protocol over HTTP: a repository's files at a revision, and their contents.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use ureq::http::Response;
use ureq::tls::{PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};
use ureq::{Agent, Body, config::RedirectAuthHeaders};

use super::cache::{Cache, create_parent, io, is_name};
use super::model::{HubEvent, HubModel};
use super::settings::HubSettings;

/// More than a list of files needs.
const LARGEST_LISTING: u64 = 64 << 20;

/// Seconds before each new attempt at what may go better later, where the hub does not say how many.
const PAUSES: [u64; 4] = [1, 2, 4, 8];

/// A hub that asks for more patience than this is not waited for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A file of a listing is redirected within the hub so many times at most.
const MOST_REDIRECTS: usize = 5;

/// Why the hub did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// There was no answer.
    #[error("{0}")]
    Unreachable(String),
    /// There was an answer, and it broke off.
    #[error("{0}")]
    BrokenOff(String),
    /// The hub is there and does not work now.
    #[error("the hub answered {status}{}", reason(*status))]
    Busy {
        /// Its answer.
        status: u16,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
    },
    /// Who asks may not have it.
    #[error("the hub answered {status}, access denied{}", said(message))]
    Denied {
        /// Its answer.
        status: u16,
        /// What it says about it, such as that terms have to be accepted.
        message: Option<String>,
    },
    /// There is no such thing.
    #[error("the hub answered 404, no such model, revision or file")]
    NotFound,
    /// An answer that the protocol does not have.
    #[error("{0}")]
    Protocol(String),
    /// The cache cannot be written.
    #[error("{0}")]
    Cache(#[from] crate::Error),
}

/// A repository's files at one commit.
#[derive(Debug)]
pub(super) struct Listing {
    /// The commit.
    pub(super) commit: String,
    /// Paths in the repository.
    pub(super) files: Vec<String>,
}

/// Who asks the hub.
#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    endpoint: String,
    token: Option<String>,
}

/// What a file is, before it is fetched.
struct Metadata {
    checksum: String,
    /// In bytes; a mirror may not say.
    size: Option<u64>,
}

#[derive(Deserialize)]
struct RepositoryInfo {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

impl Client {
    pub(super) fn new(settings: &HubSettings) -> Result<Self, Failure> {
        if settings.endpoint.starts_with("https:") && !ddpo_rewards::can_encrypt() {
            let reason = "encrypted connections need a processor with AES, PCLMULQDQ, BMI1, ADX and AVX2 instructions";
            return Err(Failure::Protocol(reason.to_owned()));
        }
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(Arc::new(rustls_graviola::default_provider()))
            .root_certs(root_certificates(settings)?)
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            // A file's content is with another host, which must not learn the token.
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .user_agent(concat!("ddpo/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(Duration::from_secs(20)))
            .timeout_recv_response(Some(settings.timeout))
            // A file of gigabytes takes as long as it takes, as long as something comes.
            .timeout_per_read(Some(settings.timeout))
            .build();
        Ok(Self { agent: config.into(), endpoint: settings.endpoint.clone(), token: settings.token.clone() })
    }

    /// The files of a model.
    pub(super) fn listing(&self, model: HubModel<'_>) -> Result<Listing, Failure> {
        let url = format!("{}/api/models/{}/revision/{}", self.endpoint, model.id, escape_revision(model.revision));
        let mut response = patiently(|| {
            let response = self.authorized(self.agent.get(&url)).call().map_err(unreachable)?;
            check_status(&response).map(|()| response)
        })?;
        let body = response.body_mut().with_config().limit(LARGEST_LISTING).read_to_vec().map_err(unreachable)?;
        let info: RepositoryInfo = serde_json::from_slice(&body)
            .map_err(|error| Failure::Protocol(format!("the list of files cannot be parsed: {error}")))?;
        if !is_name(&info.sha) {
            return Err(Failure::Protocol(format!("commit `{}` found, a checksum wanted", info.sha)));
        }
        Ok(Listing { commit: info.sha, files: info.siblings.into_iter().map(|file| file.rfilename).collect() })
    }

    /// Brings one file into the snapshot of `commit`, unless it is there. A part of it that is there is gone on from.
    pub(super) fn fetch(
        &self,
        model: HubModel<'_>,
        commit: &str,
        name: &str,
        cache: &Cache,
        on_event: &mut dyn FnMut(HubEvent<'_>),
    ) -> Result<(), Failure> {
        if cache.snapshot(commit).join(name).is_file() {
            return Ok(());
        }
        let url = format!("{}/{}/resolve/{commit}/{}", self.endpoint, model.id, escape(name));
        let metadata = patiently(|| self.metadata(&url))?;
        let blob = cache.blob(&metadata.checksum);
        if !blob.is_file() {
            let mut on_progress = |done, total| on_event(HubEvent::File { name, done, total });
            patiently(|| self.download(&url, &metadata, &blob, &mut on_progress))?;
        }
        Ok(cache.link(&blob, commit, name)?)
    }

    /// Checksum and size of a file, which the hub itself knows; where the content is, they may be missing.
    fn metadata(&self, url: &str) -> Result<Metadata, Failure> {
        let mut url = url.to_owned();
        for _ in 0..MOST_REDIRECTS {
            let request = self.authorized(self.agent.head(&url));
            let request = request.config().max_redirects(0).max_redirects_will_error(false).build();
            let response = request.call().map_err(unreachable)?;
            let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
            let is_redirect = response.status().is_redirection();
            // A repository that was renamed is elsewhere on the same host.
            let is_here = |location: &&str| is_redirect && location.starts_with('/') && !location.starts_with("//");
            if let Some(location) = header("location").filter(is_here) {
                url = format!("{}{location}", host(&self.endpoint));
                continue;
            }
            if !is_redirect {
                check_status(&response)?;
            }
            let checksum = header("x-linked-etag").or_else(|| header("etag")).map(unquote);
            // The length of a redirection is that of its own page.
            let length = header("content-length").filter(|_| !is_redirect);
            let size = header("x-linked-size").or(length).and_then(|size| size.parse().ok());
            return match checksum {
                Some(checksum) if is_name(checksum) => Ok(Metadata { checksum: checksum.to_owned(), size }),
                found => Err(Failure::Protocol(format!("checksum {found:?} found, the name of a file wanted"))),
            };
        }
        Err(Failure::Protocol(format!("more than {MOST_REDIRECTS} redirections found")))
    }

    /// Writes a content beside its place and renames it when it is whole.
    fn download(
        &self,
        url: &str,
        metadata: &Metadata,
        blob: &Path,
        on_progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<(), Failure> {
        create_parent(blob)?;
        let mut part = blob.as_os_str().to_owned();
        part.push(".incomplete");
        let part = Path::new(&part);
        let failed = |source| io("write", part, source);
        let mut file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(part).map_err(failed)?;
        // A second process waits here, and finds the work done.
        file.lock().map_err(failed)?;
        if blob.is_file() {
            return Ok(());
        }
        let here = file.seek(SeekFrom::End(0)).map_err(failed)?;
        // Of a content of unknown size nobody can say whether what is here is all of it.
        let start = metadata.size.filter(|size| here <= *size).map_or(0, |_| here);
        let size = match metadata.size {
            Some(size) if start == size && size > 0 => Some(size),
            size => self.append(url, &mut file, part, start, size, on_progress)?,
        };
        let found = file.metadata().map_err(failed)?.len();
        if size.is_some_and(|wanted| found != wanted) {
            let wanted = size.unwrap_or_default();
            let reason = format!("{found} bytes found, {wanted} wanted; the next attempt goes on from there");
            return Err(Failure::BrokenOff(reason));
        }
        file.sync_all().map_err(failed)?;
        fs::rename(part, blob).map_err(|source| io("rename", part, source))?;
        Ok(())
    }

    /// Writes the rest of a content from byte `start` on. Gives its whole size, where that was known or is told now.
    fn append(
        &self,
        url: &str,
        file: &mut File,
        part: &Path,
        start: u64,
        size: Option<u64>,
        on_progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<Option<u64>, Failure> {
        let failed = |source| io("write", part, source);
        let mut request = self.authorized(self.agent.get(url));
        if start > 0 {
            request = request.header("range", format!("bytes={start}-"));
        }
        let response = request.call().map_err(unreachable)?;
        if response.status().as_u16() == 416 && start > 0 {
            // What is here is of no use to this server.
            file.set_len(0).map_err(failed)?;
            return Err(Failure::BrokenOff("the hub answered 416, it has no such part".to_owned()));
        }
        check_status(&response)?;
        // A server that knows no ranges sends the whole.
        let mut done = if response.status().as_u16() == 206 { start } else { 0 };
        file.set_len(done).map_err(failed)?;
        file.seek(SeekFrom::Start(done)).map_err(failed)?;
        let length =
            response.headers().get("content-length").and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let size = size.or_else(|| Some(length? + done));
        let mut reader = response.into_body().into_reader();
        let mut buffer = vec![0; 1 << 18];
        loop {
            on_progress(done, size);
            let count = reader.read(&mut buffer).map_err(|error| Failure::BrokenOff(error.to_string()))?;
            if count == 0 {
                return Ok(size);
            }
            file.write_all(&buffer[..count]).map_err(failed)?;
            done += count as u64;
        }
    }

    fn authorized(
        &self,
        request: ureq::RequestBuilder<ureq::typestate::WithoutBody>,
    ) -> ureq::RequestBuilder<ureq::typestate::WithoutBody> {
        match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        }
    }
}

/// Whose word is taken for who a server is.
fn root_certificates(settings: &HubSettings) -> Result<RootCerts, Failure> {
    let Some(path) = settings.certificates.as_ref().filter(|_| settings.endpoint.starts_with("https:")) else {
        return Ok(RootCerts::WebPki);
    };
    let refuse = |reason: &dyn std::fmt::Display| {
        Failure::Protocol(format!("the trusted certificates `{}` cannot be read: {reason}", path.display()))
    };
    let pem = fs::read(path).map_err(|error| refuse(&error))?;
    let mut trusted = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| refuse(&error))? {
            trusted.push(certificate);
        }
    }
    match trusted.is_empty() {
        true => Err(refuse(&"no certificate found, at least one in PEM form wanted")),
        false => Ok(RootCerts::Specific(Arc::new(trusted))),
    }
}

/// What `attempt` gives, tried again for as long as the hub is busy or breaks off: after as many seconds as it asks for, else
/// after some that double.
fn patiently<T>(mut attempt: impl FnMut() -> Result<T, Failure>) -> Result<T, Failure> {
    for pause in PAUSES {
        let wait = match attempt() {
            Err(Failure::Busy { retry_after, .. }) => retry_after.unwrap_or(Duration::from_secs(pause)),
            // What broke off goes on from where it was, so nothing is asked for twice.
            Err(Failure::BrokenOff(_)) => Duration::ZERO,
            outcome => return outcome,
        };
        if wait > LONGEST_PAUSE {
            break;
        }
        std::thread::sleep(wait);
    }
    attempt()
}

fn check_status(response: &Response<Body>) -> Result<(), Failure> {
    match response.status().as_u16() {
        200..=299 => Ok(()),
        404 => Err(Failure::NotFound),
        status @ (401 | 403 | 451) => Err(Failure::Denied { status, message: error_message(response) }),
        status @ (408 | 429 | 500..) => Err(Failure::Busy { status, retry_after: retry_after(response) }),
        status => Err(Failure::Protocol(format!("the hub answered {status}"))),
    }
}

/// What the hub says of its own errors, on one line.
fn error_message(response: &Response<Body>) -> Option<String> {
    const LONGEST: usize = 300;
    let text = response.headers().get("x-error-message")?.to_str().ok()?;
    let text: String = text.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The message with what joins it to a sentence.
fn said(message: &Option<String>) -> String {
    message.as_ref().map(|message| format!(": {message}")).unwrap_or_default()
}

/// Scheme and host of an address, without its path.
fn host(address: &str) -> &str {
    let start = address.find("://").map_or(0, |at| at + 3);
    address[start..].find('/').map_or(address, |end| &address[..start + end])
}

/// The header of this name in its form of seconds; that of a date is left to the customary pause.
fn retry_after(response: &Response<Body>) -> Option<Duration> {
    let seconds = response.headers().get("retry-after")?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// What an answer means, where its number alone does not tell.
fn reason(status: u16) -> &'static str {
    if status == 429 { ", too many requests" } else { "" }
}

fn unreachable(error: ureq::Error) -> Failure {
    Failure::Unreachable(error.to_string())
}

/// `"abc"` and `W/"abc"` are the checksum abc.
fn unquote(etag: &str) -> &str {
    etag.trim_start_matches("W/").trim_matches('"')
}

/// A file's path inside of an address.
fn escape(path: &str) -> String {
    escape_except(path, "-_.~/")
}

/// A revision inside of an address, where a slash of its own would begin another part.
fn escape_revision(revision: &str) -> String {
    escape_except(revision, "-_.~")
}

/// Percent-encodes everything but letters, digits and `plain`.
fn escape_except(text: &str, plain: &str) -> String {
    let encode = |byte: u8| match char::from(byte) {
        c if c.is_ascii_alphanumeric() || plain.contains(c) => c.to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_escaped() {
        assert_eq!(escape("unet/a b+ü.json"), "unet/a%20b%2B%C3%BC.json");
        assert_eq!(escape_revision("refs/pr/1"), "refs%2Fpr%2F1");
    }

    #[test]
    fn a_host_is_an_address_without_its_path() {
        for (address, expected) in [
            ("https://hub.org", "https://hub.org"),
            ("http://127.0.0.1:80/api/hf", "http://127.0.0.1:80"),
            ("hub.org/hf", "hub.org"),
        ] {
            assert_eq!(host(address), expected);
        }
    }

    #[test]
    fn checksums_lose_their_quotes() {
        assert_eq!((unquote("\"abc\""), unquote("W/\"abc\""), unquote("abc")), ("abc", "abc", "abc"));
    }
}
