//! Which record a caller is: candidates, the account's ordered rules, and the answer.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ids::RecordId;
use super::private::Private;

/// The objects that are searched, and that a Task may point at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordType {
    /// A person at a customer.
    Contact,
    /// A person who may become one; a Task on a Lead takes no `WhatId`.
    Lead,
    /// A customer.
    Account,
    /// Any other object, named by the platform through an explicit record id.
    Other,
}

impl RecordType {
    /// The type by the id's key prefix (`003` Contact, `00Q` Lead, `001` Account).
    pub fn of(id: &RecordId) -> Self {
        match id.key_prefix() {
            "003" => Self::Contact,
            "00Q" => Self::Lead,
            "001" => Self::Account,
            _ => Self::Other,
        }
    }
}

/// The rule that chose the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchRule {
    /// The platform named the record; nothing was searched.
    ExplicitRecord,
    /// One record has the number.
    OnlyCandidate,
    /// Among several, the object that comes first: Contact, Lead, Account.
    ObjectPriority,
    /// Among several of that object, the one modified last.
    MostRecent,
}

/// Where the answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// The event itself.
    Context,
    /// An earlier answer for the same number in the same org.
    Cache,
    /// A search at Salesforce.
    Search,
}

/// A record that the search returned and that really has the caller's number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The record.
    pub id: RecordId,
    /// Its object.
    pub record_type: RecordType,
    /// Its name, for the agent's screen.
    pub name: Option<Private<String>>,
    /// For a Contact, its Account: the Task's `WhatId`.
    pub account: Option<RecordId>,
    /// Salesforce's `LastModifiedDate`.
    pub modified_at: Option<DateTime<Utc>>,
}

/// What the lookup of a call's customer came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LookupResult {
    /// One record was found, or chosen by a rule.
    Matched,
    /// No record has the number.
    None,
    /// Several have it, and no rule could choose.
    Several,
    /// The caller withheld the number.
    Withheld,
    /// An internal, own, blocked, short or unusable number: not searched.
    NotSearched,
    /// Salesforce did not answer within the deadline.
    Timeout,
    /// The org's API budget or limit forbade a search within the deadline.
    Throttled,
    /// The account has no working link.
    NotLinked,
    /// Salesforce refused the search.
    Failed,
}

/// The answer to one lookup: kept with the call, and published while the call rings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookupAnswer {
    /// What it came to.
    pub result: LookupResult,
    /// The record, where one was matched.
    pub record: Option<Candidate>,
    /// The record's page, where one was matched.
    pub url: Option<Private<String>>,
    /// The rule that chose it.
    pub rule: Option<MatchRule>,
    /// How many records have the number.
    pub candidates: u32,
    /// The first [`SHOWN`] of them, in the order of the rules.
    #[serde(default)]
    pub shown: Vec<RecordId>,
    /// Where the answer came from.
    pub via: Option<Via>,
    /// When it was given.
    pub answered_at: DateTime<Utc>,
}

impl LookupAnswer {
    /// An answer without a record.
    pub const fn without_record(result: LookupResult, answered_at: DateTime<Utc>) -> Self {
        Self {
            result,
            record: None,
            url: None,
            rule: None,
            candidates: 0,
            shown: Vec::new(),
            via: None,
            answered_at,
        }
    }
}

/// The answer for a record that the platform named: nothing was searched.
pub fn explicit(record: RecordId, answered_at: DateTime<Utc>) -> LookupAnswer {
    let record_type = RecordType::of(&record);
    let shown = vec![record.clone()];
    let candidate = Candidate {
        id: record,
        record_type,
        name: None,
        account: None,
        modified_at: None,
    };
    LookupAnswer {
        result: LookupResult::Matched,
        record: Some(candidate),
        url: None,
        rule: Some(MatchRule::ExplicitRecord),
        candidates: 1,
        shown,
        via: Some(Via::Context),
        answered_at,
    }
}

/// So many candidates are told by their ids.
pub const SHOWN: usize = 5;

/// The order in which objects win: a known person before a lead before a company.
const PRIORITY: [RecordType; 4] = [
    RecordType::Contact,
    RecordType::Lead,
    RecordType::Account,
    RecordType::Other,
];

/// Chooses among verified candidates by the ordered rules: object priority (Contact, Lead,
/// Account), then the one modified last. Where even that is a tie, the answer is `several`, and
/// no record is guessed.
pub fn choose(candidates: &[Candidate], via: Via, answered_at: DateTime<Utc>) -> LookupAnswer {
    let mut distinct: Vec<&Candidate> = candidates.iter().collect();
    distinct.sort_by(|a, b| a.id.cmp(&b.id));
    distinct.dedup_by(|a, b| a.id == b.id);
    let (result, chosen, rule) = match distinct.as_slice() {
        [] => (LookupResult::None, None, None),
        [only] => (
            LookupResult::Matched,
            Some(*only),
            Some(MatchRule::OnlyCandidate),
        ),
        several => match by_rules(several) {
            Some((record, rule)) => (LookupResult::Matched, Some(record), Some(rule)),
            None => (LookupResult::Several, None, None),
        },
    };
    LookupAnswer {
        result,
        record: chosen.cloned(),
        url: None,
        rule,
        candidates: u32::try_from(distinct.len()).unwrap_or(u32::MAX),
        shown: shown(distinct),
        via: Some(via),
        answered_at,
    }
}

/// The first candidates in the order of the rules: by object, then the one modified last.
fn shown(mut candidates: Vec<&Candidate>) -> Vec<RecordId> {
    // Stable: those that no rule orders stay in the order of their ids.
    candidates.sort_by_key(|c| {
        let object = PRIORITY.iter().position(|t| *t == c.record_type);
        (object, std::cmp::Reverse(c.modified_at))
    });
    let ids = candidates.into_iter().map(|c| c.id.clone());
    ids.take(SHOWN).collect()
}

/// The winner among several, and the rule that decided.
fn by_rules<'a>(several: &[&'a Candidate]) -> Option<(&'a Candidate, MatchRule)> {
    let first = PRIORITY
        .into_iter()
        .find(|t| several.iter().any(|c| c.record_type == *t))?;
    let of_type: Vec<&Candidate> = several
        .iter()
        .copied()
        .filter(|c| c.record_type == first)
        .collect();
    if let [only] = of_type.as_slice() {
        return Some((only, MatchRule::ObjectPriority));
    }
    let latest = of_type.iter().map(|c| c.modified_at).max()?;
    let mut latest = of_type.into_iter().filter(|c| c.modified_at == latest);
    match (latest.next(), latest.next()) {
        (Some(record), None) => Some((record, MatchRule::MostRecent)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(id: &str, modified: i64) -> Candidate {
        let id: RecordId = id.parse().expect("an id");
        let modified_at = DateTime::from_timestamp(modified, 0);
        let record_type = RecordType::of(&id);
        Candidate {
            id,
            record_type,
            name: None,
            account: None,
            modified_at,
        }
    }

    fn check(candidates: &[Candidate], result: LookupResult, rule: Option<MatchRule>, id: &str) {
        let answer = choose(candidates, Via::Search, DateTime::UNIX_EPOCH);
        let chosen = answer
            .record
            .map(|r| r.id.as_str()[..15].to_owned())
            .unwrap_or_default();
        assert_eq!(
            (answer.result, answer.rule, chosen.as_str()),
            (result, rule, id)
        );
    }

    #[test]
    fn the_rules_decide_in_order_and_a_tie_is_not_guessed() {
        use LookupResult::{Matched, None as Nobody, Several};
        use MatchRule::{MostRecent, ObjectPriority, OnlyCandidate};
        let contact = candidate("003000000000001", 1);
        let newer = candidate("003000000000002", 2);
        let lead = candidate("00Q000000000001", 9);
        let account = candidate("001000000000001", 9);
        check(&[], Nobody, None, "");
        check(
            std::slice::from_ref(&lead),
            Matched,
            Some(OnlyCandidate),
            "00Q000000000001",
        );
        check(
            &[lead.clone(), lead.clone()],
            Matched,
            Some(OnlyCandidate),
            "00Q000000000001",
        );
        check(
            &[account.clone(), lead.clone()],
            Matched,
            Some(ObjectPriority),
            "00Q000000000001",
        );
        check(
            &[account, lead, contact.clone()],
            Matched,
            Some(ObjectPriority),
            "003000000000001",
        );
        check(
            &[contact.clone(), newer.clone()],
            Matched,
            Some(MostRecent),
            "003000000000002",
        );
        let same_time = Candidate {
            modified_at: newer.modified_at,
            ..contact
        };
        check(&[same_time, newer], Several, None, "");
    }

    #[test]
    fn the_first_candidates_are_shown_the_chosen_one_before_all() {
        let ids = [
            ("001000000000001", 9),
            ("00Q000000000001", 5),
            ("003000000000001", 1),
            ("003000000000002", 3),
            ("001000000000002", 9),
            ("500000000000001", 9),
            ("003000000000002", 3),
        ];
        let candidates = ids.map(|(id, modified)| candidate(id, modified));
        let answer = choose(&candidates, Via::Search, DateTime::UNIX_EPOCH);
        let shown: Vec<&str> = answer.shown.iter().map(|id| &id.as_str()[..15]).collect();
        let wanted = [3, 2, 1, 0, 4].map(|place| ids[place].0);
        assert_eq!((answer.candidates, shown.as_slice()), (6, &wanted[..]));
        assert_eq!(answer.record.map(|r| r.id), answer.shown.first().cloned());
    }
}
