//! Models of the hub: what is asked for and what is not, what is kept, what is refused. The hub is in this process.

mod common;
#[path = "common/hub_server.rs"]
mod hub_server;

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ddpo::device::DeviceName;
use ddpo::hub::{Hub, HubEvent, HubModel, HubSettings};
use ddpo::model::ModelSource;
use ddpo::{Error, Layers, LoadedModel, OpenOptions, Product, RunPlan};
use hub_server::{Behaviour, COMMIT, Connection, HubServer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

const MODEL: HubModel<'static> = HubModel { id: "org/tiny", revision: "main", variant: None, weights: true };

/// A model, a hub that has it, and a cache.
struct Place {
    directory: tempfile::TempDir,
    model: PathBuf,
    server: HubServer,
}

impl Place {
    fn new(behaviour: Behaviour) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let model = common::tiny_model(directory.path());
        std::fs::write(model.join("README.md"), "of no use here").unwrap();
        let server = HubServer::start(&model, behaviour);
        Self { directory, model, server }
    }

    fn settings(&self) -> HubSettings {
        let cache = self.directory.path().join("hub");
        let endpoint = self.server.endpoint.clone();
        let timeout = std::time::Duration::from_secs(10);
        HubSettings { endpoint, cache, token: None, offline: false, certificates: None, timeout }
    }

    fn hub(&self) -> Hub {
        Hub::new(self.settings())
    }
}

fn quiet(_: HubEvent<'_>) {}

#[track_caller]
fn same_files(a: &Path, b: &Path) {
    for name in ["model_index.json", "unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"] {
        assert!(std::fs::read(a.join(name)).unwrap() == std::fs::read(b.join(name)).unwrap(), "{name}");
    }
}

#[test]
fn only_what_a_pipeline_needs_is_fetched_and_only_once() {
    let place = Place::new(Behaviour::default());
    let (hub, mut seen) = (place.hub(), Vec::new());
    let snapshot = hub
        .fetch(MODEL, &mut |event| {
            if let HubEvent::File { name, done, total } = event {
                assert!(done <= total.unwrap());
                seen.push(name.to_owned());
            }
        })
        .unwrap();
    assert!(snapshot.ends_with(format!("models--org--tiny/snapshots/{COMMIT}")), "{}", snapshot.display());
    same_files(&snapshot, &place.model);
    seen.dedup();
    assert!(seen.contains(&"unet/diffusion_pytorch_model.safetensors".to_owned()), "{seen:?}");
    let requests = place.server.requests();
    assert!(!requests.iter().any(|request| ["README", ".ckpt", ".bin"].iter().any(|name| request.contains(name))));

    let again = hub.fetch(HubModel { revision: "v1", ..MODEL }, &mut quiet).unwrap();
    assert_eq!(again, snapshot);
    assert_eq!(place.server.requests(), ["GET /api/models/org/tiny/revision/v1"]);
    LoadedModel::open(&ModelSource::Directory(snapshot), DeviceName::Cpu).unwrap();
}

/// A one-file checkpoint has weights of its own.
#[test]
fn a_model_can_be_described_without_its_weights() {
    let place = Place::new(Behaviour::default());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ddpo-models/tests/fixtures/sd1_single.safetensors");
    let source = ModelSource::parse(path.to_str().unwrap(), None).unwrap().with_config(Some("org/tiny")).unwrap();
    let resolved = source.resolve(&place.hub(), None, &mut quiet).unwrap();
    let ModelSource::File { config: Some(config), .. } = &resolved else { panic!("{resolved:?}") };
    let ModelSource::Directory(snapshot) = &**config else { panic!("{config:?}") };
    assert!(snapshot.join("tokenizer/vocab.json").is_file() && snapshot.join("unet/config.json").is_file());
    assert!(!place.server.requests().iter().any(|request| request.contains(".safetensors")));
    // The snapshot is no model for that, and the weights come once they are asked for.
    assert!(place.hub().cached(MODEL).is_err());
    place.hub().fetch(MODEL, &mut quiet).unwrap();
    // The file is another model's than the description.
    assert!(LoadedModel::open(&resolved, DeviceName::Cpu).is_err());
}

#[test]
fn a_token_opens_what_is_closed_and_is_told_to_the_hub_alone() {
    let place = Place::new(Behaviour { token: Some("secret".into()), ..Behaviour::default() });
    let error = place.hub().fetch(MODEL, &mut quiet).unwrap_err();
    assert!(matches!(error, Error::Hub { denied: true, .. }), "{error}");
    assert_eq!(
        error.to_string(),
        "cannot get the list of files of `org/tiny` from the hub (there is no directory of this name): the hub answered 401, access denied"
    );
    let settings = HubSettings { token: Some("secret".into()), ..place.settings() };
    Hub::new(settings).fetch(MODEL, &mut quiet).unwrap();
    let requests = place.server.requests();
    let (content, rest): (Vec<_>, Vec<_>) = requests.iter().partition(|request| request.contains("/content/"));
    assert!(!content.is_empty() && content.iter().all(|request| !request.ends_with("+token")), "{content:?}");
    assert!(rest.iter().skip(1).all(|request| request.ends_with("+token")), "{rest:?}");
}

#[test]
fn without_the_hub_there_is_the_cache() {
    let place = Place::new(Behaviour::default());
    let offline = Hub::new(HubSettings { offline: true, ..place.settings() });
    let error = offline.fetch(MODEL, &mut quiet).unwrap_err();
    assert!(matches!(error, Error::HubCache { offline: true, .. }), "{error}");
    let snapshot = place.hub().fetch(MODEL, &mut quiet).unwrap();
    place.server.requests();
    assert_eq!(offline.fetch(MODEL, &mut quiet).unwrap(), snapshot);
    assert_eq!(offline.fetch(HubModel { revision: COMMIT, ..MODEL }, &mut quiet).unwrap(), snapshot);
    assert!(place.server.requests().is_empty());

    // A hub that does not answer is as good as none, and it is said.
    let away = Hub::new(HubSettings { endpoint: "http://127.0.0.1:1".into(), ..place.settings() });
    let mut said = 0;
    let found = away.fetch(MODEL, &mut |event| said += usize::from(matches!(event, HubEvent::FromCache { .. })));
    assert_eq!((found.unwrap(), said), (snapshot.clone(), 1));
    std::fs::remove_file(snapshot.join("unet/diffusion_pytorch_model.safetensors")).unwrap();
    let error = offline.fetch(MODEL, &mut quiet).unwrap_err().to_string();
    assert!(error.contains("has no file `unet/diffusion_pytorch_model.safetensors`"), "{error}");
}

/// The branch may go on while a run is away; the run's own weights are in the cache, and named by their commit.
#[test]
fn a_plan_is_pinned_to_the_commit_it_begins_with() {
    let place = Place::new(Behaviour::default());
    let plan = || {
        let mut layers = Layers::default();
        layers.push_value("--model", "model.path", "org/tiny@main").unwrap();
        RunPlan::new(layers.resolve().unwrap()).unwrap()
    };
    let mut unfetched = plan();
    unfetched.pin_model(&place.hub());
    assert_eq!(unfetched.config.model, plan().config.model);
    let snapshot = place.hub().fetch(MODEL, &mut quiet).unwrap();
    place.server.requests();
    assert_eq!(place.hub().fetch(HubModel { revision: COMMIT, ..MODEL }, &mut quiet).unwrap(), snapshot);
    assert!(place.server.requests().is_empty(), "a commit that is in the cache was asked for");
    let mut pinned = plan();
    pinned.pin_model(&place.hub());
    assert_eq!(pinned.model, ModelSource::Hub { id: "org/tiny".into(), revision: Some(COMMIT.into()) });
    let model = &pinned.config.model;
    assert_eq!((model.path.as_str(), model.revision.as_deref()), ("org/tiny", Some(COMMIT)));
}

/// A hub that says no, is busy or does not work says nothing of what has been there before.
#[test]
fn what_is_in_the_cache_is_used_when_the_hub_says_no() {
    let place = Place::new(Behaviour::default());
    let snapshot = place.hub().fetch(MODEL, &mut quiet).unwrap();
    for (status, words) in
        [("401 Unauthorized", "401"), ("403 Forbidden", "403"), ("404 Not Found", "404"), ("410 Gone", "410")]
    {
        let server = HubServer::start(&place.model, Behaviour { listing: Some(status), ..Behaviour::default() });
        let hub = |cache: &str| {
            let (endpoint, cache) = (server.endpoint.clone(), place.directory.path().join(cache));
            Hub::new(HubSettings { endpoint, cache, ..place.settings() })
        };
        let mut reasons = Vec::new();
        let found = hub("hub").fetch(MODEL, &mut |event| {
            if let HubEvent::FromCache { reason } = event {
                reasons.push(reason.to_owned());
            }
        });
        assert_eq!(found.unwrap(), snapshot);
        assert!(reasons.len() == 1 && reasons[0].contains(words), "{reasons:?}");
        let error = hub("empty").fetch(MODEL, &mut quiet).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_busy_hub_is_asked_again() {
    let file = "unet/config.json";
    let place = Place::new(Behaviour { busy: Some(file.into()), ..Behaviour::default() });
    let snapshot = place.hub().fetch(MODEL, &mut quiet).unwrap();
    same_files(&snapshot, &place.model);
    let asked =
        place.server.requests().iter().filter(|request| request.starts_with("HEAD") && request.ends_with(file)).count();
    assert_eq!(asked, 2);
}

#[test]
fn a_mirror_that_says_no_length_is_read_to_the_end() {
    let place = Place::new(Behaviour { no_length: true, ..Behaviour::default() });
    // What is left of an earlier attempt may be anything, since nobody knows how long the whole is.
    let blobs = place.directory.path().join("hub/models--org--tiny/blobs");
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::write(blobs.join("unet-diffusion_pytorch_model.safetensors.incomplete"), b"something else").unwrap();
    same_files(&place.hub().fetch(MODEL, &mut quiet).unwrap(), &place.model);
}

#[test]
fn a_download_that_broke_off_goes_on() {
    let file = "unet/diffusion_pytorch_model.safetensors";
    let place = Place::new(Behaviour { cut: Some((file.into(), 1000)), ..Behaviour::default() });
    let mut seen = Vec::new();
    let snapshot = place.hub().fetch(MODEL, &mut |event| {
        if let HubEvent::File { name, done, .. } = event
            && name == file
        {
            seen.push(done);
        }
    });
    same_files(&snapshot.unwrap(), &place.model);
    assert!(seen.is_sorted() && seen.iter().filter(|done| **done == 1000).count() == 2, "it began anew: {seen:?}");
    let content = format!("GET /content/{file}");
    assert_eq!(place.server.requests().iter().filter(|request| request.starts_with(&content)).count(), 2);
}

/// As from a mirror, which has the hub below a path of its own, of a repository that was renamed.
#[test]
fn a_redirection_is_from_the_root_of_the_host() {
    let place = Place::new(Behaviour { below: "/mirror/hf", moved: true, ..Behaviour::default() });
    same_files(&place.hub().fetch(MODEL, &mut quiet).unwrap(), &place.model);
    let requests = place.server.requests();
    assert!(requests.contains(&format!("HEAD /mirror/hf/new/tiny/resolve/{COMMIT}/unet/config.json")), "{requests:?}");
}

#[test]
fn a_part_that_the_hub_does_not_know_is_fetched_anew() {
    let file = "unet/diffusion_pytorch_model.safetensors";
    let (cut, unsatisfiable) = (Some((file.to_owned(), 1000)), Some(file.to_owned()));
    let place = Place::new(Behaviour { cut, unsatisfiable, ..Behaviour::default() });
    same_files(&place.hub().fetch(MODEL, &mut quiet).unwrap(), &place.model);
    let content = format!("GET /content/{file}");
    assert_eq!(place.server.requests().iter().filter(|request| request.starts_with(&content)).count(), 3);
}

#[test]
fn what_the_hub_says_of_a_closed_model_is_told() {
    let (listing, message) = (Some("403 Forbidden"), Some("Access to model org/tiny is restricted, accept its terms."));
    let place = Place::new(Behaviour { listing, message, ..Behaviour::default() });
    let error = place.hub().fetch(MODEL, &mut quiet).unwrap_err();
    assert!(matches!(error, Error::Hub { denied: true, .. }));
    let expected = "the hub answered 403, access denied: Access to model org/tiny is restricted, accept its terms.";
    assert!(error.to_string().ends_with(expected), "{error}");
}

#[test]
fn answers_that_lead_out_of_the_cache_are_refused() {
    for behaviour in [
        Behaviour { commit: Some("../../evil".into()), ..Behaviour::default() },
        Behaviour { checksum: Some("../../../evil".into()), ..Behaviour::default() },
    ] {
        let place = Place::new(behaviour);
        let error = place.hub().fetch(MODEL, &mut quiet).unwrap_err().to_string();
        assert!(error.contains("evil"), "{error}");
        let files = std::fs::read_dir(place.directory.path()).unwrap().count();
        assert!(files <= 2, "something was written beside the cache");
    }
}

#[test]
fn a_sharded_half_precision_model_is_fetched_whole() {
    let place = Place::new(Behaviour::default());
    let unet = place.model.join("unet");
    let plain = unet.join("diffusion_pytorch_model.safetensors");
    std::fs::rename(plain, unet.join("diffusion_pytorch_model-00001-of-00001.fp16.safetensors")).unwrap();
    let index = r#"{"weight_map": {"conv_in.weight": "diffusion_pytorch_model-00001-of-00001.fp16.safetensors"}}"#;
    std::fs::write(unet.join("diffusion_pytorch_model.safetensors.index.fp16.json"), index).unwrap();
    let snapshot = place.hub().fetch(HubModel { variant: Some("fp16"), ..MODEL }, &mut quiet).unwrap();
    let fp16 = OpenOptions { variant: Some("fp16"), ..DeviceName::Cpu.into() };
    LoadedModel::open(&ModelSource::Directory(snapshot), fp16).unwrap();
}

/// The server's side of TLS, with the committed certificate.
fn encrypt(stream: TcpStream) -> Box<dyn Connection> {
    let fixtures = tls_fixtures();
    let chain = CertificateDer::pem_file_iter(fixtures.join("server.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(fixtures.join("server.key")).unwrap();
    let provider = Arc::new(rustls_graviola::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(chain, key).unwrap();
    Box::new(StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), stream))
}

fn tls_fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls")
}

/// The server's certificate is of an authority that only the setting makes trusted; the content lies under another name of the
/// same server.
#[test]
fn a_model_comes_encrypted_from_a_trusted_server_only() {
    let place = Place::new(Behaviour { encrypt: Some(encrypt), ..Behaviour::default() });
    let fetch = |certificates: Option<PathBuf>| {
        Hub::new(HubSettings { certificates, ..place.settings() }).fetch(MODEL, &mut quiet)
    };
    let error = fetch(None).unwrap_err().to_string();
    let expected = "cannot get the list of files of `org/tiny` from the hub (there is no directory of this name): io: invalid peer certificate: UnknownIssuer";
    assert_eq!(error, expected);
    assert!(place.server.requests().is_empty(), "something was asked of a server that is not trusted");

    let fixtures = tls_fixtures();
    let error = fetch(Some(fixtures.join("server.key"))).unwrap_err().to_string();
    assert!(error.ends_with("no certificate found, at least one in PEM form wanted"), "{error}");
    let error = fetch(Some(fixtures.join("none.pem"))).unwrap_err().to_string();
    assert!(error.contains("none.pem` cannot be read"), "{error}");

    let snapshot = fetch(Some(fixtures.join("authority.pem"))).unwrap();
    same_files(&snapshot, &place.model);
    assert!(!place.server.requests().is_empty());
}

/// A repository of adapters: one file, or two of them.
fn adapters(names: &[&str]) -> (tempfile::TempDir, HubServer) {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("repository");
    for name in names.iter().chain(&["README.md"]) {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, name.as_bytes()).unwrap();
    }
    let server = HubServer::start(&root, Behaviour::default());
    (directory, server)
}

#[test]
fn an_adapter_is_fetched_with_its_settings_and_nothing_else() {
    let find = |names: &[&str], path: &str| {
        let (directory, server) = adapters(names);
        let cache = directory.path().join("hub");
        let (endpoint, timeout) = (server.endpoint.clone(), std::time::Duration::from_secs(10));
        let settings = HubSettings { endpoint, cache, token: None, offline: false, certificates: None, timeout };
        let found = Product::find_in(Path::new(path), &Hub::new(settings.clone()));
        // What is in the cache serves without the hub.
        let again = Product::find_in(Path::new(path), &Hub::new(HubSettings { offline: true, ..settings }));
        let shown = |found: ddpo::Result<Product>| match found {
            Ok(product) => {
                let text = product.to_string();
                text.split_once(COMMIT).unwrap().1.trim_start_matches('/').to_owned()
            }
            Err(error) => error.to_string(),
        };
        (shown(found), shown(again), server.requests())
    };
    let peft = ["adapter_model.safetensors", "adapter_config.json", "x.bin"];
    let (found, again, requests) = find(&peft, "org/tiny");
    assert_eq!((found.as_str(), again.as_str()), ("adapter_model.safetensors", "adapter_model.safetensors"));
    assert!(requests.iter().any(|request| request.contains("adapter_config.json")), "{requests:?}");
    assert!(!requests.iter().any(|request| request.contains("README") || request.contains("x.bin")), "{requests:?}");
    let two = ["a.safetensors", "b.safetensors"];
    assert!(find(&two, "org/tiny").0.contains("holds several adapters: a.safetensors, b.safetensors"));
    assert_eq!(find(&two, "org/tiny/b.safetensors").0, "b.safetensors");
    assert!(find(&two, "org/tiny/c.safetensors").0.contains("`org/tiny/c.safetensors` holds no adapter"));
    assert_eq!(find(&["unet/adapter_model.safetensors"], "org/tiny").0, "");
}
