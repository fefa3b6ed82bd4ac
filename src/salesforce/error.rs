//! What each of Salesforce's answers means: one table of error codes, and the answers that carry
//! none.
//!
//! Classes are those of [`FailureClass`]. Salesforce's own text is used to tell apart codes that
//! mean several things, and for nothing else: it may quote the customer's data, so it is never
//! kept. The `hint` of a row tells a person the next step in our own words.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::error_table::{GONE, HIDDEN, Row, SPOILERS, TABLE, UNKNOWN};
use crate::domain::ids::RecordId;
use crate::domain::outcome::{Failure, FailureClass, FailureScope};
use crate::domain::task::TaskField;

/// One error of an answer. Single-record resources and whole requests say `errorCode`, rows of
/// Collections say `statusCode`.
#[derive(Clone, Deserialize)]
pub(super) struct ApiError {
    /// `UNABLE_TO_LOCK_ROW`.
    #[serde(alias = "statusCode", rename = "errorCode")]
    pub code: String,
    /// Salesforce's text: looked at, never kept.
    #[serde(default)]
    pub message: String,
    /// The fields that it is about.
    #[serde(default)]
    pub fields: Vec<String>,
}

/// An answer, or the lack of one, that carries no error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The connection broke after the request went out.
    ConnectionLost,
    /// No answer within the time.
    TimedOut,
    /// HTML or another type, with this status.
    NoJson(u16),
    /// Said to be JSON, and is not, or of another form than asked for.
    BadJson(u16),
    /// The answer ended early.
    Truncated(u16),
    /// Longer than the bound.
    TooLarge(u16),
    /// A redirect, which is not followed.
    Redirect(u16),
    /// Fewer or more results than records.
    WrongCount,
}

impl Trouble {
    /// Our own code for it.
    const fn code(self) -> &'static str {
        match self {
            Self::ConnectionLost => "connection_lost",
            Self::TimedOut => "timed_out",
            Self::NoJson(_) => "not_json",
            Self::BadJson(_) => "bad_json",
            Self::Truncated(_) => "answer_truncated",
            Self::TooLarge(_) => "answer_too_large",
            Self::Redirect(_) => "redirected",
            Self::WrongCount => "wrong_number_of_results",
        }
    }

    /// The HTTP status, where one came.
    const fn status(self) -> Option<u16> {
        match self {
            Self::NoJson(status)
            | Self::BadJson(status)
            | Self::Truncated(status)
            | Self::TooLarge(status)
            | Self::Redirect(status) => Some(status),
            Self::ConnectionLost | Self::TimedOut | Self::WrongCount => None,
        }
    }
}

/// What an answer without an error code means. For a write it leaves open whether the request was
/// carried out, except where it was turned away before any application saw it.
pub(super) fn trouble(trouble: Trouble, writes: bool) -> Failure {
    use FailureClass::{Ambiguous, Bug, Throttled, Transient};
    use FailureScope::{Everyone, Org, Request};
    let lost = if writes { Ambiguous } else { Transient };
    let (class, scope, hint) = match trouble {
        // Only these two ask for the request itself elsewhere. What stands before Salesforce may answer
        // with the others after a request that it passed on, as with its page about an outage.
        Trouble::Redirect(status) => (
            if matches!(status, 307 | 308) {
                Transient
            } else {
                lost
            },
            Org,
            "the org has moved: its address is learnt at the next token refresh",
        ),
        // No such path or host at this address, or none that Salesforce's edge knows.
        Trouble::NoJson(404 | 420) => (
            Transient,
            Org,
            "Salesforce does not know the org's address: a new one is learnt at the next token refresh",
        ),
        Trouble::NoJson(410) => (
            Bug,
            Everyone,
            "Salesforce has retired this version of its API: upgrade the software",
        ),
        // Smaller requests pass: a failure of this kind is bisected.
        Trouble::NoJson(413 | 414 | 431) => (Bug, Request, "report this: a request was too long"),
        Trouble::NoJson(429) => (
            Throttled,
            Org,
            "fewer requests are sent to the org for a while",
        ),
        Trouble::NoJson(_) => (
            lost,
            Org,
            "Salesforce is down for maintenance, or something between us and it answers",
        ),
        _ => (
            lost,
            Request,
            "it is tried again, or looked for at Salesforce first, by itself",
        ),
    };
    let mut failure = Failure::new(class, scope, trouble.code());
    failure.http_status = trouble.status();
    failure.hint = hint.into();
    failure.moved = matches!(trouble, Trouble::Redirect(_) | Trouble::NoJson(404 | 420));
    failure
}

/// What an error answer to a whole request means.
pub(super) fn classify(status: u16, body: &[u8], writes: bool) -> Failure {
    let errors = serde_json::from_slice::<Vec<ApiError>>(body).unwrap_or_default();
    if errors.is_empty() {
        return trouble(Trouble::BadJson(status), writes);
    }
    let mut failure = of_errors(&errors);
    failure.http_status = Some(status);
    failure.scope = failure.scope.max(FailureScope::Request);
    if find(&errors[0]).is_none() {
        failure.class = match status {
            429 => FailureClass::Throttled,
            // The application failed in the midst: what it had done by then, it may have kept.
            500.. => FailureClass::Ambiguous,
            _ => failure.class,
        };
    }
    match failure.class {
        FailureClass::Ambiguous if !writes => failure.class = FailureClass::Transient,
        // There is no content to leave out of a read.
        FailureClass::Payload if !writes => failure.class = FailureClass::Admin,
        _ => {}
    }
    failure
}

/// What the errors of one record of many mean. It was not written: the answer says so.
pub(super) fn of_row(errors: &[ApiError]) -> Failure {
    let mut failure = of_errors(errors);
    if failure.class == FailureClass::Ambiguous {
        failure.class = FailureClass::Transient;
    }
    failure
}

/// What several errors mean together: if all are about content, all the named fields go; else the
/// first of another kind decides.
fn of_errors(errors: &[ApiError]) -> Failure {
    let failures: Vec<Failure> = errors.iter().map(of_error).collect();
    let fields: BTreeSet<TaskField> = failures
        .iter()
        .flat_map(|f| f.fields.iter().copied())
        .collect();
    let decisive = failures
        .iter()
        .position(|f| f.class != FailureClass::Payload)
        .unwrap_or(0);
    match failures.into_iter().nth(decisive) {
        Some(failure) if failure.class == FailureClass::Payload => Failure { fields, ..failure },
        Some(failure) => failure,
        None => of_error(&ApiError {
            code: String::new(),
            message: String::new(),
            fields: vec![],
        }),
    }
}

/// What one error means.
fn of_error(error: &ApiError) -> Failure {
    let row = find(error).unwrap_or(&UNKNOWN);
    let mut failure = Failure::new(row.class, row.scope, bounded_code(&error.code));
    failure.hint = row.hint.into();
    failure.ended = true;
    match row.class {
        FailureClass::Done => failure.existing = id_in(&error.message),
        FailureClass::Payload => name_fields(&mut failure, row, error),
        _ => {}
    }
    failure
}

/// The row of the table that fits.
fn find(error: &ApiError) -> Option<&'static Row> {
    let text = format!("{} {}", error.message, error.fields.join(" ")).to_lowercase();
    TABLE.iter().find(|row| {
        let code = match row.code.strip_suffix('*') {
            Some(start) => error.code.starts_with(start),
            None => row.code == error.code,
        };
        code && text.contains(row.says)
    })
}

/// Names the fields to leave out: those that Salesforce names, else those that the code is about.
/// If none of them may be left out (a key field, a field that is not ours), only the admin helps.
fn name_fields(failure: &mut Failure, row: &Row, error: &ApiError) {
    let ours = |names: &[String]| {
        names
            .iter()
            .filter_map(|name| TaskField::named(name))
            .collect()
    };
    failure.fields = if !error.fields.is_empty() {
        ours(&error.fields)
    } else if row.fields.is_empty() {
        ours(&named_in(&error.message))
    } else {
        row.fields.iter().copied().collect()
    };
    if failure.fields.is_empty() {
        failure.class = FailureClass::Admin;
    }
}

/// The field names in a text: `No such column 'X' on …`, `Unable to create/update fields: X, Y. …`.
fn named_in(message: &str) -> Vec<String> {
    let name = |text: &str| {
        let text = text.trim();
        let word = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        word.then(|| text.to_owned())
    };
    if let Some((_, list)) = message.split_once("fields: ") {
        let list = list.split_once('.').map_or(list, |(list, _)| list);
        return list.split(',').filter_map(name).collect();
    }
    let quoted = message.split('\'').nth(1);
    quoted.and_then(name).into_iter().collect()
}

/// The record ids that an error quotes.
pub(super) fn ids_in(error: &ApiError) -> impl Iterator<Item = RecordId> {
    let words = error.message.split(|c: char| !c.is_ascii_alphanumeric());
    words.filter_map(|word| word.parse().ok())
}

/// The record that a duplicate error names: `… duplicates value on record with id: 001…`.
fn id_in(message: &str) -> Option<RecordId> {
    let (_, tail) = message.rsplit_once("id:")?;
    tail.trim()
        .split(|c: char| !c.is_ascii_alphanumeric())
        .next()?
        .parse()
        .ok()
}

/// Whether a duplicate error is about this field (rule 7): by its list of fields, else by its text,
/// `duplicate value found: VCC_Call_Key__c duplicates …`.
pub(super) fn names_field(error: &ApiError, field: &str) -> bool {
    let mut words = error
        .message
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    error.fields.iter().any(|f| f.eq_ignore_ascii_case(field))
        || words.any(|word| word.eq_ignore_ascii_case(field))
}

/// Whether one record's failure may have failed all that were written with it.
pub(super) fn is_spoiler(failure: &Failure) -> bool {
    failure.class == FailureClass::Admin
        && failure.scope == FailureScope::Record
        && SPOILERS.contains(&failure.code.as_str())
}

/// Whether a record that was to be changed is not there.
pub(super) fn is_gone(failure: &Failure) -> bool {
    GONE.contains(&failure.code.as_str())
}

/// Whether a query named something that its user cannot see.
pub(super) fn is_hidden(failure: &Failure) -> bool {
    HIDDEN.contains(&failure.code.as_str())
}

/// An error code as it may be stored and shown: Salesforce's own are words of letters.
pub(super) fn bounded_code(code: &str) -> String {
    let clean: String = code
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '_')
        .take(80)
        .collect();
    if clean.is_empty() {
        "unnamed_error".into()
    } else {
        clean
    }
}

#[cfg(test)]
mod tests {
    use FailureClass::{
        Admin, Ambiguous, Bug, Done, Payload, Quota, Session, Split, Throttled, Transient,
    };

    use super::*;

    /// Status and body of a refused create, its class, and the fields to leave out.
#[rustfmt::skip]
        const BODIES: [(u16, &str, FailureClass, &str); 28] = [
        (401, r#"[{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]"#, Session, ""),
        (401, r#"[{"message":"This session is not valid for use with the REST API","errorCode":"INVALID_SESSION_ID"}]"#, Admin, ""),
        (401, r#"[{"message":"Connected app is not attached to Agent","errorCode":"ANY"}]"#, Admin, ""),
        (403, r#"[{"message":"TotalRequests Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]"#, Quota, ""),
        (403, r#"[{"message":"ConcurrentRequests (Concurrent API Requests) Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]"#, Throttled, ""),
        (500, r#"[{"message":"ConcurrentPerOrgLongTxn Limit exceeded","errorCode":"UNKNOWN_EXCEPTION"}]"#, Throttled, ""),
        (500, r#"[{"message":"An unexpected error occurred","errorCode":"UNKNOWN_EXCEPTION"}]"#, Ambiguous, ""),
        (503, r#"[{"message":"x","errorCode":"SERVER_UNAVAILABLE"}]"#, Transient, ""),
        (403, r#"[{"message":"API is not enabled for this Organization or Partner","errorCode":"API_DISABLED_FOR_ORG"}]"#, Admin, ""),
        (400, r#"[{"message":"No such column 'CallDisposition' on sobject of type Task","errorCode":"INVALID_FIELD"}]"#, Payload, "CallDisposition"),
        (400, r#"[{"message":"No such column 'Foo__c' on sobject of type Task","errorCode":"INVALID_FIELD"}]"#, Admin, ""),
        (400, r#"[{"message":"Unable to create/update fields: WhatId, CallType. Please check the security settings of this field and verify that it is read/write for your profile or permission set.","errorCode":"INVALID_FIELD_FOR_INSERT_UPDATE","fields":["WhatId","CallType"]}]"#, Payload, "WhatId CallType"),
        (400, r#"[{"message":"Unable to create/update fields: CallObject. Please …","errorCode":"INVALID_FIELD_FOR_INSERT_UPDATE"}]"#, Admin, ""),
        (400, r#"[{"message":"Required fields are missing: [Region__c]","errorCode":"REQUIRED_FIELD_MISSING","fields":["Region__c"]}]"#, Admin, ""),
        (400, r#"[{"message":"operation performed with inactive user [005B] as owner of task","errorCode":"INACTIVE_OWNER_OR_USER","fields":[]}]"#, Payload, "OwnerId"),
        (400, r#"[{"message":"Subject: data value too large: … (max length=255)","errorCode":"STRING_TOO_LONG","fields":["Subject"]}]"#, Payload, "Subject"),
        (400, r#"[{"message":"invalid cross reference id","errorCode":"INVALID_CROSS_REFERENCE_KEY","fields":[]}]"#, Payload, "WhoId WhatId"),
        (400, r#"[{"message":"WhatId must be empty","errorCode":"FIELD_INTEGRITY_EXCEPTION","fields":["WhatId"]}]"#, Payload, "WhatId"),
        (400, r#"[{"message":"x","errorCode":"FIELD_INTEGRITY_EXCEPTION","fields":["Other__c"]}]"#, Admin, ""),
        (400, r#"[{"message":"t: execution of BeforeInsert caused by: UNABLE_TO_LOCK_ROW","errorCode":"CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY"}]"#, Transient, ""),
        (400, r#"[{"message":"x","errorCode":"TXN_SECURITY_METERING_ERROR"}]"#, Admin, ""),
        (400, r#"[{"message":"x","errorCode":"A_CODE_OF_NEXT_YEAR"}]"#, Admin, ""),
        (500, r#"[{"message":"x","errorCode":"A_CODE_OF_NEXT_YEAR"}]"#, Ambiguous, ""),
        (429, r#"[{"message":"x","errorCode":"A_CODE_OF_NEXT_YEAR"}]"#, Throttled, ""),
        (400, r#"[{"message":"x","errorCode":"QUERY_TIMEOUT"}]"#, Split, ""),
        (400, r#"[{"message":"x","errorCode":"JSON_PARSER_ERROR"}]"#, Bug, ""),
        (500, r#"{"not":"an array"}"#, Ambiguous, ""),
        (400, "[]", Ambiguous, ""),
    ];

    #[test]
    fn bodies_as_salesforce_sends_them_have_their_class() {
        for (status, body, class, fields) in BODIES {
            let failure = classify(status, body.as_bytes(), true);
            let named: Vec<&str> = failure.fields.iter().map(|f| f.as_str()).collect();
            assert_eq!(
                (failure.class, named.join(" ").as_str()),
                (class, fields),
                "{body}"
            );
            assert!(!failure.hint.is_empty(), "{body}");
        }
    }

    #[test]
    fn every_row_is_reached_and_gives_its_class() {
        for (place, row) in TABLE.iter().enumerate() {
            let error = ApiError {
                code: row.code.replace('*', "X"),
                message: row.says.to_uppercase(),
                fields: vec![],
            };
            let found = find(&error).expect("a row");
            assert!(
                (found.code, found.says) == (row.code, row.says),
                "row {place} {} is behind another",
                row.code
            );
            let failure = of_error(&error);
            let nothing_named = row.class == Payload && row.fields.is_empty();
            assert_eq!(
                failure.class,
                if nothing_named { Admin } else { row.class },
                "{}",
                row.code
            );
            assert!(failure.ended && !failure.hint.is_empty());
        }
    }

    #[test]
    fn a_read_is_never_in_doubt_and_a_row_is_neither() {
        let body = br#"[{"message":"x","errorCode":"UNKNOWN_EXCEPTION"}]"#;
        let failure = classify(500, body, false);
        assert_eq!(
            (failure.class, failure.scope),
            (Transient, FailureScope::Request)
        );
        let row: ApiError =
            serde_json::from_str(r#"{"statusCode":"UNKNOWN_EXCEPTION","message":"x"}"#)
                .expect("row");
        assert_eq!(of_row(&[row]).class, Transient);
    }

    #[test]
    fn the_server_has_ended_a_request_that_it_answered() {
        assert!(
            classify(
                500,
                br#"[{"message":"x","errorCode":"UNKNOWN_EXCEPTION"}]"#,
                true
            )
            .ended
        );
        assert!(!trouble(Trouble::NoJson(502), true).ended);
        assert!(!trouble(Trouble::ConnectionLost, true).ended);
    }

    #[test]
    fn an_unusable_answer_leaves_a_write_in_doubt_unless_it_was_turned_away() {
        let check = |what: Trouble, read: FailureClass, write: FailureClass| {
            let classes = (trouble(what, false).class, trouble(what, true).class);
            assert_eq!(classes, (read, write), "{what:?}");
        };
        for status in [200, 500, 502, 503, 504] {
            check(Trouble::NoJson(status), Transient, Ambiguous);
        }
        for what in [
            Trouble::BadJson(200),
            Trouble::Truncated(200),
            Trouble::TooLarge(200),
        ] {
            check(what, Transient, Ambiguous);
        }
        check(Trouble::ConnectionLost, Transient, Ambiguous);
        check(Trouble::TimedOut, Transient, Ambiguous);
        check(Trouble::WrongCount, Transient, Ambiguous);
        for status in [301, 302, 303] {
            check(Trouble::Redirect(status), Transient, Ambiguous);
        }
        for status in [307, 308] {
            check(Trouble::Redirect(status), Transient, Transient);
        }
        check(Trouble::NoJson(420), Transient, Transient);
        check(Trouble::NoJson(410), Bug, Bug);
        check(Trouble::NoJson(414), Bug, Bug);
    }

    #[test]
    fn a_duplicate_tells_its_record_and_its_field() {
        let text = "duplicate value found: VCC_Call_Key__c duplicates value on record with id: 00T000000000001";
        let error = ApiError {
            code: "DUPLICATE_VALUE".into(),
            message: text.into(),
            fields: vec![],
        };
        let failure = of_row(std::slice::from_ref(&error));
        assert_eq!(failure.class, Done);
        assert_eq!(failure.existing, "00T000000000001".parse().ok());
        assert!(names_field(&error, "vcc_call_key__C"));
        assert!(!names_field(&error, "Call_Key__c"));
    }

    #[test]
    fn several_errors_of_content_name_all_their_fields() {
        let error = |code: &str, field: &str| ApiError {
            code: code.into(),
            message: String::new(),
            fields: vec![field.into()],
        };
        let two = [
            error("STRING_TOO_LONG", "Subject"),
            error("INVALID_CROSS_REFERENCE_KEY", "WhoId"),
        ];
        assert_eq!(
            of_row(&two).fields,
            BTreeSet::from([TaskField::Subject, TaskField::WhoId])
        );
        let mixed = [
            error("STRING_TOO_LONG", "Subject"),
            error("REQUIRED_FIELD_MISSING", "X__c"),
        ];
        assert_eq!(of_row(&mixed).class, Admin);
    }
}
