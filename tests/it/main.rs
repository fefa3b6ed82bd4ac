//! Tests that need no service: `cargo test` alone runs them.

mod architecture;
mod contract;
#[path = "../dashboard/mod.rs"]
mod dashboard;
mod dashboards;
mod kafka;
mod linking;
mod notices;
mod operations;
#[path = "../produce/mod.rs"]
mod produce;
mod salesforce;
mod salesforce_errors;
mod settings;
mod settings_page;
mod sidecar;
mod simulation;
mod store;
mod tokens;
