//! A Salesforce that behaves, for tests on one machine.
//!
//! It plays the login host and any number of orgs: the pages of a login, OAuth with refresh-token
//! rotation, SOQL and SOSL, Tasks and the records they belong to, Collections, Composite and Bulk,
//! describe, limits; and everything that goes wrong between a client and Salesforce. An oracle under
//! `/__sim/` tells what really happened. It knows nothing of the program that is tested against it.
//!
//! # Layout
//!
//! ```text
//!  server      sockets, TLS, time, broken connections          impure, thin
//!    └─ api      a request in, a reply out: one file per resource ┐
//!         ├─ soql, sosl   the two languages                       │ pure: time and chance
//!         └─ world        orgs, records, logins, tokens, limits,  │ come from outside
//!                         faults                                  ┘
//! ```
//!
//! Reading order: [`seed`] (what a world consists of), `world` (how it changes), `api::resource`
//! (what can be asked), `world::admission` (who is let in), `server::salesforce` (one request's way
//! through all of it).
//!
//! # Invariants
//!
//! - The world reads no clock, opens no socket and starts no task.
//! - A request that was let in is carried to its end, whatever its client does: a lost connection
//!   does not undo a commit.
//! - The same seed and the same requests in the same order give the same answers.
//!
//! Apart from all this, and behind the feature `broker`, stands [`broker`]: a Kafka broker within
//! the process, for those who want the whole outside world in one.

mod api;
#[cfg(feature = "broker")]
pub mod broker;
mod clock;
mod config;
mod control;
pub mod seed;
mod server;
mod soql;
mod sosl;
mod world;

pub use api::resource::Kind;
pub use config::{Config, InstanceUrlStyle};
pub use control::{Control, ControlError, RequestFilter};
pub use server::{Running, Simulator};
pub use world::faults::{Action, Match, Rule};
pub use world::journal::{Counters, Entry};
