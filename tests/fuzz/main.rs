//! Bytes that nobody meant: events, names and numbers in queries, Salesforce's answers.
//!
//! `cargo test --test fuzz` gives each target its kept inputs and a bounded number of new ones; `make fuzz` runs them
//! for as long as you like, led by the coverage that an input reaches. An input that fails is kept beside the target
//! under `__fuzz__/`, and every later run tries it first.

mod answers;
mod damage;
mod draft;
mod events;
mod queries;
