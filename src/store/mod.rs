//! The durable state: one trait per room, each with one conformance suite that every database
//! must pass.
//!
//! **One method is one transaction.** Its doc states what is guaranteed when it returns `Ok`.
//! After an `Err` the transaction may or may not have happened; every method may therefore be
//! called again with the same arguments, and says what the second call does.
//!
//! **Many items, an outcome each.** A method takes a batch and answers for each item, so that
//! one stale shard or one refused row fails alone.
//!
//! **The store is blind.** What is about people or opens doors (bodies, tokens, events to
//! publish) arrives as [`Sealed`] bytes; the store can neither read nor log it.
//!
//! **Fencing.** Every method that finishes work takes the shard's [`Epoch`], locks the lease row
//! in share mode (or the whole file) and compares, so that a worker that lost its lease changes
//! nothing (rule 9).
//!
//! **Two databases.** What a method does beside its SQL is here, once for both: rules judge writes,
//! rows are read by the names of their columns.
//!
//! Architecture invariant: SQL occurs below this module only, and in `migrations/`.

pub mod account_keys;
mod answers;
pub mod audit;
pub mod authorizations;
mod claims;
pub mod config;
pub mod contacts;
mod database;
mod errors;
mod folded;
mod grants;
pub mod inbox;
pub mod invitations;
pub mod journal;
pub mod leases;
mod ledger;
pub mod links;
mod news;
pub mod notices;
pub mod outbox;
mod patience;
pub mod pauses;
pub mod postgres;
pub mod privacy;
pub mod recovery;
mod replaying;
pub mod replays;
pub mod reports;
pub mod rings;
mod rows;
mod rules;
pub mod sqlite;
mod values;
mod wakes;

use std::collections::BTreeSet;
use std::fmt;

pub use account_keys::AccountKeys;
pub use audit::Audit;
pub use authorizations::Authorizations;
pub use config::Config;
pub use contacts::ContactBook;
pub use database::Database;
pub use inbox::Inbox;
pub use invitations::Invitations;
pub use journal::Journal;
pub use leases::Leases;
pub use links::Links;
pub use notices::Notices;
pub use outbox::Outbox;
pub use patience::until_stored;
pub use pauses::Pauses;
pub use privacy::Privacy;
pub use recovery::Recovery;
pub use replays::Replays;
pub use reports::Reports;
pub use rings::Rings;

use crate::domain::ids::{AccountId, Epoch, KeyId, ShardId};
use crate::domain::key_head;

/// All rooms of one database.
pub trait Store:
    AccountKeys
    + Audit
    + Authorizations
    + ContactBook
    + Inbox
    + Invitations
    + Journal
    + Leases
    + Links
    + Notices
    + Outbox
    + Pauses
    + Privacy
    + Recovery
    + Replays
    + Reports
    + Rings
{
}

impl<T> Store for T where
    T: AccountKeys
        + Audit
        + Authorizations
        + ContactBook
        + Inbox
        + Invitations
        + Journal
        + Leases
        + Links
        + Notices
        + Outbox
        + Pauses
        + Privacy
        + Recovery
        + Replays
        + Reports
        + Rings
{
}

/// Why a transaction did not happen, or may not have.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database is away, restarting, or too slow: try again, with backoff.
    #[error("the database is not available; it is tried again by itself")]
    Unavailable(#[source] Source),
    /// The database refuses a row's content. For batches: bisect, and quarantine what remains.
    #[error("the database refuses a row: {rule}")]
    Refused {
        /// The constraint or SQL state, never the row.
        rule: String,
        /// The driver's error.
        #[source]
        source: Source,
    },
    /// The database does not know of events that were read before these: it went back in time, and
    /// they are to be read again from [`Inbox::offsets`].
    #[error("the database does not know all events that were read: they are read again")]
    Behind,
    /// The schema is not the one this binary knows.
    #[error("the database's schema is at version {found}, this binary knows {known}: {advice}")]
    Schema {
        /// The version in the database; 0 for an empty one.
        found: i64,
        /// The version of this binary.
        known: i64,
        /// What to do.
        advice: &'static str,
    },
    /// The database's file cannot be used as it is: says what to do.
    #[error("{0}")]
    File(String),
    /// A stored value cannot be read back: a broken invariant, or another program's write.
    #[error("the database holds a value that cannot be read: {what}")]
    Corrupt {
        /// Which column, never its content.
        what: String,
    },
    /// Values are not sealed by the keys that their accounts have: those were destroyed meanwhile.
    /// Nothing is written. Forget the keys, seal anew and write again.
    #[error("{} accounts do not have the keys any more that sealed their values", .accounts.len())]
    KeyGone {
        /// The accounts.
        accounts: BTreeSet<AccountId>,
    },
    /// The data key of an account does not open, for a reason that its settings can mend: said by who
    /// seals, as the store opens nothing.
    #[error("the data key of {account} does not open; it is tried again by itself")]
    KeyShut {
        /// The account.
        account: AccountId,
        /// Which key of the ring is missing.
        #[source]
        source: Source,
    },
    /// Anything else the driver says.
    #[error("the database answered with an error")]
    Other(#[source] Source),
}

/// The driver's error, kept as the source.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// The result of a store method.
pub type Result<T> = std::result::Result<T, Error>;

/// Bytes that only who has their key can open.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Sealed(pub Vec<u8>);

impl Sealed {
    /// The key that opens it; `None` where it is no sealed value.
    pub fn key(&self) -> Option<KeyId> {
        Some(key_head::split(&self.0)?.0)
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

/// A shard as its owner holds it: in every write that finishes work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fence {
    /// The shard.
    pub shard: ShardId,
    /// The epoch at which the writer became its owner.
    pub epoch: Epoch,
}

/// What became of one item of a fenced write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Written {
    /// It is durable.
    Yes,
    /// It was durable before, by the same item: a repeated call.
    Already,
    /// The writer's lease is gone, or the row has moved on: drop the work quietly.
    Stale,
}
