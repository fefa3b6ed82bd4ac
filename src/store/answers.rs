//! Which of lookups' answers are kept, free of SQL.

use std::collections::{BTreeMap, BTreeSet};

use super::inbox::LookupRow;
use super::outbox::Publish;
use super::values::{Columns, call_id, flag, shard};
use super::{Fence, Result, Written};
use crate::domain::ids::{CallId, ShardId};

/// A call as its answer finds it.
pub(super) struct Asked {
    /// Where it lies.
    shard: ShardId,
    /// Its begin came.
    begun: bool,
    /// Its answer is stored.
    looked_up: bool,
    /// An answer is to be given, if only to a begin that came behind it.
    due: bool,
}

/// An answer that changes something.
pub(super) struct Kept<'a> {
    /// The answer.
    pub(super) row: &'a LookupRow,
    /// It is the first, and so is stored; else it is the stored one, told to a begin that came
    /// behind it: only the event is written.
    pub(super) first: bool,
}

impl Asked {
    /// Reads a call's columns.
    pub(super) fn read(row: &impl Columns) -> Result<(CallId, Self)> {
        let asked = Self {
            shard: shard(row)?,
            begun: flag(row, "begun")?,
            looked_up: flag(row, "looked_up")?,
            due: flag(row, "due")?,
        };
        Ok((call_id(row)?, asked))
    }

    /// Takes one answer in.
    fn take<'a>(&mut self, row: &'a LookupRow) -> std::result::Result<Kept<'a>, Written> {
        let tells = row.event.is_some();
        if self.looked_up {
            if !(self.due && tells) {
                return Err(Written::Already);
            }
            self.due = false;
            return Ok(Kept { row, first: false });
        }
        if self.begun && !tells {
            return Err(Written::Stale);
        }
        (self.looked_up, self.due) = (true, false);
        Ok(Kept { row, first: true })
    }
}

/// Judges answers in their order: what became of each, and those to be written.
pub(super) fn judge<'a>(
    rows: &'a [LookupRow],
    held: &BTreeSet<Fence>,
    mut calls: BTreeMap<CallId, Asked>,
) -> (Vec<Written>, Vec<Kept<'a>>) {
    let mut kept = Vec::new();
    let written = rows.iter().map(|row| {
        let call = calls
            .get_mut(&row.id)
            .filter(|call| call.shard == row.fence.shard && held.contains(&row.fence));
        match call.map_or(Err(Written::Stale), |call| call.take(row)) {
            Err(written) => written,
            Ok(keep) => {
                kept.push(keep);
                Written::Yes
            }
        }
    });
    (written.collect(), kept)
}

/// The events of what is kept.
pub(super) fn events<'a>(kept: &[Kept<'a>]) -> Vec<Publish<'a>> {
    let event = |kept: &Kept<'a>| {
        let event = kept.row.event.as_ref()?;
        Some(Publish::of_call(event, &kept.row.id, kept.row.fence.shard))
    };
    kept.iter().filter_map(event).collect()
}
