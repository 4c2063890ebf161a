//! A hub on 127.0.0.1 that misbehaves on demand. Made of std alone; the binary can be pointed at it
//! with `HF_ENDPOINT`.
//!
//! It has two ports, so two origins: the hub itself (API and `resolve`, which redirects large files) and
//! the content network that serves their bytes.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// What goes wrong with an answer.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Answers with this status and these headers.
    Status(u16, Vec<(&'static str, String)>),
    /// States the whole length and closes after so many bytes of the body.
    DropAfter(usize),
    /// Serves the first bytes only, and states just their length.
    OnlyFirst(usize),
    /// Serves more than there is.
    TooMany(usize),
    /// Serves other bytes of the right length.
    WrongBytes,
    /// Serves the whole, whatever range is asked for.
    IgnoreRange,
    /// Keeps the ranges but ignores `If-Range` and sends this ETag.
    OtherEtag(&'static str),
    /// Sends a byte of the body at a time, with pauses.
    Trickle(Duration),
    /// Accepts the request and never answers.
    Silence,
    /// Answers with this text.
    Text(&'static str),
    /// Sends so many bytes of the body, then stands still.
    StallAfter(usize),
    /// Leaves sizes and hashes out of the API's answer.
    Bare,
}

/// A file of the repository.
#[derive(Clone)]
pub struct ServedFile {
    pub name: String,
    pub content: Vec<u8>,
    /// Stored by sha256 and redirected to the content network.
    pub large: bool,
}

impl ServedFile {
    pub fn etag(&self) -> String {
        if self.large {
            return hex(&Sha256::digest(&self.content));
        }
        let mut git = Sha1::new();
        git.update(format!("blob {}\0", self.content.len()));
        git.update(&self.content);
        hex(&git.finalize())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// A request as it came in.
#[derive(Clone, Debug)]
pub struct Request {
    /// `api`, `resolve` or `cdn`.
    pub route: String,
    pub method: String,
    pub path: String,
    pub headers: HashMap<String, String>,
}

#[derive(Default)]
struct State {
    repo: String,
    commit: String,
    files: Vec<ServedFile>,
    once: HashMap<String, Vec<Fault>>,
    always: HashMap<String, Fault>,
    log: Vec<Request>,
    cdn: String,
}

/// The running server.
pub struct HubServer {
    state: Arc<Mutex<State>>,
    endpoint: String,
}

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

impl HubServer {
    /// Serves one repository of `(name, content)`; names ending in .gguf or .safetensors are large.
    pub fn start(repo: &str, files: &[(&str, Vec<u8>)]) -> Self {
        let state = Arc::new(Mutex::new(State {
            repo: repo.to_string(),
            commit: COMMIT.to_string(),
            ..State::default()
        }));
        let listen = || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            let state = Arc::clone(&state);
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let state = Arc::clone(&state);
                    std::thread::spawn(move || serve(stream, &state));
                }
            });
            url
        };
        let endpoint = listen();
        let cdn = listen();
        state.lock().unwrap().cdn = cdn;
        let server = Self { state, endpoint };
        server.set_files(COMMIT, files);
        server
    }

    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// A new commit.
    pub fn set_files(&self, commit: &str, files: &[(&str, Vec<u8>)]) {
        let mut state = self.state.lock().unwrap();
        state.commit = commit.to_string();
        state.files = files
            .iter()
            .map(|(name, content)| ServedFile {
                name: name.to_string(),
                content: content.clone(),
                large: name.ends_with(".gguf") || name.ends_with(".safetensors"),
            })
            .collect();
    }

    pub fn etag(&self, name: &str) -> String {
        let state = self.state.lock().unwrap();
        state.files.iter().find(|f| f.name == name).unwrap().etag()
    }

    /// The next request on `route` (`api`, `resolve`, `cdn`) goes wrong; several queue up.
    pub fn fail_once(&self, route: &str, fault: Fault) {
        let mut state = self.state.lock().unwrap();
        state.once.entry(route.into()).or_default().push(fault);
    }

    /// Every request on `route` goes wrong, or none any more.
    pub fn fail_always(&self, route: &str, fault: Option<Fault>) {
        let mut state = self.state.lock().unwrap();
        match fault {
            Some(fault) => state.always.insert(route.into(), fault),
            None => state.always.remove(route),
        };
    }

    /// Requests so far.
    pub fn log(&self) -> Vec<Request> {
        self.state.lock().unwrap().log.clone()
    }

    /// Requests so far on one route.
    pub fn requests(&self, route: &str) -> Vec<Request> {
        self.log()
            .into_iter()
            .filter(|r| r.route == route)
            .collect()
    }
}

fn read_request(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_string(), words.next()?.to_string());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim().split_once(':') {
            Some((name, value)) => {
                headers.insert(name.to_ascii_lowercase(), value.trim().to_string())
            }
            None => break,
        };
    }
    let route = if path.starts_with("/api/") {
        "api"
    } else if path.starts_with("/cdn/") {
        "cdn"
    } else {
        "resolve"
    };
    Some(Request {
        route: route.into(),
        method,
        path,
        headers,
    })
}

/// One answer a connection.
fn serve(mut stream: TcpStream, state: &Mutex<State>) {
    let Some(request) = read_request(&stream) else {
        return;
    };
    let (fault, answer) = {
        let mut state = state.lock().unwrap();
        state.log.push(request.clone());
        let queued = state.once.get_mut(&request.route);
        let fault = queued
            .filter(|q| !q.is_empty())
            .map(|q| q.remove(0))
            .or_else(|| state.always.get(&request.route).cloned());
        let answer = answer(&state, &request, fault.as_ref());
        (fault, answer)
    };
    // The other side may have gone; that is what some tests are about.
    let _ = send(&mut stream, &request, answer, fault);
}

struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

fn plain(status: u16, body: &str) -> Answer {
    Answer {
        status,
        headers: Vec::new(),
        body: body.as_bytes().to_vec(),
    }
}

fn answer(state: &State, request: &Request, fault: Option<&Fault>) -> Answer {
    match fault {
        Some(Fault::Status(code, headers)) => {
            return Answer {
                status: *code,
                headers: headers.clone(),
                body: b"no".to_vec(),
            }
        }
        Some(Fault::Text(text)) => return plain(200, text),
        _ => {}
    }
    let path = request.path.split('?').next().unwrap_or_default();
    match request.route.as_str() {
        "api" => api(state, path, matches!(fault, Some(Fault::Bare))),
        "cdn" => {
            let etag = path.trim_start_matches("/cdn/");
            match state.files.iter().find(|f| f.etag() == etag) {
                Some(file) => content(file, request, fault),
                None => plain(404, "no such blob"),
            }
        }
        _ => resolve(state, path, request, fault),
    }
}

fn api(state: &State, path: &str, bare: bool) -> Answer {
    let expected = [
        format!("/api/models/{}/revision/main", state.repo),
        format!("/api/models/{}/revision/{}", state.repo, state.commit),
    ];
    if !expected.iter().any(|e| e == path) {
        return plain(404, r#"{"error":"Repository not found"}"#);
    }
    let siblings: Vec<serde_json::Value> = state
        .files
        .iter()
        .map(|f| {
            if bare {
                return serde_json::json!({"rfilename": f.name});
            }
            let size = f.content.len();
            match f.large {
                true => {
                    serde_json::json!({"rfilename": f.name, "size": size, "blobId": "0".repeat(40),
                    "lfs": {"sha256": f.etag(), "size": size, "pointerSize": 134}})
                }
                false => serde_json::json!({"rfilename": f.name, "size": size, "blobId": f.etag()}),
            }
        })
        .collect();
    let text = serde_json::json!({"id": state.repo, "sha": state.commit, "siblings": siblings});
    plain(200, &text.to_string())
}

fn resolve(state: &State, path: &str, request: &Request, fault: Option<&Fault>) -> Answer {
    let prefix = format!("/{}/resolve/{}/", state.repo, state.commit);
    let name = path.strip_prefix(&prefix);
    let Some(file) = state.files.iter().find(|f| Some(f.name.as_str()) == name) else {
        return plain(404, "Entry not found");
    };
    let mut answer = if file.large {
        Answer {
            status: 302,
            headers: vec![
                ("Location", format!("{}/cdn/{}", state.cdn, file.etag())),
                ("X-Linked-Etag", format!("\"{}\"", file.etag())),
                ("X-Linked-Size", file.content.len().to_string()),
            ],
            body: b"redirecting".to_vec(),
        }
    } else {
        content(file, request, fault)
    };
    answer.headers.push(("X-Repo-Commit", state.commit.clone()));
    answer
}

/// A file's bytes, or the asked part of them.
fn content(file: &ServedFile, request: &Request, fault: Option<&Fault>) -> Answer {
    let whole = &file.content;
    let mut etag = match file.large {
        true => format!("\"cdn-{}\"", &file.etag()[..16]),
        false => format!("\"{}\"", file.etag()),
    };
    let mut guard = request.headers.get("if-range").is_none_or(|g| *g == etag);
    if let Some(Fault::OtherEtag(other)) = fault {
        etag = other.to_string();
        guard = true;
    }
    let start = request
        .headers
        .get("range")
        .and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok())
        .filter(|_| guard && !matches!(fault, Some(Fault::IgnoreRange)));
    let mut headers = vec![("ETag", etag), ("Accept-Ranges", "bytes".into())];
    match start {
        Some(start) if start >= whole.len() => {
            headers.push(("Content-Range", format!("bytes */{}", whole.len())));
            Answer {
                status: 416,
                headers,
                body: Vec::new(),
            }
        }
        Some(start) => {
            let range = format!("bytes {start}-{}/{}", whole.len() - 1, whole.len());
            headers.push(("Content-Range", range));
            Answer {
                status: 206,
                headers,
                body: whole[start..].to_vec(),
            }
        }
        None => Answer {
            status: 200,
            headers,
            body: whole.clone(),
        },
    }
}

fn send(
    stream: &mut TcpStream,
    request: &Request,
    mut answer: Answer,
    fault: Option<Fault>,
) -> std::io::Result<()> {
    let is_content = answer.status == 200 || answer.status == 206;
    let fault = fault.filter(|_| is_content);
    match &fault {
        Some(Fault::Silence) => {
            std::thread::sleep(Duration::from_secs(20));
            return Ok(());
        }
        Some(Fault::TooMany(extra)) => answer.body.extend(vec![b'x'; *extra]),
        Some(Fault::OnlyFirst(n)) => answer.body.truncate(*n),
        Some(Fault::WrongBytes) => answer.body.iter_mut().for_each(|b| *b ^= 0x55),
        _ => {}
    }
    let mut head = format!("HTTP/1.1 {} X\r\nConnection: close\r\n", answer.status);
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", answer.body.len()));
    stream.write_all(head.as_bytes())?;
    if request.method == "HEAD" {
        return Ok(());
    }
    let body = &answer.body;
    match fault {
        Some(Fault::DropAfter(n)) => stream.write_all(&body[..n.min(body.len())])?,
        Some(Fault::StallAfter(n)) => {
            stream.write_all(&body[..n.min(body.len())])?;
            stream.flush()?;
            std::thread::sleep(Duration::from_secs(20));
        }
        Some(Fault::Trickle(pause)) => {
            for byte in body {
                stream.write_all(&[*byte])?;
                stream.flush()?;
                std::thread::sleep(pause);
            }
        }
        _ => stream.write_all(body)?,
    }
    stream.flush()
}
