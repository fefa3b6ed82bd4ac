//! Dashboard and alerts name what is measured, and all that is measured is there to be named.

use std::collections::BTreeSet;

use serde_json::Value;
use vcc_link::domain::ids::SHARDS;
use vcc_link::telemetry::names::{self, Kind};
use vcc_link::telemetry::{Config, Telemetry};

use crate::dashboard::{OVERVIEW, let_everything_happen, queries};

const ALERTS: &str = include_str!("../../deploy/prometheus/alerts.yml");

/// Every name that Prometheus knows of a metric.
fn known() -> BTreeSet<String> {
    let names = names::ALL.iter().flat_map(|metric| {
        let name = metric.prometheus();
        match metric.kind {
            Kind::Histogram(_) => ["_bucket", "_sum", "_count"]
                .map(|part| format!("{name}{part}"))
                .to_vec(),
            Kind::Counter | Kind::Gauge => vec![name],
        }
    });
    names.collect()
}

/// Every name in a text that looks like a metric of ours.
fn named(text: &str) -> BTreeSet<&str> {
    let ours = [
        "vcc_link_",
        "messaging_client_",
        "http_client_",
        "http_server_",
    ];
    // Labels that are named like metrics.
    let label = |word: &str| word.starts_with("http_") && word.ends_with("_status_code");
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
        .filter(|word| ours.iter().any(|prefix| word.starts_with(prefix)) && !label(word))
        .collect()
}

/// What a text names and nobody measures.
fn unknown(text: &str) -> Vec<&str> {
    let known = known();
    named(text)
        .into_iter()
        .filter(|name| !known.contains(*name))
        .collect()
}

#[test]
fn the_metrics_page_shows_every_metric_by_its_name() {
    let telemetry = Telemetry::new(&Config::default()).expect("telemetry");
    let_everything_happen(&telemetry.metrics("worker"));
    let families = telemetry.registry().gather();
    let shown: BTreeSet<String> = families.iter().map(|f| f.name().to_owned()).collect();
    let mut expected: BTreeSet<String> = names::ALL.iter().map(names::Metric::prometheus).collect();
    expected.insert("target_info".to_owned());
    assert_eq!(shown, expected);
}

#[test]
fn no_metric_tells_of_an_account_or_a_call() {
    let telemetry = Telemetry::new(&Config::default()).expect("telemetry");
    let_everything_happen(&telemetry.metrics("worker"));
    for family in telemetry.registry().gather() {
        for metric in family.get_metric() {
            for label in metric.get_label() {
                let telling = [
                    "account",
                    "org",
                    "interaction",
                    "call",
                    "number",
                    "instance_url",
                ];
                assert!(
                    !telling.contains(&label.name()),
                    "{} has {}",
                    family.name(),
                    label.name()
                );
            }
        }
    }
}

#[test]
fn every_panel_asks_for_what_is_measured_and_says_what_it_shows() {
    let dashboard: Value = serde_json::from_str(OVERVIEW).expect("the dashboard is JSON");
    for query in queries(&dashboard) {
        assert_eq!(
            unknown(&query.expr),
            Vec::<&str>::new(),
            "{}: {}",
            query.panel,
            query.expr
        );
        assert!(
            !named(&query.expr).is_empty(),
            "{}: {}",
            query.panel,
            query.expr
        );
    }
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<u64> = panels
        .iter()
        .filter_map(|panel| panel["id"].as_u64())
        .collect();
    assert_eq!(ids.len(), panels.len(), "each panel has its own id");
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        let title = &panel["title"];
        assert!(
            panel["description"]
                .as_str()
                .is_some_and(|d| d.ends_with('.')),
            "{title}"
        );
        assert!(
            panel["fieldConfig"]["defaults"]["unit"].is_string(),
            "{title} has no unit"
        );
    }
    assert_eq!(
        unknown("rate(vcc_link_no_such_total[5m])"),
        ["vcc_link_no_such_total"]
    );
}

#[test]
fn the_alerts_ask_for_what_is_measured() {
    let recorded = |name: &&str| ALERTS.contains(&format!("- record: {name}\n"));
    let unknown: Vec<&str> = unknown(ALERTS)
        .into_iter()
        .filter(|name| !recorded(name))
        .collect();
    assert_eq!(unknown, Vec::<&str>::new());
    assert!(ALERTS.contains(&format!("sum(vcc_link_leases_owned) < {SHARDS}\n")));
}
