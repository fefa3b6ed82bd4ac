//! A call: what the platform's events say of it, and how they fold into one value in any order.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ids::{CallId, EventId, RecordId, Revision, UserId};
use super::matching::LookupAnswer;
use super::private::Private;

/// Which way the call went, seen from the contact centre.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The customer called.
    Inbound,
    /// The contact centre called.
    Outbound,
    /// Between agents; there is no customer.
    Internal,
}

/// How the call ended, in VCC's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallOutcome {
    /// An agent handled it.
    Answered,
    /// It rang at an agent and nobody took it.
    Missed,
    /// The caller hung up in the menu.
    AbandonedIvr,
    /// The caller hung up in the queue.
    AbandonedQueue,
    /// The caller hung up within the account's short-call time.
    ShortAbandoned,
    /// The caller left a voicemail.
    Voicemail,
    /// The dialled number was busy.
    Busy,
    /// The dialled number did not answer.
    NoAnswer,
    /// The call could not be made or broke down.
    Failed,
    /// The caller asked to be called back.
    CallbackRequested,
}

impl CallOutcome {
    /// Every outcome, in the order of the contract's table.
    pub const ALL: [Self; 10] = [
        Self::Answered,
        Self::Missed,
        Self::AbandonedIvr,
        Self::AbandonedQueue,
        Self::ShortAbandoned,
        Self::Voicemail,
        Self::Busy,
        Self::NoAnswer,
        Self::Failed,
        Self::CallbackRequested,
    ];
}

/// Whether the caller allowed the number to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Presentation {
    /// The number may be used.
    #[default]
    Allowed,
    /// The caller withheld it.
    Restricted,
    /// The network did not give it.
    Unavailable,
}

/// One end of the call.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Party {
    /// The number in E.164 form (`+442079460018`), where the platform knows it.
    pub e164: Option<Private<String>>,
    /// The number as the network gave it.
    pub raw: Option<Private<String>>,
    /// Whether it may be used.
    pub presentation: Presentation,
}

/// Which end of the call the customer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CustomerSide {
    /// The customer called.
    From,
    /// The customer was called.
    To,
}

/// The agent of a call, as far as known when the event was made.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Agent {
    /// VCC's agent id.
    pub agent_id: Option<String>,
    /// VCC's user id.
    pub user_id: Option<String>,
    /// The agent's e-mail address; a Salesforce user is looked up by it.
    pub email: Option<Private<String>>,
    /// The agent's Salesforce user, where the platform knows it: wins over the e-mail address.
    pub crm_user: Option<UserId>,
}

/// What the platform already knows of the customer's record.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CrmContext {
    /// The record that the call is about: wins over any search.
    pub record: Option<RecordId>,
    /// The Task that the agent dialled from: it is updated, and no other made.
    pub existing_task: Option<RecordId>,
    /// How the platform came to know: `click_to_dial`, `data_connector`, `dial_list`,
    /// `agent_choice`; passed on as received.
    pub origin: Option<String>,
}

/// Through which service and queue the call came.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Service {
    /// The service's name.
    pub name: Option<String>,
    /// The name of the dialled address.
    pub address_name: Option<String>,
    /// The interaction plan.
    pub interaction_plan: Option<String>,
    /// The queue's name.
    pub queue: Option<String>,
}

/// Where an event came from: for dedupe, for the story of a call, and for its trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventMeta {
    /// The CloudEvent's `id`.
    pub id: EventId,
    /// The CloudEvent's `time`: when it happened.
    pub time: DateTime<Utc>,
    /// W3C trace context of the producer.
    pub traceparent: Option<String>,
}

/// What both events say of the call, so that each suffices alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallFacts {
    /// The call.
    pub id: CallId,
    /// Groups the interactions of one conversation.
    pub conversation_id: Option<String>,
    /// Which way it went.
    pub direction: Direction,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// The calling end.
    pub from: Party,
    /// The called end.
    pub to: Party,
    /// Which end is the customer; `None`: by the direction.
    pub customer_side: Option<CustomerSide>,
    /// Service and queue.
    pub service: Service,
    /// The agent, once known.
    pub agent: Agent,
    /// What the platform knows of the customer's record.
    pub crm: CrmContext,
    /// The account's own key-value pairs, at most 32, passed on to nobody but the Task's text.
    pub attributes: BTreeMap<String, Private<String>>,
    /// A test call of the platform: logged like any other, and marked in what is published.
    pub test: bool,
}

impl CallFacts {
    /// The customer's end, or `None` on internal calls.
    pub fn customer(&self) -> Option<&Party> {
        let side = self.customer_side.or(match self.direction {
            Direction::Inbound => Some(CustomerSide::From),
            Direction::Outbound => Some(CustomerSide::To),
            Direction::Internal => None,
        });
        side.map(|side| match side {
            CustomerSide::From => &self.from,
            CustomerSide::To => &self.to,
        })
    }
}

/// `call.started.v1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallStarted {
    /// The event.
    pub meta: EventMeta,
    /// What it says of the call.
    pub facts: CallFacts,
    /// After this the answer of a lookup is of no use to anybody.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A reference to a recording or a voicemail; never a signed address.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Recording {
    /// Whether it can be fetched now.
    pub ready: bool,
    /// What the platform fetches it by.
    pub content_ref: Option<String>,
}

/// How long the parts of the call took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Durations {
    /// From begin to end.
    pub total: Duration,
    /// Ringing at the agent.
    pub ring: Option<Duration>,
    /// Waiting in the queue.
    pub queue: Option<Duration>,
    /// Talking to an agent.
    pub talk: Option<Duration>,
    /// On hold.
    pub hold: Option<Duration>,
    /// The agent's work after the call.
    pub wrap: Option<Duration>,
}

/// One agent's part of the call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leg {
    /// Names the leg within the call.
    pub leg_id: String,
    /// VCC's agent id.
    pub agent_id: Option<String>,
    /// When the agent joined.
    pub joined_at: Option<DateTime<Utc>>,
    /// When the agent left.
    pub left_at: Option<DateTime<Utc>>,
    /// `delivered`, `blind_transfer`, `warm_transfer`, `conference` or `consult`, as received.
    pub how: Option<String>,
}

/// `call.ended.v1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallEnded {
    /// The event.
    pub meta: EventMeta,
    /// What it says of the call; the agent is the one who dealt with it last.
    pub facts: CallFacts,
    /// When it ended.
    pub ended_at: DateTime<Utc>,
    /// How long it took.
    pub durations: Durations,
    /// How it ended.
    pub outcome: CallOutcome,
    /// `customer`, `agent` or `system`, as received.
    pub ended_by: Option<String>,
    /// VCC's id of the agent who handled the call, if one did.
    pub handled_by: Option<String>,
    /// The agents' parts, oldest first.
    pub legs: Vec<Leg>,
    /// The agent's disposition, in words.
    pub disposition: Option<String>,
    /// The agent's notes.
    pub notes: Option<Private<String>>,
    /// The recording, where there is one.
    pub recording: Option<Recording>,
    /// The voicemail, where there is one.
    #[serde(default)]
    pub voicemail: Option<Recording>,
    /// Orders the ended events of one call.
    pub revision: Revision,
    /// No further revision will come.
    pub last: bool,
}

impl CallEnded {
    /// Which of two ended events of a call stands: the higher revision; within one revision the
    /// earlier, and at last the lower event id, so that the order of arrival never matters.
    fn rank(&self) -> (Revision, std::cmp::Reverse<(DateTime<Utc>, &str)>) {
        (
            self.revision,
            std::cmp::Reverse((self.meta.time, self.meta.id.as_str())),
        )
    }
}

/// One event of the platform about a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallEvent {
    /// The call began.
    Started(Box<CallStarted>),
    /// The call ended, or more became known of an ended call.
    Ended(Box<CallEnded>),
}

impl CallEvent {
    /// The call that it is about.
    pub fn call(&self) -> &CallId {
        match self {
            Self::Started(e) => &e.facts.id,
            Self::Ended(e) => &e.facts.id,
        }
    }

    /// Where it came from.
    pub fn meta(&self) -> &EventMeta {
        match self {
            Self::Started(e) => &e.meta,
            Self::Ended(e) => &e.meta,
        }
    }

    /// When the call began, by this event.
    pub fn started_at(&self) -> DateTime<Utc> {
        match self {
            Self::Started(e) => e.facts.started_at,
            Self::Ended(e) => e.facts.started_at,
        }
    }
}

/// Everything known of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The call.
    pub id: CallId,
    /// The event of its begin, if it came.
    pub started: Option<Box<CallStarted>>,
    /// The event of its end, the latest revision.
    pub ended: Option<Box<CallEnded>>,
    /// What the lookup found, once it is answered.
    pub lookup: Option<Box<LookupAnswer>>,
}

impl Call {
    /// A call of which nothing is known yet.
    pub const fn new(id: CallId) -> Self {
        Self {
            id,
            started: None,
            ended: None,
            lookup: None,
        }
    }

    /// Takes one event in. Applying any events in any order, any number of times, gives the same
    /// call: duplicates, an end before its begin and late revisions need no special care.
    ///
    /// An event of another call is left out; the caller groups by call before it folds.
    pub fn fold(&mut self, event: CallEvent) {
        if event.call() != &self.id {
            return;
        }
        match event {
            CallEvent::Started(new) => {
                let rank = |e: &CallStarted| (e.meta.time, e.meta.id.as_str().to_owned());
                if self
                    .started
                    .as_deref()
                    .is_none_or(|old| rank(&new) < rank(old))
                {
                    self.started = Some(new);
                }
            }
            CallEvent::Ended(new) => {
                if self
                    .ended
                    .as_deref()
                    .is_none_or(|old| new.rank() > old.rank())
                {
                    self.ended = Some(new);
                }
            }
        }
    }

    /// The facts by the event that knows more: the end's where it came, else the begin's.
    pub fn facts(&self) -> Option<&CallFacts> {
        self.ended
            .as_deref()
            .map(|e| &e.facts)
            .or_else(|| self.started.as_deref().map(|s| &s.facts))
    }

    /// The producer's trace context, for the spans of this call.
    pub fn traceparent(&self) -> Option<&str> {
        let ended = self.ended.as_deref().map(|e| &e.meta);
        let started = self.started.as_deref().map(|s| &s.meta);
        let mut told = [ended, started].into_iter().flatten();
        told.find_map(|meta| meta.traceparent.as_deref())
    }
}
