//! Tests against real services: Kafka, PostgreSQL, Prometheus. `make test` starts those first.

#[path = "../dashboard/mod.rs"]
mod dashboard;
mod dashboards;
mod environment;
mod flow;
mod kafka;
mod store;
