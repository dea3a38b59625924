//! The Hub on loopback: its protocol for looking into, fetching from and committing to a repository, with faults on
//! demand.
//!
//! Two ports: the Hub itself and the storage of large files, to which it redirects. Every request is noted.

mod base64;
pub mod pushes;

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha1::{Digest, Sha1};
use sha2::Sha256;

/// What goes wrong with one request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// A refusal, with these further headers.
    Status(u16, Vec<(&'static str, String)>),
    /// The connection is closed without an answer.
    Silence,
    /// The body ends after so many bytes.
    CutAfter(usize),
    /// A byte of the body is another.
    WrongByte,
    /// After so many bytes nothing comes for so long.
    Stall(usize, Duration),
    /// The body comes in so many pieces with a pause before each.
    Drip(usize, Duration),
    /// A range is not understood: everything comes.
    IgnoreRange,
    /// The address is another now.
    Moved(String),
    /// The connection is closed after so many bytes of what is sent.
    DeafAfter(usize),
    /// What is asked for is done, and the connection is closed without an answer.
    Lost,
    /// What is asked for is done, and the answer is a refusal.
    DoneBut(u16),
    /// Before what is asked for is done, somebody else commits this file.
    Overtaken(&'static str),
}

impl Fault {
    /// A refusal without further headers.
    pub fn status(status: u16) -> Self {
        Fault::Status(status, vec![])
    }

    /// A refusal with the Hub's own code for it.
    pub fn code(status: u16, code: &str) -> Self {
        Fault::Status(status, vec![("X-Error-Code", code.to_owned())])
    }
}

/// A request that came.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Method and path, as `GET /path`.
    pub line: String,
    /// Whether it came to the storage.
    pub storage: bool,
    /// The headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// What was sent along.
    pub body: Vec<u8>,
}

/// A repository at one commit.
#[derive(Debug, Clone)]
pub struct Repository {
    /// The commit, which every revision of it is.
    pub commit: String,
    /// The files.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Whether only its owners see it.
    pub private: bool,
}

#[derive(Default)]
struct State {
    pushes: Mutex<pushes::Pushes>,
    repositories: Mutex<BTreeMap<String, Repository>>,
    faults: Mutex<BTreeMap<String, VecDeque<Fault>>>,
    seen: Mutex<Vec<Seen>>,
    storage: Mutex<String>,
}

/// The server; it ends with the process.
pub struct Server {
    state: Arc<State>,
    /// Its address, for `HF_ENDPOINT`.
    pub endpoint: String,
}

impl Server {
    /// Starts to listen on two free ports.
    pub fn start() -> Self {
        let state = Arc::new(State::default());
        let endpoint = listen(&state, false);
        *state.storage.lock().unwrap() = listen(&state, true);
        Server { state, endpoint }
    }

    /// Holds a repository under `org/name`, or `datasets/org/name`.
    pub fn hold(&self, id: &str, commit: &str, files: BTreeMap<String, Vec<u8>>) {
        let repository = Repository { commit: commit.to_owned(), files, private: false };
        self.state.repositories.lock().unwrap().insert(id.to_owned(), repository);
    }

    /// Lets the next requests of this line (`GET /path`) fail, one after the other.
    pub fn fail(&self, line: &str, faults: impl IntoIterator<Item = Fault>) {
        self.state.faults.lock().unwrap().entry(line.to_owned()).or_default().extend(faults);
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    /// How many requests so far had this line.
    pub fn count(&self, line: &str) -> usize {
        self.seen().iter().filter(|seen| seen.line == line).count()
    }
}

/// SHA-256 of a content: the tag of a large file.
pub fn sha256(content: &[u8]) -> String {
    hex(&Sha256::digest(content))
}

/// The tag of a small file: that of a blob of git.
pub fn git_blob(content: &[u8]) -> String {
    let mut hash = Sha1::new();
    hash.update(format!("blob {}\0", content.len()));
    hash.update(content);
    hex(&hash.finalize())
}

/// Whether the Hub keeps a file in its large-file storage.
pub fn is_large(file: &str) -> bool {
    [".safetensors", ".bin", ".parquet"].iter().any(|end| file.ends_with(end))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn listen(state: &Arc<State>, storage: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let state = Arc::clone(state);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let state = Arc::clone(&state);
            // A client that goes away in the middle is part of the tests.
            std::thread::spawn(move || answer(&state, storage, stream).ok());
        }
    });
    address
}

fn answer(state: &State, storage: bool, mut stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next().unwrap_or("").to_owned(), words.next().unwrap_or("").to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        match header.trim_end().split_once(':') {
            Some((name, value)) => headers.insert(name.to_lowercase(), value.trim().to_owned()),
            None => break,
        };
    }
    let line = format!("{method} {path}");
    let fault = state.faults.lock().unwrap().get_mut(&line).and_then(VecDeque::pop_front);
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body =
        vec![0; if let Some(Fault::DeafAfter(count)) = fault { count.min(length) } else { length }];
    reader.read_exact(&mut body)?;
    let seen = Seen { line: line.clone(), storage, headers: headers.clone(), body };
    state.seen.lock().unwrap().push(seen.clone());
    if let Some(Fault::Overtaken(file)) = fault {
        pushes::overtake(state, file);
    }
    let range =
        headers.get("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let range = if matches!(fault, Some(Fault::IgnoreRange)) { None } else { range };
    let answer = match &fault {
        Some(Fault::Silence | Fault::DeafAfter(_)) => return Ok(()),
        Some(Fault::Status(status, headers)) => Answer::new(*status, headers.clone(), b"{}".to_vec()),
        Some(Fault::Moved(to)) => Answer::new(307, vec![("Location", to.clone())], vec![]),
        _ => pushes::answer(state, &seen)
            .unwrap_or_else(|| if storage { stored(state, &path) } else { hub(state, &path) }),
    };
    match fault {
        Some(Fault::Lost) => return Ok(()),
        Some(Fault::DoneBut(status)) => {
            return Answer::new(status, vec![], vec![]).send(&mut stream, false, None);
        }
        _ => {}
    }
    answer.from(range).send(&mut stream, method == "HEAD", fault)
}

struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn new(status: u16, headers: Vec<(&'static str, String)>, body: Vec<u8>) -> Self {
        Answer { status, headers, body }
    }

    fn not_found(code: &str) -> Self {
        Answer::new(404, vec![("X-Error-Code", code.to_owned())], vec![])
    }

    /// The part of the body that is asked for.
    fn from(mut self, range: Option<usize>) -> Self {
        if let (200, Some(from)) = (self.status, range) {
            let whole = self.body.len();
            if from >= whole {
                return Answer::new(416, vec![("Content-Range", format!("bytes */{whole}"))], vec![]);
            }
            self.headers.push(("Content-Range", format!("bytes {from}-{}/{whole}", whole - 1)));
            self.status = 206;
            self.body.drain(..from);
        }
        self
    }

    fn send(mut self, stream: &mut TcpStream, head: bool, fault: Option<Fault>) -> std::io::Result<()> {
        let mut text = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", self.status);
        text.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all((text + "\r\n").as_bytes())?;
        if head {
            return Ok(());
        }
        match fault {
            Some(Fault::CutAfter(count)) => stream.write_all(&self.body[..count.min(self.body.len())]),
            Some(Fault::WrongByte) => {
                let middle = self.body.len() / 2;
                self.body[middle] ^= 1;
                stream.write_all(&self.body)
            }
            Some(Fault::Stall(count, pause)) => {
                stream.write_all(&self.body[..count])?;
                stream.flush()?;
                std::thread::sleep(pause);
                stream.write_all(&self.body[count..])
            }
            Some(Fault::Drip(pieces, pause)) => {
                for piece in self.body.chunks(self.body.len().div_ceil(pieces).max(1)) {
                    std::thread::sleep(pause);
                    stream.write_all(piece)?;
                    stream.flush()?;
                }
                Ok(())
            }
            _ => stream.write_all(&self.body),
        }
    }
}

/// The Hub's answer to a path.
fn hub(state: &State, path: &str) -> Answer {
    let repositories = state.repositories.lock().unwrap();
    if let Some(rest) = path.strip_prefix("/api/") {
        let Some((id, revision)) = rest.split_once("/revision/") else { return Answer::not_found("Unknown") };
        let id = id.strip_prefix("models/").unwrap_or(id);
        let Some(held) = repositories.get(id) else { return Answer::not_found("RepoNotFound") };
        if revision == "absent" && !state.pushes.lock().unwrap().branches.contains(revision) {
            return Answer::not_found("RevisionNotFound");
        }
        let files: Vec<_> = held.files.keys().map(|name| serde_json::json!({ "rfilename": name })).collect();
        let text = serde_json::json!({
            "id": id, "sha": held.commit, "private": held.private, "siblings": files,
        });
        let text = text.to_string();
        return Answer::new(200, vec![("Content-Type", "application/json".to_owned())], text.into_bytes());
    }
    let Some((id, rest)) = path.trim_start_matches('/').split_once("/resolve/") else {
        return Answer::not_found("Unknown");
    };
    let Some(held) = repositories.get(id) else { return Answer::not_found("RepoNotFound") };
    let file = rest.split_once('/').map_or("", |(_, file)| file);
    let Some(content) = held.files.get(file) else { return Answer::not_found("EntryNotFound") };
    let mut headers = vec![("X-Repo-Commit", held.commit.clone())];
    if is_large(file) {
        let tag = sha256(content);
        headers.push(("X-Linked-Size", content.len().to_string()));
        headers.push(("Location", format!("{}/{tag}", state.storage.lock().unwrap())));
        headers.push(("X-Linked-Etag", format!("\"{tag}\"")));
        return Answer::new(302, headers, vec![]);
    }
    headers.push(("ETag", format!("\"{}\"", git_blob(content))));
    Answer::new(200, headers, content.clone())
}

/// The storage's answer: its own tag says nothing about the content, as at the Hub.
fn stored(state: &State, path: &str) -> Answer {
    let wanted = path.trim_start_matches('/');
    let repositories = state.repositories.lock().unwrap();
    let content = repositories.values().flat_map(|held| held.files.values()).find(|c| sha256(c) == wanted);
    match content {
        Some(content) => Answer::new(200, vec![("ETag", "\"storage\"".to_owned())], content.clone()),
        None => Answer::new(403, vec![], vec![]),
    }
}
