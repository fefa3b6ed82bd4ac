//! Who is told of an account's link, and changing that.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use secrecy::ExposeSecret as _;
use serde::Deserialize;

use super::super::Sidecar;
use super::super::csrf::Change;
use super::super::session::{Role, Session};
use super::texts::contacts as texts_of;
use super::{Shell, assets, page, texts, time, unavailable};
use crate::domain::notice::Channel;
use crate::notices::contacts::{Change as ContactsChange, MAILS, WEBHOOKS};
use crate::notices::{Book, Contact, Error};
use crate::store::contacts::{ContactLine, ContactRow, LastNotice, NoticeState, Version};

/// Lines of the history.
const SHOWN: u32 = 10;

#[derive(Template)]
#[template(path = "contacts.html")]
struct Contacts {
    shell: Shell,
    version: Version,
    lines: Vec<Line>,
    history: Vec<HistoryLine>,
    may_change: bool,
    /// Whether one more may be added of each.
    mail: Room,
    webhook: Room,
    /// A test is on its way: the page looks again by itself.
    waits: bool,
    said: Said,
}

/// Whether a contact may be added.
enum Room {
    /// It may.
    Free,
    /// There are as many as there may be.
    Full,
    /// It would not be told.
    NoServer,
}

/// What the last change came to.
#[derive(Default)]
struct Said {
    done: Option<&'static str>,
    /// The key of a webhook that was just added.
    key: Option<String>,
    /// Why nothing was changed, and about what.
    fault: Option<(Option<Channel>, String)>,
    /// What was written, to be mended.
    address: String,
}

impl Said {
    /// Whether something of this channel was not added.
    fn is_about(&self, channel: Channel) -> bool {
        let about = self.fault.as_ref().and_then(|(about, _)| *about);
        about == Some(channel)
    }
}

/// A contact.
pub(super) struct Line {
    pub(super) id: String,
    pub(super) channel: &'static str,
    pub(super) address: String,
    pub(super) last: Option<Last>,
}

/// What became of the last notice to a contact.
pub(super) struct Last {
    pub(super) words: String,
    pub(super) at: String,
    pub(super) tone: &'static str,
}

struct HistoryLine {
    at: String,
    what: String,
    by: String,
}

/// What has just been done.
#[derive(Deserialize)]
pub(super) struct Happened {
    notice: Option<What>,
}

/// The things that the page can say have happened.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum What {
    Added,
    Removed,
    Test,
    /// Whatever else the address says.
    #[serde(other)]
    Unknown,
}

/// A contact to be added.
#[derive(Deserialize)]
pub(super) struct Wish {
    version: Version,
    channel: Channel,
    address: String,
}

/// The contacts that the admin saw.
#[derive(Deserialize)]
pub(super) struct Seen {
    version: Version,
}

/// A form without fields of its own.
#[derive(Deserialize)]
pub(super) struct Nothing {}

impl Line {
    /// A contact, by its address or by what is shown of that.
    fn of(id: String, channel: Channel, address: String, last: Option<&LastNotice>) -> Self {
        Self {
            id,
            channel: texts_of::channel(channel),
            address,
            last: last.map(|last| Last {
                words: texts_of::last(last.notice.kind, last.state, last.fault),
                at: time(last.at),
                tone: match (last.state, last.fault) {
                    (NoticeState::Sent, _) => "good",
                    (NoticeState::Waiting, None) => "still",
                    (NoticeState::Waiting, Some(_)) => "warn",
                    (NoticeState::GivenUp, _) => "bad",
                },
            }),
        }
    }
}

impl Line {
    /// A contact as it is stored, masked.
    pub(super) fn of_row((row, last): (ContactRow, Option<LastNotice>)) -> Self {
        Self::of(row.id.to_string(), row.channel, row.shown, last.as_ref())
    }
}

/// `GET /contacts`
pub(super) async fn show(
    State(sidecar): State<Arc<Sidecar>>,
    session: Session,
    Query(happened): Query<Happened>,
) -> Response {
    let done = happened.notice.and_then(|what| match what {
        What::Added => Some(texts_of::ADDED),
        What::Removed => Some(texts_of::REMOVED),
        What::Test => Some(texts_of::TESTING),
        What::Unknown => None,
    });
    let said = Said {
        done,
        ..Said::default()
    };
    shown(
        &sidecar,
        &session,
        said,
        happened.notice == Some(What::Test),
    )
    .await
}

/// `POST /contacts`
pub(super) async fn add(State(sidecar): State<Arc<Sidecar>>, change: Change<Wish>) -> Response {
    let Change { session, form } = change;
    let change = changes(&session, form.version);
    match sidecar
        .notices
        .add(change, form.channel, &form.address)
        .await
    {
        Ok(added) => match added.key {
            None => Redirect::to("/contacts?notice=added").into_response(),
            // The key is in this answer alone, so it is no page to come back to.
            Some(key) => {
                let said = Said {
                    key: Some(key.expose_secret().to_owned()),
                    ..Said::default()
                };
                shown(&sidecar, &session, said, false).await
            }
        },
        Err(error) => refused(&sidecar, &session, &error, Some(form)).await,
    }
}

/// `POST /contacts/{id}/remove`
pub(super) async fn remove(
    State(sidecar): State<Arc<Sidecar>>,
    Path(id): Path<String>,
    change: Change<Seen>,
) -> Response {
    let Change { session, form } = change;
    let removed = match id.parse() {
        Ok(id) => {
            sidecar
                .notices
                .remove(changes(&session, form.version), id)
                .await
        }
        Err(_) => Err(Error::Unknown),
    };
    match removed {
        Ok(()) => Redirect::to("/contacts?notice=removed").into_response(),
        Err(error) => refused(&sidecar, &session, &error, None).await,
    }
}

/// `POST /contacts/{id}/test`
pub(super) async fn test(
    State(sidecar): State<Arc<Sidecar>>,
    Path(id): Path<String>,
    change: Change<Nothing>,
) -> Response {
    let session = change.session;
    let tested = match id.parse() {
        Ok(id) => sidecar.notices.test(&session.account, &id).await,
        Err(_) => Err(Error::Unknown),
    };
    match tested {
        Ok(()) => Redirect::to("/contacts?notice=test").into_response(),
        Err(error) => refused(&sidecar, &session, &error, None).await,
    }
}

/// The change that an admin makes to the contacts that were seen.
fn changes(session: &Session, seen: Version) -> ContactsChange {
    ContactsChange {
        account: session.account.clone(),
        seen,
        actor: session.actor(),
    }
}

/// The page with what was not done, and why.
async fn refused(
    sidecar: &Sidecar,
    session: &Session,
    error: &Error,
    form: Option<Wish>,
) -> Response {
    let status = match error {
        Error::Store(_) | Error::Sealing(_) => return unavailable(sidecar, error),
        Error::NoMailAddress | Error::NoWebhookAddress => StatusCode::UNPROCESSABLE_ENTITY,
        Error::Unknown => StatusCode::NOT_FOUND,
        _ => StatusCode::CONFLICT,
    };
    let channel = form.as_ref().map(|form| form.channel);
    let said = Said {
        fault: Some((channel, texts_of::refused(error))),
        address: form.map(|form| form.address).unwrap_or_default(),
        ..Said::default()
    };
    (status, shown(sidecar, session, said, false).await).into_response()
}

/// The page.
async fn shown(sidecar: &Sidecar, session: &Session, said: Said, tested: bool) -> Response {
    let (notices, account) = (&sidecar.notices, &session.account);
    let book = match notices.contacts(account).await {
        Ok(book) => book,
        Err(error) => return unavailable(sidecar, &error),
    };
    let history = match notices.history(account, SHOWN).await {
        Ok(history) => history,
        Err(error) => return unavailable(sidecar, &error),
    };
    let shell = Shell::of(sidecar, session);
    let may_change = session.role == Role::Admin;
    let room = |channel, most| {
        let of_it = book.contacts.iter().filter(|c| c.channel == channel);
        if of_it.count() < most {
            Room::Free
        } else {
            Room::Full
        }
    };
    page(&Contacts {
        shell,
        version: book.version,
        mail: if notices.can_mail() {
            room(Channel::Mail, MAILS)
        } else {
            Room::NoServer
        },
        webhook: room(Channel::Webhook, WEBHOOKS),
        waits: tested && is_on_its_way(&book),
        lines: lines(book, may_change),
        history: history.into_iter().map(changed).collect(),
        may_change,
        said,
    })
}

/// Whether a notice was not tried yet.
fn is_on_its_way(book: &Book) -> bool {
    let waits = |last: &LastNotice| last.state == NoticeState::Waiting && last.fault.is_none();
    let mut lasts = book.contacts.iter().filter_map(|c| c.last.as_ref());
    lasts.any(waits)
}

/// Contacts, with whole addresses for those who may change them.
fn lines(book: Book, whole: bool) -> Vec<Line> {
    let line = |contact: Contact| {
        let address = if whole {
            contact.address.expose().clone()
        } else {
            contact.shown
        };
        let last = contact.last.as_ref();
        Line::of(contact.id.to_string(), contact.channel, address, last)
    };
    book.contacts.into_iter().map(line).collect()
}

/// A change in words.
fn changed(line: ContactLine) -> HistoryLine {
    HistoryLine {
        at: time(line.at),
        what: texts_of::changed(line.event, line.channel, &line.shown),
        by: texts_of::actor(&line.actor),
    }
}
