//! Requests that carry something, and their answers.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::de::DeserializeOwned;
use ureq::SendBody;
use ureq::http::{HeaderMap, Method, Request, header};

use super::{Client, REDIRECTIONS, joined, pause, same_origin, text};
use crate::{Error, Result};

/// The most that is read of an answer to something sent.
const LONGEST_REPLY: u64 = 16 << 20;
/// The most that is shown of a refusal's text.
const SHOWN: usize = 500;

/// No headers but those that every request has.
pub const NO_HEADERS: &[(&str, &str)] = &[];

/// Who gets a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receiver {
    /// The Hub: the token goes along where the address is of its origin.
    Hub,
    /// A storage, by an address that is signed for a while: it never sees the token, and a refusal means that the
    /// signature has run out.
    Storage,
}

/// What a request carries.
pub enum Content<'a> {
    /// Nothing.
    Nothing,
    /// Bytes in memory.
    Bytes(&'a [u8]),
    /// Bytes of a file, read while they are sent.
    Piece(Piece<'a>),
}

/// A stretch of a file.
pub struct Piece<'a> {
    /// The file.
    pub path: &'a Path,
    /// Its first byte.
    pub from: u64,
    /// Its length.
    pub length: u64,
    /// Ends the sending when it is raised.
    pub stop: &'a AtomicBool,
    /// Takes how many bytes of the piece are out.
    pub sent: &'a mut dyn FnMut(u64),
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// Where the request went, without what a signature adds to it.
    pub url: String,
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its text, as far as it is UTF-8.
    pub text: String,
    receiver: Receiver,
    /// Where the token came from.
    token: String,
}

impl Client {
    /// Whether there is a token.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// An address at the Hub.
    pub fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.endpoint)
    }

    /// One request, and its repetition where the Hub says that the place is another now (307, 308). An answer of any
    /// status is an answer: see [`Reply::success`].
    pub fn send(
        &self,
        receiver: Receiver,
        method: &Method,
        url: &str,
        headers: &[(impl AsRef<str>, impl AsRef<str>)],
        content: &mut Content<'_>,
    ) -> Result<Reply> {
        let mut at = url.to_owned();
        let protocol = |reason: String| Error::Protocol { url: shown(url), reason };
        for _ in 0..REDIRECTIONS {
            if !at.starts_with("https://") && self.endpoint.starts_with("https://") {
                return Err(protocol(format!("sent from https to {}", shown(&at))));
            }
            let mut request =
                Request::builder().method(method).uri(&at).header(header::ACCEPT_ENCODING, "identity");
            // What a server gives along with an address of its own wins.
            let signed = headers.iter().any(|(name, _)| name.as_ref().eq_ignore_ascii_case("authorization"));
            let own = receiver == Receiver::Hub && !signed && same_origin(&at, &self.endpoint);
            if let Some(token) = self.token.as_ref().filter(|_| own) {
                request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
            }
            for (name, value) in headers {
                request = request.header(name.as_ref(), value.as_ref());
            }
            let answer = match content {
                Content::Nothing => {
                    let request = request.body(()).map_err(|error| protocol(error.to_string()))?;
                    self.uploads.run(request).map_err(|error| self.unsent(&at, 0, error))?
                }
                Content::Bytes(bytes) => {
                    let request = request.body(*bytes).map_err(|error| protocol(error.to_string()))?;
                    self.uploads.run(request).map_err(|error| self.unsent(&at, bytes.len() as u64, error))?
                }
                Content::Piece(piece) => {
                    let mut reading = Reading::of(piece)?;
                    // A storage takes no body of an unknown length.
                    let request = request.header(header::CONTENT_LENGTH, reading.left);
                    let request = request
                        .body(SendBody::from_reader(&mut reading))
                        .map_err(|error| protocol(error.to_string()))?;
                    let answer = self.uploads.run(request);
                    if let Some(error) = reading.failure.take() {
                        return Err(error);
                    }
                    answer.map_err(|error| self.unsent(&at, reading.sent, error))?
                }
            };
            if matches!(answer.status().as_u16(), 307 | 308) {
                let location = text(answer.headers(), "location");
                let location = location.ok_or_else(|| protocol("a redirection to nowhere".to_owned()))?;
                at = joined(&at, location);
                continue;
            }
            let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
            let mut bytes = vec![];
            let mut body = answer.into_body().into_reader().take(LONGEST_REPLY);
            body.read_to_end(&mut bytes)
                .map_err(|error| self.broken(&shown(&at), bytes.len() as u64, &error))?;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let token = self.token_source.clone();
            return Ok(Reply { url: shown(&at), status, headers, text, receiver, token });
        }
        Err(protocol(format!("more than {REDIRECTIONS} redirections")))
    }

    /// The error of a request that got no answer, after so many bytes of its content.
    fn unsent(&self, url: &str, sent: u64, error: ureq::Error) -> Error {
        match error {
            ureq::Error::Io(error)
                if matches!(
                    error.kind(),
                    ErrorKind::UnexpectedEof
                        | ErrorKind::ConnectionReset
                        | ErrorKind::ConnectionAborted
                        | ErrorKind::BrokenPipe
                ) =>
            {
                Error::Broken { url: shown(url), sent, reason: error.to_string() }
            }
            ureq::Error::Timeout(ureq::Timeout::RecvResponse) => {
                Error::Timeout { url: shown(url), after: self.download_timeout * super::STORING }
            }
            ureq::Error::Timeout(_) => Error::Timeout { url: shown(url), after: self.download_timeout },
            error => self.failed(&shown(url), error),
        }
    }
}

impl Reply {
    /// The same, if it is one of success.
    ///
    /// # Errors
    /// What else it says.
    pub fn success(self) -> Result<Self> {
        let (url, retry_after) = (self.url.clone(), pause(&self.headers));
        let code = text(&self.headers, "x-error-code");
        Err(match (self.status, self.receiver) {
            (200..=299, _) => return Ok(self),
            // Asking the Hub again gives an address with a new signature.
            (status @ (401 | 403 | 408 | 500..=599), Receiver::Storage) => {
                Error::Server { url, status, retry_after }
            }
            (429, _) => Error::RateLimited { url, retry_after },
            (status @ (408 | 500..=599), _) => Error::Server { url, status, retry_after },
            (401, _) if code != Some("RepoNotFound") => Error::Token { from: self.token, url },
            (403, _) => Error::Forbidden { url, message: self.message() },
            (status, _) => Error::Refused { url, status, message: self.message() },
        })
    }

    /// What it holds.
    ///
    /// # Errors
    /// [`Error::Protocol`] for something else.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(&self.text)
            .map_err(|error| Error::Protocol { url: self.url.clone(), reason: error.to_string() })
    }

    /// What the server says about a refusal: a header, the field `error` of an object, or a short text.
    pub fn message(&self) -> String {
        let header = text(&self.headers, "x-error-message").map(str::to_owned);
        let said = header.unwrap_or_else(|| match serde_json::from_str::<serde_json::Value>(&self.text) {
            Ok(answer) => match &answer["error"] {
                serde_json::Value::String(error) => error.clone(),
                serde_json::Value::Null => answer["message"].as_str().unwrap_or_default().to_owned(),
                error => error.to_string(),
            },
            Err(_) => self.text.clone(),
        });
        let line = said.split_whitespace().collect::<Vec<_>>().join(" ");
        line.chars().filter(|c| !c.is_control()).take(SHOWN).collect()
    }
}

/// An address as it may be shown: what follows the path can be a signature, which is as good as a key for a while.
fn shown(url: &str) -> String {
    url.split(['?', '#']).next().unwrap_or(url).to_owned()
}

/// A piece that is being read.
struct Reading<'a, 'b> {
    file: File,
    path: PathBuf,
    left: u64,
    sent: u64,
    stop: &'b AtomicBool,
    tell: &'a mut (dyn FnMut(u64) + 'b),
    /// Why the reading ended early: not the network's fault.
    failure: Option<Error>,
}

impl<'a, 'b> Reading<'a, 'b> {
    fn of(piece: &'a mut Piece<'b>) -> Result<Self> {
        let unreadable = |source| Error::Read { path: piece.path.to_path_buf(), source };
        let mut file = File::open(piece.path).map_err(unreadable)?;
        file.seek(SeekFrom::Start(piece.from)).map_err(unreadable)?;
        (piece.sent)(0);
        Ok(Reading {
            file,
            path: piece.path.to_path_buf(),
            left: piece.length,
            sent: 0,
            stop: piece.stop,
            tell: &mut *piece.sent,
            failure: None,
        })
    }

    /// Ends the sending for a reason that is noted here; what `ureq` makes of it does not matter.
    fn fail(&mut self, error: Error) -> std::io::Error {
        let short = std::io::Error::other(error.to_string());
        self.failure = Some(error);
        short
    }
}

impl Read for Reading<'_, '_> {
    fn read(&mut self, block: &mut [u8]) -> std::io::Result<usize> {
        if self.stop.load(Ordering::SeqCst) {
            return Err(self.fail(Error::Stopped));
        }
        let most = block.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        loop {
            let source = match self.file.read(&mut block[..most]) {
                Ok(0) if most > 0 => std::io::Error::from(ErrorKind::UnexpectedEof),
                Ok(count) => {
                    self.left -= count as u64;
                    self.sent += count as u64;
                    (self.tell)(self.sent);
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            let path = self.path.clone();
            return Err(self.fail(Error::Read { path, source }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_not_shown() {
        assert_eq!(shown("https://s3/a/b?X-Amz-Signature=abc#d"), "https://s3/a/b");
        assert_eq!(shown("https://s3/a/b"), "https://s3/a/b");
    }

    #[test]
    fn a_refusals_text_is_found_wherever_it_is() {
        let message = |header: Option<&'static str>, body: &str| {
            let mut headers = HeaderMap::new();
            if let Some(text) = header {
                headers.insert("x-error-message", text.parse().unwrap());
            }
            let (url, token) = (String::new(), String::new());
            Reply { url, status: 400, headers, text: body.to_owned(), receiver: Receiver::Hub, token }
                .message()
        };
        assert_eq!(message(Some("no"), "{\"error\": \"other\"}"), "no");
        assert_eq!(message(None, "{\"error\": \"bad\\ncard\"}"), "bad card");
        assert_eq!(message(None, "{\"message\": \"why\"}"), "why");
        assert_eq!(message(None, "<Error> \u{1b}[1m </Error>"), "<Error> [1m </Error>");
    }
}
