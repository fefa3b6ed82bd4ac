//! Each panel of the dashboard, its query run by Prometheus, on what a real process shows.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use axum::extract::Request;
use axum::middleware::{self, Next};
use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;
use vcc_link::http::{self, operations};
use vcc_link::readiness::Readiness;
use vcc_link::telemetry::{self, Metrics, Telemetry};

use crate::dashboard::{OVERVIEW, Query, let_everything_happen, queries};
use crate::environment::service;

/// How long all panels together may take to show something.
const PATIENCE: Duration = Duration::from_mins(1);

/// A process of ours as far as Prometheus sees it, and a Prometheus that reads it.
struct World {
    /// Measures as long as it lives.
    _telemetry: Telemetry,
    /// What the process measures.
    metrics: Metrics,
    /// Tells when the metrics page was read.
    scrapes: mpsc::Receiver<()>,
    /// Where Prometheus answers.
    prometheus: SocketAddr,
    /// Asks it.
    client: reqwest::Client,
    /// Ends with the world.
    _process: Child,
    /// Its settings and data.
    _folder: tempfile::TempDir,
}

impl World {
    /// Starts both, and waits until the page was read once.
    async fn start() -> Self {
        let telemetry = Telemetry::new(&telemetry::Config::default()).expect("telemetry");
        let metrics = telemetry.metrics("worker");
        let (process, scrapes) = serve(&telemetry, &metrics).await;
        let folder = tempfile::tempdir().expect("a folder");
        let prometheus = free_address().await;
        let mut world = Self {
            _telemetry: telemetry,
            metrics,
            scrapes,
            prometheus,
            client: reqwest::Client::builder()
                .timeout(PATIENCE)
                .build()
                .expect("a client"),
            _process: start_prometheus(folder.path(), process, prometheus),
            _folder: folder,
        };
        world.scraped().await;
        world
    }

    /// Waits until the page was read once more.
    async fn scraped(&mut self) {
        let scraped = tokio::time::timeout(PATIENCE, self.scrapes.recv()).await;
        scraped
            .expect("Prometheus reads the metrics page")
            .expect("the pages are served");
    }

    /// What Prometheus says of its reading of the page.
    async fn reading(&self) -> String {
        let url = format!("http://{}/api/v1/targets", self.prometheus);
        match self.client.get(url).send().await {
            Ok(response) => response.text().await.unwrap_or_default(),
            Err(error) => error.to_string(),
        }
    }

    /// Prometheus' answer to a panel: the values, or why it has none to show.
    async fn ask(&self, query: &Query) -> Result<Vec<f64>, String> {
        let expr = filled_in(&query.expr);
        let url = format!("http://{}/api/v1/query", self.prometheus);
        let request = self.client.post(url).form(&[("query", &expr)]);
        let answer: Value = match request.send().await {
            Ok(response) => response.json().await.map_err(|error| error.to_string())?,
            Err(error) => return Err(error.to_string()),
        };
        let result = answer["data"]["result"].as_array();
        let result = result.ok_or_else(|| format!("{}: {expr}", answer["error"]))?;
        let value = |sample: &Value| sample["value"][1].as_str().and_then(|v| v.parse().ok());
        let values: Vec<f64> = result.iter().filter_map(value).collect();
        if values.is_empty() || !values.iter().all(|value| value.is_finite()) {
            return Err(format!("{}: {expr} shows {values:?}", query.panel));
        }
        Ok(values)
    }
}

/// A query with Grafana's variables filled in.
fn filled_in(expr: &str) -> String {
    let variables = [
        ("$__rate_interval", "30s"),
        ("$__range", "5m"),
        ("$job", "vcc-link"),
    ];
    let filled = variables
        .iter()
        .fold(expr.to_owned(), |expr, (variable, value)| {
            expr.replace(variable, value)
        });
    assert!(
        !filled.contains('$'),
        "a variable that this test does not know: {filled}"
    );
    filled
}

/// Serves the pages of a process, and tells of each read of its metrics.
async fn serve(telemetry: &Telemetry, metrics: &Metrics) -> (SocketAddr, mpsc::Receiver<()>) {
    let (tell, scrapes) = mpsc::channel(1);
    let pages = operations::router(Readiness::default(), telemetry.registry());
    let pages = http::with_limits(pages, &http::Config::default(), metrics.clone());
    let pages = pages.layer(middleware::from_fn(move |request: Request, next: Next| {
        let tell = tell.clone();
        async move {
            let response = next.run(request).await;
            // Nobody waits for it: then it is not told twice.
            let _ = tell.try_send(());
            response
        }
    }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let address = listener
        .local_addr()
        .expect("a bound listener has an address");
    // Ends with the test's runtime.
    TaskTracker::new().spawn(http::serve(listener, pages, std::future::pending()));
    (address, scrapes)
}

/// An address that nobody listens at.
async fn free_address() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    listener
        .local_addr()
        .expect("a bound listener has an address")
}

/// Starts Prometheus with the settings that we ship, but hurried, and on this process.
fn start_prometheus(folder: &Path, process: SocketAddr, listen: SocketAddr) -> Child {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus");
    let settings = std::fs::read_to_string(shipped.join("prometheus.example.yml")).expect("ours");
    let rules = shipped.join("alerts.yml");
    let settings = [
        ("interval: 15s", "interval: 100ms".to_owned()),
        ("localhost:9464", process.to_string()),
        ("- alerts.yml", format!("- {}", rules.display())),
    ]
    .into_iter()
    .fold(settings, |settings, (shipped, here)| {
        assert!(
            settings.contains(shipped),
            "the shipped settings have {shipped}"
        );
        settings.replace(shipped, &here)
    });
    let file = folder.join("prometheus.yml");
    std::fs::write(&file, settings).expect("a file");
    Command::new(service("VCC_LINK_TEST_PROMETHEUS"))
        .arg(format!("--config.file={}", file.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            folder.join("data").display()
        ))
        .arg(format!("--web.listen-address={listen}"))
        .args([
            "--web.console.templates=absent",
            "--web.console.libraries=absent",
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("Prometheus starts")
}

#[tokio::test]
async fn every_panel_shows_what_a_process_measures() {
    let mut world = World::start().await;
    let dashboard: Value = serde_json::from_str(OVERVIEW).expect("the dashboard is JSON");
    let mut waiting = queries(&dashboard);
    assert!(waiting.len() > 20, "the dashboard has its panels");
    // Again and again, as rates need more than one reading.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !waiting.is_empty() {
        let_everything_happen(&world.metrics);
        world.scraped().await;
        let mut empty = Vec::new();
        let mut why = Vec::new();
        for query in waiting {
            if let Err(reason) = world.ask(&query).await {
                why.push(reason);
                empty.push(query);
            }
        }
        waiting = empty;
        assert!(
            waiting.is_empty() || tokio::time::Instant::now() <= deadline,
            "these panels stay empty:\n{}\n{}",
            why.join("\n"),
            world.reading().await
        );
    }
    let absent = Query {
        panel: "made up".into(),
        expr: "rate(vcc_link_no_such_total[1m])".into(),
    };
    assert!(
        world.ask(&absent).await.is_err(),
        "a metric that does not exist must be told"
    );
}

#[test]
fn the_alerts_are_valid_and_go_off_when_they_should() {
    let promtool: PathBuf =
        Path::new(&service("VCC_LINK_TEST_PROMETHEUS")).with_file_name("promtool");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus");
    let checks: [&[&str]; 3] = [
        &["check", "config", "prometheus.example.yml"],
        &["check", "rules", "alerts.yml"],
        &["test", "rules", "alerts.test.yml"],
    ];
    for arguments in checks {
        let output = std::process::Command::new(&promtool)
            .current_dir(&folder)
            .args(arguments)
            .output()
            .expect("promtool lies beside Prometheus");
        let told = [output.stdout, output.stderr].concat();
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&told)
        );
    }
}
