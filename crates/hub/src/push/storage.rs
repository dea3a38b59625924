//! A content into large-file storage.
//!
//! Each content has a question of its own about where it goes, asked when its bytes are about to be sent: the answer's
//! addresses are signed for a while only.
//!
//! Source: Git LFS, "Batch API", "Basic Transfers"; `huggingface_hub/lfs.py` for its transfer in parts.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use ureq::http::Method;

use super::Push;
use super::files::LocalFile;
use super::parts::Parts;
use crate::client::{Content, Piece, Receiver};
use crate::{Error, Event, Result, Watch};

/// The type of what is said to a large-file storage.
pub const LFS: &str = "application/vnd.git-lfs+json";

#[derive(Deserialize)]
struct Answer {
    objects: Vec<Object>,
}

#[derive(Deserialize)]
struct Object {
    oid: String,
    error: Option<Refusal>,
    actions: Option<Actions>,
}

#[derive(Deserialize)]
struct Refusal {
    code: u16,
    #[serde(default)]
    message: String,
}

/// What is to be done with a content that the storage lacks.
#[derive(Deserialize)]
pub struct Actions {
    pub upload: Option<Action>,
    pub verify: Option<Action>,
}

/// A request of the storage's.
#[derive(Deserialize)]
pub struct Action {
    pub href: String,
    #[serde(default)]
    pub header: Option<BTreeMap<String, Value>>,
}

impl Action {
    /// A field of the header as text.
    pub fn field(&self, name: &str) -> Option<String> {
        self.header.as_ref()?.get(name).map(as_text)
    }

    /// The header, with `more` where it says nothing else. The length is the content's own.
    fn headers(&self, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let said = |name: &str| self.header.iter().flatten().any(|(n, _)| n.eq_ignore_ascii_case(name));
        let fields = self.header.iter().flatten().map(|(name, value)| (name.clone(), as_text(value)));
        let more = more.iter().filter(|(name, _)| !said(name));
        fields
            .filter(|(name, _)| !name.eq_ignore_ascii_case("content-length"))
            .chain(more.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
            .collect()
    }
}

fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// How far a content is.
#[derive(Default)]
struct State {
    actions: Option<Actions>,
    parts: Option<Parts>,
}

impl Push<'_> {
    /// Brings a file's content into the storage, unless it is there.
    pub fn store(&self, file: &LocalFile, watch: Watch<'_>) -> Result<()> {
        watch(Event::File { name: &file.name, bytes: Some(file.size) });
        let mut state = State::default();
        let (mut failures, mut furthest) = (0, 0);
        while let Err(error) = self.attempt(file, &mut state, watch) {
            if !error.is_transient() {
                return Err(error);
            }
            let reached = state.parts.as_ref().map_or(0, Parts::done);
            // Parts that are there stay there, unless the storage's signature has run out.
            let expired = matches!(error, Error::Server { status: 401 | 403, .. });
            if reached == 0 || expired {
                state = State::default();
            }
            // An attempt that got further than any before speaks for the connection.
            failures = if reached > furthest { 1 } else { failures + 1 };
            furthest = furthest.max(reached);
            self.hub.client.patience.wait_until(self.stop, failures, error, watch)?;
        }
        Ok(())
    }

    /// One attempt: the question where it goes, the content, and the question whether it is there.
    fn attempt(&self, file: &LocalFile, state: &mut State, watch: Watch<'_>) -> Result<()> {
        // What failed last may have been the answer to the last step.
        let is_sent = state.parts.as_ref().is_some_and(Parts::are_sent);
        if state.actions.is_none() || is_sent {
            let actions = self.batch(file)?;
            if !is_sent || actions.is_none() {
                state.actions = actions;
            }
        }
        let Some(Actions { upload: Some(upload), verify }) = &state.actions else {
            // The storage has it.
            return Ok(());
        };
        match upload.field("chunk_size") {
            Some(size) => {
                if state.parts.is_none() {
                    state.parts = Some(Parts::new(upload, &size, file.size)?);
                }
                if let Some(parts) = &mut state.parts {
                    self.store_parts(file, upload, parts, watch)?;
                }
            }
            None => self.put(file, upload, watch)?,
        }
        if let Some(verify) = verify {
            let body = json!({ "oid": file.sha256, "size": file.size }).to_string();
            let mut content = Content::Bytes(body.as_bytes());
            let headers = verify.headers(&[("accept", LFS), ("content-type", LFS)]);
            let client = &self.hub.client;
            client.send(Receiver::Hub, &Method::POST, &verify.href, &headers, &mut content)?.success()?;
        }
        Ok(())
    }

    /// Asks where a content goes; nowhere, if the storage has it.
    fn batch(&self, file: &LocalFile) -> Result<Option<Actions>> {
        let body = json!({
            "operation": "upload",
            "transfers": ["basic", "multipart"],
            "objects": [{ "oid": file.sha256, "size": file.size }],
            "hash_algo": "sha256",
            "ref": { "name": self.to.revision },
        });
        let client = &self.hub.client;
        let url = client.url(&format!("{}.git/info/lfs/objects/batch", self.to.id));
        let headers = [("accept", LFS), ("content-type", LFS)];
        let body = body.to_string();
        let mut content = Content::Bytes(body.as_bytes());
        let reply = client.send(Receiver::Hub, &Method::POST, &url, &headers, &mut content)?.success()?;
        let answer: Answer = reply.json()?;
        let object = answer.objects.into_iter().find(|object| object.oid == file.sha256);
        let object = object.ok_or_else(|| Error::Protocol {
            url: reply.url.clone(),
            reason: format!("nothing about {}", file.sha256),
        })?;
        match object.error {
            Some(Refusal { code: status @ (429 | 500..=599), .. }) => {
                Err(Error::Server { url: reply.url, status, retry_after: None })
            }
            Some(Refusal { code, message }) => {
                let message = format!("{}: {message}", file.name);
                Err(Error::Refused { url: reply.url, status: code, message })
            }
            None => Ok(object.actions),
        }
    }

    /// Sends a content as a whole.
    fn put(&self, file: &LocalFile, upload: &Action, watch: Watch<'_>) -> Result<()> {
        let headers = upload.headers(&[]);
        let mut sent = |bytes| watch(Event::Sent { bytes });
        let mut content = Content::Piece(Piece {
            path: &file.path,
            from: 0,
            length: file.size,
            stop: self.stop,
            sent: &mut sent,
        });
        let client = &self.hub.client;
        client.send(Receiver::Storage, &Method::PUT, &upload.href, &headers, &mut content)?.success()?;
        Ok(())
    }
}
