//! Logs, traces and metrics.
//!
//! - [`names`]: every metric and span field, as a constant;
//! - [`metrics`]: the instruments, with one method for each thing that happens;
//! - [`trace`]: trace context in and out of events.
//!
//! Logs go to standard error, metrics to the `/metrics` page, and both metrics and traces to an
//! OpenTelemetry collector where one is set. None of them ever holds a body, a number or a token.

mod instruments;
pub mod metrics;
pub mod names;
pub mod trace;

use std::io::IsTerminal;
use std::time::Duration;

pub use metrics::Metrics;
use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use serde::{Deserialize, Serialize};
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::domain::fault::Fault;

/// How this software names itself to collectors (`service.name`), and the scope of its instruments.
pub const SERVICE: &str = "vcc-link";

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object for each line, for collectors.
    Json,
}

/// Settings of logs, traces and metrics.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How log lines look: `text` or `json`.
    pub log_format: LogFormat,
    /// What is logged: levels by module, as in `info,vcc_link::engine=debug`.
    pub log_filter: String,
    /// Address of an OpenTelemetry collector that speaks OTLP over HTTP, without the path:
    /// `http://collector:4318`. Empty: no traces, and metrics on `/metrics` only. Headers for it
    /// are read from `OTEL_EXPORTER_OTLP_HEADERS`, as every OpenTelemetry program does.
    pub otlp_endpoint: String,
    /// How often metrics are sent to the collector.
    #[serde(with = "humantime_serde")]
    pub otlp_interval: Duration,
    /// The share of traces that are kept, 0 to 1, where the producer of an event did not decide.
    pub trace_share: f64,
    /// How long the last traces and metrics may take to leave when the process stops.
    #[serde(with = "humantime_serde")]
    pub flush_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            log_format: LogFormat::Text,
            log_filter: "info".into(),
            otlp_endpoint: String::new(),
            otlp_interval: Duration::from_secs(30),
            trace_share: 0.1,
            flush_timeout: Duration::from_secs(3),
        }
    }
}

impl Config {
    /// Collects what is wrong with these settings.
    pub fn validate(&self, faults: &mut Vec<Fault>) {
        if EnvFilter::try_new(&self.log_filter).is_err() {
            let advice = "write levels by module, like \"info\" or \"info,vcc_link::engine=debug\"";
            faults.push(Fault::new("telemetry.log_filter", advice));
        }
        let endpoint = url::Url::parse(&self.otlp_endpoint);
        let usable = |url: url::Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        if !self.otlp_endpoint.is_empty() && !endpoint.is_ok_and(usable) {
            let advice =
                "write the collector's address, like \"http://collector:4318\", or nothing";
            faults.push(Fault::new("telemetry.otlp_endpoint", advice));
        }
        if self.otlp_interval < Duration::from_secs(1) {
            faults.push(Fault::new(
                "telemetry.otlp_interval",
                "write at least \"1s\"",
            ));
        }
        if !(0.0..=1.0).contains(&self.trace_share) {
            faults.push(Fault::new(
                "telemetry.trace_share",
                "write a share from 0 to 1",
            ));
        }
    }

    /// The collector's address for one kind of data.
    fn otlp_url(&self, kind: &str) -> Option<String> {
        let endpoint = self.otlp_endpoint.trim_end_matches('/');
        (!endpoint.is_empty()).then(|| format!("{endpoint}/v1/{kind}"))
    }
}

/// Why telemetry cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The exporter to the collector cannot be built.
    #[error("telemetry.otlp_endpoint cannot be used")]
    Otlp(#[from] opentelemetry_otlp::ExporterBuildError),
    /// The exporter behind `/metrics` cannot be built.
    #[error("the metrics page cannot be prepared")]
    Prometheus(#[from] opentelemetry_sdk::error::OTelSdkError),
    /// `telemetry.log_filter` is not valid.
    #[error("telemetry.log_filter is not valid")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Another subscriber is installed.
    #[error("logging was started twice")]
    Installed(#[from] tracing::subscriber::SetGlobalDefaultError),
}

/// The running telemetry of a process. Instruments and metrics page are silent once it is dropped.
pub struct Telemetry {
    /// What the settings say.
    config: Config,
    /// Where `/metrics` reads.
    registry: prometheus::Registry,
    /// Where instruments write.
    meters: SdkMeterProvider,
    /// Where spans go; `None` without a collector.
    tracers: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Prepares metrics and traces of validated settings. Nothing global is touched yet.
    pub fn new(config: &Config) -> Result<Self, Error> {
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let resource = Resource::builder()
            .with_service_name(SERVICE)
            .with_attribute(version)
            .build();
        let registry = prometheus::Registry::new();
        Ok(Self {
            config: config.clone(),
            meters: meters(config, &resource, &registry)?,
            tracers: tracers(config, resource)?,
            registry,
        })
    }

    /// The instruments; `role` is the subcommand that runs (`worker`, `sidecar`, `run`).
    pub fn metrics(&self, role: &'static str) -> Metrics {
        Metrics::new(&self.meters.meter(SERVICE), role)
    }

    /// What the `/metrics` page shows.
    pub fn registry(&self) -> prometheus::Registry {
        self.registry.clone()
    }

    /// Sends the process's logs to standard error and its spans to the collector, from here on.
    /// Called once, by `main`.
    ///
    /// Records of the crate `log` are left out, and so is the bridge that would bring them: sqlx asks
    /// it at each statement whether it would be heard, and where lines and spans are filtered each by
    /// itself, a question that no event follows swallows the thread's next line.
    pub fn install(&self) -> Result<(), Error> {
        let ansi = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let subscriber = self.subscriber(std::io::stderr, ansi)?;
        Ok(tracing::subscriber::set_global_default(subscriber)?)
    }

    /// The subscriber of the settings, writing log lines to `writer`.
    pub fn subscriber<W>(&self, writer: W, ansi: bool) -> Result<impl Subscriber + use<W>, Error>
    where
        W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
    {
        let filter = EnvFilter::try_new(&self.config.log_filter)?;
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(writer)
            .with_ansi(ansi);
        let lines = match self.config.log_format {
            LogFormat::Text => lines.boxed(),
            LogFormat::Json => lines.json().flatten_event(true).boxed(),
        };
        // Only our own spans: those of libraries know nothing of calls, and the exporter's own
        // requests would trace themselves.
        let ours = Targets::new().with_target("vcc_link", LevelFilter::INFO);
        let spans = self.tracers.as_ref().map(|tracers| {
            let tracer = tracers.tracer(SERVICE);
            tracing_opentelemetry::layer()
                .with_tracer(tracer)
                .with_filter(ours)
        });
        Ok(tracing_subscriber::registry()
            .with(lines.with_filter(filter))
            .with(spans))
    }

    /// Sends what is left to the collector, within the time of the settings.
    pub async fn shutdown(self) {
        let timeout = self.config.flush_timeout;
        let (done, over) = tokio::sync::oneshot::channel();
        // On a thread of its own: the providers block, and a collector that hangs must not hold
        // the runtime, and with it the process.
        std::thread::spawn(move || {
            let traces = self
                .tracers
                .map_or(Ok(()), |t| t.shutdown_with_timeout(timeout));
            let metrics = self.meters.shutdown_with_timeout(timeout);
            // Nobody listens any more once the time is up.
            let _ = done.send(traces.and(metrics));
        });
        match tokio::time::timeout(timeout, over).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => {
                tracing::warn!(%error, "the last traces or metrics did not leave");
            }
            Ok(Err(_)) | Err(_) => {
                tracing::warn!("the last traces or metrics did not leave in time");
            }
        }
    }
}

/// The meters: read by the metrics page, and sent to the collector where there is one.
fn meters(
    config: &Config,
    resource: &Resource,
    registry: &prometheus::Registry,
) -> Result<SdkMeterProvider, Error> {
    let page = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .scope_info_enabled(false)
        .build()?;
    let mut meters = SdkMeterProvider::builder()
        .with_resource(resource.clone())
        .with_reader(page);
    if let Some(url) = config.otlp_url("metrics") {
        let exporter = MetricExporter::builder()
            .with_http()
            .with_endpoint(url)
            .build()?;
        let reader = PeriodicReader::builder(exporter)
            .with_interval(config.otlp_interval)
            .build();
        meters = meters.with_reader(reader);
    }
    Ok(meters.build())
}

/// The tracers, where there is a collector.
fn tracers(config: &Config, resource: Resource) -> Result<Option<SdkTracerProvider>, Error> {
    let Some(url) = config.otlp_url("traces") else {
        return Ok(None);
    };
    let exporter = SpanExporter::builder()
        .with_http()
        .with_endpoint(url)
        .build()?;
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.trace_share)));
    let tracers = SdkTracerProvider::builder()
        .with_resource(resource)
        .with_sampler(sampler)
        .with_batch_exporter(exporter)
        .build();
    Ok(Some(tracers))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Keeps what is written.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no writer panics").extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn json_lines_hold_message_and_fields() {
        let config = Config {
            log_format: LogFormat::Json,
            ..Config::default()
        };
        let telemetry = Telemetry::new(&config).expect("telemetry without a collector");
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber = telemetry
            .subscriber(move || writer.clone(), false)
            .expect("a filter");
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!({ names::field::ACCOUNT } = "acme", "the link is broken");
            tracing::debug!("not told");
        });
        let bytes = kept.0.lock().expect("no writer panics").clone();
        let line: serde_json::Value = serde_json::from_slice(&bytes).expect("one JSON line");
        assert_eq!(line["message"], "the link is broken");
        assert_eq!(line[names::field::ACCOUNT], "acme");
    }

    #[test]
    fn every_fault_is_told() {
        let wrong = Config {
            log_filter: "vcc_link=loud".into(),
            otlp_endpoint: "collector:4318".into(),
            otlp_interval: Duration::ZERO,
            trace_share: f64::NAN,
            ..Config::default()
        };
        let mut faults = Vec::new();
        wrong.validate(&mut faults);
        let settings: Vec<&str> = faults.iter().map(|f| f.setting.as_str()).collect();
        let expected = [
            "log_filter",
            "otlp_endpoint",
            "otlp_interval",
            "trace_share",
        ]
        .map(|field| format!("telemetry.{field}"));
        assert_eq!(settings, expected);
    }

    #[tokio::test]
    async fn an_absent_collector_does_not_hold_the_end_up() {
        // Nothing listens at port 9 (discard): connections are refused or hang.
        let config = Config {
            otlp_endpoint: "http://127.0.0.1:9".into(),
            flush_timeout: Duration::from_millis(200),
            ..Config::default()
        };
        let telemetry = Telemetry::new(&config).expect("telemetry with a collector");
        telemetry.metrics("worker").rebalanced();
        let ended = tokio::time::timeout(Duration::from_secs(5), telemetry.shutdown()).await;
        assert!(ended.is_ok());
    }
}
