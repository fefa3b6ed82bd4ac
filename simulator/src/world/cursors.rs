//! Query results that did not fit into one page.

use std::collections::VecDeque;
use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::Value;

use super::id::Id;
use crate::clock::Timestamp;

/// Open results that a user can have; one more closes the oldest.
const OPEN_PER_USER: usize = 10;

/// A result lives this long after it was last read. Salesforce promises between 15 minutes and two
/// days; the shorter is the one to be ready for.
const LIFETIME_MINUTES: i64 = 15;

/// The rows of one query.
#[derive(Debug, Clone)]
pub(crate) struct Cursor {
    pub(crate) id: Id,
    pub(crate) user: Id,
    pub(crate) rows: Arc<Vec<Value>>,
    /// Rows of a page.
    pub(crate) page: usize,
    pub(crate) touched: Timestamp,
}

/// The open results of one org, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Cursors {
    open: VecDeque<Cursor>,
}

impl Cursors {
    /// Keeps the rows of a query for its following pages.
    pub(crate) fn open(&mut self, cursor: Cursor) {
        let mine = |open: &Cursor| open.user == cursor.user;
        if self.open.iter().filter(|open| mine(open)).count() >= OPEN_PER_USER
            && let Some(oldest) = self.open.iter().position(mine)
        {
            self.open.remove(oldest);
        }
        self.open.push_back(cursor);
    }

    /// Finds a user's open result.
    pub(crate) fn find(&mut self, id: Id, user: Id, now: Timestamp) -> Option<Cursor> {
        let lifetime = TimeDelta::minutes(LIFETIME_MINUTES);
        self.open.retain(|cursor| now - cursor.touched < lifetime);
        let cursor = self
            .open
            .iter_mut()
            .find(|cursor| cursor.id == id && cursor.user == user)?;
        cursor.touched = now;
        Some(cursor.clone())
    }
}
