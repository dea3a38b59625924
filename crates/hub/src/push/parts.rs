//! A content in parts, as the Hub has it for what is too large for one request.
//!
//! The header of the upload names the size of a part, and under `1`, `2`, … the signed address of each. What the storage
//! answers to a part is its tag; all tags together, sent to the upload's own address, make the content whole.

use serde_json::json;
use ureq::http::Method;

use super::Push;
use super::files::LocalFile;
use super::storage::{Action, LFS};
use crate::client::{Content, NO_HEADERS, Piece, Receiver};
use crate::{Error, Event, Result, Watch};

/// The parts of a content, and the tags of those that are there.
pub struct Parts {
    size: u64,
    addresses: Vec<String>,
    tags: Vec<String>,
}

impl Parts {
    /// As the upload's header has them.
    pub fn new(upload: &Action, size: &str, length: u64) -> Result<Self> {
        let protocol = |reason: String| Error::Protocol { url: upload.href.clone(), reason };
        let size: u64 = match size.parse() {
            Ok(size) if size > 0 => size,
            _ => return Err(protocol(format!("parts of {size:?} bytes"))),
        };
        let count = length.div_ceil(size);
        let addresses: Vec<String> =
            (1..=count).map_while(|number| upload.field(&number.to_string())).collect();
        if addresses.len() as u64 != count || upload.field(&(count + 1).to_string()).is_some() {
            let found = addresses.len();
            return Err(protocol(format!("{length} bytes are {count} parts of {size}, not {found}")));
        }
        Ok(Parts { size, addresses, tags: vec![] })
    }

    /// Whether all are there, so that they need only be put together.
    pub fn are_sent(&self) -> bool {
        self.tags.len() == self.addresses.len()
    }

    /// How many are there.
    pub fn done(&self) -> usize {
        self.tags.len()
    }
}

impl Push<'_> {
    /// Sends the parts that are missing, one after the other, and has them put together.
    pub fn store_parts(
        &self,
        file: &LocalFile,
        upload: &Action,
        parts: &mut Parts,
        watch: Watch<'_>,
    ) -> Result<()> {
        let client = &self.hub.client;
        while let Some(address) = parts.addresses.get(parts.tags.len()) {
            let from = parts.tags.len() as u64 * parts.size;
            let mut sent = |bytes| watch(Event::Sent { bytes: from + bytes });
            let mut content = Content::Piece(Piece {
                path: &file.path,
                from,
                length: parts.size.min(file.size - from),
                stop: self.stop,
                sent: &mut sent,
            });
            let reply =
                client.send(Receiver::Storage, &Method::PUT, address, NO_HEADERS, &mut content)?.success()?;
            let tag =
                reply.headers.get("etag").and_then(|tag| tag.to_str().ok()).filter(|tag| !tag.is_empty());
            let tag = tag.ok_or_else(|| Error::Protocol {
                url: reply.url.clone(),
                reason: format!("no ETag for part {}", parts.tags.len() + 1),
            })?;
            parts.tags.push(tag.to_owned());
        }
        let tags = parts.tags.iter().enumerate();
        let tags: Vec<_> = tags.map(|(at, tag)| json!({ "partNumber": at + 1, "etag": tag })).collect();
        let body = json!({ "oid": file.sha256, "parts": tags }).to_string();
        let headers = [("accept", LFS), ("content-type", LFS)];
        let mut content = Content::Bytes(body.as_bytes());
        client.send(Receiver::Storage, &Method::POST, &upload.href, &headers, &mut content)?.success()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(header: serde_json::Value, length: u64) -> Result<usize> {
        let upload =
            serde_json::from_value(json!({ "href": "https://hub/complete", "header": header })).unwrap();
        let upload: Action = upload;
        let size = upload.field("chunk_size").unwrap();
        Parts::new(&upload, &size, length).map(|parts| parts.addresses.len())
    }

    #[test]
    fn the_parts_are_as_many_as_the_length_needs() {
        let two = json!({ "chunk_size": "10", "1": "a", "2": "b" });
        assert_eq!(parts(two.clone(), 20).unwrap(), 2);
        assert_eq!(parts(two.clone(), 11).unwrap(), 2);
        assert!(parts(two.clone(), 10).is_err() && parts(two, 21).is_err());
        assert_eq!(parts(json!({ "chunk_size": 10, "1": "a" }), 3).unwrap(), 1);
        assert!(parts(json!({ "chunk_size": "0", "1": "a" }), 3).is_err());
        assert!(parts(json!({ "chunk_size": "10", "01": "a" }), 3).is_err());
    }
}
