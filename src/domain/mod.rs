//! Pure values and rules: what a call, a link, a match, a Task and an outcome are.
//!
//! Nothing here does I/O, reads a clock or draws a random number: `now` and chance are arguments.
//! Serde on these types is for our own storage (sealed before it is written); what travels on
//! Kafka or to Salesforce has its own types in those adapters.
//!
//! Architecture invariant: `domain` imports nobody else in the house.

pub mod adoption;
pub mod authorization;
pub mod call;
pub mod event;
pub mod fault;
pub mod help;
pub mod ids;
pub mod invitation;
pub mod key_head;
pub mod link;
pub mod matching;
pub mod notice;
pub mod outcome;
pub mod pause;
pub mod phone;
pub mod policy;
pub mod preflight;
pub mod private;
mod record_ids;
pub mod replay;
pub mod task;
pub mod trial;
pub mod work;
