//! Shells that carry the engine's commands to the store, Salesforce and Kafka, and bring the
//! answers back. In the order of the flow:
//!
//! - [`ingest`]: Kafka → inbox, by way of [`fold`]: events → rows, and `append`: rows of which
//!   the database refuses some;
//! - [`leases`]: which shards are ours;
//! - [`driver`]: owns the engine; inputs in, commands out to the shells below;
//! - [`load`]: due calls, open attempts, links;
//! - [`lookup`]: who is calling;
//! - [`dispatch`]: attempt, then Task; [`adoptions`]: which Tasks become a call's;
//! - [`reconcile`]: what became of an attempt without an answer;
//! - [`record`]: outcomes and their events, in one transaction;
//! - [`relay`]: outbox → Kafka;
//! - [`recognise`]: whether the database came back from the past;
//! - [`housekeep`]: forgetting by the ages of [`retention`], and giving replaced tokens up;
//! - [`wakes`]: what other processes left for us; [`watch`]: what stands and waits, for the metrics,
//!   and [`delay`]: how far ingest is behind; [`watchdog`]: what does not go on by itself.
//!
//! No shell decides anything that the engine or the domain could decide, and none holds a
//! transaction, a lock or a claimed row across a network call: claim, commit, call, record.
//!
//! Architecture invariant: `pipeline` and `http` never know of each other; they meet in the store
//! and in the events.

pub mod adoptions;
mod append;
pub mod brakes;
pub mod delay;
pub mod dispatch;
pub mod driver;
pub mod fold;
pub mod housekeep;
pub mod ingest;
pub mod leases;
pub mod load;
pub mod lookup;
pub mod owners;
mod places;
pub mod recognise;
pub mod reconcile;
pub mod record;
pub mod relay;
pub mod retention;
pub mod wakes;
pub mod watch;
pub mod watchdog;
