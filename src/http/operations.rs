//! The pages of those who run the process: alive, ready, metrics, version.

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::{Registry, TextEncoder};
use serde_json::json;

use crate::readiness::Readiness;

/// What the pages show.
#[derive(Clone, Debug)]
struct Pages {
    /// For `/readyz`.
    readiness: Readiness,
    /// For `/metrics`.
    registry: Registry,
}

/// The pages:
///
/// | path | answer |
/// |---|---|
/// | `/healthz` | 200 while the process can answer at all |
/// | `/readyz` | 200 when every component is ready, else 503; JSON, with each component |
/// | `/metrics` | Prometheus' text format |
/// | `/version` | JSON: name and version |
pub fn router(readiness: Readiness, registry: Registry) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/version", get(version))
        .with_state(Pages {
            readiness,
            registry,
        })
}

/// Whether the process is ready, and what is missing.
async fn ready(State(pages): State<Pages>) -> Response {
    let components = pages.readiness.standings();
    let ready = components.values().all(|standing| standing.ready);
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (
        status,
        Json(json!({ "ready": ready, "components": components })),
    )
        .into_response()
}

/// Every metric.
async fn metrics(State(pages): State<Pages>) -> Response {
    match TextEncoder::new().encode_to_string(&pages.registry.gather()) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be written as text");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Which program this is.
async fn version() -> Json<serde_json::Value> {
    Json(json!({ "name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION") }))
}
