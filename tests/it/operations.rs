//! The pages of those who run the process.

use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vcc_link::http::{self, operations};
use vcc_link::readiness::Readiness;
use vcc_link::telemetry::{self, Telemetry};

/// Asks a page.
async fn get(url: String) -> (u16, String) {
    let client = reqwest::Client::builder()
        .timeout(Duration::from_secs(10))
        .build();
    let response = client
        .expect("a client")
        .get(url)
        .send()
        .await
        .expect("an answer");
    (
        response.status().as_u16(),
        response.text().await.expect("text"),
    )
}

#[tokio::test]
async fn the_pages_tell_how_the_process_is() {
    let telemetry = Telemetry::new(&telemetry::Config::default()).expect("telemetry");
    let readiness = Readiness::default();
    let database = readiness.component("database");
    let kafka = readiness.component("kafka");
    let pages = operations::router(readiness, telemetry.registry());
    let config = http::Config::default();
    let pages = http::with_limits(pages, &config, telemetry.metrics("worker"));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let served = tasks.spawn(http::serve(listener, pages, stop.clone().cancelled_owned()));

    assert_eq!(get(format!("{base}/healthz")).await.0, 200);
    database.ready();
    kafka.not_ready("has no partitions yet");
    let (status, body) = get(format!("{base}/readyz")).await;
    let body: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((status, &body["ready"]), (503, &Value::Bool(false)));
    assert_eq!(
        body["components"]["kafka"]["reason"],
        "has no partitions yet"
    );
    assert_eq!(body["components"]["database"]["ready"], true);
    kafka.ready();
    assert_eq!(get(format!("{base}/readyz")).await.0, 200);

    let (_, version) = get(format!("{base}/version")).await;
    assert!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
    assert_eq!(get(format!("{base}/nothing")).await.0, 404);
    let (_, metrics) = get(format!("{base}/metrics")).await;
    for line in [
        "vcc_link_build_info{role=\"worker\",version=",
        "http_server_request_duration_seconds_count{http_request_method=\"GET\",http_response_status_code=\"503\",http_route=\"/readyz\"} 1",
        "http_server_request_duration_seconds_count{http_request_method=\"GET\",http_response_status_code=\"404\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in:\n{metrics}");
    }

    stop.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(10), served).await;
    ended
        .expect("it stops when told")
        .expect("no panic")
        .expect("no failure");
}
