//! Requests to the Hub and its answers, one at a time; repeating them is for others.

mod send;

use std::io::Read;
use std::time::Duration;

use ureq::Agent;
use ureq::http::{HeaderMap, Method, Request, Response, header};

use crate::repository::{Repository, is_commit};
use crate::{Environment, Error, Patience, Result};

pub use send::{Content, NO_HEADERS, Piece, Receiver, Reply};

/// How far redirections are followed.
const REDIRECTIONS: usize = 10;
/// The most that an answer about a repository may be long.
const LONGEST_ANSWER: u64 = 256 << 20;
/// How much longer than for a file's next piece an answer to what was sent may take: the server stores it first.
const STORING: u32 = 6;

/// The Hub's address, with what every request carries.
pub struct Client {
    /// For questions about files.
    questions: Agent,
    /// For files themselves.
    transfers: Agent,
    /// For what is sent.
    uploads: Agent,
    endpoint: String,
    token: Option<String>,
    /// Where the token comes from, for messages.
    token_source: String,
    etag_timeout: Duration,
    download_timeout: Duration,
    /// How long failures are put up with.
    pub patience: Patience,
}

/// What the Hub says about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Where it is asked for.
    pub url: String,
    /// Its entity tag: the name of its blob.
    pub etag: String,
    /// Its size, where the Hub tells.
    pub size: Option<u64>,
}

/// A body that is being read.
pub struct Transfer {
    /// The first byte that comes: 0 when the server does not go on where we stopped.
    pub from: u64,
    /// The bytes.
    pub body: Box<dyn Read>,
}

impl Client {
    pub fn new(environment: &Environment, patience: Patience) -> Result<Self> {
        let agent = |timeout: Duration, answer: Duration| {
            // Redirections are followed here: the first answer has the headers that count, and the token must not
            // go to another host.
            Agent::new_with_config(
                Agent::config_builder()
                    .http_status_as_error(false)
                    .max_redirects(0)
                    .max_redirects_will_error(false)
                    .user_agent(concat!("xexp/", env!("CARGO_PKG_VERSION")))
                    .timeout_resolve(Some(timeout))
                    .timeout_connect(Some(timeout))
                    .timeout_send_request(Some(timeout))
                    .timeout_recv_response(Some(answer))
                    // A whole body may take hours; what must not take long is its next piece.
                    .timeout_per_read(Some(answer))
                    .timeout_per_write(Some(timeout))
                    .build(),
            )
        };
        Ok(Client {
            questions: agent(environment.etag_timeout, environment.etag_timeout),
            transfers: agent(environment.download_timeout, environment.download_timeout),
            uploads: agent(environment.download_timeout, environment.download_timeout * STORING),
            endpoint: environment.endpoint.clone(),
            token: environment.token.secret()?,
            token_source: environment.token.to_string(),
            etag_timeout: environment.etag_timeout,
            download_timeout: environment.download_timeout,
            patience,
        })
    }

    /// The Hub's answer about a revision, as text, and where it was asked.
    pub fn about(&self, repository: &Repository) -> Result<(String, String)> {
        let url = format!("{}/{}", self.endpoint, repository.api_path());
        let answer = self.follow(&self.questions, &Method::GET, &url, None, |_| false)?;
        if answer.status().as_u16() != 200 {
            return Err(self.refusal(&answer, &url, repository, None));
        }
        let mut text = String::new();
        let mut body = answer.into_body().into_reader().take(LONGEST_ANSWER);
        match body.read_to_string(&mut text) {
            Ok(_) => Ok((url, text)),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                Err(Error::Protocol { url, reason: "not UTF-8".to_owned() })
            }
            Err(error) => Err(broken(&url, text.len() as u64, &error, self.etag_timeout)),
        }
    }

    /// What the Hub says about a file of a commit.
    pub fn head(&self, repository: &Repository, file: &str) -> Result<Remote> {
        let url = format!("{}/{}", self.endpoint, repository.file_path(file));
        let protocol = |reason: &str| Error::Protocol { url: url.clone(), reason: reason.to_owned() };
        // A file in large-file storage is a redirection whose headers say what the storage itself does not.
        let linked = |headers: &HeaderMap| headers.contains_key("x-linked-etag");
        let answer = self.follow(&self.questions, &Method::HEAD, &url, None, linked)?;
        let headers = answer.headers();
        if answer.status().as_u16() != 200 && !linked(headers) {
            return Err(self.refusal(&answer, &url, repository, Some(file)));
        }
        if let Some(commit) = text(headers, "x-repo-commit")
            && is_commit(commit)
            && repository.is_commit()
            && !commit.eq_ignore_ascii_case(&repository.revision)
        {
            return Err(protocol(&format!("asked for commit {}, got {commit}", repository.revision)));
        }
        let etag = text(headers, "x-linked-etag").or_else(|| text(headers, "etag"));
        let etag = etag.ok_or_else(|| protocol("no ETag"))?;
        let etag = etag.strip_prefix("W/").unwrap_or(etag).trim_matches('"').to_owned();
        // It becomes the name of a file.
        if etag.is_empty() || !etag.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            return Err(protocol(&format!("the ETag {etag:?} cannot name a file")));
        }
        let size = if linked(headers) { "x-linked-size" } else { "content-length" };
        let size = text(headers, size).and_then(|size| size.parse().ok());
        Ok(Remote { url, etag, size })
    }

    /// Begins to read a file, from a byte on.
    pub fn transfer(
        &self,
        remote: &Remote,
        repository: &Repository,
        file: &str,
        from: u64,
    ) -> Result<Transfer> {
        let answer = self.follow(&self.transfers, &Method::GET, &remote.url, Some(from), |_| false)?;
        let from = match answer.status().as_u16() {
            200 => 0,
            206 => {
                let range = text(answer.headers(), "content-range");
                let begins = format!("bytes {from}-");
                if !range.is_some_and(|range| range.starts_with(&begins)) {
                    let reason = format!("asked for bytes from {from}, got {}", range.unwrap_or("no range"));
                    return Err(Error::Protocol { url: remote.url.clone(), reason });
                }
                from
            }
            _ => return Err(self.refusal(&answer, &remote.url, repository, Some(file))),
        };
        Ok(Transfer { from, body: Box::new(answer.into_body().into_reader()) })
    }

    /// The error of a body that stopped after `received` bytes.
    pub fn broken(&self, url: &str, received: u64, error: &std::io::Error) -> Error {
        broken(url, received, error, self.download_timeout)
    }

    /// One request and its redirections, up to the first answer that is none or that `enough` takes.
    fn follow(
        &self,
        agent: &Agent,
        method: &Method,
        url: &str,
        from: Option<u64>,
        enough: impl Fn(&HeaderMap) -> bool,
    ) -> Result<Response<ureq::Body>> {
        let mut at = url.to_owned();
        let protocol = |reason: String| Error::Protocol { url: url.to_owned(), reason };
        for _ in 0..REDIRECTIONS {
            // Encodings would hide sizes and ranges.
            let mut request =
                Request::builder().method(method).uri(&at).header(header::ACCEPT_ENCODING, "identity");
            if let Some(token) = self.token.as_ref().filter(|_| same_origin(&at, &self.endpoint)) {
                request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
            }
            if let Some(from) = from.filter(|from| *from > 0) {
                request = request.header(header::RANGE, format!("bytes={from}-"));
            }
            let request = request.body(()).map_err(|error| protocol(error.to_string()))?;
            let answer = agent.run(request).map_err(|error| self.failed(&at, error))?;
            if !answer.status().is_redirection() || enough(answer.headers()) {
                let foreign = !same_origin(&at, &self.endpoint);
                let status = answer.status().as_u16();
                // The address of a storage is signed for minutes; asking the Hub again gives a new one.
                if foreign && matches!(status, 401 | 403) {
                    return Err(Error::Server { url: at, status, retry_after: None });
                }
                return Ok(answer);
            }
            let location = text(answer.headers(), "location");
            let next = location.map(|location| joined(&at, location));
            at = next.ok_or_else(|| protocol("a redirection to nowhere".to_owned()))?;
            if !at.starts_with("https://") && self.endpoint.starts_with("https://") {
                return Err(protocol(format!("redirected from https to {at}")));
            }
        }
        Err(protocol(format!("more than {REDIRECTIONS} redirections")))
    }

    /// The error of a request that got no answer.
    fn failed(&self, url: &str, error: ureq::Error) -> Error {
        let url = url.to_owned();
        match error {
            ureq::Error::Timeout(_) => Error::Timeout { url, after: self.etag_timeout },
            // A connection that was there and broke before the answer.
            ureq::Error::Io(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset
                ) =>
            {
                Error::Cut { url, received: 0, reason: error.to_string() }
            }
            ureq::Error::Protocol(_) | ureq::Error::Http(_) | ureq::Error::BadUri(_) => {
                Error::Protocol { url, reason: error.to_string() }
            }
            error => Error::Unreachable { url, reason: error.to_string() },
        }
    }

    /// The error behind an answer that is none of success.
    fn refusal(
        &self,
        answer: &Response<ureq::Body>,
        url: &str,
        repository: &Repository,
        file: Option<&str>,
    ) -> Error {
        let (status, headers) = (answer.status().as_u16(), answer.headers());
        let authenticated = self.token.is_some();
        let retry_after = pause(headers);
        let (url, name) = (url.to_owned(), repository.to_string());
        let missing = || Error::File {
            repository: name.clone(),
            file: file.unwrap_or_default().to_owned(),
            found: String::new(),
        };
        match (status, text(headers, "x-error-code")) {
            (_, Some("GatedRepo")) => self.gated(repository, status),
            (_, Some("RevisionNotFound")) => Error::Revision { repository: name },
            (_, Some("EntryNotFound")) => missing(),
            (401 | 404, Some("RepoNotFound")) | (401, _) | (404, None) if file.is_none() || status == 401 => {
                Error::Repository { repository: name, status, authenticated }
            }
            (404, Some("RepoNotFound")) => Error::Repository { repository: name, status, authenticated },
            (404, _) => missing(),
            (403, _) => self.gated(repository, status),
            (429, _) => Error::RateLimited { url, retry_after },
            (408 | 500..=599, _) => Error::Server { url, status, retry_after },
            _ => Error::Refused {
                url,
                status,
                message: text(headers, "x-error-message").unwrap_or_default().to_owned(),
            },
        }
    }

    fn gated(&self, repository: &Repository, status: u16) -> Error {
        Error::Gated {
            repository: repository.to_string(),
            status,
            authenticated: self.token.is_some(),
            page: format!("{}/{}", self.endpoint, repository.repo().url()),
        }
    }
}

fn broken(url: &str, received: u64, error: &std::io::Error, after: Duration) -> Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>());
    let url = url.to_owned();
    match inner {
        Some(ureq::Error::Timeout(_)) => Error::Timeout { url, after },
        _ if error.kind() == std::io::ErrorKind::TimedOut => Error::Timeout { url, after },
        _ => Error::Cut { url, received, reason: error.to_string() },
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The pause that an answer asks for, in seconds: `Retry-After`, or what is left of the Hub's window (`RateLimit:
/// "api";r=0;t=SECONDS`). A date in the first is not read; our own pauses hold then.
fn pause(headers: &HeaderMap) -> Option<Duration> {
    let window = |text: &str| text.split(';').find_map(|part| part.trim().strip_prefix("t=")?.parse().ok());
    let after = text(headers, "retry-after").and_then(|text| text.trim().parse().ok());
    after.or_else(|| text(headers, "ratelimit").and_then(window)).map(Duration::from_secs)
}

/// Scheme, host and port of an address.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    url[host..].find(['/', '?', '#']).map_or(url, |end| &url[..host + end])
}

fn same_origin(a: &str, b: &str) -> bool {
    origin(a).eq_ignore_ascii_case(origin(b))
}

/// Where a redirection leads from an address.
fn joined(from: &str, location: &str) -> String {
    if location.contains("://") {
        return location.to_owned();
    }
    if location.starts_with("//") {
        let scheme = from.split_once("//").map_or("https:", |(scheme, _)| scheme);
        return format!("{scheme}{location}");
    }
    if location.starts_with('/') {
        return format!("{}{location}", origin(from));
    }
    let path = from.split(['?', '#']).next().unwrap_or(from);
    let folder = path.rfind('/').filter(|at| *at >= origin(from).len()).map_or(path, |at| &path[..at]);
    format!("{folder}/{location}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirections_are_joined_to_where_they_came_from() {
        let from = "https://host:8/a/b?c=d/e";
        assert_eq!(joined(from, "http://other/x"), "http://other/x");
        assert_eq!(joined(from, "//other/x"), "https://other/x");
        assert_eq!(joined(from, "/x?y"), "https://host:8/x?y");
        assert_eq!(joined(from, "x"), "https://host:8/a/x");
        assert_eq!(joined("https://host", "x"), "https://host/x");
    }

    #[test]
    fn a_token_stays_with_its_host() {
        assert!(same_origin("https://Hub/a", "https://hub"));
        for other in ["http://hub/a", "https://hub.evil/a", "https://hub:8/a", "https://evil/?https://hub"] {
            assert!(!same_origin(other, "https://hub"), "{other}");
        }
    }

    #[test]
    fn the_pause_is_read_from_either_header() {
        let pause = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            super::pause(&headers).map(|pause| pause.as_secs())
        };
        assert_eq!(pause("retry-after", "7"), Some(7));
        assert_eq!(pause("retry-after", "Fri, 31 Dec 2027 23:59:59 GMT"), None);
        assert_eq!(pause("ratelimit", "\"api\";r=0;t=55"), Some(55));
    }
}
