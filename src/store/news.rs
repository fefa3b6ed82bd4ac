//! What a change of a link leaves behind beside the link itself: its history, and its event.

use chrono::{DateTime, Utc};

use super::links::{LinkChange, NewLink, ProfileRead};
use super::outbox::OutboxRow;
use crate::domain::link::Actor;

/// What is told of a change of a link, beside the link itself.
pub(super) struct News<'a> {
    /// Who caused it.
    pub(super) actor: &'a Actor,
    /// When.
    pub(super) at: DateTime<Utc>,
    /// `link.statuschanged.v1`.
    pub(super) event: &'a OutboxRow,
}

impl<'a> News<'a> {
    /// Of a Link or Relink.
    pub(super) const fn of_link(link: &'a NewLink) -> Self {
        Self {
            actor: &link.actor,
            at: link.at,
            event: &link.event,
        }
    }

    /// Of a change of health, or an Unlink.
    pub(super) const fn of_change(change: &'a LinkChange) -> Self {
        Self {
            actor: &change.actor,
            at: change.at,
            event: &change.event,
        }
    }

    /// Of what an org says of itself, if that is news.
    pub(super) fn of_profile(read: &'a ProfileRead) -> Option<Self> {
        let news = read.news.as_ref()?;
        Some(Self {
            actor: &news.actor,
            at: read.at,
            event: &news.event,
        })
    }
}
