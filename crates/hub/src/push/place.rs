//! The repository and its branch, made where they are missing.

use serde_json::json;
use ureq::http::Method;

use super::Push;
use crate::client::{Content, Receiver, Reply};
use crate::listing::Listing;
use crate::{Error, Event, Result, Watch};

/// What a 409 says when it does not mean that the thing is there.
const BUSY: &str = "another conflicting operation is in progress";

impl Push<'_> {
    /// Sees that there is something to commit to.
    pub fn place(&self, watch: Watch<'_>) -> Result<()> {
        match self.listing(watch) {
            Err(Error::Repository { .. }) => self.create(watch)?,
            Err(Error::Revision { .. }) => return self.branch(watch),
            done => return done.map(|_| ()),
        }
        match self.listing(watch) {
            Err(Error::Revision { .. }) => self.branch(watch),
            done => done.map(|_| ()),
        }
    }

    /// The commit that the branch is at.
    pub fn head(&self, watch: Watch<'_>) -> Result<String> {
        Ok(self.listing(watch)?.commit)
    }

    fn listing(&self, watch: Watch<'_>) -> Result<Listing> {
        self.insist(watch, || self.hub.ask_for_listing(self.to))
    }

    /// Makes the repository, a private one.
    fn create(&self, watch: Watch<'_>) -> Result<()> {
        let client = &self.hub.client;
        let (owner, name) = self.to.id.split_once('/').unwrap_or(("", &self.to.id));
        let body =
            json!({ "name": name, "organization": owner, "type": "model", "private": true }).to_string();
        let made = self.made(&client.url("api/repos/create"), &body, watch)?;
        if !made {
            return Ok(());
        }
        let settings = client.url(&format!("{}/settings", self.to.id));
        watch(Event::Created { settings: &settings });
        // A server that understands the request otherwise must not make a model public.
        match self.insist(watch, || self.hub.ask_for_listing(&self.to.at("main")))?.private {
            Some(false) => Err(Error::Public { repository: self.to.to_string(), settings }),
            _ => Ok(()),
        }
    }

    /// Makes the branch, from `main`.
    fn branch(&self, watch: Watch<'_>) -> Result<()> {
        self.made(&self.api("branch"), "{}", watch).map(|_| ())
    }

    /// Asks for something to be made; whether it was not there before. What is there after an attempt without an answer
    /// counts as made by it.
    fn made(&self, url: &str, body: &str, watch: Watch<'_>) -> Result<bool> {
        let mut attempts = 0;
        self.insist(watch, || {
            attempts += 1;
            let reply = self.post(url, body)?;
            match reply.status {
                409 if reply.text.contains(BUSY) => {
                    Err(Error::Server { url: reply.url, status: 409, retry_after: None })
                }
                409 => Ok(attempts > 1),
                _ => reply.success().map(|_| true),
            }
        })
    }

    /// A question with an object of JSON, to the Hub.
    pub fn post(&self, url: &str, body: &str) -> Result<Reply> {
        let headers = [("content-type", "application/json")];
        let content = &mut Content::Bytes(body.as_bytes());
        self.hub.client.send(Receiver::Hub, &Method::POST, url, &headers, content)
    }
}
