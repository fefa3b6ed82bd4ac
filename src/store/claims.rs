//! When a refresh may be claimed and what ends a claim (rule 11), free of SQL.

use chrono::{DateTime, Utc};

use super::Written;
use super::links::{Grant, RefreshClaim, RefreshResult, RefreshWish};
use super::values::{Columns, flag};
use crate::domain::ids::TokenSequence;

/// A grant with the state of its claim.
pub(super) struct Claimed {
    /// The grant.
    pub(super) grant: Grant,
    /// Until when the answer of the claim may come.
    until: Option<DateTime<Utc>>,
    /// That is over.
    expired: bool,
    /// The one further try with a token in doubt has been claimed.
    last_step: bool,
}

impl Claimed {
    /// Reads a grant's columns, and those of its claim.
    pub(super) fn read(row: &impl Columns) -> super::Result<Self> {
        Ok(Self {
            grant: super::rows::grant(row)?,
            until: row.time("claim_until")?,
            expired: row.flag("expired")?.unwrap_or_default(),
            last_step: flag(row, "last_step")?,
        })
    }

    /// Whether an earlier claim is in doubt: its result was lost, or the tokens say so already.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.grant.in_doubt || (self.until.is_some() && self.expired)
    }

    /// What a wish to refresh is answered, unless it may be claimed.
    pub(super) fn refused(&self, wish: &RefreshWish) -> Option<RefreshClaim> {
        if self.grant.token_sequence > wish.seen {
            return Some(RefreshClaim::Newer(self.grant.clone()));
        }
        if let Some(until) = self.until.filter(|_| !self.expired) {
            return Some(RefreshClaim::Busy { until });
        }
        if self.is_in_doubt() && !wish.last_step {
            return Some(RefreshClaim::InDoubt);
        }
        // A last step that was not taken is given back when its claim ends untouched.
        self.last_step.then_some(RefreshClaim::Exhausted)
    }

    /// What is told where the claim's result is not to be written: the tokens have moved on.
    pub(super) fn is_over(&self, seen: TokenSequence, result: &RefreshResult) -> Option<Written> {
        if self.grant.token_sequence == seen {
            return None;
        }
        let same = matches!(result, RefreshResult::Refreshed { tokens, .. }
            if self.grant.token_sequence == seen.next() && *tokens == self.grant.tokens);
        Some(if same {
            Written::Already
        } else {
            Written::Stale
        })
    }
}
