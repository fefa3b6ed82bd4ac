//! vcc-link: every ended call of a linked contact-centre account becomes exactly one Salesforce
//! Task, or a stated reason why not.
//!
//! Call events come from Kafka and are kept in a database. Each account is linked to a Salesforce
//! org through an API user. While a call rings, the caller is looked up there; when it has ended,
//! a Task is created. What came of each call is published to Kafka.
//!
//! ```text
//!  Kafka vcc.calls ─> ingest ─> inbox ─> scheduler ─> lookup ─> dispatch ─> outcome ─> outbox ─> relay ─> Kafka vcc.call-logs
//!                       │                    │                  (Tasks)                                   vcc.link-status
//!                       └─> quarantine       └── links, tokens    └─> attempt, reconcile
//! ```
//!
//! # The modules, in reading order
//!
//! - [`domain`]: pure values and rules. Begin with [`domain::call`] and [`domain::outcome`].
//! - [`engine`]: every decision, without I/O: [`engine::Input`] in, [`engine::Command`] out.
//! - [`store`]: the durable state; one trait for each room, one method for each transaction.
//! - [`kafka`], [`salesforce`]: the adapters to the outside, and what their bytes mean.
//! - [`crypto`], [`sealing`]: what is about people or opens doors is sealed before it is stored.
//! - [`linking`]: links, and their tokens. [`callers`]: who a number belongs to.
//! - [`pipeline`]: shells that carry the engine's commands out, in the order of the flow.
//! - [`trial`]: the test that an admin makes of a link.
//! - [`telling`]: what is told of calls and links, in words and as JSON.
//! - [`notices`]: an account's contacts are told what becomes of its link.
//! - [`http`]: the operations pages, and the sidecar: the pages where admins link their accounts.
//! - [`app`]: builds all of it, runs it, drains it. [`config`], [`cli`]: what people see.
//! - [`telemetry`], [`readiness`], [`clock`]: for whoever needs them.
//!
//! # What holds everywhere
//!
//! - A call is here before its offset is committed, and its attempt is noted before its request.
//! - An unanswered create is looked for, never sent again blindly.
//! - Every write that finishes work is fenced by the epoch of its shard's lease.
//! - A refresh token is used once; the next is durable before it is used.
//! - The engine decides, the shells carry out: `now` and chance are arguments below the shells.
//! - No token, number, name or note reaches a log, a trace, a metric or an error text.
//!
//! `docs/ARCHITECTURE.md` tells the same at more length, with the reasons.

#![forbid(unsafe_code)]

pub mod app;
pub mod callers;
pub mod cli;
pub mod clock;
pub mod config;
pub mod crypto;
pub mod domain;
pub mod engine;
pub mod http;
pub mod kafka;
pub mod linking;
pub mod notices;
pub mod pipeline;
pub mod preflight;
pub mod readiness;
pub mod salesforce;
pub mod sealing;
pub mod store;
pub mod telemetry;
pub mod telling;
pub mod trial;

/// A place where a test may end the process at once, as a crash would: between two steps that a
/// crash must not come between unnoticed. Does nothing without the feature `failpoints`.
pub(crate) fn crash_point(name: &'static str) {
    // Without the feature the macro is empty.
    let _ = name;
    fail::fail_point!(name, |_| std::process::abort());
}
