//! The table of Salesforce's errors, row by row, against the simulator, which gives each answer both to
//! a whole request and to one record of it; and the page that tells the table to people.
//!
//! `UPDATE_ERRORS=1 cargo test --test it salesforce_errors` writes the page anew.

use std::fmt::Write as _;

use salesforce_simulator::{Action, Kind};
use vcc_link::domain::outcome::FailureClass::{
    self, Admin, Ambiguous, Bug, Done, Link, Payload, Quota, Session, Split, Throttled, Transient,
};
use vcc_link::domain::outcome::FailureScope::{self, Everyone, Org as WholeOrg, Record, Request};
use vcc_link::domain::outcome::{Answer, Failure};
use vcc_link::domain::task::TaskDraft;
use vcc_link::salesforce::{ERRORS, ErrorRow};

use crate::salesforce::{Org, draft, soon, unique};

/// An answer of Salesforce, and what it must come to.
struct Case {
    code: &'static str,
    /// The text by which its row differs from others of the same code.
    says: &'static str,
    /// The HTTP status, where it is the answer to a whole request.
    status: u16,
    /// What Salesforce writes.
    text: &'static str,
    /// The fields that it names beside.
    fields: &'static [&'static str],
    class: FailureClass,
    scope: FailureScope,
    /// What is left out then, of a record that is full.
    omit: &'static str,
}

#[expect(clippy::too_many_arguments, reason = "the columns of a table")]
const fn case(
    code: &'static str,
    says: &'static str,
    status: u16,
    text: &'static str,
    fields: &'static [&'static str],
    class: FailureClass,
    scope: FailureScope,
    omit: &'static str,
) -> Case {
    Case {
        code,
        says,
        status,
        text,
        fields,
        class,
        scope,
        omit,
    }
}

/// One for each row of the table.
#[rustfmt::skip]
const CASES: &[Case] = &[
    case("ANY", "not valid for use with the rest api", 401, "This session is not valid for use with the REST API", &[], Admin, Request, ""),
    case("ANY", "not attached to agent", 401, "Connected app is not attached to Agent", &[], Admin, Request, ""),
    case("ANY", "transaction security policy", 403, "The action was blocked by a Transaction Security policy", &[], Admin, Request, ""),
    case("TXN_SECURITY_METERING_ERROR", "", 403, "You can't complete this action", &[], Admin, Request, ""),
    case("INVALID_SESSION_ID", "", 401, "Session expired or invalid", &[], Session, Request, ""),
    case("INVALID_OPERATION_WITH_EXPIRED_PASSWORD", "", 403, "The users password has expired, you must call SetPassword before attempting any other API operations", &[], Admin, Request, ""),
    case("INVALID_AUTH_HEADER", "", 401, "INVALID_HEADER_TYPE", &[], Bug, Request, ""),
    case("MISSING_OAUTH_TOKEN", "", 401, "Missing OAuth token", &[], Bug, Request, ""),
    case("URL_NOT_RESET", "", 403, "Destination URL not reset. The URL returned from login must be set", &[], Bug, Request, ""),
    case("REQUEST_LIMIT_EXCEEDED", "concurrent", 403, "ConcurrentRequests (Concurrent API Requests) Limit exceeded.", &[], Throttled, WholeOrg, ""),
    case("REQUEST_LIMIT_EXCEEDED", "", 403, "TotalRequests Limit exceeded.", &[], Quota, WholeOrg, ""),
    case("TOO_MANY_APEX_REQUESTS", "", 503, "Too many concurrent Apex requests", &[], Throttled, WholeOrg, ""),
    case("TOO_MANY_REQUESTS", "", 429, "Too many requests", &[], Throttled, WholeOrg, ""),
    case("UNKNOWN_EXCEPTION", "longtxn", 500, "ConcurrentPerOrgLongTxn Limit exceeded", &[], Throttled, WholeOrg, ""),
    case("SERVER_UNAVAILABLE", "", 503, "Server Unavailable", &[], Transient, WholeOrg, ""),
    case("UNKNOWN_EXCEPTION", "", 500, "An unexpected error occurred", &[], Ambiguous, Request, ""),
    case("REQUEST_RUNNING_TOO_LONG", "", 400, "Your request was running for too long, and has been stopped.", &[], Ambiguous, Request, ""),
    case("INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE", "", 503, "Data changes aren't allowed during maintenance", &[], Transient, WholeOrg, ""),
    case("INVALID_READ_ONLY_USER_DML", "", 400, "You can't make changes while the org is read-only", &[], Transient, WholeOrg, ""),
    case("UNABLE_TO_LOCK_ROW", "", 400, "unable to obtain exclusive access to this record or 1 records: 001000000000001", &[], Transient, Record, ""),
    case("QUERY_TIMEOUT", "", 400, "Your query request was running for too long.", &[], Split, Request, ""),
    case("QUERY_TOO_COMPLICATED", "", 400, "Query is either selecting too many fields or the filter conditions are too complicated.", &[], Split, Request, ""),
    case("OPERATION_TOO_LARGE", "", 400, "exceeded 100000 distinct ids", &[], Split, Request, ""),
    case("EXCEEDED_ID_LIMIT", "", 400, "record limit reached. cannot submit more than 200 records in this operation", &[], Split, Request, ""),
    case("INVALID_QUERY_LOCATOR", "", 400, "invalid query locator", &[], Transient, Request, ""),
    case("API_DISABLED_FOR_ORG", "", 403, "API is not enabled for this Organization or Partner", &[], Admin, WholeOrg, ""),
    case("API_CURRENTLY_DISABLED", "", 403, "API is disabled for this User", &[], Admin, Request, ""),
    case("FUNCTIONALITY_NOT_ENABLED", "", 403, "This feature is not currently enabled for this user.", &[], Admin, WholeOrg, ""),
    case("APEX_REST_SERVICES_DISABLED", "", 403, "Apex REST services are disabled", &[], Admin, Request, ""),
    case("CLIENT_NOT_ACCESSIBLE_FOR_USER", "", 403, "client not accessible for user", &[], Admin, Request, ""),
    case("OP_WITH_INVALID_USER_TYPE_EXCEPTION", "", 400, "operation performed with invalid user type", &[], Admin, Request, ""),
    case("STORAGE_LIMIT_EXCEEDED", "", 400, "storage limit exceeded", &[], Admin, WholeOrg, ""),
    case("LIMIT_EXCEEDED", "", 400, "limit exceeded", &[], Admin, Request, ""),
    case("LICENSE_LIMIT_EXCEEDED", "", 400, "license limit exceeded", &[], Admin, Request, ""),
    case("EXCEEDED_MAX_TYPES_LIMIT", "", 400, "maximum number of types exceeded", &[], Admin, Request, ""),
    case("INVALID_TYPE_FOR_OPERATION", "", 400, "entity type cannot be inserted: Task", &[], Admin, Request, ""),
    case("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "entity type cannot be inserted", 400, "entity type cannot be inserted: Task", &[], Admin, Request, ""),
    case("INVALID_TYPE", "", 400, "sObject type 'Task' is not supported.", &[], Admin, Request, ""),
    case("NOT_FOUND", "", 404, "The requested resource does not exist", &[], Admin, Request, ""),
    case("INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", "", 400, "insufficient access rights on cross-reference id: 001000000000001", &[], Payload, Record, "WhatId"),
    case("INSUFFICIENT_ACCESS_OR_READONLY", "", 400, "insufficient access rights on object id", &[], Payload, Record, "WhoId WhatId OwnerId"),
    case("INSUFFICIENT_ACCESS", "", 403, "insufficient access", &[], Payload, Record, "WhoId WhatId OwnerId"),
    case("FORBIDDEN", "", 403, "You don't have access to this resource", &[], Payload, Record, "WhoId WhatId OwnerId"),
    case("INVALID_FIELD_FOR_INSERT_UPDATE", "", 400, "Unable to create/update fields: CallDisposition. Please check the security settings of this field and verify that it is read/write for your profile or permission set.", &["CallDisposition"], Payload, Record, "CallDisposition"),
    case("INVALID_FIELD", "", 400, "No such column 'CallDisposition' on sobject of type Task", &[], Payload, Record, "CallDisposition"),
    case("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "", 400, "Priority: bad value for restricted picklist field: Normal", &["Priority"], Payload, Record, "Priority"),
    case("BAD_VALUE_FOR_RESTRICTED_PICKLIST", "", 400, "bad value for restricted picklist field: Normal", &[], Payload, Record, "Status Priority TaskSubtype Type CallType"),
    case("STRING_TOO_LONG", "", 400, "Subject: data value too large: x (max length=80)", &["Subject"], Payload, Record, "Subject"),
    case("MAX_TASK_DESCRIPTION_EXCEEDED", "", 400, "max task description exceeded", &[], Payload, Record, "Description"),
    case("NUMBER_OUTSIDE_VALID_RANGE", "", 400, "Call Duration: value outside of valid range", &["CallDurationInSeconds"], Payload, Record, "CallDurationInSeconds"),
    case("INVALID_CROSS_REFERENCE_KEY", "owner", 400, "Owner ID: owner cannot be blank", &[], Payload, Record, "OwnerId"),
    case("INVALID_CROSS_REFERENCE_KEY", "", 400, "invalid cross reference id", &[], Payload, Record, "WhoId WhatId"),
    case("INVALID_CROSS_REFERENCE_TYPE_FOR_FIELD", "", 400, "invalid cross reference type Solution for field", &[], Payload, Record, "WhoId WhatId"),
    case("MALFORMED_ID", "owner", 400, "Owner ID: id value of incorrect type: 003000000000009", &["OwnerId"], Payload, Record, "OwnerId"),
    case("MALFORMED_ID", "assigned to", 400, "Assigned To ID: id value of incorrect type: 003000000000009", &[], Payload, Record, "OwnerId"),
    case("MALFORMED_ID", "", 400, "Name ID: id value of incorrect type: 001000000000009", &["WhoId"], Payload, Record, "WhoId"),
    case("ENTITY_IS_DELETED", "", 400, "entity is deleted", &[], Payload, Record, "WhoId WhatId"),
    case("CANNOT_UPDATE_CONVERTED_LEAD", "", 400, "cannot reference converted lead", &[], Payload, Record, "WhoId"),
    case("ROW_LOCKED", "", 400, "the record is locked", &[], Payload, Record, "WhatId"),
    case("ENTITY_IS_LOCKED", "", 400, "the entity is locked for editing", &[], Payload, Record, "WhatId"),
    case("FIELD_INTEGRITY_EXCEPTION", "whatid", 400, "WhatId: a Task of a Lead has no other record", &["WhatId"], Payload, Record, "WhatId"),
    case("FIELD_INTEGRITY_EXCEPTION", "related to", 400, "Related To ID: the record cannot be related to a Lead's Task", &[], Payload, Record, "WhatId"),
    case("INACTIVE_OWNER_OR_USER", "", 400, "operation performed with inactive user [005000000000001] as owner of task", &[], Payload, Record, "OwnerId"),
    case("REQUIRED_FIELD_MISSING", "", 400, "Required fields are missing: [Region__c]", &["Region__c"], Admin, Record, ""),
    case("FIELD_CUSTOM_VALIDATION_EXCEPTION", "", 400, "Tell us the region!", &["Region__c"], Admin, Record, ""),
    case("FIELD_FILTER_VALIDATION_EXCEPTION", "", 400, "Value does not exist or does not match filter criteria.", &["Region__c"], Admin, Record, ""),
    case("FIELD_INTEGRITY_EXCEPTION", "", 400, "field integrity exception", &["Region__c"], Admin, Record, ""),
    case("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "record type missing", 400, "record type missing for: Account", &[], Admin, Record, ""),
    case("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "unable_to_lock_row", 400, "TaskTrigger: execution of AfterInsert caused by: System.DmlException: UNABLE_TO_LOCK_ROW", &[], Transient, Record, ""),
    case("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "", 400, "TaskTrigger: execution of BeforeInsert caused by: System.NullPointerException", &[], Admin, Record, ""),
    case("CANNOT_EXECUTE_FLOW_TRIGGER", "unable_to_lock_row", 400, "This error occurred when the flow tried to update records: UNABLE_TO_LOCK_ROW", &[], Transient, Record, ""),
    case("CANNOT_EXECUTE_FLOW_TRIGGER", "", 400, "We can't save this record because the process failed.", &[], Admin, Record, ""),
    case("APEX_ERROR", "unable_to_lock_row", 400, "System.DmlException: UNABLE_TO_LOCK_ROW", &[], Transient, Record, ""),
    case("APEX_ERROR", "", 400, "System.LimitException: Too many SOQL queries: 101", &[], Admin, Record, ""),
    case("DUPLICATES_DETECTED", "", 400, "Use one of these records?", &[], Admin, Record, ""),
    case("DUPLICATE_VALUE", "", 400, "duplicate value found: VCC_Call_Key__c duplicates value on record with id: 00T000000000001", &[], Done, Record, ""),
    case("DUPLICATE_EXTERNAL_ID", "", 400, "duplicate value found: VCC_Call_Key__c duplicates value on record with id: 00T000000000001", &[], Done, Record, ""),
    case("MALFORMED_SEARCH", "", 400, "No search term found.", &[], Bug, Request, ""),
    case("INVALID_SEARCH", "", 400, "invalid search", &[], Bug, Request, ""),
    case("MALFORMED_QUERY", "", 400, "unexpected token: FORM", &[], Bug, Request, ""),
    case("INVALID_QUERY_FILTER_OPERATOR", "", 400, "invalid operator on id field", &[], Bug, Request, ""),
    case("JSON_PARSER_ERROR", "", 400, "Unexpected character at [line:1, column:2]", &[], Bug, Request, ""),
    case("METHOD_NOT_ALLOWED", "", 405, "HTTP Method 'PUT' not allowed.", &[], Bug, Request, ""),
    case("INVALID_STATUS", "", 400, "invalid status", &[], Bug, Request, ""),
    case("UNSUPPORTED_MEDIA_TYPE", "", 415, "Content-Type not supported", &[], Bug, Request, ""),
    case("UNSUPPORTED_API_VERSION", "", 410, "This API version has been retired", &[], Bug, Everyone, ""),
    case("ALL_OR_NONE_OPERATION_ROLLED_BACK", "", 400, "Record rolled back because not all records were valid", &[], Transient, Record, ""),
    case("PROCESSING_HALTED", "", 400, "The transaction was rolled back since another operation in the same transaction failed.", &[], Transient, Record, ""),
    case("BATCH_PROCESSING_HALTED", "", 412, "Invalid request. Batch processing halted per request parameter haltOnError.", &[], Transient, Record, ""),
];

/// Whether a row is the one that a case is about.
fn is_of(row: &ErrorRow, case: &Case) -> bool {
    let code = match row.code.strip_suffix('*') {
        Some("") => case.code == "ANY",
        Some(start) => case.code.starts_with(start),
        None => row.code == case.code,
    };
    code && row.says == case.says
}

/// A record that has all that a Task may have.
fn full() -> TaskDraft {
    TaskDraft {
        who: "003000000000001".parse().ok(),
        what: "001000000000001".parse().ok(),
        owner: "005000000000001".parse().ok(),
        disposition: Some("sold".into()),
        ..draft("vcc:a:1")
    }
}

/// What comes of a create that this fault strikes.
async fn struck(org: &Org, action: Action) -> Failure {
    org.fault(Kind::Collections, action);
    let draft = full();
    let sent = org
        .client
        .create_tasks(&org.session, &[&draft], &unique(), soon())
        .await;
    match &sent.answers[..] {
        [Answer::Failed(failure)] => failure.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_row_of_the_table_has_a_case_and_every_case_a_row() {
    for row in ERRORS {
        let cases = CASES.iter().filter(|case| is_of(row, case)).count();
        assert_eq!(cases, 1, "cases of {} {:?}", row.code, row.says);
    }
    assert_eq!(CASES.len(), ERRORS.len());
}

/// A refusal of one record: nothing was written, what is named is left out, the hint is the row's.
#[tokio::test]
async fn each_error_of_a_record_comes_to_its_class() {
    let org = Org::start().await;
    for case in CASES {
        let action = Action::RowError {
            code: case.code.to_owned(),
            message: case.text.to_owned(),
            fields: case.fields.iter().map(|&f| f.to_owned()).collect(),
        };
        let failed = struck(&org, action).await;
        // The answer says that the record was not written.
        let class = match case.class {
            Ambiguous => Transient,
            class => class,
        };
        let told = format!("{} {:?}: {failed:?}", case.code, case.says);
        assert_eq!((failed.class, failed.scope), (class, case.scope), "{told}");
        let omitted: Vec<&str> = failed.fields.iter().map(|f| f.as_str()).collect();
        assert_eq!(omitted.join(" "), case.omit, "{told}");
        let row = ERRORS.iter().find(|row| is_of(row, case)).expect("a row");
        // What is taken already is read back, and then told otherwise.
        assert!(failed.hint == row.hint || case.class == Done, "{told}");
        assert!(failed.ended, "{told}");
        let text = format!("{failed:?}");
        assert!(
            !text.contains(case.text),
            "Salesforce's own text is not kept: {told}"
        );
    }
    assert_eq!(org.tasks(), 0, "none was written");
}

/// The same as the answer to a whole request: it reaches every record of it at least.
#[tokio::test]
async fn each_error_of_a_request_comes_to_its_class() {
    let org = Org::start().await;
    for case in CASES {
        let action = Action::Status {
            status: case.status,
            code: case.code.to_owned(),
            message: case.text.to_owned(),
            commit: false,
        };
        let failed = struck(&org, action).await;
        let told = format!("{} {:?}: {failed:?}", case.code, case.says);
        assert_eq!(failed.class, case.class, "{told}");
        assert_eq!(failed.http_status, Some(case.status), "{told}");
        assert_eq!(failed.scope, case.scope.max(Request), "{told}");
        assert!(!failed.hint.is_empty(), "{told}");
    }
    assert_eq!(org.tasks(), 0, "none was written");
}

/// Daily and concurrent limit are told apart, and an answer that says for how long to leave the org
/// alone is taken at its word.
#[tokio::test]
async fn limits_are_told_apart() {
    let org = Org::start().await;
    for (status, class) in [(429, Throttled), (503, Ambiguous)] {
        let throttle = Action::Throttle {
            status,
            retry_after_s: 17,
        };
        let failed = struck(&org, throttle).await;
        assert_eq!((failed.class, failed.scope), (class, WholeOrg));
        assert_eq!(failed.retry_after, Some(17));
    }
}

/// An error that the table does not know: the record is tried a few times, then parked, with a hint.
#[tokio::test]
async fn an_error_of_next_year_waits_for_a_person() {
    let org = Org::start().await;
    let action = Action::RowError {
        code: "A_CODE_OF_NEXT_YEAR".to_owned(),
        message: "x".to_owned(),
        fields: vec![],
    };
    let failed = struck(&org, action).await;
    assert_eq!((failed.class, failed.scope), (Admin, Record));
    assert!(
        failed.hint.contains("resume the account"),
        "{}",
        failed.hint
    );
}

const HEAD: &str = "\
# Salesforce's errors

What each error that Salesforce may answer with means for a call, and what a person can do. The same
words stand in the stories of calls (`vcc-link calls why`), in the published events and on the admins'
pages. An error that is not listed is tried a few times, and then waits for a person.

Made from the table in `src/salesforce/error_table.rs`.

| error | where its text says | what becomes of the call | reaches | next step |
|---|---|---|---|---|
";

/// What becomes of a call, by the class of its failure.
const fn follows(class: FailureClass) -> &'static str {
    match class {
        Transient => "sent again later",
        Throttled => "sent again later, and fewer at a time",
        Quota => "waits for the daily limit, with the whole org",
        Session => "sent again with a new token",
        Link => "parked until the account is linked again",
        Admin => "parked until the org is mended",
        Payload => "sent again without what is refused; parked if that does not help",
        Split => "sent again in halves",
        Done => "logged, if the Task can be seen",
        Ambiguous => "looked for at Salesforce, and sent again only if it is not there",
        Bug => "given up, and kept",
    }
}

const fn reaches(scope: FailureScope) -> &'static str {
    match scope {
        Record => "the call",
        Request => "its request",
        WholeOrg => "the org",
        Everyone => "everyone",
    }
}

#[test]
fn the_page_tells_every_row() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/salesforce-errors.md");
    let mut page = HEAD.to_owned();
    for row in ERRORS {
        let code = if row.code == "*" { "any" } else { row.code };
        let omitted: Vec<&str> = row.fields.iter().map(|f| f.as_str()).collect();
        let omitted = match &omitted[..] {
            [] => String::new(),
            fields => format!(" ({})", fields.join(", ")),
        };
        let (follows, reaches) = (follows(row.class), reaches(row.scope));
        let (says, hint) = (row.says, row.hint);
        writeln!(
            page,
            "| `{code}` | {says} | {follows}{omitted} | {reaches} | {hint} |"
        )
        .expect("a string takes any text");
    }
    if std::env::var_os("UPDATE_ERRORS").is_some() {
        std::fs::write(path, &page).expect("written");
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(
        kept, page,
        "docs/salesforce-errors.md is not up to date; `UPDATE_ERRORS=1 cargo test --test it salesforce_errors` writes it anew"
    );
}
