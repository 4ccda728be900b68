//! The server itself: threads of its own, so that sessions and probes never wait for each other, and connections that cost
//! little however slowly their clients ask.
//!
//! One thread takes connections, reads heads and answers probes. What takes longer is done on a second one. When there are
//! too many connections, the one goes whose head has been waited for the longest: a probe asks at once and is answered at
//! once.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::host::Hosts;
use super::problem::Problem;
use super::{AdminState, ENDPOINTS, config, router};
use crate::descriptors;
use crate::telemetry::events::admin::{AdminRequest, AdminRoute};
use crate::telemetry::{Emit as _, Telemetry};
use crate::transport::Accepting;

/// Connections at a time.
pub(super) const CONNECTIONS: usize = descriptors::ADMIN;

/// Of these, how many may be about something else than a probe.
const WORKING: usize = 32;

/// Descriptors that are kept open to be given up when the system has no more: so many connections are taken even then.
const SPARE: usize = 4;

/// Longest time for a request's head.
const HEAD_TIME: Duration = Duration::from_secs(5);

/// Longest time for a connection, from its start to the last byte of the answer.
const CONNECTION_TIME: Duration = Duration::from_secs(30);

/// Longest time for open connections after the server was told to stop.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// A server that runs.
#[derive(Debug)]
pub struct AdminServer {
    stop: CancellationToken,
    ended: oneshot::Receiver<()>,
}

impl AdminServer {
    /// Serves `listener` on threads of its own.
    ///
    /// # Errors
    ///
    /// The system has no thread or no descriptor for it.
    pub fn start(listener: TcpListener, state: AdminState) -> io::Result<Self> {
        let listener = listener.into_std()?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let work = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("admin-work")
            .enable_all()
            .build()?;
        let stop = CancellationToken::new();
        let (end, ended) = oneshot::channel();
        let stopped = stop.clone();
        thread::Builder::new()
            .name("admin".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    if let Ok(listener) = TcpListener::from_std(listener) {
                        Server::new(listener, state, work.handle().clone())
                            .serve(stopped)
                            .await;
                    }
                });
                // A reload that somebody asked for may still go on.
                work.shutdown_background();
                let _nobody_waits = end.send(());
            })?;
        Ok(Self { stop, ended })
    }

    /// Takes no more requests and waits until those that were taken are answered, for a few seconds at most.
    pub async fn stop(self) {
        self.stop.cancel();
        let _ended = self.ended.await;
    }
}

/// What all connections share.
#[derive(Clone)]
struct Shared {
    app: TowerToHyperService<Router>,
    telemetry: Telemetry,
    hosts: Hosts,
    work: Handle,
    working: Arc<Semaphore>,
    slots: Arc<Slots>,
}

struct Server {
    socket: Accepting,
    shared: Shared,
}

impl Server {
    fn new(listener: TcpListener, state: AdminState, work: Handle) -> Self {
        let shared = Shared {
            telemetry: state.telemetry.clone(),
            hosts: state.hosts.clone(),
            app: TowerToHyperService::new(router(state)),
            work,
            working: Arc::new(Semaphore::new(WORKING)),
            slots: Arc::default(),
        };
        let socket = Accepting::new(listener, "admin", shared.telemetry.clone());
        Self {
            socket: socket.with_spares(SPARE),
            shared,
        }
    }

    async fn serve(mut self, stop: CancellationToken) {
        let connections = GracefulShutdown::new();
        let mut http = http1::Builder::new();
        http.keep_alive(false)
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME);
        while let Some((stream, peer)) = self.socket.next(&stop).await {
            let Some((number, evicted)) = self.shared.slots.open() else {
                continue;
            };
            let local = stream.local_addr().ok();
            let exchange = Arc::new(Exchange {
                shared: self.shared.clone(),
                number,
                peer,
                local,
                permit: OnceLock::new(),
            });
            let asked = Arc::clone(&exchange);
            let service = service_fn(move |request| answer(Arc::clone(&asked), request));
            let connection =
                connections.watch(http.serve_connection(TokioIo::new(stream), service));
            tokio::spawn(async move {
                // How a connection ends concerns nobody: the answer was given, or nobody waits for it.
                tokio::select! {
                    _ended = timeout(CONNECTION_TIME, connection) => {}
                    () = evicted.cancelled() => {}
                }
                exchange.shared.slots.close(exchange.number);
            });
        }
        drop(self.socket);
        let _in_time = timeout(DRAIN_TIME, connections.shutdown()).await;
    }
}

/// One request and its answer.
struct Exchange {
    shared: Shared,
    number: u64,
    peer: SocketAddr,
    local: Option<SocketAddr>,
    /// To be one of those that do something; held until the answer is read.
    permit: OnceLock<OwnedSemaphorePermit>,
}

/// Answers one request and tells of it.
async fn answer(
    exchange: Arc<Exchange>,
    request: hyper::Request<Incoming>,
) -> Result<Response, Infallible> {
    let shared = &exchange.shared;
    shared.slots.is_asked(exchange.number);
    let mut request = request;
    let peer = exchange.peer;
    request.extensions_mut().insert(config::Peer(peer));
    let path = request.uri().path();
    let known = ENDPOINTS.iter().find(|(endpoint, ..)| *endpoint == path);
    let route = known.map_or(AdminRoute::Unknown, |(.., route)| *route);
    let (version, uri, headers) = (request.version(), request.uri(), request.headers());
    let response = match shared.hosts.check(exchange.local, version, uri, headers) {
        Err(problem) => problem.into_response(),
        Ok(()) if matches!(route, AdminRoute::Healthz | AdminRoute::Readyz) => {
            shared.app.call(request).await?
        }
        Ok(()) => work(&exchange, request).await,
    };
    let status = response.status().as_u16();
    AdminRequest {
        peer,
        route,
        status,
    }
    .emit(&shared.telemetry);
    Ok(response)
}

/// Answers what is no probe, on the other thread.
async fn work(exchange: &Exchange, request: hyper::Request<Incoming>) -> Response {
    let shared = &exchange.shared;
    let Ok(permit) = Arc::clone(&shared.working).try_acquire_owned() else {
        let (error, help) = ("too many requests at a time", "try again in a moment");
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, error, help);
        let mut response = problem.into_response();
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        return response;
    };
    let _first = exchange.permit.set(permit);
    let app = shared.app.clone();
    match shared
        .work
        .spawn(async move { app.call(request).await })
        .await
    {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(_) => {
            let (error, help) = ("a fault of the program", "its log says where");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error, help).into_response()
        }
    }
}

/// The connections that are open.
#[derive(Debug, Default)]
struct Slots(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    all: usize,
    next: u64,
    /// Those whose head is waited for, the oldest first.
    silent: BTreeMap<u64, CancellationToken>,
}

impl Slots {
    /// Makes room for a connection. `None`: there is none, as all are being answered.
    fn open(&self) -> Option<(u64, CancellationToken)> {
        let mut open = self.lock();
        if open.all >= CONNECTIONS {
            let (_, oldest) = open.silent.pop_first()?;
            oldest.cancel();
        }
        let number = open.next;
        open.next += 1;
        open.all += 1;
        let evicted = CancellationToken::new();
        open.silent.insert(number, evicted.clone());
        Some((number, evicted))
    }

    /// The head came.
    fn is_asked(&self, number: u64) {
        self.lock().silent.remove(&number);
    }

    fn close(&self, number: u64) {
        let mut open = self.lock();
        open.silent.remove(&number);
        open.all -= 1;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
