//! The commit: all files in one request.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use base64::engine::general_purpose::STANDARD;
use base64::write::EncoderWriter;
use serde::Deserialize;
use serde_json::{Value, json};
use ureq::http::Method;

use super::Push;
use super::files::{FilePlan, Mode};
use crate::client::{Content, Piece, Receiver};
use crate::repository::is_commit;
use crate::{Error, Result};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    commit_oid: String,
    commit_url: Option<String>,
}

impl Push<'_> {
    /// One attempt to commit on top of `parent`; the commit and its page.
    ///
    /// The request is a line of JSON for each file, those of git with their content. It is written to a temporary file
    /// first, since a server may call a file of any size regular.
    pub fn commit(&self, plans: &[FilePlan<'_>], parent: &str, summary: &str) -> Result<(String, String)> {
        let folder = std::env::temp_dir();
        let unwritable = |source| Error::Write { path: folder.clone(), source };
        let request = tempfile::NamedTempFile::new().map_err(unwritable)?;
        let mut out = BufWriter::new(request.as_file());
        line(&mut out, &header(parent, summary)).map_err(unwritable)?;
        for plan in plans {
            match plan.mode {
                Mode::Regular => regular(&mut out, &plan.file.name, &plan.file.path, &folder)?,
                Mode::Large => line(&mut out, &large(plan)).map_err(unwritable)?,
            }
        }
        out.flush().map_err(unwritable)?;
        drop(out);
        let length = request.as_file().metadata().map_err(unwritable)?.len();
        let mut content = Content::Piece(Piece {
            path: request.path(),
            from: 0,
            length,
            stop: self.stop,
            sent: &mut |_| (),
        });
        let client = &self.hub.client;
        let headers = [("content-type", "application/x-ndjson")];
        let reply = client.send(Receiver::Hub, &Method::POST, &self.api("commit"), &headers, &mut content)?;
        if let status @ (409 | 412) = reply.status {
            return Err(Error::Moved { repository: self.to.to_string(), status });
        }
        let reply = reply.success()?;
        let answer: Answer = reply.json()?;
        if !is_commit(&answer.commit_oid) {
            let reason = format!("{:?} is no commit", answer.commit_oid);
            return Err(Error::Protocol { url: reply.url, reason });
        }
        let page = || client.url(&format!("{}/commit/{}", self.to.id, answer.commit_oid));
        let url = answer.commit_url.filter(|url| !url.chars().any(char::is_control)).unwrap_or_else(page);
        Ok((answer.commit_oid, url))
    }
}

fn header(parent: &str, summary: &str) -> Value {
    json!({ "key": "header", "value": { "summary": summary, "description": "", "parentCommit": parent } })
}

fn large(plan: &FilePlan<'_>) -> Value {
    let file = plan.file;
    json!({
        "key": "lfsFile",
        "value": { "path": file.name, "algo": "sha256", "oid": file.sha256, "size": file.size },
    })
}

fn line(out: &mut impl Write, value: &Value) -> std::io::Result<()> {
    writeln!(out, "{value}")
}

/// The line of a file with its content. Base64 needs no escapes in JSON.
fn regular(out: &mut impl Write, name: &str, path: &Path, folder: &Path) -> Result<()> {
    let unwritable = |source| Error::Write { path: folder.to_path_buf(), source };
    let unreadable = |source| Error::Read { path: path.to_path_buf(), source };
    let mut file = File::open(path).map_err(unreadable)?;
    write!(out, "{{\"key\":\"file\",\"value\":{{\"content\":\"").map_err(unwritable)?;
    let mut encoder = EncoderWriter::new(&mut *out, &STANDARD);
    std::io::copy(&mut file, &mut encoder).map_err(unreadable)?;
    encoder.finish().map_err(unwritable)?;
    drop(encoder);
    writeln!(out, "\",\"path\":{},\"encoding\":\"base64\"}}}}", json!(name)).map_err(unwritable)
}
