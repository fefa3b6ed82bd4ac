//! The table of error codes: what each means for a call, and what a person can do.
//!
//! The first row whose code and text fit decides, so a row with a text stands before the row of
//! the same code without one.

use crate::domain::link::LinkReason;
use crate::domain::outcome::FailureClass::{
    self, Admin, Ambiguous, Bug, Done, Payload, Quota, Session, Split, Throttled, Transient,
};
use crate::domain::outcome::FailureScope::{self, Everyone, Org, Record, Request};
use crate::domain::task::TaskField::{
    self, CallDisposition, CallDurationInSeconds, CallType, Description, OwnerId, Priority, Status,
    Subject, TaskSubtype, Type, WhatId, WhoId,
};

/// What one error code means.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The code; one that ends in `*` stands for all that begin so.
    pub code: &'static str,
    /// What Salesforce's text or the fields beside it must contain, in lower case; empty: anything.
    pub says: &'static str,
    /// What can be done. [`FailureClass::Ambiguous`]: a request that writes may have been carried
    /// out all the same; for one that reads, and for one row of many, it is transient.
    pub class: FailureClass,
    /// How far it reaches.
    pub scope: FailureScope,
    /// What to leave out where Salesforce names no field.
    pub fields: &'static [TaskField],
    /// The next step for a person.
    pub hint: &'static str,
}

/// A row of the table without fields to leave out.
const fn row(
    code: &'static str,
    says: &'static str,
    class: FailureClass,
    scope: FailureScope,
    hint: &'static str,
) -> Row {
    Row {
        code,
        says,
        class,
        scope,
        fields: &[],
        hint,
    }
}

/// A row about content: what to leave out.
const fn content(
    code: &'static str,
    says: &'static str,
    fields: &'static [TaskField],
    hint: &'static str,
) -> Row {
    Row {
        code,
        says,
        class: Payload,
        scope: Record,
        fields,
        hint,
    }
}

/// The references that may be refused one by one.
const REFERENCES: &[TaskField] = &[WhoId, WhatId, OwnerId];
/// The references to the caller's records.
const MATCH: &[TaskField] = &[WhoId, WhatId];
/// The picklists.
const PICKLISTS: &[TaskField] = &[Status, Priority, TaskSubtype, Type, CallType];

const BY_ITSELF: &str = "nothing to do: it is tried again by itself";
const SLOWER: &str = "nothing to do: fewer requests are sent to the org for a while";
const REPORT: &str = "report this with its code: the software sent a request that it should not";
const RULE: &str = "a rule, trigger or flow on Task in the org refuses it: exempt the API user, or mend the rule, then resume the account";
const NO_OWNER: &str =
    "the agent's Salesforce user is not one of the org's: the API user owns the Task";
const LOCKED: &str = "unable_to_lock_row";

/// The table.
#[rustfmt::skip]
pub const TABLE: &[Row] = &[
    // Session and app.
    row("*", "not valid for use with the rest api", Admin, Request, "in the org's connected app, allow REST API sessions for the API user"),
    row("*", "not attached to agent", Admin, Request, "in the org's connected app settings, remove the restriction to agents"),
    row("*", "transaction security policy", Admin, Request, "exempt the API user from the org's transaction security policy"),
    row("TXN_SECURITY_*", "", Admin, Request, "exempt the API user from the org's transaction security policy"),
    row("INVALID_SESSION_ID", "", Session, Request, "nothing to do: the access token is refreshed"),
    row("INVALID_OPERATION_WITH_EXPIRED_PASSWORD", "", Admin, Request, "set a new password for the API user and grant it Password Never Expires"),
    row("INVALID_AUTH_HEADER", "", Bug, Request, REPORT),
    row("MISSING_OAUTH_TOKEN", "", Bug, Request, REPORT),
    row("URL_NOT_RESET", "", Bug, Request, "the account is linked by a login address in place of the org's: relink it"),
    // Limits and load.
    row("REQUEST_LIMIT_EXCEEDED", "concurrent", Throttled, Org, SLOWER),
    row("REQUEST_LIMIT_EXCEEDED", "", Quota, Org, "the org's daily API requests are used up: wait, or buy more; see Setup, System Overview"),
    row("TOO_MANY_APEX_REQUESTS", "", Throttled, Org, SLOWER),
    row("TOO_MANY_REQUESTS", "", Throttled, Org, SLOWER),
    row("UNKNOWN_EXCEPTION", "longtxn", Throttled, Org, SLOWER),
    row("SERVER_UNAVAILABLE", "", Transient, Org, BY_ITSELF),
    row("UNKNOWN_EXCEPTION", "", Ambiguous, Request, BY_ITSELF),
    row("REQUEST_RUNNING_TOO_LONG", "", Ambiguous, Request, BY_ITSELF),
    row("INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE", "", Transient, Org, BY_ITSELF),
    row("INVALID_READ_ONLY_USER_DML", "", Transient, Org, BY_ITSELF),
    row("UNABLE_TO_LOCK_ROW", "", Transient, Record, BY_ITSELF),
    row("QUERY_TIMEOUT", "", Split, Request, BY_ITSELF),
    row("QUERY_TOO_COMPLICATED", "", Split, Request, BY_ITSELF),
    row("OPERATION_TOO_LARGE", "", Split, Request, BY_ITSELF),
    row("EXCEEDED_ID_LIMIT", "", Split, Request, BY_ITSELF),
    row("INVALID_QUERY_LOCATOR", "", Transient, Request, BY_ITSELF),
    // What the org or the API user may not do.
    row("API_DISABLED_FOR_ORG", "", Admin, Org, "the org's edition has no API: upgrade it, or have Salesforce add API access"),
    row("API_CURRENTLY_DISABLED", "", Admin, Request, "grant the API user the permission API Enabled"),
    row("FUNCTIONALITY_NOT_ENABLED", "", Admin, Org, "enable the feature in the org"),
    row("APEX_REST_SERVICES_DISABLED", "", Admin, Request, "grant the API user the permission Apex REST Services"),
    row("CLIENT_NOT_ACCESSIBLE_FOR_USER", "", Admin, Request, "in the org, permit the API user to use the connected app"),
    row("OP_WITH_INVALID_USER_TYPE_EXCEPTION", "", Admin, Request, "link by a standard user of the org"),
    row("STORAGE_LIMIT_EXCEEDED", "", Admin, Org, "the org's data storage is full: free or buy some"),
    row("LIMIT_EXCEEDED", "", Admin, Request, "a limit of the org is reached: see Setup, System Overview"),
    row("LICENSE_LIMIT_EXCEEDED", "", Admin, Request, "the org has no licence left for this"),
    row("EXCEEDED_MAX_*", "", Admin, Request, "a limit of the org is reached: see Setup, System Overview"),
    row("INVALID_TYPE_FOR_OPERATION", "", Admin, Request, "grant the API user Edit Tasks, and read access to Contacts, Leads and Accounts"),
    row("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "entity type cannot be inserted", Admin, Request, "grant the API user the permission Edit Tasks"),
    row("INVALID_TYPE", "", Admin, Request, "grant the API user Edit Tasks, and read access to Contacts, Leads and Accounts"),
    row("NOT_FOUND", "", Admin, Request, "grant the API user Edit Tasks, and read access to Contacts, Leads and Accounts"),
    // Fields and values that may be left out.
    content("INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY", "", REFERENCES, "grant the API user read access to the matched records, and let it assign Tasks to agents"),
    content("INSUFFICIENT_ACCESS_OR_READONLY", "", REFERENCES, "grant the API user read access to the matched records, and Edit Tasks"),
    content("INSUFFICIENT_ACCESS", "", REFERENCES, "grant the API user read access to the matched records, and Edit Tasks"),
    content("FORBIDDEN", "", REFERENCES, "grant the API user read access to the matched records, and Edit Tasks"),
    content("INVALID_FIELD_FOR_INSERT_UPDATE", "", &[], "grant the API user edit access to the Task's fields, its key fields first of all"),
    content("INVALID_FIELD", "", &[], "grant the API user access to the Task's fields, its key fields first of all"),
    content("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "", PICKLISTS, "add the value to the picklist, or change tasks.status or tasks.priority"),
    content("BAD_VALUE_FOR_RESTRICTED_PICKLIST", "", PICKLISTS, "add the value to the picklist, or change tasks.status or tasks.priority"),
    content("STRING_TOO_LONG", "", &[Subject, Description, CallDisposition], "the org has made a Task field shorter than Salesforce delivers it: lengthen it"),
    content("MAX_TASK_DESCRIPTION_EXCEEDED", "", &[Description], "the notes are too long for the Task"),
    content("NUMBER_OUTSIDE_VALID_RANGE", "", &[CallDurationInSeconds], "the call's duration does not fit the Task"),
    content("INVALID_CROSS_REFERENCE_KEY", "owner", &[OwnerId], NO_OWNER),
    content("INVALID_CROSS_REFERENCE_KEY", "", MATCH, "the matched record is gone or out of the API user's sight"),
    content("INVALID_CROSS_REFERENCE_TYPE_FOR_FIELD", "", MATCH, "the matched record is of a kind that Tasks cannot relate to: enable activities on that object"),
    content("MALFORMED_ID", "owner", &[OwnerId], NO_OWNER),
    content("MALFORMED_ID", "assigned to", &[OwnerId], NO_OWNER),
    content("MALFORMED_ID", "", MATCH, "the event named a record id that is none"),
    content("ENTITY_IS_DELETED", "", MATCH, "the matched record was deleted"),
    content("CANNOT_UPDATE_CONVERTED_LEAD", "", &[WhoId], "the lead was converted: relate the Task to its contact by hand"),
    content("ROW_LOCK*", "", &[WhatId], "an approval locks the related record"),
    content("ENTITY_IS_LOCKED", "", &[WhatId], "an approval locks the related record"),
    content("FIELD_INTEGRITY_EXCEPTION", "whatid", &[WhatId], "the Task cannot relate to both records"),
    content("FIELD_INTEGRITY_EXCEPTION", "related to", &[WhatId], "the Task cannot relate to both records"),
    content("INACTIVE_OWNER_OR_USER", "", &[OwnerId], "the agent's Salesforce user is inactive: the API user owns the Task"),
    // What the customer's own set-up refuses.
    row("REQUIRED_FIELD_MISSING", "", Admin, Record, "the org requires a Task field that calls do not fill: give it a default, or make it optional for the API user"),
    row("FIELD_CUSTOM_VALIDATION_EXCEPTION", "", Admin, Record, "a validation rule on Task refuses it: exempt the API user from the rule, then resume the account"),
    row("FIELD_FILTER_VALIDATION_EXCEPTION", "", Admin, Record, "a lookup filter on Task refuses it: exempt the API user, then resume the account"),
    row("FIELD_INTEGRITY_EXCEPTION", "", Admin, Record, RULE),
    row("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "record type missing", Admin, Record, "give the API user's profile a default record type of the named object, then resume the account"),
    row("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", LOCKED, Transient, Record, BY_ITSELF),
    row("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "", Admin, Record, RULE),
    row("CANNOT_EXECUTE_FLOW_TRIGGER", LOCKED, Transient, Record, BY_ITSELF),
    row("CANNOT_EXECUTE_FLOW_TRIGGER", "", Admin, Record, RULE),
    row("APEX_ERROR", LOCKED, Transient, Record, BY_ITSELF),
    row("APEX_ERROR", "", Admin, Record, RULE),
    row("DUPLICATES_DETECTED", "", Admin, Record, "a duplicate rule refuses it: let the rule allow API users to save"),
    // Done before, if a read-back proves it.
    row("DUPLICATE_VALUE", "", Done, Record, "a unique field on Task has this value already"),
    row("DUPLICATE_EXTERNAL_ID", "", Done, Record, "a unique field on Task has this value already"),
    // Ours.
    row("MALFORMED_SEARCH", "", Bug, Request, REPORT),
    row("INVALID_SEARCH", "", Bug, Request, REPORT),
    row("MALFORMED_QUERY", "", Bug, Request, REPORT),
    row("INVALID_QUERY_FILTER_OPERATOR", "", Bug, Request, REPORT),
    row("JSON_PARSER_ERROR", "", Bug, Request, REPORT),
    row("METHOD_NOT_ALLOWED", "", Bug, Request, REPORT),
    row("INVALID_STATUS", "", Bug, Request, REPORT),
    row("UNSUPPORTED_MEDIA_TYPE", "", Bug, Request, REPORT),
    row("UNSUPPORTED_API_VERSION", "", Bug, Everyone, "Salesforce has retired this version of its API: upgrade the software"),
    // Not at fault itself.
    row("ALL_OR_NONE_OPERATION_ROLLED_BACK", "", Transient, Record, BY_ITSELF),
    row("PROCESSING_HALTED", "", Transient, Record, BY_ITSELF),
    row("BATCH_PROCESSING_HALTED", "", Transient, Record, BY_ITSELF),
];

/// A code that the table does not know: tried a few times, then parked for a person. Salesforce
/// adds codes with each release.
pub(super) const UNKNOWN: Row = row(
    "",
    "",
    Admin,
    Record,
    "an error that this software does not know: look its code up, mend the cause, then resume the account",
);

/// Codes by which one record's trigger or flow fails all records that were written with it.
pub(super) const SPOILERS: &[&str] = &[
    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY",
    "CANNOT_EXECUTE_FLOW_TRIGGER",
    "APEX_ERROR",
];

/// Codes by which a record that was to be changed is not there.
pub(super) const GONE: &[&str] = &["NOT_FOUND"];

/// Codes by which a field or object of a query is not there for this user.
pub(super) const HIDDEN: &[&str] = &["INVALID_FIELD", "INVALID_TYPE"];

/// What a refusal of the token endpoint means for a link.
#[derive(Clone, Copy, Debug)]
pub(super) enum Verdict {
    /// It is as it was: try again.
    Later,
    /// It may pass; if it goes on, the link is dead, and why.
    DeadIfItGoesOn(LinkReason),
    /// It is dead, and why.
    Dead(LinkReason),
}

/// What an error of the token endpoint means for a link.
#[derive(Debug)]
pub(super) struct TokenRow {
    /// The `error`.
    pub error: &'static str,
    /// What the `error_description` must contain, in lower case; empty: anything.
    pub says: &'static str,
    /// What it means for the link.
    pub link: Verdict,
    /// What can be done.
    pub class: FailureClass,
    /// How far it reaches.
    pub scope: FailureScope,
    /// The next step for a person.
    pub hint: &'static str,
}

/// An error that ends the link until a person acts.
const fn dead(
    error: &'static str,
    says: &'static str,
    reason: LinkReason,
    hint: &'static str,
) -> TokenRow {
    TokenRow {
        error,
        says,
        link: Verdict::Dead(reason),
        class: FailureClass::Link,
        scope: Request,
        hint,
    }
}

/// An error that leaves the link as it is.
const fn later(
    error: &'static str,
    says: &'static str,
    class: FailureClass,
    scope: FailureScope,
    hint: &'static str,
) -> TokenRow {
    TokenRow {
        error,
        says,
        link: Verdict::Later,
        class,
        scope,
        hint,
    }
}

const OUR_APP: &str =
    "Salesforce refuses our app: check salesforce.client_id and salesforce.client_secret";
const RELINK: &str = "link the account again";
const APPROVE: &str =
    "in the org, install the connected app and approve it for the API user, then link again";

/// The table of the token endpoint (`error` alone says little: `invalid_grant` may be transient).
#[rustfmt::skip]
pub(super) const TOKEN_TABLE: &[TokenRow] = &[
    later("invalid_grant", "already being processed", Transient, Request, BY_ITSELF),
    TokenRow { error: "invalid_grant", says: "expired authorization code", ..PASSES_OR_NOT },
    dead("invalid_grant", "expired access/refresh token", LinkReason::TokenRevoked, RELINK),
    dead("invalid_grant", "invalid authorization code", LinkReason::TokenRevoked, RELINK),
    dead("invalid_grant", "authentication failure", LinkReason::ApiUserInactive, "check that the API user is active, then link again"),
    dead("invalid_grant", "approved this consumer", LinkReason::AppNotApproved, APPROVE),
    dead("invalid_grant", "not admin approved", LinkReason::AppNotApproved, APPROVE),
    dead("invalid_grant", "ip restricted", LinkReason::IpOrHoursRestricted, "let the API user log in at all hours and from our addresses, then link again"),
    dead("invalid_grant", "invalid login hours", LinkReason::IpOrHoursRestricted, "let the API user log in at all hours and from our addresses, then link again"),
    dead("invalid_grant", "", LinkReason::Unknown, RELINK),
    dead("invalid_app_access", "", LinkReason::AppNotApproved, APPROVE),
    dead("oauth_app_access_denied", "", LinkReason::AppNotApproved, APPROVE),
    dead("inactive_user", "", LinkReason::ApiUserInactive, "activate the API user, then link again"),
    dead("inactive_org", "", LinkReason::OrgInactive, "the org is locked, closed or suspended: ask Salesforce"),
    later("rate_limit_exceeded", "", Throttled, Request, BY_ITSELF),
    later("server_error", "", Transient, Org, BY_ITSELF),
    later("temporarily_unavailable", "", Transient, Org, BY_ITSELF),
    later("invalid_client_id", "", Bug, Everyone, OUR_APP),
    later("invalid_client", "", Bug, Everyone, OUR_APP),
    later("unsupported_grant_type", "", Bug, Everyone, REPORT),
    later("invalid_request", "", Bug, Everyone, REPORT),
    later("invalid_scope", "", Bug, Everyone, REPORT),
    later("redirect_uri_mismatch", "", Bug, Everyone, "add the callback address to the app at Salesforce"),
];

/// A refusal that is said to pass (two refreshes at once), and does not always.
const PASSES_OR_NOT: TokenRow = TokenRow {
    error: "",
    says: "",
    link: Verdict::DeadIfItGoesOn(LinkReason::TokenRevoked),
    class: Transient,
    scope: Request,
    hint: "it is tried again for a while by itself; if it goes on, link the account again",
};

/// A refusal of the token endpoint that the table does not know.
pub(super) const UNKNOWN_TOKEN_ERROR: TokenRow = TokenRow {
    link: Verdict::DeadIfItGoesOn(LinkReason::Unknown),
    hint: "an error that this software does not know: look its code up; if it goes on, link the account again",
    ..PASSES_OR_NOT
};
