//! The routes, and what each answers.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;
use tokio::time::timeout;

use super::refusal::{self, Refusal};
use super::request::{self, Inputs, Wishes};
use super::service::{Info, Service};
use super::{docs, metrics, openapi, reply};

/// The routes.
pub const PATHS: [&str; 6] = ["/predict", "/health", "/info", "/metrics", "/openapi.json", "/docs"];

/// What an image may say that it is; its bytes tell which of them.
const IMAGES: [&str; 3] = ["image/jpeg", "image/png", "image/webp"];

/// All routes of a service.
pub fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/predict", post(predict))
        .route("/health", get(health))
        .route("/info", get(info))
        .route("/metrics", get(counts))
        .route("/openapi.json", get(description))
        .route("/docs", get(page))
        .fallback(async || {
            let hint = format!("there are {}", PATHS.join(", "));
            Refusal::new(StatusCode::NOT_FOUND, "no such path", hint)
        })
        .method_not_allowed_fallback(async || {
            let hint = "POST /predict; GET the others";
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not take this method", hint)
        })
        .layer(from_fn_with_state(service.clone(), counted))
        .with_state(service)
}

/// Counts each answer under its route, and the time of those with predictions.
async fn counted(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    let (began, path) = (Instant::now(), request.uri().path());
    let route = PATHS.into_iter().find(|known| *known == path).unwrap_or("other");
    let response = next.run(request).await;
    let status = response.status();
    let took = (route == PATHS[0] && status == StatusCode::OK).then(|| began.elapsed());
    service.metrics.request(route, status.as_u16(), took);
    response
}

async fn predict(State(service): State<Arc<Service>>, request: Request) -> Response {
    match predicted(&service, request).await {
        Ok(response) => response,
        Err(refusal) => refusal.into_response(),
    }
}

async fn predicted(service: &Service, request: Request) -> Result<Response, Refusal> {
    let info = service.ready()?;
    let (parts, body) = request.into_parts();
    accepts(info, &parts.headers)?;
    let bytes = whole(service, body);
    let bytes = timeout(service.patience(), bytes).await.unwrap_or_else(|_| {
        let error = format!("the body did not come within {} seconds", service.limits.timeout);
        Err(Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            error,
            "send it faster, or start with a larger --timeout",
        ))
    })?;
    let (inputs, wishes) = asked(service, info, parts.uri.query().unwrap_or_default(), bytes)?;
    let computed = service.computed(info, inputs, wishes).await?;
    service.metrics.truncated(computed.lengths.iter().filter(|(tokens, whole)| tokens < whole).count());
    let answer =
        reply::predictions(&computed, &info.labels, info.temperature, wishes).map_err(|failure| {
            let hint =
                "the weights are damaged, or the numbers too large for the precision: try `xexp inspect`";
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, failure.message(), hint)
        })?;
    Ok(refusal::json(StatusCode::OK, &answer))
}

/// Holds the content type against the model's kind of inputs.
fn accepts(info: &Info, headers: &HeaderMap) -> Result<(), Refusal> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let wanted = if info.inputs == "text" { &["application/json"][..] } else { &IMAGES };
    if wanted.contains(&kind.as_str()) {
        return Ok(());
    }
    let error = format!("expected a content type of {}, found {given:?}", wanted.join(", "));
    let hint = format!("the model labels {}s: set the header Content-Type", info.inputs);
    Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error, hint))
}

/// Inputs and wishes of a request.
fn asked(service: &Service, info: &Info, query: &str, bytes: Bytes) -> Result<(Inputs, Wishes), Refusal> {
    let classes = info.labels.len();
    if info.inputs == "image" {
        let wishes = request::query(query, classes)?;
        let empty =
            || Refusal::new(StatusCode::BAD_REQUEST, "the body is empty", "send the bytes of an image");
        return if bytes.is_empty() { Err(empty()) } else { Ok((Inputs::Image(bytes), wishes)) };
    }
    if !query.is_empty() {
        let error = format!("expected no query, found {query:?}");
        return Err(Refusal::wrong(error, "what the answer holds is said in the body"));
    }
    request::texts(&bytes, service.limits.max_inputs, classes)
}

/// The body, if it is not too large.
async fn whole(service: &Service, mut body: Body) -> Result<Bytes, Refusal> {
    let most = service.limits.max_body;
    let large = || {
        let error = format!("expected a body of at most {most} bytes, found more");
        Refusal::too_large(error, "send less at once, or start the server with a larger --max-body")
    };
    if body.size_hint().lower() > most as u64 {
        return Err(large());
    }
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let broken = |error: axum::Error| {
            Refusal::new(StatusCode::BAD_REQUEST, format!("the body broke off: {error}"), "send it again")
        };
        if let Ok(data) = frame.map_err(broken)?.into_data() {
            if bytes.len() + data.len() > most {
                return Err(large());
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes.into())
}

async fn health(State(service): State<Arc<Service>>) -> Response {
    match service.ready() {
        Ok(_) => refusal::json(StatusCode::OK, &json!({ "status": "ready" })),
        Err(refusal) => refusal.into_response(),
    }
}

async fn info(State(service): State<Arc<Service>>) -> Response {
    described(&service, |info| refusal::json(StatusCode::OK, info))
}

async fn counts(State(service): State<Arc<Service>>) -> Response {
    let text = service.metrics.text(service.queue.len());
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response()
}

async fn description(State(service): State<Arc<Service>>) -> Response {
    described(&service, |info| refusal::json(StatusCode::OK, &openapi::description(info)))
}

async fn page(State(service): State<Arc<Service>>) -> Response {
    described(&service, |info| match docs::page(info) {
        Ok(html) => ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response(),
        Err(error) => {
            let error = error.to_string();
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error, "please report it").into_response()
        }
    })
}

/// An answer that needs the model's facts.
fn described(service: &Service, answer: impl Fn(&Info) -> Response) -> Response {
    match service.ready() {
        Ok(info) => answer(info),
        Err(refusal) => refusal.into_response(),
    }
}
