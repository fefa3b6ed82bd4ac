//! What is told of calls and links, in words and as JSON, by the command line and by the API alike.
//! Numbers, names and notes are left out.

pub mod audit;
pub mod replay;
pub mod story;
pub mod troubles;
pub mod words;

use chrono::{DateTime, SecondsFormat, Utc};

/// A time as people and scripts read it: RFC 3339 in UTC, to the millisecond.
pub fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}
