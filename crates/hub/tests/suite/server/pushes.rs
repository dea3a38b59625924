//! The Hub's protocol for uploads: account, repositories, branches, upload modes, large files, commits.
//!
//! Source: `huggingface_hub` 2.4.0 (`hf_api.py`, `_commit_api.py`, `lfs.py`); Git LFS, "Batch API". A check of Python's
//! own client against this server (`tests/parity/hub_push.py`) keeps it honest.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sha1::{Digest, Sha1};

use super::base64::decoded;
use super::{Answer, Repository, Seen, Server, State, git_blob, hex, sha256};

/// The token that may write.
pub const WRITER: &str = "hf_writer";
/// From this size on a content goes into large-file storage.
const LARGE: u64 = 10_000;

/// What the server knows of uploads.
pub struct Pushes {
    /// The answer to who the token's user is.
    account: Value,
    /// Contents of the storage, by their SHA-256.
    storage: BTreeMap<String, Vec<u8>>,
    /// The size of a part, where uploads are in parts.
    part: Option<usize>,
    /// Parts that came, by content and number.
    parts: BTreeMap<(String, usize), Vec<u8>>,
    /// How many uploads were begun: each has addresses of its own.
    begun: usize,
    /// Branches that were made.
    pub branches: BTreeSet<String>,
    /// What `.gitignore` keeps out.
    ignored: BTreeSet<String>,
    /// Whether repositories are made public, whatever is asked for.
    careless: bool,
}

impl Default for Pushes {
    fn default() -> Self {
        Pushes {
            account: json!({
                "type": "user", "name": "me", "orgs": [{ "name": "org" }],
                "auth": { "accessToken": { "role": "write" } },
            }),
            storage: BTreeMap::new(),
            part: None,
            parts: BTreeMap::new(),
            begun: 0,
            branches: BTreeSet::new(),
            ignored: BTreeSet::new(),
            careless: false,
        }
    }
}

impl Server {
    /// Sets who the token's user is.
    pub fn set_account(&self, account: Value) {
        self.state.pushes.lock().unwrap().account = account;
    }

    /// Lets large files come in parts of this size.
    pub fn set_parts(&self, size: usize) {
        self.state.pushes.lock().unwrap().part = Some(size);
    }

    /// Puts a content into the storage.
    pub fn store(&self, content: &[u8]) {
        self.state.pushes.lock().unwrap().storage.insert(sha256(content), content.to_vec());
    }

    /// Lets a `.gitignore` keep a file out.
    pub fn ignore(&self, file: &str) {
        self.state.pushes.lock().unwrap().ignored.insert(file.to_owned());
    }

    /// Makes new repositories public, whatever is asked for.
    pub fn be_careless(&self) {
        self.state.pushes.lock().unwrap().careless = true;
    }

    /// A repository as it is.
    pub fn held(&self, id: &str) -> Option<Repository> {
        self.state.repositories.lock().unwrap().get(id).cloned()
    }
}

/// Somebody else's commit to every repository.
pub(super) fn overtake(state: &State, file: &str) {
    for held in state.repositories.lock().unwrap().values_mut() {
        held.files.insert(file.to_owned(), b"theirs".to_vec());
        held.commit = next_commit(&held.commit, file.as_bytes());
    }
}

/// The answer to a request of an upload; `None` for other requests.
pub(super) fn answer(state: &State, seen: &Seen) -> Option<Answer> {
    let (method, path) = seen.line.split_once(' ')?;
    let is_put = method == "PUT";
    if seen.storage {
        return is_put.then(|| put(state, seen, path));
    }
    let rest = path.trim_start_matches('/');
    if method == "POST" && rest.starts_with("complete/") {
        return Some(complete(state, seen, rest));
    }
    let wanted = method == "POST" || rest == "api/whoami-v2";
    if !wanted {
        return None;
    }
    if seen.headers.get("authorization").map(String::as_str) != Some(&format!("Bearer {WRITER}")) {
        return Some(refusal(401, "Invalid credentials in Authorization header"));
    }
    if rest == "api/whoami-v2" {
        return Some(object(&state.pushes.lock().unwrap().account));
    }
    if rest == "api/validate-yaml" {
        return Some(object(&json!({ "errors": [], "warnings": [] })));
    }
    if let Some(id) = rest.strip_suffix(".git/info/lfs/objects/batch") {
        return Some(batch(state, seen, id));
    }
    if rest.starts_with("verify/") {
        return Some(verify(state, seen));
    }
    if rest == "api/repos/create" {
        return Some(create(state, seen));
    }
    let rest = rest.strip_prefix("api/models/")?;
    for (action, act) in
        [("/preupload/", preupload as fn(&State, &Seen, &str) -> Answer), ("/commit/", commit)]
    {
        if let Some((id, _)) = rest.split_once(action) {
            return Some(act(state, seen, id));
        }
    }
    let (_, branch) = rest.split_once("/branch/")?;
    let fresh = state.pushes.lock().unwrap().branches.insert(branch.to_owned());
    Some(if fresh { object(&json!({})) } else { refusal(409, "Reference already exists") })
}

fn object(value: &Value) -> Answer {
    Answer::new(200, vec![("Content-Type", "application/json".to_owned())], value.to_string().into_bytes())
}

fn refusal(status: u16, error: &str) -> Answer {
    Answer { status, ..object(&json!({ "error": error })) }
}

fn read(seen: &Seen) -> Value {
    serde_json::from_slice(&seen.body).unwrap_or(Value::Null)
}

fn create(state: &State, seen: &Seen) -> Answer {
    let asked = read(seen);
    let Some(name) = asked["name"].as_str() else { return refusal(400, "name: required") };
    let owner = asked["organization"].as_str().unwrap_or("me");
    if !["me", "org"].contains(&owner) {
        return refusal(403, "You don't have the rights to create a model under this namespace");
    }
    let id = format!("{owner}/{name}");
    let mut repositories = state.repositories.lock().unwrap();
    if repositories.contains_key(&id) {
        return refusal(409, "You already created this model repo");
    }
    let asked_private = asked["private"] == json!(true) || asked["visibility"] == json!("private");
    let private = asked_private && !state.pushes.lock().unwrap().careless;
    let files = BTreeMap::from([(".gitattributes".to_owned(), b"*.safetensors filter=lfs".to_vec())]);
    repositories.insert(id.clone(), Repository { commit: next_commit("", id.as_bytes()), files, private });
    object(&json!({ "url": format!("http://{}/{id}", seen.headers["host"]), "id": id }))
}

fn preupload(state: &State, seen: &Seen, id: &str) -> Answer {
    let repositories = state.repositories.lock().unwrap();
    let Some(held) = repositories.get(id) else { return Answer::not_found("RepoNotFound") };
    let pushes = state.pushes.lock().unwrap();
    let mut files = vec![];
    for file in read(seen)["files"].as_array().into_iter().flatten() {
        let (Some(path), Some(size)) = (file["path"].as_str(), file["size"].as_u64()) else {
            return refusal(400, "files: path and size are required");
        };
        let sample = file["sample"].as_str().and_then(decoded);
        if sample.is_none_or(|sample| sample.len() as u64 != size.min(512)) {
            return refusal(400, "files: the sample is the first 512 bytes");
        }
        let large = size >= LARGE || path.ends_with(".safetensors");
        let tag = |content: &Vec<u8>| if large { sha256(content) } else { git_blob(content) };
        files.push(json!({
            "path": path,
            "uploadMode": if large { "lfs" } else { "regular" },
            "shouldIgnore": pushes.ignored.contains(path),
            "oid": held.files.get(path).map(tag),
        }));
    }
    object(&json!({ "files": files }))
}

fn batch(state: &State, seen: &Seen, id: &str) -> Answer {
    let asked = read(seen);
    let is_lfs = |name: &str| seen.headers.get(name).is_some_and(|v| v == "application/vnd.git-lfs+json");
    if !is_lfs("accept") || !is_lfs("content-type") {
        return refusal(415, "not git-lfs");
    }
    if asked["operation"] != json!("upload") || asked["hash_algo"] != json!("sha256") {
        return refusal(422, "operation upload, hash_algo sha256");
    }
    if !state.repositories.lock().unwrap().contains_key(id) {
        return Answer::not_found("RepoNotFound");
    }
    let storage = state.storage.lock().unwrap().clone();
    let hub = format!("http://{}", seen.headers["host"]);
    let mut pushes = state.pushes.lock().unwrap();
    let mut objects = vec![];
    for wanted in asked["objects"].as_array().into_iter().flatten() {
        let (oid, size) =
            (wanted["oid"].as_str().unwrap_or(""), wanted["size"].as_u64().unwrap_or(0) as usize);
        if pushes.storage.contains_key(oid) {
            objects.push(json!({ "oid": oid, "size": size }));
            continue;
        }
        pushes.begun += 1;
        let signature = pushes.begun;
        let upload = match pushes.part {
            None => json!({
                "href": format!("{storage}/put/{oid}?signature={signature}"),
                "header": { "x-for-storage": "yes" },
            }),
            Some(part) => {
                let mut header =
                    serde_json::Map::from_iter([("chunk_size".to_owned(), json!(part.to_string()))]);
                for number in 1..=size.div_ceil(part) {
                    let address = format!("{storage}/part/{oid}/{number}?signature={signature}");
                    header.insert(number.to_string(), json!(address));
                }
                json!({ "href": format!("{hub}/complete/{oid}?signature={signature}"), "header": header })
            }
        };
        let verify = json!({ "href": format!("{hub}/verify/{oid}") });
        objects.push(json!({ "oid": oid, "size": size, "actions": { "upload": upload, "verify": verify } }));
    }
    let transfer = if pushes.part.is_some() { "multipart" } else { "basic" };
    object(&json!({ "transfer": transfer, "objects": objects }))
}

/// Bytes for the storage: as S3, it wants a length, and no second proof of who asks.
fn put(state: &State, seen: &Seen, path: &str) -> Answer {
    if seen.headers.contains_key("authorization") {
        return refusal(400, "Only one auth mechanism allowed");
    }
    if !seen.headers.contains_key("content-length") || seen.headers.contains_key("transfer-encoding") {
        return refusal(501, "A header you provided implies functionality that is not implemented");
    }
    let path = path.split('?').next().unwrap_or_default();
    let mut pushes = state.pushes.lock().unwrap();
    match path.trim_start_matches('/').split('/').collect::<Vec<_>>()[..] {
        ["put", oid] if sha256(&seen.body) == oid => {
            pushes.storage.insert(oid.to_owned(), seen.body.clone());
            Answer::new(200, vec![], vec![])
        }
        ["part", oid, number] => {
            let tag = format!("\"{}\"", git_blob(&seen.body));
            pushes.parts.insert((oid.to_owned(), number.parse().unwrap_or(0)), seen.body.clone());
            Answer::new(200, vec![("ETag", tag)], vec![])
        }
        _ => refusal(400, "The content is not what its name says"),
    }
}

fn complete(state: &State, seen: &Seen, rest: &str) -> Answer {
    let oid = rest.trim_start_matches("complete/").split('?').next().unwrap_or_default();
    let asked = read(seen);
    let mut pushes = state.pushes.lock().unwrap();
    let mut whole = vec![];
    for (at, part) in asked["parts"].as_array().into_iter().flatten().enumerate() {
        let content = pushes.parts.get(&(oid.to_owned(), at + 1));
        match content {
            Some(content)
                if part["partNumber"] == json!(at + 1)
                    && part["etag"] == json!(format!("\"{}\"", git_blob(content))) =>
            {
                whole.extend(content);
            }
            _ => return refusal(400, "One or more of the specified parts could not be found"),
        }
    }
    if asked["oid"] != json!(oid) || sha256(&whole) != oid {
        return refusal(400, "The content is not what its name says");
    }
    pushes.storage.insert(oid.to_owned(), whole);
    object(&json!({}))
}

fn verify(state: &State, seen: &Seen) -> Answer {
    let asked = read(seen);
    let pushes = state.pushes.lock().unwrap();
    let content = asked["oid"].as_str().and_then(|oid| pushes.storage.get(oid));
    match content {
        Some(content) if asked["size"] == json!(content.len()) => object(&json!({})),
        _ => refusal(404, "Object does not exist on the server"),
    }
}

fn commit(state: &State, seen: &Seen, id: &str) -> Answer {
    if seen.headers.get("content-type").map(String::as_str) != Some("application/x-ndjson") {
        return refusal(415, "not application/x-ndjson");
    }
    let mut repositories = state.repositories.lock().unwrap();
    let Some(held) = repositories.get_mut(id) else { return Answer::not_found("RepoNotFound") };
    let pushes = state.pushes.lock().unwrap();
    let text = String::from_utf8_lossy(&seen.body);
    let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or(Value::Null));
    let header = lines.next().unwrap_or(Value::Null);
    if header["key"] != json!("header") || header["value"]["summary"].as_str().is_none_or(str::is_empty) {
        return refusal(400, "the first line is the header, with a summary");
    }
    let parent = &header["value"]["parentCommit"];
    if !parent.is_null() && *parent != json!(held.commit) {
        return refusal(412, "A commit has happened since. Please refresh and try again.");
    }
    let mut files = held.files.clone();
    for line in lines {
        let (path, value) = (line["value"]["path"].as_str().unwrap_or("").to_owned(), &line["value"]);
        let content = match line["key"].as_str() {
            Some("file") if value["encoding"] == json!("base64") => {
                value["content"].as_str().and_then(decoded)
            }
            Some("lfsFile") if value["algo"] == json!("sha256") => {
                value["oid"].as_str().and_then(|oid| pushes.storage.get(oid)).cloned()
            }
            _ => None,
        };
        let Some(content) = content.filter(|_| !path.is_empty()) else {
            return refusal(400, "a line that is no file, or a content that the storage lacks");
        };
        if path == "README.md" && !card_is_valid(&String::from_utf8_lossy(&content)) {
            return refusal(400, "Invalid metadata in README.md: base_model must be ORG/NAME");
        }
        files.insert(path, content);
    }
    (held.commit, held.files) = (next_commit(&held.commit, &seen.body), files);
    object(&json!({
        "success": true,
        "commitOid": held.commit,
        "commitUrl": format!("http://{}/{id}/commit/{}", seen.headers["host"], held.commit),
        "hookOutput": "",
    }))
}

/// The Hub's rule for `base_model`: the name of a repository, and no path.
fn card_is_valid(card: &str) -> bool {
    let front = card.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---\n"));
    let Some((front, _)) = front else { return !card.starts_with("---") };
    let base = front.lines().find_map(|line| line.strip_prefix("base_model: "));
    base.is_none_or(|base| {
        let name = base.trim_matches(['"', '\'']);
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        !name.starts_with(['/', '.']) && name.split('/').count() <= 2 && name.chars().all(plain)
    })
}

fn next_commit(parent: &str, content: &[u8]) -> String {
    let mut hash = Sha1::new();
    hash.update(parent);
    hash.update(content);
    hex(&hash.finalize())
}
