//! The request log and the counters: what the oracle tells of what was asked.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use super::id::Id;
use super::value::format_datetime;
use crate::api::resource::Kind;
use crate::clock::Timestamp;

/// Requests kept; older ones are forgotten, the counters are not.
const KEPT: usize = 1_000_000;

/// One request. It holds no bodies and no tokens.
#[derive(Debug, Clone, Serialize)]
pub struct Entry {
    /// Its number, from 1.
    pub seq: u64,
    /// When it came in.
    pub time: String,
    /// The org, if the request told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub org: Option<Id>,
    /// The user, if the request told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<Id>,
    /// Its sort.
    pub kind: Kind,
    /// HTTP method.
    pub method: String,
    /// Path without query string.
    pub path: String,
    /// The HTTP status sent; absent while it runs and if the connection was dropped.
    pub status: Option<u16>,
    /// Rows written or returned.
    pub records: usize,
    /// API calls that it counted as.
    pub counted: u64,
    /// The fault that struck it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// Whether it has ended, answered or not.
    pub done: bool,
}

/// The totals of one org.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Counters {
    /// Requests by sort.
    pub requests: BTreeMap<Kind, u64>,
    /// API calls counted against the daily limit, over all time.
    pub api_calls: u64,
    /// Tasks created.
    pub tasks_created: u64,
    /// Access tokens issued.
    pub tokens_issued: u64,
    /// Dead refresh tokens that were used again.
    pub reuse_detected: u64,
}

/// The log and the totals.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    entries: VecDeque<Entry>,
    last: u64,
    counters: BTreeMap<Option<Id>, Counters>,
}

/// What is known of a request when it comes in.
#[derive(Debug)]
pub(crate) struct Arrival<'a> {
    pub(crate) org: Option<Id>,
    pub(crate) user: Option<Id>,
    pub(crate) kind: Kind,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) counted: u64,
    pub(crate) fault: Option<String>,
}

impl Journal {
    /// The number that the next request gets.
    pub(crate) fn next(&self) -> u64 {
        self.last + 1
    }

    pub(crate) fn open(&mut self, now: Timestamp, arrival: Arrival<'_>) -> u64 {
        self.last += 1;
        let counters = self.counters.entry(arrival.org).or_default();
        *counters.requests.entry(arrival.kind).or_default() += 1;
        counters.api_calls += arrival.counted;
        if self.entries.len() == KEPT {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry {
            seq: self.last,
            time: format_datetime(now),
            org: arrival.org,
            user: arrival.user,
            kind: arrival.kind,
            method: arrival.method.to_owned(),
            path: arrival.path.to_owned(),
            status: None,
            records: 0,
            counted: arrival.counted,
            fault: arrival.fault,
            done: false,
        });
        self.last
    }

    /// Notes how a request ended.
    pub(crate) fn close(&mut self, seq: u64, status: Option<u16>, records: usize) {
        let behind = usize::try_from(self.last - seq).unwrap_or(usize::MAX);
        let Some(place) = self.entries.len().checked_sub(behind.saturating_add(1)) else {
            return;
        };
        let entry = &mut self.entries[place];
        entry.status = status;
        entry.records = records;
        entry.done = true;
    }

    /// The totals of an org, to add to.
    pub(crate) fn counters_mut(&mut self, org: Id) -> &mut Counters {
        self.counters.entry(Some(org)).or_default()
    }

    pub(crate) fn counters(&self) -> &BTreeMap<Option<Id>, Counters> {
        &self.counters
    }

    /// Requests numbered above `since`, of one org or of all.
    pub(crate) fn requests(&self, org: Option<Id>, since: u64) -> impl Iterator<Item = &Entry> {
        self.entries
            .iter()
            .filter(move |entry| entry.seq > since && (org.is_none() || entry.org == org))
    }
}
