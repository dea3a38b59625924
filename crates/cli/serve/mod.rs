//! `xexp serve`: labels what is sent to it over HTTP.
//!
//! Two threads. One speaks with all clients, asynchronously ([`server`], [`routes`]); it never computes. The other, on which
//! the command began, opens the model and computes ([`engine`]): it takes what waits ([`queue`]), packs it into batches up to
//! a number of tokens, and hands the answers out. While it computes, the next requests gather, so that batches grow with the
//! load by themselves. Sequences are packed, so that a short text costs the same beside a long one.

mod args;
mod docs;
mod engine;
mod metrics;
mod openapi;
mod queue;
mod reading;
mod refusal;
mod reply;
mod request;
mod routes;
mod server;
mod service;

use std::io::ErrorKind;
use std::net::TcpListener;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use xexp_backbones::checkpoint::Extent;
use xexp_data::Task;
use xexp_kernels::Pool;
use xexp_train::{Sample, predict};

use crate::device;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::inputs::{Encoder, Terms};
use crate::saved::{Model, Named};
use crate::{provenance, signals, stdout};

pub use args::Args;

use engine::{Batching, Bug};
use metrics::Metrics;
use queue::{Job, Queue};
use refusal::Refusal;
use service::{Info, Limits, Service};

/// Most images of a batch: what a convolution needs in memory grows with pixels, not with tokens.
const IMAGES: usize = 32;
/// What a model computes first: a length that leaves no room for a text is found before anybody asks.
const FIRST: &str = "a first text";

/// Serves until a signal comes; then answers what is in flight.
///
/// # Errors
/// A model that cannot be opened, an address that cannot be listened at.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    if args.max_inputs > args.queue {
        let message =
            format!("--max-inputs {} is more than --queue {} has room for", args.max_inputs, args.queue);
        return Err(Failure::input(message).hint("give a smaller --max-inputs or a larger --queue"));
    }
    let named = Named::new(args.model.as_deref(), args.access())?;
    device::choose(args.device, args.quiet)?;
    let stop = signals::watch()?;
    let listener = listen(args)?;
    let limits = Limits {
        max_body: args.max_body.get(),
        max_inputs: args.max_inputs.get(),
        queue: args.queue.get(),
        max_batch_tokens: args.max_batch_tokens.get(),
        timeout: args.timeout.get(),
    };
    let queue = Queue::new(limits.queue);
    let service =
        Arc::new(Service { queue, metrics: Metrics::default(), limits, info: OnceLock::new(), stop });
    let server = std::thread::spawn({
        let service = service.clone();
        move || server::run(listener, service)
    });
    let ended = computing(args, &named, &service)?;
    // After a signal it is up already; after a bug the connections learn of it here.
    service.stop.store(true, Ordering::Relaxed);
    match (ended, server.join()) {
        (Ok(()), Ok(Ok(()))) => Ok(Exit::Done),
        (_, Ok(Err(error))) => Err(Failure::environment("cannot serve connections").because(&error)),
        (Err(Bug), _) | (_, Err(_)) => Ok(Exit::Bug),
    }
}

/// The address, bound before the model is opened: a port that is taken is found at once, and `/health` can say what goes on.
fn listen(args: &Args) -> Result<TcpListener, Failure> {
    let place = format!("--host {} --port {}", args.host, args.port);
    let refused = |error: std::io::Error| {
        let hint = match error.kind() {
            ErrorKind::AddrInUse => {
                "another program listens there: give another --port, or 0 for any that is free"
            }
            ErrorKind::PermissionDenied => "ports below 1024 are the system's: give a larger --port",
            _ => "give an address of this machine, such as 127.0.0.1, or 0.0.0.0 for all of them",
        };
        Failure::environment(format!("{place}: cannot listen there")).because(&error).hint(hint)
    };
    let listener = TcpListener::bind((args.host.as_str(), args.port)).map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    stdout::write(format!("listening on http://{address}\n").as_bytes())?;
    if !args.quiet && !address.ip().is_loopback() {
        eprintln!("{address} can be reached from outside: there is neither encryption nor a password");
    }
    Ok(listener)
}

/// Opens the model, says that it is there, and computes until the queue is closed and empty.
fn computing(args: &Args, named: &Named, service: &Service) -> Result<Result<(), Bug>, Failure> {
    let began = Instant::now();
    let temperature = args.temperature.settle(named)?;
    let terms = Terms { max_length: args.max_length, upright: !args.ignore_exif, image_cache: 0 };
    let model = named.open(args.precision, terms)?;
    if model.labels.task() != Task::SingleLabel {
        let message =
            format!("--model: the model's task is {}, and classes are what is served", model.labels.task());
        return Err(Failure::input(message).hint("label files with `xexp predict`"));
    }
    let pool = Pool::default();
    if let Encoder::Text(encoder) = &model.encoder {
        let samples = reading::samples(encoder, FIRST)?;
        predict::of_batch(&model.classifier, &samples, &pool)?;
    }
    let info = info(args, temperature, service.limits, &model)?;
    if !args.quiet {
        let (inputs, seconds) = (info.inputs, began.elapsed().as_secs_f64());
        eprintln!("ready after {seconds:.1} s: {inputs}s in {} classes; see /docs", info.labels.len());
    }
    let batching = Batching {
        tokens: args.max_batch_tokens.get(),
        samples: if info.inputs == "image" { IMAGES } else { usize::MAX },
        wait: Duration::from_millis(args.max_wait),
        classes: info.labels.len(),
    };
    // Set once: nobody else does.
    let _ = service.info.set(info);
    let prepare = |jobs: &[Job]| reading::prepare(&model.encoder, jobs);
    let compute = |samples: &[Sample]| {
        predict::of_batch(&model.classifier, samples, &pool).map_err(|error| {
            let hint = "try `xexp predict` on the same input";
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string(), hint)
        })
    };
    Ok(engine::run(&service.queue, &service.metrics, batching, prepare, compute))
}

/// What there is to say of the model.
fn info(args: &Args, temperature: f64, limits: Limits, model: &Model) -> Result<Info, Failure> {
    let Model { classifier, labels, encoder, saved } = model;
    // An adapter has a file of its own; what lies under it is named in it.
    let adapter = if saved.is_adapter() { saved.folder.file(Extent::Adapter.file())? } else { None };
    let weights_sha256 = match adapter {
        Some(bytes) => provenance::sha256(&bytes),
        None => provenance::weights_sha256(&saved.folder.checkpoint()?),
    };
    let (inputs, tokens) = match encoder {
        Encoder::Text(_) => ("text", 1),
        Encoder::Image(_, tokens) => ("image", *tokens),
    };
    Ok(Info {
        model: args.model.clone().unwrap_or_default(),
        family: classifier.family.model_type,
        inputs,
        labels: labels.names().to_vec(),
        temperature,
        precision: args.precision,
        truncate: args.truncate,
        max_length: encoder.max_length(),
        limits,
        weights_sha256,
        version: env!("CARGO_PKG_VERSION"),
        tokens,
    })
}
