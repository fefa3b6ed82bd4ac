//! An instrument made of its description, and the labels of what it counts.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter};
use serde::Serialize;

use super::names::{Kind, Metric, label};
use crate::domain::outcome::FailureClass;

/// A counter as its description says.
pub(super) fn counter(meter: &Meter, metric: Metric) -> Counter<u64> {
    meter
        .u64_counter(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.meaning)
        .build()
}

/// A gauge as its description says.
pub(super) fn gauge(meter: &Meter, metric: Metric) -> Gauge<f64> {
    meter
        .f64_gauge(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.meaning)
        .build()
}

/// A histogram as its description says.
pub(super) fn histogram(meter: &Meter, metric: Metric) -> Histogram<f64> {
    let Kind::Histogram(bounds) = metric.kind else {
        unreachable!("{} is described as a histogram", metric.name);
    };
    meter
        .f64_histogram(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.meaning)
        .with_boundaries(bounds.to_vec())
        .build()
}

/// A label.
pub(super) fn text(key: &'static str, value: impl Into<opentelemetry::Value>) -> KeyValue {
    KeyValue::new(key, value)
}

/// A label whose value is a domain value.
pub(super) fn word<T: Serialize>(key: &'static str, value: &T) -> KeyValue {
    text(key, spell(value))
}

/// A domain value in the same word as in events and in the database.
pub(super) fn spell<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        other => unreachable!("labels are enums without content, not {other:?}"),
    }
}

/// The label of a failure class.
pub(super) fn class(class: Option<FailureClass>) -> KeyValue {
    text(
        label::FAILURE_CLASS,
        class.map_or("none", FailureClass::as_str),
    )
}

/// The label that says Kafka.
pub(super) fn kafka() -> KeyValue {
    text(label::MESSAGING_SYSTEM, "kafka")
}
