//! What binds a sealed value to its place.

use crate::domain::ids::{
    AccountId, AuthorizationId, CallId, ContactId, EventId, Generation, KeyId, TokenSequence,
};

/// What a sealed value is, and where it belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Context {
    /// A link's tokens, at one place of their sequence.
    Tokens {
        /// The account.
        account: AccountId,
        /// The link's generation.
        generation: Generation,
        /// Which tokens of that generation.
        token_sequence: TokenSequence,
    },
    /// The data key of an account.
    AccountKey {
        /// The account.
        account: AccountId,
        /// The key.
        id: KeyId,
    },
    /// A body of a call.
    Body {
        /// The call.
        call: CallId,
        /// Which of its bodies.
        kind: &'static str,
    },
    /// An event to publish.
    Event {
        /// The event's id.
        id: EventId,
    },
    /// The secret of an authorization.
    Authorization {
        /// The authorization.
        id: AuthorizationId,
    },
    /// Where a contact is told.
    Contact {
        /// The account.
        account: AccountId,
        /// The contact.
        id: ContactId,
    },
    /// An admin's session, which the browser keeps.
    Session {
        /// What the browser may do with it.
        purpose: &'static str,
    },
    /// Bytes that are no valid event.
    Quarantine {
        /// The topic that they stood in.
        topic: String,
        /// The partition.
        partition: i32,
        /// The offset.
        offset: i64,
    },
}

impl Context {
    /// The associated data. Each part's length is written before it, so that no two contexts give
    /// the same bytes.
    pub(super) fn associated_data(&self) -> Vec<u8> {
        let mut data = Vec::with_capacity(128);
        let mut part = |bytes: &[u8]| {
            data.extend((bytes.len() as u64).to_be_bytes());
            data.extend(bytes);
        };
        match self {
            Self::Tokens {
                account,
                generation,
                token_sequence,
            } => {
                part(b"tokens");
                part(account.as_str().as_bytes());
                part(&generation.0.to_be_bytes());
                part(&token_sequence.0.to_be_bytes());
            }
            Self::AccountKey { account, id } => {
                part(b"account key");
                part(account.as_str().as_bytes());
                part(id.as_str().as_bytes());
            }
            Self::Body { call, kind } => {
                part(b"body");
                part(call.account.as_str().as_bytes());
                part(call.interaction.as_str().as_bytes());
                part(kind.as_bytes());
            }
            Self::Authorization { id } => {
                part(b"authorization");
                part(id.as_str().as_bytes());
            }
            Self::Contact { account, id } => {
                part(b"contact");
                part(account.as_str().as_bytes());
                part(id.as_str().as_bytes());
            }
            Self::Session { purpose } => {
                part(b"session");
                part(purpose.as_bytes());
            }
            Self::Event { id } => {
                part(b"event");
                part(id.as_str().as_bytes());
            }
            Self::Quarantine {
                topic,
                partition,
                offset,
            } => {
                part(b"quarantine");
                part(topic.as_bytes());
                part(&partition.to_be_bytes());
                part(&offset.to_be_bytes());
            }
        }
        data
    }
}
