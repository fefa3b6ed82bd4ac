//! What is published: one value per event type, and its deterministic id.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ids::{
    AccountId, CallId, Epoch, EventId, Generation, OrgId, RecordId, Revision, Sequence,
};
use super::link::{Actor, Environment, Health, LinkReason, LinkStatus};
use super::matching::LookupAnswer;
use super::outcome::{Failure, Outcome};
use super::task::OwnerSource;

/// Which topic an event goes to. The names are settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// `vcc.call-logs`.
    CallLogs,
    /// `vcc.link-status`.
    LinkStatus,
}

/// `call.lookedup.v1`: who is calling. One per started call, within the deadline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallLookedUp {
    /// The call.
    pub call: CallId,
    /// What the lookup came to.
    pub answer: LookupAnswer,
    /// The link's generation that was asked.
    pub generation: Generation,
    /// Until when the answer may be shown.
    pub valid_until: DateTime<Utc>,
    /// The platform marked the call as a test.
    #[serde(default)]
    pub test: bool,
    /// Groups the interactions of one conversation, as the call's event said.
    #[serde(default)]
    pub conversation_id: Option<String>,
    /// The producer's trace context.
    pub traceparent: Option<String>,
}

/// `calllog.deferred.v1`, `calllog.succeeded.v1` or `calllog.failed.v1`: what became of an ended
/// call. At most one terminal one (`succeeded`, `failed`) per call, revision and replay, which speaks
/// for all lower revisions too; every call comes to one. A revision has none of its own where a
/// higher one came before it was decided, and where no revision revives the call any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallLog {
    /// The call.
    pub call: CallId,
    /// The revision that it tells of.
    pub revision: Revision,
    /// The `id` of the ended event that caused it.
    pub caused_by: Option<EventId>,
    /// The link's generation that acted.
    pub generation: Generation,
    /// The org that was written to.
    pub org: Option<OrgId>,
    /// Logged, skipped, dead or parked.
    pub outcome: Outcome,
    /// What the lookup had come to.
    pub lookup: Option<LookupAnswer>,
    /// The Task's key at Salesforce.
    pub task_key: String,
    /// The Task's person.
    pub who: Option<RecordId>,
    /// What the Task is about.
    pub what: Option<RecordId>,
    /// How the Task's owner was decided.
    pub owner_source: Option<OwnerSource>,
    /// Requests that were sent for this call.
    pub attempts: u32,
    /// When the call ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// When the end that stands was received here.
    #[serde(default)]
    pub received_at: Option<DateTime<Utc>>,
    /// The platform marked the call as a test.
    #[serde(default)]
    pub test: bool,
    /// When this was decided.
    pub decided_at: DateTime<Utc>,
    /// Grows with each deferral of one revision, so that each has its own id.
    pub deferral: u32,
    /// How often the call was revived by a replay before this.
    #[serde(default)]
    pub replay: u32,
    /// Groups the interactions of one conversation, as the call's event said.
    #[serde(default)]
    pub conversation_id: Option<String>,
    /// The producer's trace context.
    pub traceparent: Option<String>,
}

/// `link.statuschanged.v1`: never a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkStatusChanged {
    /// The account.
    pub account: AccountId,
    /// Before.
    pub previous_status: LinkStatus,
    /// Now.
    pub status: LinkStatus,
    /// Before.
    pub previous_health: Health,
    /// Now.
    pub health: Health,
    /// Why.
    pub reason: LinkReason,
    /// Which Link, Relink or Unlink.
    pub generation: Generation,
    /// Consumers keep the highest.
    pub sequence: Sequence,
    /// The org.
    pub org: Option<OrgId>,
    /// Production or sandbox.
    pub environment: Option<Environment>,
    /// Where the org answers requests.
    #[serde(default)]
    pub instance_url: Option<String>,
    /// The API user's name, masked.
    pub username_masked: Option<String>,
    /// Who caused it.
    pub actor: Actor,
    /// Calls that wait.
    pub parked_calls: u64,
    /// What failed, where something did.
    pub failure: Option<Failure>,
    /// When it took effect.
    pub effective_at: DateTime<Utc>,
    /// Since when the link is broken, if it is.
    #[serde(default)]
    pub broken_since: Option<DateTime<Utc>>,
    /// Nothing changed: the new owner of the account's shard, at this epoch, tells the state again.
    #[serde(default)]
    pub restated: Option<Epoch>,
}

/// An event to be published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "type", content = "data")]
pub enum Published {
    /// Who is calling.
    CallLookedUp(Box<CallLookedUp>),
    /// What became of an ended call.
    CallLog(Box<CallLog>),
    /// A link's status or health changed.
    LinkStatusChanged(Box<LinkStatusChanged>),
}

impl Published {
    /// The CloudEvents type.
    pub const fn event_type(&self) -> &'static str {
        match self {
            Self::CallLookedUp(_) => "call.lookedup.v1",
            Self::CallLog(log) => match log.outcome {
                Outcome::Logged { .. } | Outcome::Skipped { .. } => "calllog.succeeded.v1",
                Outcome::Dead { .. } => "calllog.failed.v1",
                Outcome::RetryAt { .. }
                | Outcome::InDoubt { .. }
                | Outcome::Parked { .. }
                | Outcome::NotSent { .. } => "calllog.deferred.v1",
            },
            Self::LinkStatusChanged(_) => "link.statuschanged.v1",
        }
    }

    /// The topic it goes to.
    pub const fn topic(&self) -> Topic {
        match self {
            Self::CallLookedUp(_) | Self::CallLog(_) => Topic::CallLogs,
            Self::LinkStatusChanged(_) => Topic::LinkStatus,
        }
    }

    /// The Kafka key: the interaction of a call, the account of a link.
    pub fn key(&self) -> &str {
        match self {
            Self::CallLookedUp(e) => e.call.interaction.as_str(),
            Self::CallLog(e) => e.call.interaction.as_str(),
            Self::LinkStatusChanged(e) => e.account.as_str(),
        }
    }

    /// The account that it is about.
    pub fn account(&self) -> &AccountId {
        match self {
            Self::CallLookedUp(e) => &e.call.account,
            Self::CallLog(e) => &e.call.account,
            Self::LinkStatusChanged(e) => &e.account,
        }
    }

    /// The event's id: the same for the same fact, however often it is derived, so that a
    /// consumer drops what it has seen. A UUID (version 5) over what makes the fact unique.
    pub fn id(&self) -> EventId {
        let fact = match self {
            Self::CallLookedUp(e) => format!("lookedup/{}", e.call),
            Self::CallLog(e) if e.outcome.is_terminal() && e.replay > 0 => {
                format!("terminal/{}/{}/{}", e.call, e.revision, e.replay)
            }
            Self::CallLog(e) if e.outcome.is_terminal() => {
                return terminal_id(&e.call, e.revision);
            }
            Self::CallLog(e) => format!("deferred/{}/{}/{}", e.call, e.revision, e.deferral),
            Self::LinkStatusChanged(e) => match e.restated {
                None => format!("link/{}/{}", e.account, e.sequence),
                Some(epoch) => format!("link/{}/{}/{epoch}", e.account, e.sequence),
            },
        };
        id_of(&fact)
    }
}

/// The id of the event that tells how a revision of a call ended.
pub fn terminal_id(call: &CallId, revision: Revision) -> EventId {
    id_of(&format!("terminal/{call}/{revision}"))
}

/// The id of a fact.
fn id_of(fact: &str) -> EventId {
    let namespace = uuid::Uuid::NAMESPACE_URL;
    let id = uuid::Uuid::new_v5(&namespace, format!("vcc-link:{fact}").as_bytes());
    id.to_string().parse().expect("a UUID is printable ASCII")
}
