//! Sockets around the world: the thin, impure part.

mod control;
mod delivery;
mod salesforce;
mod tls;

use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, anyhow};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::clock::Clock;
use crate::config::Config;
use crate::control::Control;
use crate::world::World;
use delivery::Dropped;

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// A std mutex: nothing waits while it is held.
    pub(crate) world: Mutex<World>,
    pub(crate) clock: Clock,
    /// Connections, and work that outlives them.
    tasks: TaskTracker,
    stopping: CancellationToken,
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
struct Client(IpAddr);

/// Starts simulators.
#[derive(Debug)]
pub struct Simulator;

/// A simulator that runs until it is stopped or dropped.
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
    http: SocketAddr,
    https: Option<SocketAddr>,
    ca_pem: String,
}

impl Simulator {
    /// Binds the ports, fills the world and starts to serve.
    pub async fn start(config: Config) -> anyhow::Result<Running> {
        let clock = Clock::new(config.time_scale);
        let mut world = World::new(config.random_seed, config.instance_url_style);
        world
            .seed(config.seed, clock.now())
            .map_err(|error| anyhow!("the seed cannot be used: {error}"))?;
        let shared = Arc::new(Shared {
            world: Mutex::new(world),
            clock,
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
        });
        let http = bind(config.http).await?;
        let mut running = Running {
            http: http.local_addr()?,
            https: None,
            ca_pem: String::new(),
            shared: Arc::clone(&shared),
        };
        let plain = router(&shared, "http");
        shared.spawn(accept(Arc::clone(&shared), http, None, plain));
        if let Some(address) = config.https {
            let https = bind(address).await?;
            let identity = tls::Identity::new().context("cannot make a certificate")?;
            running.https = Some(https.local_addr()?);
            running.ca_pem = identity.ca_pem;
            let secure = router(&shared, "https");
            let acceptor = Some(identity.acceptor);
            shared.spawn(accept(Arc::clone(&shared), https, acceptor, secure));
        }
        Ok(running)
    }
}

impl Running {
    /// `http://127.0.0.1:<port>`: login host and data API in one.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// The same over HTTPS, if it is served.
    pub fn https_url(&self) -> Option<String> {
        self.https.map(|address| format!("https://{address}"))
    }

    /// The certificate to trust for HTTPS.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The oracle, the fault script and the switches.
    pub fn control(&self) -> Control {
        Control::new(Arc::clone(&self.shared))
    }

    /// Closes all connections and ends all work.
    pub async fn stop(self) {
        self.shared.stopping.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.stopping.cancel();
    }
}

impl Shared {
    /// Runs a task until it ends or the simulator stops.
    pub(crate) fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stopping = self.stopping.clone();
        self.tasks.spawn(async move {
            stopping.run_until_cancelled(task).await;
        });
    }
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let advice = match error.kind() {
            ErrorKind::AddrInUse => ": choose another port, or 0 for one that is free",
            ErrorKind::PermissionDenied => ": choose a port above 1023",
            ErrorKind::AddrNotAvailable => ": this machine does not have this address",
            _ => "",
        };
        anyhow!("cannot listen on {address}: {error}{advice}")
    })
}

/// The control API under its own prefix; everything else is Salesforce.
fn router(shared: &Arc<Shared>, scheme: &'static str) -> Router {
    let salesforce = salesforce::Front {
        shared: Arc::clone(shared),
        scheme,
    };
    Router::new()
        .nest("/__sim", control::router(Control::new(Arc::clone(shared))))
        .fallback(move |request: Request| {
            let front = salesforce.clone();
            async move { front.answer(request).await }
        })
}

async fn accept(
    shared: Arc<Shared>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
) {
    loop {
        let Ok((stream, client)) = listener.accept().await else {
            // Out of file handles, most likely: let some connections end first.
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        shared.spawn(connection(stream, client, tls.clone(), router.clone()));
    }
}

async fn connection(
    stream: TcpStream,
    client: SocketAddr,
    tls: Option<TlsAcceptor>,
    router: Router,
) {
    let ended = match tls {
        None => serve(stream, client, router).await,
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) => serve(stream, client, router).await,
            Err(error) => {
                tracing::debug!(%error, "TLS handshake failed");
                return;
            }
        },
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

async fn serve<S>(stream: S, client: SocketAddr, router: Router) -> hyper::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Client(client.ip()));
        let answer = router.clone().oneshot(request);
        async move { unless_dropped(answer.await) }
    });
    hyper::server::conn::http1::Builder::new()
        // Idle connections stay open: closing them would look like one of the faults.
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

/// An error instead of an answer makes hyper close the connection without a byte.
fn unless_dropped(answer: Result<Response, Infallible>) -> Result<Response, Dropped> {
    let Ok(response) = answer;
    match response.extensions().get::<Dropped>() {
        Some(_) => Err(Dropped),
        None => Ok(response),
    }
}
