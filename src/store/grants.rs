//! Grants, the tokens of one generation of a link each, and what a refresh of theirs comes to.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Fence, Sealed};
use crate::domain::ids::{AccountId, Generation, OrgId, ShardId, TokenSequence, UserId};
use crate::domain::link::App;

/// The tokens of one generation of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The account.
    pub account: AccountId,
    /// The generation.
    pub generation: Generation,
    /// The org.
    pub org: OrgId,
    /// The API user.
    pub user: UserId,
    /// Where data requests go.
    pub instance_url: String,
    /// Where tokens are refreshed.
    pub login_url: String,
    /// Which app they were given to.
    pub app: App,
    /// Where the account's work lies now: whose lease its owner holds. Not this org's shard, once
    /// the account is linked to another.
    pub shard: ShardId,
    /// Grows with every stored change; part of what seals the tokens.
    pub token_sequence: TokenSequence,
    /// The sealed tokens.
    pub tokens: Sealed,
    /// When the tokens were issued.
    pub issued_at: DateTime<Utc>,
    /// A refresh was claimed and never recorded: the refresh token may be used up (rule 11).
    pub in_doubt: bool,
    /// A refused approval of the same API user may have displaced this one, since it was refreshed.
    pub suspected: bool,
}

/// A wish to refresh the tokens of one generation.
#[derive(Clone, Debug)]
pub struct RefreshWish {
    /// The account.
    pub account: AccountId,
    /// The generation.
    pub generation: Generation,
    /// The tokens that are to be replaced.
    pub seen: TokenSequence,
    /// Whose wish it is.
    pub fence: Fence,
    /// The request is sent within this, or not at all.
    pub send_within: Duration,
    /// The stored access token is refused, so that a refresh token in doubt may be tried its one
    /// time. A refresh ahead of need never does.
    pub last_step: bool,
}

/// What a claim to refresh came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefreshClaim {
    /// This caller alone may refresh; `last_step` where an earlier claim expired in doubt, and
    /// the old refresh token may be tried this once more.
    Granted {
        /// The tokens as of the claim.
        grant: Grant,
        /// No byte of the request is written after this, by the database's clock. It also names
        /// the claim, see [`super::Links::record_refresh`].
        send_by: DateTime<Utc>,
        /// An earlier claim is in doubt.
        last_step: bool,
    },
    /// Another claim runs until then: wait, then read the grant again.
    Busy {
        /// When it expires.
        until: DateTime<Utc>,
    },
    /// The tokens are newer than the caller's: use these.
    Newer(Grant),
    /// An earlier claim is in doubt, and the wish is not for the last step: use the access token
    /// that is stored.
    InDoubt,
    /// The last step has been claimed already and expired too: the link is broken.
    Exhausted,
    /// The lease is gone, or the link has another generation and this one is given up.
    Stale,
}

/// What a refresh brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefreshResult {
    /// New tokens, sealed at the next token sequence.
    Refreshed {
        /// The sealed tokens.
        tokens: Sealed,
        /// When they were issued.
        issued_at: DateTime<Utc>,
        /// Where data requests go from now on; it may have changed.
        instance_url: String,
    },
    /// Salesforce answered, and the refresh token is untouched: the claim is simply over.
    Untouched,
}
