//! The simulator from outside: over real connections, as a client and as a test's oracle see it.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on stops where it is"
)]

mod browser;
mod bulk;
mod changes;
mod composites;
mod faults;
mod harness;
mod limits;
mod logins;
mod oauth;
mod queries;
mod rights;
mod searches;
mod soap;
mod tasks;
mod upserts;
