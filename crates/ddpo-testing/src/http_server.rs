//! A web server of a test's own, good or bad.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// A request that the server has read.
#[derive(Clone, Debug, Default)]
pub struct HttpRequest {
    /// Its number, from 0.
    pub number: usize,
    /// The first line: method, path, version.
    pub line: String,
    /// The headers, in lower case, a line each.
    pub headers: Vec<String>,
    /// The body.
    pub body: String,
}

/// What the server does about a request.
#[derive(Clone, Debug)]
pub enum HttpReply {
    /// It answers with this status, headers and body.
    Answer(u16, Vec<String>, String),
    /// The same after a while.
    Late(Duration, String),
    /// It begins to answer and closes the connection.
    BreakOff(String),
    /// It closes the connection at once.
    Close,
    /// It says nothing for as long as it lives.
    Hang,
}

impl HttpReply {
    /// A good answer.
    pub fn ok(body: impl Into<String>) -> Self {
        Self::Answer(200, Vec::new(), body.into())
    }
}

/// A server on this machine, which ends when it is dropped.
pub struct HttpServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    answer: Box<dyn Fn(&HttpRequest) -> HttpReply + Send + Sync>,
    /// How many requests are read.
    reads: usize,
    requests: Mutex<Vec<HttpRequest>>,
    accepted: AtomicUsize,
    is_over: AtomicBool,
}

impl HttpServer {
    /// A server that does what `answer` says.
    ///
    /// # Panics
    /// Where the system gives no port.
    pub fn start(answer: impl Fn(&HttpRequest) -> HttpReply + Send + Sync + 'static) -> Self {
        Self::new(Box::new(answer), usize::MAX)
    }

    /// A server that accepts connections and reads nothing.
    ///
    /// # Panics
    /// Where the system gives no port.
    pub fn deaf() -> Self {
        Self::deaf_after(0, |_| HttpReply::Hang)
    }

    /// A server that reads no more than `reads` requests.
    ///
    /// # Panics
    /// Where the system gives no port.
    pub fn deaf_after(reads: usize, answer: impl Fn(&HttpRequest) -> HttpReply + Send + Sync + 'static) -> Self {
        Self::new(Box::new(answer), reads)
    }

    fn new(answer: Box<dyn Fn(&HttpRequest) -> HttpReply + Send + Sync>, reads: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("the port");
        let shared = Arc::new(Shared {
            answer,
            reads,
            requests: Mutex::default(),
            accepted: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        });
        let serving = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serving.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let shared = serving.clone();
                // A client that has gone away is no failure of the test.
                thread::spawn(move || drop(shared.serve(stream)));
            }
        });
        Self { address, shared }
    }

    /// Where a path of it is.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The requests that were read, in their order.
    pub fn requests(&self) -> Vec<HttpRequest> {
        self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for a connection.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let number = self.accepted.fetch_add(1, Ordering::Relaxed);
        if number >= self.reads {
            self.hang();
            return Ok(());
        }
        let request = read_request(&stream, number)?;
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
        match (self.answer)(&request) {
            HttpReply::Answer(status, headers, body) => respond(&mut stream, status, &headers, &body, body.len()),
            HttpReply::Late(time, body) => {
                thread::sleep(time);
                respond(&mut stream, 200, &[], &body, body.len())
            }
            HttpReply::BreakOff(body) => respond(&mut stream, 200, &[], &body, body.len() + 100),
            HttpReply::Close => Ok(()),
            HttpReply::Hang => {
                self.hang();
                Ok(())
            }
        }
    }

    fn hang(&self) {
        while !self.is_over.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn read_request(stream: &TcpStream, number: usize) -> std::io::Result<HttpRequest> {
    let mut reader = BufReader::new(stream);
    let mut request = HttpRequest { number, ..HttpRequest::default() };
    reader.read_line(&mut request.line)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        request.headers.push(format!("{}: {}", name.to_lowercase(), value.trim()));
    }
    let length = request.headers.iter().find_map(|header| header.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    request.body = String::from_utf8_lossy(&body).into_owned();
    Ok(request)
}

fn respond(stream: &mut TcpStream, status: u16, headers: &[String], body: &str, length: usize) -> std::io::Result<()> {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let head = format!("HTTP/1.1 {status} Said\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    stream.flush()
}
