//! What the API answers where it does not do what it was asked: problem details (RFC 9457).

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::ids::AccountId;
use crate::domain::outcome::Failure;
use crate::linking::{self, AuthorizationError};
use crate::{notices, store, trial};

/// Why a request was not done (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// Which problem it is, for programs: `urn:vcc-link:problem:` and a word.
    #[serde(rename = "type")]
    kind: String,
    /// The status again.
    status: u16,
    /// What is wrong, in a few words.
    title: &'static str,
    /// What to do.
    detail: String,
    /// The accounts that the API user serves, where that is the problem.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    accounts: Vec<String>,
}

impl Problem {
    /// A problem.
    fn new(status: StatusCode, word: &str, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:vcc-link:problem:{word}"),
            status: status.as_u16(),
            title,
            detail: detail.into(),
            accounts: Vec::new(),
        }
    }

    /// Nobody, or nobody known, asks.
    pub(super) fn unauthorized() -> Self {
        let detail = "Open the page again from your portal, or send a machine's token as Authorization: Bearer.";
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "Who asks?",
            detail,
        )
    }

    /// Whoever asks may not. The same for an account that does not exist.
    pub(super) fn forbidden(support: &str) -> Self {
        let detail = match support {
            "" => "Contact support.".to_owned(),
            support => format!("Contact support: {support}"),
        };
        Self::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "You may not do this",
            detail,
        )
    }

    /// There is no such thing.
    pub(super) fn not_found(detail: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is none", detail)
    }

    /// The method is not for this address.
    pub(super) fn wrong_method() -> Self {
        let detail = "See /api/v1/openapi.json for what can be done here.";
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self::new(status, "wrong-method", "This cannot be done here", detail)
    }

    /// A request that is not of the form that it must have.
    pub(super) fn malformed(status: StatusCode, detail: impl Into<String>) -> Self {
        Self::new(status, "malformed", "The request cannot be read", detail)
    }

    /// A change without the state that it is based on.
    pub(super) fn precondition_required() -> Self {
        let detail = "Send If-Match with the ETag of what you have seen.";
        let status = StatusCode::PRECONDITION_REQUIRED;
        let title = "What have you seen?";
        Self::new(status, "precondition-required", title, detail)
    }

    /// A change based on a state that is no more.
    pub(super) fn changed() -> Self {
        let detail = "Somebody else changed it meanwhile: look at it, then try again.";
        let status = StatusCode::PRECONDITION_FAILED;
        Self::new(status, "changed", "It has changed", detail)
    }

    /// Whoever asks has asked too much lately.
    pub(super) fn too_many() -> Self {
        let detail = "Retry-After says in how many seconds to come again.";
        let status = StatusCode::TOO_MANY_REQUESTS;
        Self::new(status, "too-many-requests", "Too many requests", detail)
    }

    /// The account has nothing that could be asked.
    pub(super) fn not_linked() -> Self {
        let detail = "Link the account first: there is no org to ask.";
        Self::new(
            StatusCode::CONFLICT,
            "not-linked",
            "The account is not linked",
            detail,
        )
    }

    /// Salesforce did not do it.
    pub(super) fn salesforce(failure: &Failure) -> Self {
        let detail = format!("Salesforce: {}. {}", failure.code, failure.hint);
        let title = "Salesforce did not do it";
        Self::new(StatusCode::BAD_GATEWAY, "salesforce", title, detail)
    }

    /// The database is away.
    pub(super) fn unavailable() -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(status, "unavailable", "Not now", "Try again in a moment.")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).expect("made of a status");
        let mut response = (status, Json(self)).into_response();
        let form = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, form);
        if status == StatusCode::TOO_MANY_REQUESTS {
            let wait = HeaderValue::from(super::limits::WINDOW.as_secs());
            response.headers_mut().insert(header::RETRY_AFTER, wait);
        }
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "a request could not be answered");
        Self::unavailable()
    }
}

impl From<notices::Error> for Problem {
    fn from(error: notices::Error) -> Self {
        let detail = error.to_string();
        let conflict = |word, title| Self::new(StatusCode::CONFLICT, word, title, detail.clone());
        match error {
            notices::Error::NoMailAddress | notices::Error::NoWebhookAddress => {
                Self::malformed(StatusCode::UNPROCESSABLE_ENTITY, detail)
            }
            notices::Error::NoMail => conflict("no-mail", "No mails are sent"),
            notices::Error::TooMany { .. } => conflict("too-many-contacts", "There are enough"),
            notices::Error::Known => conflict("known-contact", "It is there already"),
            notices::Error::TooSoon => conflict("too-soon", "One is on its way"),
            notices::Error::Changed => Self::changed(),
            notices::Error::Unknown => Self::not_found(&detail),
            notices::Error::Store(error) => error.into(),
            notices::Error::Sealing(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "a contact cannot be opened");
                Self::unavailable()
            }
        }
    }
}

impl From<trial::Error> for Problem {
    fn from(error: trial::Error) -> Self {
        let detail = error.to_string();
        match error {
            trial::Error::NotLinked => Self::not_linked(),
            trial::Error::Broken => {
                let title = "The link does not work";
                Self::new(StatusCode::CONFLICT, "link-broken", title, detail)
            }
            trial::Error::NoSuchTask => Self::not_found(&detail),
            trial::Error::Refused(failure) => Self::salesforce(&failure),
            trial::Error::Store(error) => error.into(),
        }
    }
}

impl From<linking::Error> for Problem {
    fn from(error: linking::Error) -> Self {
        match error {
            linking::Error::Unasked(failure) | linking::Error::Salesforce(failure) => {
                Self::salesforce(&failure)
            }
            linking::Error::Store(error) => error.into(),
            other => {
                let error = &other as &dyn std::error::Error;
                tracing::error!(error, "a request could not be answered");
                Self::unavailable()
            }
        }
    }
}

impl From<AuthorizationError> for Problem {
    fn from(error: AuthorizationError) -> Self {
        let detail = error.to_string();
        let conflict = StatusCode::CONFLICT;
        match error {
            AuthorizationError::NotConfigured => {
                Self::new(conflict, "not-configured", "There is no way back", detail)
            }
            AuthorizationError::NoSuchDomain => {
                Self::malformed(StatusCode::UNPROCESSABLE_ENTITY, detail)
            }
            AuthorizationError::ConsentNeeded { accounts } => Self {
                accounts: accounts.iter().map(AccountId::to_string).collect(),
                ..Self::new(conflict, "consent-needed", "The API user is full", detail)
            },
            AuthorizationError::TooManyInvitations { .. } => Self::new(
                conflict,
                "too-many-invitations",
                "Enough people are invited",
                detail,
            ),
            AuthorizationError::InvitationOver => Self::not_found(&detail),
            AuthorizationError::Unknown => Self::not_found(&detail),
            AuthorizationError::Store(error) => error.into(),
            AuthorizationError::Sealing(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "the secrets of a login cannot be opened");
                Self::unavailable()
            }
        }
    }
}
