//! Jobs of Bulk API 2.0: what was asked, what was sent, and what became of each row.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::id::Id;
use crate::clock::Timestamp;

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Insert,
    Update,
    Upsert,
    Delete,
    Query,
    QueryAll,
}

impl Operation {
    /// The operation that a request names.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let all = [
            Self::Insert,
            Self::Update,
            Self::Upsert,
            Self::Delete,
            Self::Query,
            Self::QueryAll,
        ];
        all.into_iter().find(|operation| operation.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Upsert => "upsert",
            Self::Delete => "delete",
            Self::Query => "query",
            Self::QueryAll => "queryAll",
        }
    }

    pub(crate) fn is_query(self) -> bool {
        matches!(self, Self::Query | Self::QueryAll)
    }
}

/// How far a job is. The work itself takes no time, so no job is ever found in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Open,
    Aborted,
    JobComplete,
    Failed,
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Open => "Open",
            Self::Aborted => "Aborted",
            Self::JobComplete => "JobComplete",
            Self::Failed => "Failed",
        }
    }
}

/// How a job's CSV is written.
#[derive(Debug, Clone)]
pub(crate) struct Format {
    /// Name of the column delimiter, such as `COMMA`.
    pub(crate) delimiter: String,
    /// `LF` or `CRLF`.
    pub(crate) line_ending: String,
}

/// What became of a row.
#[derive(Debug, Clone)]
pub(crate) enum RowResult {
    Saved { id: Id, created: bool },
    Failed { id: Option<Id>, error: String },
}

/// A table as CSV has it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sheet {
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

/// One job.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) id: Id,
    pub(crate) user: Id,
    pub(crate) created: Timestamp,
    pub(crate) changed: Timestamp,
    pub(crate) operation: Operation,
    pub(crate) object: Arc<str>,
    /// The field that an upsert goes by.
    pub(crate) external_id: Option<String>,
    pub(crate) format: Format,
    pub(crate) state: State,
    /// Why the job failed as a whole.
    pub(crate) error: Option<String>,
    /// What was uploaded.
    pub(crate) upload: Option<Bytes>,
    /// The rows uploaded, or those found.
    pub(crate) sheet: Sheet,
    /// What became of the rows, in their order.
    pub(crate) results: Vec<RowResult>,
}

/// The jobs of one org.
pub(crate) type Jobs = BTreeMap<Id, Job>;
