//! What all connections share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde::Serialize;
use tokio::sync::oneshot;

use super::metrics::Metrics;
use super::queue::{Computed, Job, Queue};
use super::refusal::Refusal;
use super::request::{Inputs, Wishes};

/// Limits on requests, as the flags have them.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Limits {
    /// Most bytes of a body.
    pub max_body: usize,
    /// Most inputs of a request.
    pub max_inputs: usize,
    /// Most inputs that wait.
    pub queue: usize,
    /// Most tokens of a batch.
    pub max_batch_tokens: usize,
    /// Seconds for headers, for a body, and for an answer.
    pub timeout: u64,
}

/// What is known once the model is open: the answer of `/info`.
#[derive(Debug, Serialize)]
pub struct Info {
    /// The model as it was named.
    pub model: String,
    /// Its family, by `model_type`.
    pub family: &'static str,
    /// `text` or `image`.
    pub inputs: &'static str,
    /// Names of the classes, by id.
    pub labels: Vec<String>,
    /// What logits are divided by.
    pub temperature: f64,
    /// The number format of products.
    pub precision: crate::device::Precision,
    /// Whether longer texts are cut where a request does not say.
    pub truncate: bool,
    /// Most tokens of a text; `null` of images.
    pub max_length: Option<usize>,
    /// Limits of requests.
    pub limits: Limits,
    /// SHA-256 of the weights' file, of an adapter its own.
    pub weights_sha256: String,
    /// Version of the program.
    pub version: &'static str,
    /// Tokens that one image becomes; of texts 1.
    #[serde(skip)]
    pub tokens: usize,
}

/// The service.
#[derive(Debug)]
pub struct Service {
    /// Requests that wait.
    pub queue: Queue,
    /// What is counted.
    pub metrics: Metrics,
    /// Limits of requests.
    pub limits: Limits,
    /// The model, once it is open.
    pub info: OnceLock<Info>,
    /// Up when the server is to stop.
    pub stop: Arc<AtomicBool>,
}

impl Service {
    /// The model's facts.
    ///
    /// # Errors
    /// 503 before the model is open, and when the server stops.
    pub fn ready(&self) -> Result<&Info, Refusal> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Refusal::stopping());
        }
        let hint = "GET /health answers 200 once it is loaded";
        self.info.get().ok_or_else(|| Refusal::later("the model is still being loaded", hint))
    }

    /// How long a request may take at each of its stages.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(self.limits.timeout)
    }

    /// Has the engine compute inputs.
    ///
    /// # Errors
    /// 503 without room, or when the time is up; what the engine refuses.
    pub async fn computed(&self, info: &Info, inputs: Inputs, wishes: Wishes) -> Result<Computed, Refusal> {
        let (reply, answer) = oneshot::channel();
        let (count, guess) = match &inputs {
            Inputs::Image(_) => (1, info.tokens),
            Inputs::Texts(texts) => {
                let bytes = texts.iter().map(|one| one.text.len() + one.pair.as_ref().map_or(0, String::len));
                let most = info.max_length.unwrap_or(usize::MAX);
                (texts.len(), bytes.map(|bytes| (bytes / BYTES + 1).min(most)).sum())
            }
        };
        let truncate = wishes.truncate.unwrap_or(info.truncate);
        self.queue.push(Job { inputs, count, guess, truncate, arrived: Instant::now(), reply })?;
        match tokio::time::timeout(self.patience(), answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Refusal::stopping()),
            Err(_) => {
                let error = format!("not computed within {} seconds", self.limits.timeout);
                Err(Refusal::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    error,
                    "send less at once, or a larger --timeout",
                ))
            }
        }
    }
}

/// Bytes of a token, about, in languages with spaces. Only how many requests are read at a time depends on it.
const BYTES: usize = 4;
