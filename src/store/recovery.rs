//! Whether the database is as workers left it, or came back from the past (rule 15): a backup that
//! was restored, or a standby that was promoted and may lack what was confirmed last.
//!
//! What is lost with such a past is not seen in what is left. So a database is *recognised* before
//! anything is sent through it: each time its server was started, another one was promoted, or its
//! tables were made anew. What is compared then is the server's identity, its timeline, and what a
//! [`Witness`] knows: how far these workers had come. It was told only after the transaction that made
//! it so here.
//!
//! A database that is not recognised **recovers**: nobody owns a shard, so nothing is sent, looked
//! up, refreshed or published, and only reading goes on, until [`Recovery::lift`].

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::inbox::Partition;
use super::values::{Columns, flag, from_word_opt, number, text};
use super::{Error, Result};
use crate::domain::ids::AccountId;

/// How soon after the last heartbeat that it knows a promoted server is taken for the standby of one
/// that confirmed nothing without it. Restoring a backup takes longer, and so does a person.
const PROMOTED_WITHIN: Duration = Duration::from_mins(2);

/// How much the platform's clock, which says when calls end, may be ahead of the database's.
pub(super) const CLOCKS_DIFFER: Duration = Duration::from_mins(1);

/// How far epochs move, so that none that somebody holds in memory is ever given again: more than
/// are given to a shard between a backup and its restore.
pub(super) const EPOCHS_APART: i64 = 1_000_000;

/// How far the sequences of links move, so that what is published next stands above all that was
/// published and is not known any more.
pub(super) const SEQUENCES_APART: i64 = 1_000;

/// Why a database is taken for one that went back in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecoveryReason {
    /// Its tables lie on another server, or were made anew: a dump was restored.
    OtherServer,
    /// Its server goes on on another timeline: a backup was restored, or a standby promoted that
    /// may lack the last transactions.
    OtherTimeline,
    /// Kafka knows that workers had come further than this database knows.
    BehindKafka,
}

impl RecoveryReason {
    /// What was seen, for people.
    pub const fn says(self) -> &'static str {
        match self {
            Self::OtherServer => {
                "its tables lie on another server than before: it was restored from a dump, or moved"
            }
            Self::OtherTimeline => {
                "its server goes on on another timeline: a backup was restored, or a standby promoted that may lack the last transactions"
            }
            Self::BehindKafka => {
                "what workers noted in Kafka is ahead of it: it was restored from an earlier time"
            }
        }
    }
}

/// How it stands with the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is as workers left it.
    Recognised,
    /// Nobody looked at it since its server was started: see [`Recovery::recognise`].
    Unrecognised,
    /// It came back from the past; see [`Recovery::lift`].
    Recovering {
        /// When that was seen.
        since: DateTime<Utc>,
        /// Why.
        reason: RecoveryReason,
    },
}

/// What lifting a recovery changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lifted {
    /// Links whose refresh token may be used up: they go on with their access token, and the
    /// refresh token is tried once when that is refused.
    pub doubted: Vec<AccountId>,
}

/// How far workers had come with this database, by what they committed in Kafka.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Witness {
    /// The offsets of their group.
    pub offsets: Vec<(Partition, i64)>,
    /// The highest mark that they noted there; see [`Recovery::advance_mark`].
    pub mark: i64,
}

/// The room of those who ask whether the past is whole.
#[async_trait]
pub trait Recovery: Send + Sync {
    /// How it stands. While it is not [`Standing::Recognised`], no attempt begins and no refresh is
    /// claimed: those methods give [`Error::Unavailable`].
    async fn standing(&self) -> Result<Standing>;

    /// Compares the database with what it was, and with what is known outside of it; then it is
    /// recognised or recovers. What begins a recovery takes all shards
    /// from their owners, with epochs that nobody has seen. One that recovers goes on doing so.
    async fn recognise(&self, witness: &Witness) -> Result<Standing>;

    /// Moves the mark of a recognised database on, and gives it, to be noted outside of it:
    /// [`Error::Unavailable`] where it is not recognised. A database that is found with a lower mark
    /// than that which is noted went back in time, even if it knows all that was read.
    async fn advance_mark(&self) -> Result<i64>;

    /// Ends a recovery (or does the same for a database that is none, on a person's word).
    ///
    /// From then on a call that ended before now, and is to get a Task, is first looked for by its
    /// key, as it may have one: [`Journal::begin_attempts`](super::Journal::begin_attempts) notes
    /// an attempt whose answer is lost. Every refresh token is in doubt. Sequences of links move
    /// ahead of all that may have been published. What the witness knows now says nothing any more.
    ///
    /// Doing it again does no harm, and looks for more calls.
    async fn lift(&self, witness: &Witness) -> Result<Lifted>;
}

/// Nothing is sent through a database that is not recognised.
#[derive(Debug, thiserror::Error)]
#[error("the database is not recognised: nothing is sent before it is known that nothing is lost")]
struct Unrecognised;

/// What a transaction fails with that must not happen before the database is recognised.
pub(super) fn unrecognised() -> Error {
    Error::Unavailable(Box::new(Unrecognised))
}

/// Who answers: a server on one timeline, since it was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    /// The server and the tables.
    pub(super) system: String,
    /// Its timeline.
    pub(super) timeline: i64,
    /// Another text whenever it was started, or is another one.
    pub(super) started: String,
    /// It confirms nothing that a standby does not have.
    pub(super) synchronous: bool,
}

impl Server {
    /// From the columns of its fields.
    pub(super) fn read(row: &impl Columns) -> Result<Self> {
        Ok(Self {
            system: text(row, "system")?.to_owned(),
            timeline: number(row, "timeline")?,
            started: text(row, "started")?.to_owned(),
            synchronous: flag(row, "synchronous")?,
        })
    }
}

/// What a database is compared by.
pub(super) struct Evidence<'a> {
    /// The server that it was last recognised on.
    pub(super) noted: Option<&'a Server>,
    /// The one that it is on.
    pub(super) server: &'a Server,
    /// The last that it knows of any worker.
    pub(super) last_beat: Option<DateTime<Utc>>,
    /// The time now.
    pub(super) now: DateTime<Utc>,
    /// Kafka is ahead of it.
    pub(super) behind: bool,
}

impl Evidence<'_> {
    /// Why it is taken for one that went back in time, if it is.
    ///
    /// A standby of a server that confirmed nothing without it has everything, and is taken as it
    /// is: promoting it is daily business. That it is one, and no backup that was rolled forward,
    /// is seen by how fresh it is.
    pub(super) fn judge(&self) -> Option<RecoveryReason> {
        if self.behind {
            return Some(RecoveryReason::BehindKafka);
        }
        let noted = self.noted?;
        if noted.system != self.server.system {
            return Some(RecoveryReason::OtherServer);
        }
        if noted.timeline == self.server.timeline {
            return None;
        }
        let age = self.last_beat.map(|beat| self.now - beat);
        let is_fresh = age.is_some_and(|age| {
            TimeDelta::from_std(PROMOTED_WITHIN).is_ok_and(|within| age <= within)
        });
        (!(noted.synchronous && is_fresh)).then_some(RecoveryReason::OtherTimeline)
    }
}

/// Whether the witness knows of more than is known here: of a higher mark, or of more of a partition.
pub(super) fn is_behind(known: &BTreeMap<Partition, i64>, mark: i64, witness: &Witness) -> bool {
    let is_ahead = |(partition, offset): &(Partition, i64)| {
        *offset > known.get(partition).copied().unwrap_or_default()
    };
    witness.mark > mark || witness.offsets.iter().any(is_ahead)
}

/// How it stands, from the columns of `lineage` and `is_known`: whether its server is the one that
/// is noted.
pub(super) fn standing(row: Option<&impl Columns>) -> Result<Standing> {
    let Some(row) = row else {
        return Ok(Standing::Unrecognised);
    };
    let since = row.time("recovering_since")?;
    let reason = from_word_opt(row, "recovering_reason")?;
    Ok(match since.zip(reason) {
        Some((since, reason)) => Standing::Recovering { since, reason },
        None if flag(row, "is_known")? => Standing::Recognised,
        None => Standing::Unrecognised,
    })
}

/// A partition with an offset, from the columns `topic`, `partition` and `known`.
pub(super) fn known_offset(row: &impl Columns) -> Result<(Partition, i64)> {
    let partition = Partition {
        topic: text(row, "topic")?.to_owned(),
        partition: row
            .int("partition")?
            .ok_or_else(|| super::values::corrupt("partition"))?,
    };
    Ok((partition, number(row, "known")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(system: &str, timeline: i64, synchronous: bool) -> Server {
        Server {
            system: system.to_owned(),
            timeline,
            started: String::new(),
            synchronous,
        }
    }

    #[test]
    fn a_database_that_may_have_lost_something_is_told() {
        let now = DateTime::<Utc>::UNIX_EPOCH + TimeDelta::days(1);
        let judge = |noted: Option<&Server>, server: &Server, minutes: i64, behind| {
            let last_beat = Some(now - TimeDelta::minutes(minutes));
            let evidence = Evidence {
                noted,
                server,
                last_beat,
                now,
                behind,
            };
            evidence.judge()
        };
        let (alone, kept) = (server("a", 1, false), server("a", 1, true));
        let (promoted, other) = (server("a", 2, false), server("b", 1, true));
        assert_eq!(judge(None, &alone, 0, false), None, "a new one");
        assert_eq!(judge(Some(&alone), &alone, 999, false), None, "restarted");
        let restored = Some(RecoveryReason::OtherTimeline);
        assert_eq!(judge(Some(&alone), &promoted, 0, false), restored);
        assert_eq!(judge(Some(&kept), &promoted, 1, false), None, "a failover");
        assert_eq!(judge(Some(&kept), &promoted, 10, false), restored);
        let moved = Some(RecoveryReason::OtherServer);
        assert_eq!(judge(Some(&kept), &other, 0, false), moved);
        let behind = Some(RecoveryReason::BehindKafka);
        for (noted, server) in [
            (None, &alone),
            (Some(&alone), &alone),
            (Some(&kept), &promoted),
        ] {
            assert_eq!(judge(noted, server, 0, true), behind);
        }
    }

    #[test]
    fn kafka_is_ahead_where_it_knows_of_more() {
        let at = |partition| Partition {
            topic: "vcc.calls".to_owned(),
            partition,
        };
        let known = BTreeMap::from([(at(0), 7)]);
        let is_behind = |offsets: &[(Partition, i64)], mark| {
            let offsets = offsets.to_vec();
            is_behind(&known, 5, &Witness { offsets, mark })
        };
        assert!(!is_behind(&[], 0));
        assert!(!is_behind(&[(at(0), 7), (at(1), 0)], 5));
        assert!(is_behind(&[(at(0), 8)], 5));
        assert!(is_behind(&[(at(0), 7), (at(1), 1)], 5));
        assert!(is_behind(&[(at(0), 7)], 6));
    }
}
