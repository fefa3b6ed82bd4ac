//! What a test of a link shows.

use super::faults::{Told, told};
use crate::domain::matching::{LookupResult, MatchRule, RecordType};

/// What a lookup came to.
pub(in super::super) const fn result(result: LookupResult) -> &'static str {
    match result {
        LookupResult::Matched => "A call from this number would be logged on this record.",
        LookupResult::None => {
            "No record has this number. A call from it would be logged without a record. A record that is some minutes old may not be found yet."
        }
        LookupResult::Several => {
            "Several records have this number, and no rule chooses among them. A call from it would be logged without a record."
        }
        LookupResult::Withheld => "There is no number in this: it would not be looked up.",
        LookupResult::NotSearched => {
            "This is no number that is looked up: it is too short or too long, lacks its country code, or is one of the contact centre’s own."
        }
        LookupResult::Timeout
        | LookupResult::Throttled
        | LookupResult::NotLinked
        | LookupResult::Failed => "Salesforce did not tell.",
    }
}

/// The same in a word or two.
pub(in super::super) const fn word(result: LookupResult) -> &'static str {
    match result {
        LookupResult::Matched => "Found",
        LookupResult::None => "No record",
        LookupResult::Several => "Several records",
        LookupResult::Withheld | LookupResult::NotSearched => "Not searched",
        LookupResult::Timeout
        | LookupResult::Throttled
        | LookupResult::NotLinked
        | LookupResult::Failed => "Not known",
    }
}

/// The rule that chose a record.
pub(in super::super) const fn rule(rule: MatchRule) -> &'static str {
    match rule {
        MatchRule::ExplicitRecord => "It was named",
        MatchRule::OnlyCandidate => "It alone has the number",
        MatchRule::ObjectPriority => "A Contact comes before a Lead, a Lead before an Account",
        MatchRule::MostRecent => "Of several of one kind, the one changed last",
    }
}

/// An object.
pub(in super::super) const fn object(object: RecordType) -> &'static str {
    match object {
        RecordType::Contact => "Contact",
        RecordType::Lead => "Lead",
        RecordType::Account => "Account",
        RecordType::Other => "Record",
    }
}

/// A record whose name is not told.
pub(in super::super) const NAMELESS: &str = "Without a name";

/// What creating a Task means.
pub(in super::super) fn make_means(with_record: bool) -> String {
    let of = if with_record {
        "on this record"
    } else {
        "without a record"
    };
    format!(
        "This creates one Task in Salesforce {of}, as a call would. Its subject says that it is a test, and it belongs to the API user. Flows and triggers of your org run as for any other Task."
    )
}

/// The Task is there.
pub(in super::super) fn created() -> Told {
    told(
        "The test Task is there",
        "Calls can be logged in this org. Look at the Task in Salesforce, then delete it.",
        &[],
    )
}

/// Nobody knows.
pub(in super::super) fn unknown() -> Told {
    told(
        "It is not known whether the Task was created",
        "Salesforce did not answer, and the Task is not found yet. It may still appear within a quarter of an hour; a second one is not created.",
        &["Press Look again in a few minutes: that only looks for it."],
    )
}

/// The Task is deleted.
pub(in super::super) fn deleted() -> Told {
    told(
        "The test Task is deleted",
        "It is in the org’s Recycle Bin for some days.",
        &[],
    )
}

/// The account is not linked.
pub(in super::super) fn not_linked() -> Told {
    told(
        "The account is not linked",
        "There is no org to ask.",
        &["Go back, and link the account."],
    )
}

/// The link does not work.
pub(in super::super) fn broken() -> Told {
    told(
        "The link does not work",
        "Salesforce cannot be asked until it does.",
        &["Go back: the account’s page says why, and which button to press."],
    )
}

/// There is no such Task.
pub(in super::super) fn no_such_task() -> Told {
    told(
        "There is no such test Task",
        "It is deleted already, or no test of this account made it. Nothing was deleted.",
        &[],
    )
}
