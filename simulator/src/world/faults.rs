//! The fault script: what goes wrong, when, and how often.
//!
//! Rules are tried in the order they were added, and the first that fires is the request's fault.
//! Chance comes from the seeded generator, so a run can be repeated.

use rand::Rng as _;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::id::Id;
use super::refusal::Refusal;
use crate::api::resource::Kind;

/// One rule of the fault script.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Names the rule; made up if absent. Adding a rule of the same name replaces it.
    #[serde(default)]
    pub id: String,
    /// Only requests to this org, by id or name; any if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<String>,
    /// Only requests of this sort; any if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Only records that match, or requests with such a record.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub matching: Option<Match>,
    /// The chance that the rule fires when it could.
    #[serde(default = "Rule::always")]
    pub probability: f64,
    /// How often it fires before it is spent; without end if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// How many it lets pass before it fires.
    #[serde(default)]
    pub after: u64,
    /// What happens.
    pub action: Action,
    /// How often it could have fired so far.
    #[serde(default, skip_deserializing)]
    pub seen: u64,
    /// How often it has fired so far.
    #[serde(default, skip_deserializing)]
    pub fired: u64,
}

/// A predicate on one record.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Match {
    /// The field looked at.
    pub field: String,
    /// What its text must contain.
    pub contains: String,
}

impl Match {
    fn accepts(&self, record: &Map<String, Value>) -> bool {
        record
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(&self.field))
            .is_some_and(|(_, value)| match value {
                Value::String(text) => text.contains(&self.contains),
                Value::Null => false,
                other => other.to_string().contains(&self.contains),
            })
    }
}

/// What a fault does. "Commit" is the work itself: rows written, tokens rotated, rows read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Commits, then closes the connection without an answer.
    CommitThenDrop,
    /// Closes the connection without an answer or a commit.
    DropBeforeCommit,
    /// Takes this much longer, then goes on as usual.
    Delay {
        /// Simulated milliseconds.
        ms: u64,
    },
    /// Closes the connection now and commits later, as a transaction that outlives its client.
    CommitLate {
        /// Simulated milliseconds until the commit.
        ms: u64,
    },
    /// Commits, and answers very late.
    StallAfterCommit {
        /// Simulated milliseconds between commit and answer.
        ms: u64,
    },
    /// Answers with an error in Salesforce's JSON array.
    Status {
        /// HTTP status.
        status: u16,
        /// Such as `SERVER_UNAVAILABLE`.
        #[serde(rename = "errorCode")]
        code: String,
        /// The text beside it.
        message: String,
        /// Commits first.
        #[serde(default)]
        commit: bool,
    },
    /// Answers that there were too many requests, and for how long to leave it alone, as what stands
    /// before Salesforce may; without a commit.
    Throttle {
        /// HTTP status: 429, or 503.
        status: u16,
        /// `Retry-After`.
        retry_after_s: u32,
    },
    /// Answers 500 `UNKNOWN_EXCEPTION` without a commit.
    #[serde(rename = "constant_500")]
    Constant500,
    /// Answers with a page, as in outages and maintenance.
    Html {
        /// HTTP status: 503, or 200 as maintenance pages have.
        status: u16,
        /// The page; Salesforce's maintenance page if absent.
        #[serde(default)]
        body: Option<String>,
        /// Commits first.
        #[serde(default)]
        commit: bool,
    },
    /// Commits, and cuts the answer off in the middle.
    Truncated,
    /// Commits, and pads the answer with this much white space.
    Oversized {
        /// Bytes to add.
        bytes: usize,
    },
    /// Sends the client to another host, as after an org has moved, without a commit.
    Redirect {
        /// The `Location`.
        location: String,
    },
    /// Commits, and answers 200 with text that is no JSON.
    BadJson,
    /// Commits, and leaves the last element out of an array answer.
    WrongArrayLength,
    /// Commits, and sends the answer this slowly.
    SlowDrip {
        /// Bytes for each simulated second.
        bytes_per_s: u64,
    },
    /// Rotates the refresh token, and closes the connection: the new token is lost.
    TokenDropAfterRotate,
    /// Answers with an error of the token endpoint, without a commit.
    TokenError {
        /// Such as `invalid_grant`.
        error: String,
        /// The text beside it.
        error_description: String,
        /// HTTP status.
        #[serde(default = "Action::bad_request")]
        status: u16,
    },
    /// Refuses a row.
    RowError {
        /// Such as `FIELD_CUSTOM_VALIDATION_EXCEPTION`.
        #[serde(rename = "statusCode")]
        code: String,
        /// The text beside it.
        message: String,
        /// The fields at fault.
        #[serde(default)]
        fields: Vec<String>,
    },
    /// Refuses a row because its parent is locked.
    LockRows,
    /// Refuses every row of a chunk of which one row matches, as an exception in a trigger does.
    WholeChunkFailure {
        /// Usually `CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY`.
        #[serde(rename = "statusCode")]
        code: String,
        /// The text beside it.
        message: String,
    },
}

impl Action {
    fn bad_request() -> u16 {
        400
    }

    /// The action's name, as the rule spells it.
    pub(crate) fn name(&self) -> String {
        serde_json::to_value(self)
            .ok()
            .and_then(|value| value["type"].as_str().map(str::to_owned))
            .unwrap_or_default()
    }

    /// Whether it strikes rows rather than requests.
    fn strikes(&self) -> Strikes {
        match self {
            Self::RowError { .. } | Self::LockRows => Strikes::Rows,
            Self::WholeChunkFailure { .. } => Strikes::Chunks,
            _ => Strikes::Requests,
        }
    }

    /// The refusal of a row, for actions that strike rows.
    fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::RowError {
                code,
                message,
                fields,
            } => {
                let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
                Some(Refusal::row(code, message, &fields))
            }
            Self::LockRows => Some(Refusal::row(
                "UNABLE_TO_LOCK_ROW",
                "unable to obtain exclusive access to this record",
                &[],
            )),
            Self::WholeChunkFailure { code, message } => Some(Refusal::row(code, message, &[])),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strikes {
    Requests,
    Rows,
    Chunks,
}

/// Where a rule may strike.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// The org, if it is known.
    pub(crate) org: Option<(Id, &'a str)>,
    pub(crate) kind: Kind,
}

/// The rules in force.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    rules: Vec<Rule>,
    named: u64,
}

impl Rule {
    fn always() -> f64 {
        1.0
    }

    /// A rule that always does `action`.
    pub fn new(action: Action) -> Self {
        Self {
            id: String::new(),
            org: None,
            kind: None,
            matching: None,
            probability: 1.0,
            times: None,
            after: 0,
            action,
            seen: 0,
            fired: 0,
        }
    }

    fn applies(&self, place: Place<'_>, rows: &[&Map<String, Value>]) -> bool {
        let org = self.org.as_deref().is_none_or(|wanted| {
            place
                .org
                .is_some_and(|(id, name)| Id::parse(wanted) == Some(id) || wanted == name)
        });
        org && self.kind.is_none_or(|kind| kind == place.kind)
            && self
                .matching
                .as_ref()
                .is_none_or(|matching| rows.iter().any(|row| matching.accepts(row)))
    }

    fn fires(&mut self, rng: &mut StdRng) -> bool {
        if self.times.is_some_and(|times| self.fired >= times) {
            return false;
        }
        self.seen += 1;
        if self.seen <= self.after {
            return false;
        }
        let fires = self.probability >= 1.0 || rng.random::<f64>() < self.probability;
        self.fired += u64::from(fires);
        fires
    }
}

impl Faults {
    /// Adds a rule and returns its name.
    pub(crate) fn add(&mut self, mut rule: Rule) -> String {
        if rule.id.is_empty() {
            self.named += 1;
            rule.id = format!("fault-{}", self.named);
        }
        let id = rule.id.clone();
        match self.rules.iter_mut().find(|known| known.id == id) {
            Some(known) => *known = rule,
            None => self.rules.push(rule),
        }
        id
    }

    pub(crate) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Removes one rule, or all.
    pub(crate) fn remove(&mut self, id: Option<&str>) -> usize {
        let before = self.rules.len();
        self.rules.retain(|rule| id.is_some_and(|id| id != rule.id));
        before - self.rules.len()
    }

    /// Whether any rule looks at records.
    pub(crate) fn look_at_rows(&self) -> bool {
        self.rules.iter().any(|rule| rule.matching.is_some())
    }

    /// The fault of a whole request, if it gets one.
    pub(crate) fn strike_request(
        &mut self,
        place: Place<'_>,
        rows: &[&Map<String, Value>],
        rng: &mut StdRng,
    ) -> Option<Action> {
        self.strike(Strikes::Requests, place, rows, rng)
    }

    /// The refusal of one row, if it gets one.
    pub(crate) fn strike_row(
        &mut self,
        place: Place<'_>,
        row: &Map<String, Value>,
        rng: &mut StdRng,
    ) -> Option<Refusal> {
        self.strike(Strikes::Rows, place, &[row], rng)?.refusal()
    }

    /// The refusal of all rows of a chunk, if it gets one.
    pub(crate) fn strike_chunk(
        &mut self,
        place: Place<'_>,
        rows: &[&Map<String, Value>],
        rng: &mut StdRng,
    ) -> Option<Refusal> {
        self.strike(Strikes::Chunks, place, rows, rng)?.refusal()
    }

    fn strike(
        &mut self,
        strikes: Strikes,
        place: Place<'_>,
        rows: &[&Map<String, Value>],
        rng: &mut StdRng,
    ) -> Option<Action> {
        for rule in &mut self.rules {
            if rule.action.strikes() == strikes && rule.applies(place, rows) && rule.fires(rng) {
                return Some(rule.action.clone());
            }
        }
        None
    }
}
