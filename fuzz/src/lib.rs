//! Bytes that nobody meant: events, texts in queries, Salesforce's answers.
//!
//! Each target is one function from an input to nothing, which panics if a promise is broken. The tests give it the
//! kept inputs and some random ones (`tests/bounded.rs`), libFuzzer as many as it has time for (`fuzz_targets/`).

#![forbid(unsafe_code)]

pub mod answers;
mod damage;
mod draft;
pub mod events;
pub mod queries;
