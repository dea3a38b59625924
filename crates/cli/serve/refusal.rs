//! An answer that is none: what is wrong, and what to do.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Seconds after which a client may ask again when there was no room.
const AGAIN: HeaderValue = HeaderValue::from_static("1");

/// Why a request is not answered; its body is `{"error", "hint"}`.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The status: 4xx for what the client can set right, 5xx for what it cannot.
    pub status: StatusCode,
    /// What was expected and what was found.
    pub error: String,
    /// What to do next.
    pub hint: String,
}

impl Refusal {
    /// A refusal with its two sentences.
    pub fn new(status: StatusCode, error: impl Into<String>, hint: impl Into<String>) -> Self {
        Refusal { status, error: error.into(), hint: hint.into() }
    }

    /// A request that is well formed and cannot be meant.
    pub fn wrong(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, error, hint)
    }

    /// More than is taken at once.
    pub fn too_large(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, error, hint)
    }

    /// No answer now, perhaps one later.
    pub fn later(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error, hint)
    }

    /// The server is on its way out.
    pub fn stopping() -> Self {
        Self::later("the server is stopping", "ask the one that comes after it")
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = json(self.status, &json!({ "error": self.error, "hint": self.hint }));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, AGAIN);
        }
        response
    }
}

/// A JSON answer.
pub fn json(status: StatusCode, value: &impl serde::Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => (status, [(header::CONTENT_TYPE, "application/json")], body).into_response(),
        // Our structures have string keys and finite numbers.
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
