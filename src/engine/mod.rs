//! The pure engine: every decision about what to send next, in which batch, what an answer means,
//! when to try again, when to reconcile, who owns what and how fast to go.
//!
//! Values in ([`Input`], with `now` and chance as arguments), values out ([`Command`]). There is
//! no I/O, no clock and no lock in here, so the whole engine runs millions of times against a
//! model store and a model Salesforce, and each time constant is a setting.
//!
//! The shells in `pipeline` carry commands out and bring one input back for each:
//!
//! | command | what the shell does | input that comes back |
//! |---|---|---|
//! | [`Command::LoadDue`] | `Inbox::due` | [`Input::Due`] |
//! | [`Command::LoadAttempts`] | `Journal::open_attempts` | [`Input::OpenAttempts`] |
//! | [`Command::LoadLinks`] | `Links::links` | [`Input::Links`] |
//! | [`Command::LoadShardLinks`] | `Links::links_of_shard` | [`Input::Links`] |
//! | [`Command::Lookup`] | search, verify, choose, `Inbox::record_lookups` | [`Input::LookedUp`] |
//! | [`Command::AnswerLookups`] | `Inbox::record_lookups` | [`Input::LookedUp`] |
//! | [`Command::Dispatch`] | `Journal::begin_attempts`, **then** one request | [`Input::Answered`] |
//! | [`Command::Record`] | `Journal::record_outcomes`, until it is done | [`Input::Recorded`] |
//! | [`Command::Reconcile`] | one query | [`Input::Reconciled`] |
//! | [`Command::RefreshToken`] | claim, refresh, record | [`Input::Refreshed`] |
//! | [`Command::MarkLink`] | `Links::change_link` | [`Input::Links`] |
//! | [`Command::Unpark`] | `Journal::unpark` | [`Input::Unparked`] |
//! | [`Command::Release`] | `Leases::release` | none: the next [`Input::Leases`] shows it |
//!
//! Every command of the table is answered, however often the shell must repeat it inside, unless
//! the process dies; the engine repeats none by itself. [`Input::Tokens`] comes every minute,
//! [`Input::Paused`] at the start and with every change.
//!
//! Architecture invariant: `engine` knows `domain` and nobody else. It sees ids, times and
//! failure classes; never a body, a token, an HTTP status or a row.

pub mod backoff;
pub mod leases;
pub mod links;
pub mod pacing;
pub mod reconcile;

mod accounts;
mod answers;
mod asking;
mod brakes;
mod config;
mod dispatch;
mod gauges;
mod journal;
mod looking;
mod lookups;
mod machine;
mod paging;
mod parking;
mod tokens;

use std::collections::BTreeSet;

use accounts::Place;
use chrono::{DateTime, Utc};

pub use self::config::{Batching, Config, Memory, Retry};
pub use self::gauges::{Gauges, LaneGauges};
pub use self::machine::Engine;
pub use self::reconcile::Finding;
use crate::domain::ids::{
    AccountId, AttemptId, CallId, Epoch, Generation, OrgId, Revision, ShardId,
};
use crate::domain::link::{Health, LinkReason, LinkState};
use crate::domain::matching::LookupResult;
use crate::domain::outcome::{Answer, Failure, Outcome};
use crate::domain::pause::Paused;
use crate::domain::task::{Hidden, KeyMode, TaskField};
use crate::domain::work::{
    ApiUsage, AttemptKind, Due, Lane, OpenAttempt, ParkedPage, Refusal, Unparked,
};

/// Names one request in flight, within one engine's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BatchId(pub u64);

/// One call's part of a dispatched batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The call.
    pub call: CallId,
    /// What came of it.
    pub result: ReplyResult,
}

/// What came of one call of a dispatched batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplyResult {
    /// The attempt did not begin: the lease, the link or the call has moved. Nothing was sent.
    Refused(Refusal),
    /// The database did not answer, or no access token could be had. Nothing was sent.
    Unavailable(Failure),
    /// The attempt began, and this is Salesforce's answer, or what was seen instead.
    Answered {
        /// The attempt.
        attempt: AttemptId,
        /// Create, adopt or update.
        kind: AttemptKind,
        /// How its Task can be found.
        mode: KeyMode,
        /// When it may no longer be sent.
        send_by: DateTime<Utc>,
        /// The answer.
        answer: Answer,
    },
}

/// What became of a token refresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// The link has fresh tokens.
    Fresh,
    /// Somebody else is at it, or Salesforce is away: try again.
    Later(Failure),
    /// Salesforce refuses it in a way that may pass; the link is dead if it goes on for long.
    Refused(LinkReason, Failure),
    /// The answer was lost: the refresh token may be used up. The access token goes on being used.
    InDoubt(Failure),
    /// The link is dead.
    Dead(LinkReason, Failure),
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// The leases as of the last heartbeat, and how many replicas share them.
    Leases {
        /// Owned shards with their epochs.
        owned: Vec<(ShardId, Epoch)>,
        /// Replicas alive, this one included.
        replicas: u32,
    },
    /// Calls with something due: a loaded page, or what ingest just stored.
    Due {
        /// The page that was asked for; `None` from ingest.
        page: Option<(ShardId, Lane)>,
        /// The calls; those of shards that are not owned are left out by the engine.
        calls: Vec<Due>,
        /// The page was full: there is more behind it.
        more: bool,
    },
    /// Something is due in these shards that nobody here has seen.
    Woken {
        /// The shards.
        shards: Vec<ShardId>,
        /// Accounts whose link changed, or of which attempts were opened again.
        accounts: Vec<AccountId>,
    },
    /// A shard's open attempts.
    OpenAttempts {
        /// The shard.
        shard: ShardId,
        /// Its open attempts.
        attempts: Vec<OpenAttempt>,
    },
    /// Links as they are now; those of shards that are not owned are left out by the engine.
    Links(Vec<LinkState>),
    /// A batch of lookups is over.
    LookedUp {
        /// The batch.
        batch: BatchId,
        /// Calls whose answer is stored.
        answered: Vec<CallId>,
        /// Why the others are not answered.
        failure: Option<Failure>,
        /// The org's usage, where an answer told it.
        usage: Option<ApiUsage>,
    },
    /// A dispatched batch is over.
    Answered {
        /// The batch.
        batch: BatchId,
        /// One reply for each call.
        replies: Vec<Reply>,
        /// The org's usage, where an answer told it.
        usage: Option<ApiUsage>,
        /// How long the request took.
        took: std::time::Duration,
    },
    /// Outcomes are stored, or the lease was gone.
    Recorded {
        /// The decisions that are over, each with whether it was stored.
        done: Vec<(CallId, bool)>,
    },
    /// A reconciling query is over.
    Reconciled {
        /// The batch.
        batch: BatchId,
        /// What was found of each attempt; empty if the query failed.
        findings: Vec<(AttemptId, Finding)>,
        /// Why the query failed.
        failure: Option<Failure>,
        /// The org's usage, where an answer told it.
        usage: Option<ApiUsage>,
    },
    /// A token refresh is over.
    Refreshed {
        /// The account.
        account: AccountId,
        /// The generation.
        generation: Generation,
        /// As the command said.
        ahead: bool,
        /// What became of it.
        result: Refreshed,
    },
    /// Tokens that need a look, those of links that are not ours left out by the engine.
    Tokens {
        /// So old that they are refreshed ahead of need.
        stale: Vec<(AccountId, Generation)>,
        /// In doubt, and nobody has said so yet: whoever claimed the refresh died.
        doubtful: Vec<(AccountId, Generation)>,
    },
    /// Parked calls are due again.
    Unparked {
        /// The account.
        account: AccountId,
        /// How many, and which was the last; fewer than asked for means that no more follow.
        calls: Unparked,
    },
    /// What is paused now. Nothing is sent before the first.
    Paused(Paused),
    /// Time passed.
    Tick,
    /// Start nothing new; what is in flight comes to its end, and each shard is given up as soon
    /// as nothing of it is.
    Drain,
}

/// One call of a batch, with what the journal needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchCall {
    /// The call.
    pub call: CallId,
    /// Its shard.
    pub shard: ShardId,
    /// The epoch at which this replica owns it.
    pub epoch: Epoch,
    /// The revision to be sent.
    pub revision: Revision,
    /// What is left out.
    pub degraded: BTreeSet<TaskField>,
    /// Where an earlier request may have made its Task, unseen.
    pub hidden: Option<Hidden>,
}

/// A decision about one call, to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The call.
    pub call: CallId,
    /// Its shard.
    pub shard: ShardId,
    /// The epoch at which this replica owns it.
    pub epoch: Epoch,
    /// The attempt that it closes.
    pub attempt: Option<AttemptId>,
    /// The revision that it is about.
    pub revision: Revision,
    /// The link's generation that acted.
    pub generation: Generation,
    /// What it means.
    pub outcome: Outcome,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Load a page of due calls.
    LoadDue {
        /// The shard.
        shard: ShardId,
        /// The lane.
        lane: Lane,
        /// Behind this one.
        after: Option<(DateTime<Utc>, CallId)>,
        /// At most so many.
        limit: u32,
    },
    /// Load a shard's open attempts.
    LoadAttempts {
        /// The shard.
        shard: ShardId,
    },
    /// Load links.
    LoadLinks {
        /// The accounts.
        accounts: Vec<AccountId>,
    },
    /// Load the links of all accounts of a shard that are linked: of an account whose calls are
    /// all parked, nothing else would tell.
    LoadShardLinks {
        /// The shard.
        shard: ShardId,
    },
    /// Look callers up in one search.
    Lookup {
        /// Names it.
        batch: BatchId,
        /// The account.
        account: AccountId,
        /// The link's generation.
        generation: Generation,
        /// The calls.
        calls: Vec<BatchCall>,
        /// Give up after this: nobody waits any longer.
        deadline: DateTime<Utc>,
    },
    /// Answer lookups without a search.
    AnswerLookups {
        /// Names it.
        batch: BatchId,
        /// The link's generation.
        generation: Generation,
        /// The calls.
        calls: Vec<BatchCall>,
        /// The answer to each.
        result: LookupResult,
    },
    /// Begin attempts, then send what began in one request.
    Dispatch {
        /// Names it.
        batch: BatchId,
        /// The account.
        account: AccountId,
        /// The link's generation.
        generation: Generation,
        /// The org.
        org: OrgId,
        /// How Tasks are found again.
        mode: KeyMode,
        /// The calls.
        calls: Vec<BatchCall>,
    },
    /// Store decisions. The shell repeats it until the store answers.
    Record {
        /// The decisions.
        decisions: Vec<Decision>,
    },
    /// Ask Salesforce what became of attempts of one org, generation and key mode.
    Reconcile {
        /// Names it.
        batch: BatchId,
        /// The account whose tokens are used.
        account: AccountId,
        /// The generation that sent them.
        generation: Generation,
        /// The org that they were sent to.
        org: OrgId,
        /// The attempts.
        attempts: Vec<OpenAttempt>,
        /// For some of them "no Task" is final now: prove whether the user who asks sees all.
        prove: bool,
    },
    /// Refresh a link's access token.
    RefreshToken {
        /// The account.
        account: AccountId,
        /// The generation.
        generation: Generation,
        /// Its access token was not refused: what is in doubt is left alone.
        ahead: bool,
        /// However young its tokens are: they may not know where the org is now.
        moved: bool,
    },
    /// Change a link's health.
    MarkLink {
        /// The account.
        account: AccountId,
        /// The generation that it is about.
        generation: Generation,
        /// As it shall be.
        health: Health,
        /// Why.
        reason: LinkReason,
        /// What failed.
        failure: Option<Failure>,
    },
    /// Make an account's parked calls due again.
    Unpark {
        /// The account.
        account: AccountId,
        /// Its shard.
        shard: ShardId,
        /// The epoch at which this replica owns it.
        epoch: Epoch,
        /// Which of them.
        page: ParkedPage,
    },
    /// Give shards up: they have nothing in flight any more.
    Release {
        /// The shards.
        shards: Vec<ShardId>,
    },
}
