//! A server in this process that speaks as much of the hub's protocol as a download needs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// The commit of the only model.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// How the server behaves.
#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    /// The token without which nothing is given.
    pub token: Option<String>,
    /// Breaks the first download of this file off after so many bytes.
    pub cut: Option<(String, usize)>,
    /// The status of every listing, instead of one.
    pub listing: Option<&'static str>,
    /// Answers the first question for this file with 429, and asks for no patience.
    pub busy: Option<String>,
    /// Says no length of anything.
    pub no_length: bool,
    /// The commit it tells.
    pub commit: Option<String>,
    /// The checksum it tells of every file.
    pub checksum: Option<String>,
    /// What it says of an error.
    pub message: Option<&'static str>,
    /// The path below which everything is, as on a mirror.
    pub below: &'static str,
    /// Whether the repository is now `new/tiny`, which is told of every file.
    pub moved: bool,
    /// Answers the first question for a part of this file with 416.
    pub unsatisfiable: Option<String>,
    /// What encrypts a connection; without it the server speaks plain HTTP.
    pub encrypt: Option<fn(TcpStream) -> Box<dyn Connection>>,
}

/// A connection with a client, encrypted or not.
pub trait Connection: Read + Write {}

impl<T: Read + Write> Connection for T {}

/// The model `org/tiny` from a directory.
pub struct HubServer {
    /// Its address, as `HF_ENDPOINT` has it.
    pub endpoint: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl HubServer {
    pub fn start(root: &Path, behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let scheme = if behaviour.encrypt.is_some() { "https" } else { "http" };
        let service = Arc::new(Service {
            root: root.to_owned(),
            scheme,
            port,
            requests: requests.clone(),
            cut: Mutex::new(behaviour.cut.clone()),
            busy: Mutex::new(behaviour.busy.clone()),
            unsatisfiable: Mutex::new(behaviour.unsatisfiable.clone()),
            behaviour,
        });
        let below = service.behaviour.below;
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let service = service.clone();
                std::thread::spawn(move || match service.behaviour.encrypt {
                    None => service.answer(stream),
                    Some(encrypt) => service.answer(encrypt(stream)),
                });
            }
        });
        Self { endpoint: format!("{scheme}://127.0.0.1:{port}{below}"), requests }
    }

    /// The requests so far, as `METHOD path`, a `+token` behind those that told one.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }
}

struct Service {
    root: PathBuf,
    scheme: &'static str,
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
    cut: Mutex<Option<(String, usize)>>,
    busy: Mutex<Option<String>>,
    unsatisfiable: Mutex<Option<String>>,
    behaviour: Behaviour,
}

/// What a client asked for.
struct Request {
    method: String,
    path: String,
    token: Option<String>,
    start: Option<usize>,
}

impl Request {
    fn read(stream: impl Read) -> Option<Self> {
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        let first = lines.next()?;
        let mut words = first.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut request = Self { method, path, token: None, start: None };
        for line in lines.take_while(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ").unwrap_or((&line, ""));
            match name.to_ascii_lowercase().as_str() {
                "authorization" => request.token = value.strip_prefix("Bearer ").map(str::to_owned),
                "range" => request.start = value.strip_prefix("bytes=")?.trim_end_matches('-').parse().ok(),
                _ => {}
            }
        }
        Some(request)
    }
}

impl Service {
    fn answer(&self, mut stream: impl Read + Write) {
        let Some(request) = Request::read(&mut stream) else { return };
        let told = if request.token.is_some() { "+token" } else { "" };
        self.requests.lock().unwrap().push(format!("{} {}{told}", request.method, request.path));
        let (mut head, body) = self.response(&request);
        if self.behaviour.no_length {
            let lengths = |line: &&str| !line.starts_with("content-length") && !line.starts_with("x-linked-size");
            head = head.split("\r\n").filter(lengths).collect::<Vec<_>>().join("\r\n");
        }
        let body = if request.method == "HEAD" { &[] } else { body.as_slice() };
        // A client that has heard enough may be gone.
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).and_then(|()| stream.flush());
    }

    fn response(&self, request: &Request) -> (String, Vec<u8>) {
        let content = request.path.strip_prefix("/content/");
        let Some(path) = request.path.strip_prefix(self.behaviour.below).or(content) else {
            return plain("404 Not Found", b"{}");
        };
        let allowed = self.behaviour.token.is_none() || self.behaviour.token == request.token || content.is_some();
        if !allowed {
            return plain("401 Unauthorized", b"{}");
        }
        let commit = self.behaviour.commit.as_deref().unwrap_or(COMMIT);
        if path.starts_with("/api/models/org/tiny/revision/") {
            if let Some(status) = self.behaviour.listing {
                let (head, body) = plain(status, b"{}");
                let message = self.behaviour.message.map(|text| format!("x-error-message: {text}\r\n"));
                return (head.replacen("\r\n", &format!("\r\n{}", message.unwrap_or_default()), 1), body);
            }
            return plain("200 OK", listing(&self.root, commit).as_bytes());
        }
        if let Some(name) = content {
            return self.content(request, name);
        }
        if self.busy.lock().unwrap().take_if(|file| request.path.ends_with(file.as_str())).is_some() {
            return (
                "HTTP/1.1 429 Too Many Requests\r\nretry-after: 0\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                    .into(),
                Vec::new(),
            );
        }
        let repository = if self.behaviour.moved { "/new/tiny" } else { "/org/tiny" };
        if let Some(rest) = path.strip_prefix("/org/tiny").filter(|_| self.behaviour.moved) {
            let location = format!("location: {}{repository}{rest}", self.behaviour.below);
            let head = format!("HTTP/1.1 308 Permanent Redirect\r\n{location}\r\ncontent-length: 0\r\n");
            return (head + "connection: close\r\n\r\n", Vec::new());
        }
        match path.strip_prefix(&format!("{repository}/resolve/{commit}/")) {
            Some(name) if self.root.join(name).is_file() => self.resolve(request, name, commit),
            _ => plain("404 Not Found", b"{}"),
        }
    }

    /// Large files are elsewhere: the hub tells their checksum and size, and where.
    fn resolve(&self, request: &Request, name: &str, commit: &str) -> (String, Vec<u8>) {
        let body = std::fs::read(self.root.join(name)).unwrap();
        let checksum = self.behaviour.checksum.clone().unwrap_or_else(|| name.replace('/', "-"));
        if !name.ends_with(".safetensors") {
            let (head, body) = plain("200 OK", &body);
            let head = head.trim_end_matches("\r\n").to_owned();
            return (format!("{head}\r\netag: \"{checksum}\"\r\nx-repo-commit: {commit}\r\n\r\n"), body);
        }
        assert!(request.start.is_none() || request.method == "GET");
        let head = format!(
            "HTTP/1.1 302 Found\r\nlocation: {}://localhost:{}/content/{name}\r\nx-linked-etag: \"{checksum}\"\r\n\
             x-linked-size: {}\r\nx-repo-commit: {commit}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            self.scheme,
            self.port,
            body.len()
        );
        (head, Vec::new())
    }

    fn content(&self, request: &Request, name: &str) -> (String, Vec<u8>) {
        let body = std::fs::read(self.root.join(name)).unwrap();
        let (start, total) = (request.start.unwrap_or(0), body.len());
        if self.unsatisfiable.lock().unwrap().take_if(|file| file == name && start > 0).is_some() {
            return plain("416 Range Not Satisfiable", b"");
        }
        let status = if request.start.is_some() { "206 Partial Content" } else { "200 OK" };
        let mut rest = body[start..].to_vec();
        let range = format!("content-range: bytes {start}-{}/{total}\r\n", total - 1);
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\n{}connection: close\r\n\r\n",
            rest.len(),
            if request.start.is_some() { range.as_str() } else { "" }
        );
        let mut cut = self.cut.lock().unwrap();
        if let Some((_, at)) = cut.take_if(|(file, _)| file == name) {
            rest.truncate(at);
        }
        (head, rest)
    }
}

fn plain(status: &str, body: &[u8]) -> (String, Vec<u8>) {
    (format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len()), body.to_vec())
}

/// The files of the model, and some that no pipeline needs.
fn listing(root: &Path, commit: &str) -> String {
    let mut names =
        vec!["README.md".to_owned(), "model.ckpt".to_owned(), "unet/diffusion_pytorch_model.bin".to_owned()];
    for folder in std::fs::read_dir(root).unwrap().map(Result::unwrap) {
        let name = folder.file_name().into_string().unwrap();
        if !folder.path().is_dir() {
            names.push(name);
            continue;
        }
        let files =
            std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        names.extend(files.map(|file| format!("{name}/{file}")));
    }
    let siblings: Vec<serde_json::Value> = names.iter().map(|name| serde_json::json!({ "rfilename": name })).collect();
    serde_json::json!({ "sha": commit, "siblings": siblings, "private": false }).to_string()
}
