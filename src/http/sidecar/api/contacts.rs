//! The contacts of an account: who is told when its link breaks, recovers, or lacks something.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::caller::Caller;
use super::link::{names, who};
use super::word;
use crate::domain::ids::ContactId;
use crate::domain::notice::Channel;
use crate::http::sidecar::Sidecar;
use crate::http::sidecar::problem::Problem;
use crate::notices::{self, Book};
use crate::store::contacts::{ContactLine, LastNotice, NoticeState, Version};

/// Changes in one answer.
const PAGE: u32 = 100;

/// The contacts of an account.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Contacts {
    /// The contacts, in the order in which they were added.
    contacts: Vec<Contact>,
    /// Whether mails are sent from here: without, mail contacts cannot be added.
    can_mail: bool,
}

/// A contact.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Contact {
    /// Names it.
    id: String,
    /// `mail` or `webhook`.
    channel: String,
    /// Where it is told; masked for those who may only read.
    address: String,
    /// What became of the last notice to it.
    last_notice: Option<Told>,
}

/// What became of a notice.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Told {
    /// `broken`, `recovered`, `preflight_red` or `test`; more words may come.
    kind: String,
    /// `waiting`, `sent` or `given_up`.
    state: String,
    /// When it was made; once it is over, when that was.
    at: DateTime<Utc>,
    /// Why it did not arrive, or not yet, in a word; more may come.
    fault: Option<String>,
    /// The status of HTTP or the code of SMTP with which it was refused.
    code: Option<u64>,
}

/// A contact to be added.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NewContact {
    /// By what it is told.
    channel: ToldBy,
    /// An address of mail, or of the web: public, by https.
    address: String,
}

/// By what a contact is told.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ToldBy {
    /// A mail.
    Mail,
    /// A request, signed as Standard Webhooks says.
    Webhook,
}

/// A contact that was added.
#[derive(Serialize, ToSchema)]
pub(super) struct AddedContact {
    /// Names it.
    id: String,
    /// What its webhooks are signed with, `whsec_…`: told this once.
    key: Option<String>,
}

/// A change of contacts.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContactChange {
    /// When.
    at: DateTime<Utc>,
    /// Who: `admin`, `operator` or `machine` (a program).
    by: String,
    /// Their name.
    name: Option<String>,
    /// `added` or `removed`.
    event: String,
    /// `mail` or `webhook`.
    channel: String,
    /// The contact, masked.
    shown: String,
}

/// The latest changes of contacts, the last one first.
#[derive(Serialize, ToSchema)]
pub(super) struct ContactHistory {
    /// The changes.
    changes: Vec<ContactChange>,
}

impl ContactChange {
    /// A line of the history.
    fn of(line: ContactLine) -> Self {
        let (by, name) = who(line.actor);
        Self {
            at: line.at,
            by: by.to_owned(),
            name,
            event: word(&line.event),
            channel: word(&line.channel),
            shown: line.shown,
        }
    }
}

impl Contacts {
    /// The contacts, with whole addresses for those who may change them.
    fn of(book: Book, can_mail: bool, whole: bool) -> Self {
        let contact = |contact: notices::Contact| Contact {
            id: contact.id.to_string(),
            channel: word(&contact.channel),
            address: if whole {
                contact.address.expose().clone()
            } else {
                contact.shown
            },
            last_notice: contact.last.as_ref().map(Told::of),
        };
        Self {
            contacts: book.contacts.into_iter().map(contact).collect(),
            can_mail,
        }
    }
}

impl Told {
    /// A notice as it is told.
    fn of(last: &LastNotice) -> Self {
        let fault = last.fault.filter(|_| last.state != NoticeState::Sent);
        let fault = serde_json::to_value(fault).unwrap_or_default();
        Self {
            kind: word(&last.notice.kind),
            state: word(&last.state),
            at: last.at,
            fault: fault["fault"].as_str().map(str::to_owned),
            code: fault["code"].as_u64(),
        }
    }
}

/// The contacts of an account, with an `ETag` for changing them.
#[utoipa::path(
    get,
    operation_id = "readContacts",
    path = "/api/v1/accounts/{account}/contacts",
    params(("account" = String, Path, description = "The account")),
    responses(
        (status = 200, body = Contacts, description = "The contacts", headers(("ETag" = String, description = "Names this state of the list; what became of notices is no part of it"))),
        (status = "4XX", body = Problem, content_type = "application/problem+json", description = "Not allowed"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "Not now"),
    )
)]
pub(super) async fn read(
    State(sidecar): State<Arc<Sidecar>>,
    caller: Caller,
) -> Result<Response, Problem> {
    let book = sidecar.notices.contacts(&caller.account).await?;
    Ok(told(&sidecar, book, caller.is_admin()))
}

/// Adds a contact. The key of a webhook is in the answer, and is never told again.
#[utoipa::path(
    post,
    operation_id = "addContact",
    path = "/api/v1/accounts/{account}/contacts",
    params(
        ("account" = String, Path, description = "The account"),
        ("If-Match" = String, Header, description = "The ETag of the contacts as they were seen"),
        ("X-CSRF-Token" = Option<String>, Header, description = "Of sessions: the session's token"),
    ),
    request_body = NewContact,
    responses(
        (status = 201, body = AddedContact, description = "It is added"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "There are as many as there may be, it is one already, or no mails are sent"),
        (status = 412, body = Problem, content_type = "application/problem+json", description = "They have changed"),
        (status = 422, body = Problem, content_type = "application/problem+json", description = "Not understood, or no such address may be told"),
        (status = 428, body = Problem, content_type = "application/problem+json", description = "If-Match is missing"),
        (status = "4XX", body = Problem, content_type = "application/problem+json", description = "Not allowed, or not understood"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "Not now"),
    )
)]
pub(super) async fn add(
    State(sidecar): State<Arc<Sidecar>>,
    caller: Caller,
    headers: HeaderMap,
    wish: Result<Json<NewContact>, JsonRejection>,
) -> Result<(StatusCode, Json<AddedContact>), Problem> {
    let Json(wish) = wish.map_err(|wrong| Problem::malformed(wrong.status(), wrong.body_text()))?;
    let channel = match wish.channel {
        ToldBy::Mail => Channel::Mail,
        ToldBy::Webhook => Channel::Webhook,
    };
    let change = seen(&sidecar, &caller, &headers).await?;
    let added = sidecar.notices.add(change, channel, &wish.address).await?;
    let added = AddedContact {
        id: added.id.to_string(),
        key: added.key.map(|key| key.expose_secret().to_owned()),
    };
    Ok((StatusCode::CREATED, Json(added)))
}

/// Removes a contact; what waits to be told to it is dropped.
#[utoipa::path(
    delete,
    operation_id = "removeContact",
    path = "/api/v1/accounts/{account}/contacts/{id}",
    params(
        ("account" = String, Path, description = "The account"),
        ("id" = String, Path, description = "The contact"),
        ("If-Match" = String, Header, description = "The ETag of the contacts as they were seen"),
        ("X-CSRF-Token" = Option<String>, Header, description = "Of sessions: the session's token"),
    ),
    responses(
        (status = 200, body = Contacts, description = "The contacts since", headers(("ETag" = String, description = "Names this state of the list"))),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such contact"),
        (status = 412, body = Problem, content_type = "application/problem+json", description = "They have changed"),
        (status = 428, body = Problem, content_type = "application/problem+json", description = "If-Match is missing"),
        (status = "4XX", body = Problem, content_type = "application/problem+json", description = "Not allowed"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "Not now"),
    )
)]
pub(super) async fn remove(
    State(sidecar): State<Arc<Sidecar>>,
    caller: Caller,
    Path((_, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = known(&id)?;
    let change = seen(&sidecar, &caller, &headers).await?;
    sidecar.notices.remove(change, id).await?;
    let book = sidecar.notices.contacts(&caller.account).await?;
    Ok(told(&sidecar, book, caller.is_admin()))
}

/// The latest hundred changes of an account's contacts.
#[utoipa::path(
    get,
    operation_id = "readContactHistory",
    path = "/api/v1/accounts/{account}/contacts/history",
    params(("account" = String, Path, description = "The account")),
    responses(
        (status = 200, body = ContactHistory, description = "The changes, the latest first"),
        (status = "4XX", body = Problem, content_type = "application/problem+json", description = "Not allowed"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "Not now"),
    )
)]
pub(super) async fn history(
    State(sidecar): State<Arc<Sidecar>>,
    caller: Caller,
) -> Result<Json<ContactHistory>, Problem> {
    let lines = sidecar.notices.history(&caller.account, PAGE).await?;
    let changes = lines.into_iter().map(ContactChange::of).collect();
    Ok(Json(ContactHistory { changes }))
}

/// Sends a test notice to a contact; what becomes of it stands with the contact.
#[utoipa::path(
    post,
    operation_id = "testContact",
    path = "/api/v1/accounts/{account}/contacts/{id}/test",
    params(
        ("account" = String, Path, description = "The account"),
        ("id" = String, Path, description = "The contact"),
        ("X-CSRF-Token" = Option<String>, Header, description = "Of sessions: the session's token"),
    ),
    responses(
        (status = 202, description = "It is on its way"),
        (status = 404, body = Problem, content_type = "application/problem+json", description = "There is no such contact"),
        (status = 409, body = Problem, content_type = "application/problem+json", description = "One was sent a moment ago"),
        (status = "4XX", body = Problem, content_type = "application/problem+json", description = "Not allowed"),
        (status = 503, body = Problem, content_type = "application/problem+json", description = "Not now"),
    )
)]
pub(super) async fn test(
    State(sidecar): State<Arc<Sidecar>>,
    caller: Caller,
    Path((_, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let id = known(&id)?;
    sidecar.notices.test(&caller.account, &id).await?;
    Ok(StatusCode::ACCEPTED)
}

/// The contact of a path.
fn known(id: &str) -> Result<ContactId, Problem> {
    let known = id.parse();
    known.map_err(|_| Problem::not_found("No contact has this id."))
}

/// The change that a caller may make to the contacts that it has seen.
async fn seen(
    sidecar: &Sidecar,
    caller: &Caller,
    headers: &HeaderMap,
) -> Result<notices::contacts::Change, Problem> {
    let book = sidecar.notices.contacts(&caller.account).await?;
    match names(headers, header::IF_MATCH, &etag(book.version)) {
        None => Err(Problem::precondition_required()),
        Some(false) => Err(Problem::changed()),
        Some(true) => Ok(notices::contacts::Change {
            account: caller.account.clone(),
            seen: book.version,
            actor: caller.actor(),
        }),
    }
}

/// The answer that tells contacts.
fn told(sidecar: &Sidecar, book: Book, whole: bool) -> Response {
    let etag = etag(book.version);
    let contacts = Contacts::of(book, sidecar.notices.can_mail(), whole);
    ([(header::ETAG, etag)], Json(contacts)).into_response()
}

/// Names a state of the contacts.
fn etag(version: Version) -> String {
    format!("\"{version}\"")
}
