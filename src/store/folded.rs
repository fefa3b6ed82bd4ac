//! What folding a call into the stored one did, and what of it is told and kept; free of SQL.

use chrono::{DateTime, Utc};

use super::Result;
use super::Sealed;
use super::inbox::{Appended, IngestCall};
use super::rows::due_call;
use super::values::{Columns, flag, id_opt};
use crate::domain::ids::EventId;
use crate::domain::work::{Due, Lane};

/// What folding one call did.
pub(super) struct Folded {
    /// The call as it is due now, in the task lane if in any.
    pub(super) due: Due,
    /// It was not there before.
    is_new: bool,
    /// The begin that took its place now.
    begun_by: Option<EventId>,
    /// The end that took its place now.
    ended_by: Option<EventId>,
    /// When its lookup is due.
    lookup_due_at: Option<DateTime<Utc>>,
    /// When its Task is due.
    task_due_at: Option<DateTime<Utc>>,
}

impl Folded {
    /// Reads what the statement returns.
    pub(super) fn read(row: &impl Columns) -> Result<Self> {
        Ok(Self {
            due: due_call(row, Lane::Task, DateTime::UNIX_EPOCH)?,
            is_new: flag(row, "is_new")?,
            begun_by: id_opt(row, "begun_by")?,
            ended_by: id_opt(row, "ended_by")?,
            lookup_due_at: row.time("lookup_due_at")?,
            task_due_at: row.time("task_due_at")?,
        })
    }

    /// Counts it, adds the lanes that are due by this batch, and gives the bodies to be kept, each
    /// with its kind. A revision that rises while its call waits for a retry is told too, with the
    /// time of the retry: whoever holds the call has an old revision.
    pub(super) fn tell<'a>(
        self,
        call: &'a IngestCall,
        appended: &mut Appended,
    ) -> impl Iterator<Item = (&'static str, &'a Sealed)> + use<'a> {
        let begun = call.started.as_ref();
        let begun = begun.filter(|s| Some(&s.event) == self.begun_by.as_ref());
        let ended = call.ended.as_ref();
        let ended = ended.filter(|e| Some(&e.event) == self.ended_by.as_ref());
        let changed = u64::from(begun.is_some()) + u64::from(ended.is_some());
        appended.new_calls += u64::from(self.is_new);
        appended.duplicates += u64::from(call.events).saturating_sub(changed);
        if let Some(due_at) = self.lookup_due_at.filter(|_| begun.is_some()) {
            appended.due.push(Due {
                lane: Lane::Lookup,
                due_at,
                ..self.due.clone()
            });
        }
        if let Some(due_at) = self.task_due_at.filter(|_| ended.is_some()) {
            appended.due.push(Due { due_at, ..self.due });
        }
        let begun = begun.map(|s| ("started", &s.body));
        begun.into_iter().chain(ended.map(|e| ("ended", &e.body)))
    }
}
