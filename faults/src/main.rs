//! The fault suite: breaks vcc-link on purpose, again and again, and counts what came of the calls.
//!
//! ```text
//!  row ─> trial: calls ─> Kafka ─> `vcc-link worker` ×1..3 ─> Salesforce simulator
//!                  │        ↑            ↑  ↑    │                 │
//!                  │        └─ a fault strikes ──┘                 │
//!                  └──> judge <── results topic, oracle <──────────┘
//! ```
//!
//! Each row of the table is one fault; a trial is one time that it strikes, under load. Workers are
//! processes of their own, Kafka and PostgreSQL are real and belong to the suite, which stops and
//! kills them as it likes. What came of the calls is counted from what anybody can see: the results
//! topic, and the simulator's oracle. The tables of vcc-link are never read.

#![forbid(unsafe_code)]

mod arguments;
mod clock;
mod disk;
mod proxy;
mod report;
mod row;
mod rows;
mod run;
mod services;
mod world;

use std::process::ExitCode;

use clap::Parser as _;

use crate::arguments::Arguments;

#[tokio::main]
async fn main() -> ExitCode {
    match run::run(Arguments::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
