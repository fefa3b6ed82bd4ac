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

    /// Whether the refresh may be claimed, and then, whether in doubt; else what to tell.
    pub(super) fn may_claim(&self, wish: &RefreshWish) -> Result<bool, RefreshClaim> {
        if self.grant.token_sequence > wish.seen {
            return Err(RefreshClaim::Newer(self.grant.clone()));
        }
        if let Some(until) = self.until.filter(|_| !self.expired) {
            return Err(RefreshClaim::Busy { until });
        }
        let in_doubt = self.grant.in_doubt || self.until.is_some();
        if in_doubt && !wish.last_step {
            return Err(RefreshClaim::InDoubt);
        }
        // A last step that was not taken is given back when its claim ends untouched.
        if self.last_step {
            return Err(RefreshClaim::Exhausted);
        }
        Ok(in_doubt)
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
