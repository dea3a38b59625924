//! Connections: accepted up to a number, patient up to a time, and brought to their end when the server stops.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use super::routes;
use super::service::Service;

/// Connections at a time; others wait in the system's own queue. Each has one request, so this bounds memory for bodies too.
const CONNECTIONS: usize = 256;
/// How often the stop flag is looked at.
const GLANCE: Duration = Duration::from_millis(50);

/// Closes the queue when connections are over, however they end: the engine waits for that.
struct Closing(Arc<Service>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.queue.close();
    }
}

/// Serves until the stop flag is up and all requests are answered, but no longer than each may take.
///
/// # Errors
/// The system gives no event queue.
pub fn run(listener: TcpListener, service: Arc<Service>) -> io::Result<()> {
    let _closing = Closing(service.clone());
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let graceful = connections(&listener, &service).await;
        drop(listener);
        // Whoever has not been answered by then had the time that was promised.
        let _ = timeout(2 * service.patience(), graceful.shutdown()).await;
        Ok(())
    })
}

/// Accepts connections until the stop flag is up.
async fn connections(listener: &tokio::net::TcpListener, service: &Arc<Service>) -> GracefulShutdown {
    let graceful = GracefulShutdown::new();
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let router = routes::router(service.clone());
    while !service.stop.load(Ordering::Relaxed) {
        match timeout(GLANCE, next(listener, &permits)).await {
            Err(_) => (),
            Ok(Ok((stream, permit))) => serve(stream, permit, &graceful, &router, service.patience()),
            // Out of file descriptors, or a client that has gone already: neither is a reason to stop.
            Ok(Err(error)) => {
                tracing::warn!("cannot accept a connection: {error}");
                sleep(GLANCE).await;
            }
        }
    }
    graceful
}

/// The next connection, once there is room for one.
async fn next(
    listener: &tokio::net::TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = permits.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, permit))
}

/// Serves a connection in a task of its own. A client that does not finish its headers in time, or is silent for so long
/// between requests, is hung up on.
fn serve(
    stream: TcpStream,
    permit: OwnedSemaphorePermit,
    graceful: &GracefulShutdown,
    router: &Router,
    patience: Duration,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(patience);
    let service = TowerToHyperService::new(router.clone());
    let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
    tokio::spawn(async move {
        // What goes wrong with a connection is its client's affair.
        if let Err(error) = connection.await {
            tracing::debug!("a connection ended: {error}");
        }
        drop(permit);
    });
}
