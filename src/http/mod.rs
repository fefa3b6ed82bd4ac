//! The HTTP service: operations pages, and the linking sidecar.
//!
//! Architecture invariant: `http` and `pipeline` never import each other; they meet in the store
//! and in the events.

pub mod operations;
pub mod sidecar;

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tower_http::timeout::TimeoutLayer;

use crate::domain::fault::Fault;
use crate::telemetry::Metrics;
use crate::telemetry::metrics::ServedRequest;

/// Settings of the operations pages.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where `/healthz`, `/readyz`, `/metrics` and `/version` are served. They tell nothing of
    /// calls, but are not meant for the internet. In a container: `0.0.0.0:9464`.
    pub listen: SocketAddr,
    /// How long an answer may take. The admins' pages wait half as long for Salesforce, and then
    /// follow.
    #[serde(with = "humantime_serde")]
    pub request_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        // 9464 is where OpenTelemetry programs show Prometheus their metrics.
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 9464));
        Self {
            listen,
            request_timeout: Duration::from_secs(10),
        }
    }
}

impl Config {
    /// Collects what is wrong with these settings.
    pub fn validate(&self, faults: &mut Vec<Fault>) {
        if self.request_timeout < Duration::from_secs(1) {
            faults.push(Fault::new("http.request_timeout", "write at least \"1s\""));
        }
    }
}

/// Puts time-out and measurement around all routes.
pub fn with_limits(router: Router, config: &Config, metrics: Metrics) -> Router {
    let timeout =
        TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, config.request_timeout);
    router
        .layer(timeout)
        .layer(middleware::from_fn_with_state(metrics, measure))
}

/// Serves until `shutdown` is over; requests under way are answered first.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    // Whoever limits requests wants to know whose they are.
    let router = router.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, router)
        .with_graceful_shutdown(shutdown)
        .await
}

/// Measures each request.
async fn measure(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = known(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    metrics.served(&ServedRequest {
        method,
        route: route.as_ref().map(MatchedPath::as_str),
        status: response.status().as_u16(),
        took: begun.elapsed(),
    });
    response
}

/// A method as a label: anybody can send any text as a method (semantic convention: `_OTHER`).
fn known(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN
        .into_iter()
        .find(|name| method == name)
        .unwrap_or("_OTHER")
}
