//! Every sealed value of the database, in its place: so that the ring's keys can be counted, and their
//! values sealed anew by another; and so that what is about a number can be found.

use async_trait::async_trait;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::inbox::Partition;
use super::values::{Columns, call_id, corrupt, from_word, id, id_opt, number, text};
use super::{Result, Sealed};
use crate::domain::ids::{
    AccountId, AuthorizationId, CallId, ContactId, EventId, Generation, KeyId, TokenSequence,
};

/// Which of the values that the key ring seals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RingKind {
    /// The tokens of links, of those too that are over and not given up yet.
    Tokens,
    /// The secrets of admins on their way to Salesforce and back.
    Authorizations,
    /// Where contacts are told, and what their webhooks are signed with.
    Contacts,
    /// The data keys of accounts.
    AccountKeys,
    /// Events to publish that tell of links. A published one has lost its body.
    LinkEvents,
    /// Records that are no valid event.
    Quarantine,
}

impl RingKind {
    /// All of them, what opens doors first.
    pub const ALL: [Self; 6] = [
        Self::Tokens,
        Self::Authorizations,
        Self::Contacts,
        Self::AccountKeys,
        Self::LinkEvents,
        Self::Quarantine,
    ];
}

/// Which sealed values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealedKind {
    /// Sealed by the key ring.
    ByRing(RingKind),
    /// The bodies of calls, sealed by their accounts' data keys.
    Bodies,
    /// Events to publish that tell of calls, sealed likewise. A published one has lost its body.
    CallEvents,
}

/// Which of a call's bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BodyKind {
    /// Its begin.
    Started,
    /// Its end.
    Ended,
    /// The answer of its lookup.
    Lookup,
}

impl BodyKind {
    /// The word in the database, and in the associated data.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Ended => "ended",
            Self::Lookup => "lookup",
        }
    }
}

/// Where a sealed value stands: all that its associated data names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// The tokens of a link.
    Tokens {
        /// The account.
        account: AccountId,
        /// The link's generation.
        generation: Generation,
        /// Which tokens of that generation.
        token_sequence: TokenSequence,
    },
    /// A body of a call.
    Body {
        /// The call.
        call: CallId,
        /// Which of its bodies.
        kind: BodyKind,
        /// The partition that holds it, where bodies are parted by day.
        day: Option<NaiveDate>,
    },
    /// The data key of an account.
    AccountKey {
        /// The account.
        account: AccountId,
        /// The key.
        id: KeyId,
    },
    /// An event to publish.
    Event {
        /// The event.
        id: EventId,
        /// Its position in the outbox.
        position: i64,
    },
    /// A quarantined record.
    Quarantine {
        /// The partition that it stood in.
        partition: Partition,
        /// Its offset there.
        offset: i64,
    },
    /// The secret of an authorization.
    Authorization {
        /// The authorization.
        id: AuthorizationId,
    },
    /// The target of a contact.
    Contact {
        /// The account.
        account: AccountId,
        /// The contact.
        id: ContactId,
    },
}

impl Place {
    /// What finds its row: the columns by which pages are in order, as texts.
    pub(super) fn key(&self) -> Vec<String> {
        match self {
            Self::Tokens {
                account,
                generation,
                token_sequence,
            } => vec![
                account.to_string(),
                generation.0.to_string(),
                token_sequence.0.to_string(),
            ],
            Self::Body { call, kind, day } => vec![
                call.account.to_string(),
                call.interaction.to_string(),
                kind.as_str().to_owned(),
                day.unwrap_or_default().to_string(),
            ],
            Self::AccountKey { account, id } => vec![account.to_string(), id.to_string()],
            Self::Event { position, .. } => vec![position.to_string()],
            Self::Quarantine { partition, offset } => vec![
                partition.topic.clone(),
                partition.partition.to_string(),
                offset.to_string(),
            ],
            Self::Authorization { id } => vec![id.to_string()],
            Self::Contact { account, id } => vec![account.to_string(), id.to_string()],
        }
    }
}

/// A sealed value as a page tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedRow {
    /// Where it stands.
    pub place: Place,
    /// Its first [`LONGEST`](crate::domain::key_head::LONGEST) bytes.
    pub head: Vec<u8>,
    /// The whole of it, unless it begins as the page's reader wishes it to.
    pub sealed: Option<Sealed>,
}

/// A value to stand in another's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// Where. All of a batch are of one kind.
    pub place: Place,
    /// What stands there, if nobody changed it meanwhile.
    pub before: Sealed,
    /// What shall.
    pub after: Sealed,
}

/// The sealed values of all rooms.
#[async_trait]
pub trait Rings: Send + Sync {
    /// The next `limit` sealed values of a kind, in an order of the database's own in which no value
    /// that moves is passed by; from the first one, or behind another.
    ///
    /// A value that begins with `current` comes without the whole of it; an empty `current` leaves
    /// the whole of every value out.
    async fn sealed(
        &self,
        kind: SealedKind,
        after: Option<&Place>,
        current: &[u8],
        limit: u32,
    ) -> Result<Vec<SealedRow>>;

    /// Puts values in the place of others, and says how many. One that is not as it was any more, or
    /// that somebody changes at this moment, is left as it is, without waiting for anybody.
    async fn replace_sealed(&self, kind: RingKind, values: &[Replacement]) -> Result<u64>;
}

/// A row of a page, from the columns of its kind, `head` and `sealed`.
pub(super) fn sealed_row(kind: SealedKind, row: &impl Columns) -> Result<SealedRow> {
    Ok(SealedRow {
        place: place(kind, row)?,
        head: row.bytes("head")?.unwrap_or_default(),
        sealed: row.bytes("sealed")?.map(Sealed),
    })
}

/// Where a row's value stands.
fn place(kind: SealedKind, row: &impl Columns) -> Result<Place> {
    let kind = match kind {
        SealedKind::ByRing(kind) => kind,
        SealedKind::Bodies => return body(row),
        SealedKind::CallEvents => return event(row),
    };
    Ok(match kind {
        RingKind::Tokens => Place::Tokens {
            account: id(row, "account")?,
            generation: Generation(number(row, "generation")?),
            token_sequence: TokenSequence(number(row, "token_sequence")?),
        },
        RingKind::AccountKeys => Place::AccountKey {
            account: id(row, "account")?,
            id: id(row, "id")?,
        },
        RingKind::LinkEvents => event(row)?,
        RingKind::Quarantine => Place::Quarantine {
            partition: Partition {
                topic: text(row, "topic")?.to_owned(),
                partition: row.int("partition")?.ok_or_else(|| corrupt("partition"))?,
            },
            offset: number(row, "kafka_offset")?,
        },
        RingKind::Authorizations => Place::Authorization { id: id(row, "id")? },
        RingKind::Contacts => Place::Contact {
            account: id(row, "account")?,
            id: id(row, "contact")?,
        },
    })
}

/// Where a call's body stands.
fn body(row: &impl Columns) -> Result<Place> {
    Ok(Place::Body {
        call: call_id(row)?,
        kind: from_word(row, "kind")?,
        day: id_opt(row, "day")?,
    })
}

/// Where an event stands.
fn event(row: &impl Columns) -> Result<Place> {
    Ok(Place::Event {
        id: id(row, "id")?,
        position: number(row, "position")?,
    })
}
