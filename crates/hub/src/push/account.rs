//! Whose token it is, and what can be told of it before anything is sent.

use serde::Deserialize;
use ureq::http::Method;

use crate::client::{Content, NO_HEADERS, Receiver};
use crate::repository::Repository;
use crate::{Error, Hub, Result, Watch};

/// The answer of `api/whoami-v2`, as far as it matters here.
#[derive(Deserialize)]
struct Account {
    name: String,
    #[serde(default)]
    orgs: Vec<Organisation>,
    auth: Option<Auth>,
}

#[derive(Deserialize)]
struct Organisation {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Auth {
    access_token: Option<AccessToken>,
}

#[derive(Deserialize)]
struct AccessToken {
    role: Option<String>,
}

impl Hub {
    /// Finds out, by one request at most, whether something could be pushed to a repository; gives it with its owner's name
    /// where it was named without.
    ///
    /// A token of the role `read` is refused, and a name below which its user has nothing. What a fine-grained token may do
    /// is not guessed from its list of permissions: the Hub says so at the push.
    ///
    /// # Errors
    /// [`Error::PushOffline`], [`Error::NoToken`], [`Error::Token`], [`Error::ReadOnly`], [`Error::Namespace`], or what
    /// keeps the Hub from answering.
    pub fn may_push(&self, to: &Repository, watch: Watch<'_>) -> Result<Repository> {
        let repository = to.to_string();
        if let Some(by) = self.environment.offline {
            return Err(Error::PushOffline { repository, by });
        }
        if !self.client.has_token() {
            return Err(Error::NoToken { repository });
        }
        let url = self.client.url("api/whoami-v2");
        let account: Account = self.client.patience.insist(watch, |_| {
            let content = &mut Content::Nothing;
            self.client.send(Receiver::Hub, &Method::GET, &url, NO_HEADERS, content)?.success()?.json()
        })?;
        let role = account.auth.and_then(|auth| auth.access_token?.role);
        if role.as_deref() == Some("read") {
            return Err(Error::ReadOnly { repository, from: self.environment.token.to_string() });
        }
        let Some((owner, _)) = to.id.split_once('/') else {
            return Ok(Repository { id: format!("{}/{}", account.name, to.id), ..to.clone() });
        };
        let organisations: Vec<String> =
            account.orgs.into_iter().map(|organisation| organisation.name).collect();
        let is_owner = |name: &String| name.eq_ignore_ascii_case(owner);
        if is_owner(&account.name) || organisations.iter().any(is_owner) {
            return Ok(to.clone());
        }
        Err(Error::Namespace { repository, user: account.name, organisations })
    }
}
