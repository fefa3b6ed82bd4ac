//! Identities: accounts, calls, Salesforce records, shards, and the numbers that fence and order.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use super::record_ids::{OrgId, RecordId, UserId};

/// Why a text is not an identity. The text itself is not repeated: it may be anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Empty, or longer than the identity may be.
    #[error("{what} must have 1 to {max} characters, this one has {got}")]
    Length {
        /// Which identity was parsed.
        what: &'static str,
        /// The longest that is accepted, in bytes.
        max: usize,
        /// What was given, in bytes.
        got: usize,
    },
    /// A character outside the allowed set.
    #[error("{what} may hold only {allowed}")]
    Character {
        /// Which identity was parsed.
        what: &'static str,
        /// The allowed characters, in words.
        allowed: &'static str,
    },
    /// Not a Salesforce id of 15 or 18 characters, or its checksum is wrong.
    #[error("{what} must be a Salesforce id of 15 or 18 characters with a valid checksum{prefix}")]
    Salesforce {
        /// Which identity was parsed.
        what: &'static str,
        /// The key prefix it must have, in words; empty where any is fine.
        prefix: &'static str,
    },
}

/// Declares a text identity: parsed once, then only compared, hashed and printed.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal, $ok:expr, $allowed:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                if text.is_empty() || text.len() > $max {
                    return Err(InvalidId::Length { what: $what, max: $max, got: text.len() });
                }
                if !text.chars().all($ok) {
                    return Err(InvalidId::Character { what: $what, allowed: $allowed });
                }
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// A VCC customer account.
    AccountId, "an account id", 64,
    |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'),
    "ASCII letters, digits, '-', '_' and '.'"
);
text_id!(
    /// Names a key in every value that it seals.
    KeyId, "a key's id", 32,
    |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'),
    "ASCII letters, digits, '-', '_' and '.'"
);
text_id!(
    /// One VCC interaction; usually a GUID. Unique within its account only.
    InteractionId, "an interaction id", 128,
    |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '~' | '@'),
    "ASCII letters, digits, '-', '_', '.', ':', '~' and '@'"
);
text_id!(
    /// The `id` of a CloudEvent: with its source, what makes a delivery unique.
    EventId, "an event id", 200,
    |c: char| c.is_ascii_graphic(),
    "printable ASCII without spaces"
);
text_id!(
    /// Names one running worker among its fellows.
    ReplicaId, "a replica id", 100,
    |c: char| c.is_ascii_graphic(),
    "printable ASCII without spaces"
);
text_id!(
    /// Names an authorization: the SHA-256 of the `state` that travels, in base64url.
    AuthorizationId, "an authorization's id", 43,
    |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'),
    "letters, digits, '-' and '_'"
);
text_id!(
    /// Names a contact of an account.
    ContactId, "a contact's id", 43,
    |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'),
    "letters, digits, '-' and '_'"
);
text_id!(
    /// Names a notice to one contact: the same at each try, so that whoever gets it twice can tell.
    NoticeId, "a notice's id", 43,
    |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'),
    "letters, digits, '-' and '_'"
);
text_id!(
    /// Names an invitation: the SHA-256 of its secret, in base64url.
    InvitationId, "an invitation's id", 43,
    |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'),
    "letters, digits, '-' and '_'"
);

/// A call, everywhere: the account and the interaction within it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CallId {
    /// Whose call it is.
    pub account: AccountId,
    /// Which of the account's interactions.
    pub interaction: InteractionId,
}

impl CallId {
    /// The key that the Task carries at Salesforce, in `CallObject` and in the unique field.
    ///
    /// At most 197 characters; `CallObject` holds 255 (Salesforce Object Reference, Task).
    pub fn task_key(&self) -> String {
        format!("vcc:{}:{}", self.account, self.interaction)
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.account, self.interaction)
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Declares a counter that only grows.
macro_rules! counter {
    ($(#[$doc:meta])* $name:ident, $inner:ty) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
        )]
        pub struct $name(pub $inner);

        impl $name {
            /// The one after this.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

counter!(
    /// Grows with every Link, Relink and Unlink of an account; 0 before the first.
    Generation, i64
);
counter!(
    /// Grows with every published change of a link's status or health.
    Sequence, i64
);
counter!(
    /// Grows with every stored change of a link's tokens; part of what seals them.
    TokenSequence, i64
);
counter!(
    /// Grows with every change of a shard's owner; in every write that finishes work.
    Epoch, i64
);
counter!(
    /// Orders the `call.ended` events of one call: 0 at hang-up, then each later enrichment.
    Revision, i32
);
counter!(
    /// Names one attempt: one row of the journal.
    AttemptId, i64
);

/// How many shards the accounts are spread over. Fixed: it is part of where a call is stored.
///
/// 256 lets up to some dozens of workers share evenly, and leases are few enough to renew in one
/// statement.
pub const SHARDS: u16 = 256;

/// A slice of the accounts, the unit of ownership.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
pub struct ShardId(pub u16);

impl ShardId {
    /// The shard of an account: by its org once it is linked, so that all that shares an org's
    /// limits has one owner; by its own id before.
    pub fn of(account: &AccountId, org: Option<&OrgId>) -> Self {
        let text = org.map_or(account.as_str(), OrgId::as_str);
        // FNV-1a: stable for ever and on every machine, which the standard hasher is not.
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
            (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(u16::try_from(hash % u64::from(SHARDS)).unwrap_or_default())
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_and_interaction_cannot_be_confused_in_the_task_key() {
        assert!("a:b".parse::<AccountId>().is_err());
        let call = CallId {
            account: "acme-1".parse().expect("account"),
            interaction: "016f1c6b-9766".parse().expect("interaction"),
        };
        assert_eq!(call.task_key(), "vcc:acme-1:016f1c6b-9766");
    }

    #[test]
    fn shards_of_accounts_of_one_org_are_one() {
        let org: OrgId = "00DB0000000TfcR".parse().expect("org");
        let a = ShardId::of(&"a".parse().expect("account"), Some(&org));
        let b = ShardId::of(&"b".parse().expect("account"), Some(&org));
        assert_eq!(a, b);
        assert!(a.0 < SHARDS);
    }
}
