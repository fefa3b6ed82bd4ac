//! Changes come from our own pages alone.
//!
//! Twice: a browser says from which site a request comes (`Sec-Fetch-Site`, `Origin`), and a change
//! brings the token that stands in its sealed session, which no other site can read.

use std::sync::Arc;

use axum::Form;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Sidecar;
use super::access::Refused;
use super::config::origin;
use super::guest::Guest;
use super::pages;
use super::problem::Problem;
use super::session::{Role, Session};
use crate::crypto;

/// The header that brings the token where no form does.
pub const HEADER: &str = "x-csrf-token";

/// A change by an admin's form, with the fields that it is about. The form brings `csrf`, and
/// `ticket` where the session's cookie does not reach the window that it opens.
pub struct Change<T> {
    /// Who changes it.
    pub session: Session,
    /// What the form says.
    pub form: T,
}

/// What each form brings.
#[derive(Deserialize)]
struct Proof {
    /// The session's token.
    #[serde(default)]
    csrf: String,
    /// The session itself.
    ticket: Option<String>,
}

impl<T: DeserializeOwned> FromRequest<Arc<Sidecar>> for Change<T> {
    type Rejection = Response;

    async fn from_request(
        request: Request,
        sidecar: &Arc<Sidecar>,
    ) -> Result<Self, Self::Rejection> {
        let (parts, body) = taken(request, sidecar).await?;
        let proof: Proof = form(&parts, &body, sidecar).await?;
        let refused = || Refused::new(sidecar).into_response();
        let ticket = proof.ticket.as_deref();
        let known = sidecar.session(&parts);
        let session = known.or_else(|| sidecar.by_ticket(ticket?));
        let session = session.ok_or_else(refused)?;
        if session.role != Role::Admin || !crypto::same(&proof.csrf, &session.csrf) {
            return Err(refused());
        }
        let form = form(&parts, &body, sidecar).await?;
        Ok(Self { session, form })
    }
}

/// A step by the form of somebody who was invited, with the fields that it is about.
pub(super) struct GuestChange<T> {
    /// Whose it is.
    pub(super) guest: Guest,
    /// What the form says.
    pub(super) form: T,
}

impl<T: DeserializeOwned> FromRequest<Arc<Sidecar>> for GuestChange<T> {
    type Rejection = Response;

    async fn from_request(
        request: Request,
        sidecar: &Arc<Sidecar>,
    ) -> Result<Self, Self::Rejection> {
        let (parts, body) = taken(request, sidecar).await?;
        let proof: Proof = form(&parts, &body, sidecar).await?;
        let guest = sidecar.guest(&parts);
        let guest = guest.filter(|guest| crypto::same(&proof.csrf, &guest.csrf));
        let guest = guest.ok_or_else(|| pages::no_invitation(sidecar))?;
        let form = form(&parts, &body, sidecar).await?;
        Ok(Self { guest, form })
    }
}

/// A request's body, to be read more than once.
async fn taken(request: Request, sidecar: &Arc<Sidecar>) -> Result<(Parts, Bytes), Response> {
    let (parts, body) = request.into_parts();
    let body = Bytes::from_request(Request::new(body), sidecar).await;
    let body = body.map_err(IntoResponse::into_response)?;
    Ok((parts, body))
}

/// The fields of a form.
async fn form<T: DeserializeOwned>(
    parts: &Parts,
    body: &Bytes,
    sidecar: &Arc<Sidecar>,
) -> Result<T, Response> {
    let request = Request::from_parts(parts.clone(), Body::from(body.clone()));
    let form = Form::from_request(request, sidecar).await;
    let Form(form) = form.map_err(IntoResponse::into_response)?;
    Ok(form)
}

/// Refuses changes that another site's page asks for. Programs without a browser say nothing of
/// sites, and hold no cookie.
pub(super) async fn ours_alone(
    State(sidecar): State<Arc<Sidecar>>,
    request: Request,
    next: Next,
) -> Response {
    let reads = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    if reads || is_ours(request.headers(), &sidecar.config.public_url) {
        return next.run(request).await;
    }
    if request.uri().path().starts_with("/api/") {
        return Problem::forbidden(&sidecar.config.support).into_response();
    }
    Refused::new(&sidecar).into_response()
}

/// Whether a browser's request comes from our own pages.
fn is_ours(headers: &HeaderMap, public_url: &str) -> bool {
    let says = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    let site = says("sec-fetch-site").is_none_or(|site| site == "same-origin");
    let ours = origin(public_url);
    let from = says(header::ORIGIN.as_str()).is_none_or(|from| Some(from) == ours.as_deref());
    site && from
}

/// The same for a page of ours that hides where it is (`Referrer-Policy: no-referrer`): its browser
/// then says from which site the form comes, and of the origin nothing.
pub(super) fn is_ours_unnamed(headers: &HeaderMap, public_url: &str) -> bool {
    let is = |name: &str, wanted: &str| headers.get(name).is_some_and(|value| value == wanted);
    let unnamed = is(header::ORIGIN.as_str(), "null") && is("sec-fetch-site", "same-origin");
    unnamed || is_ours(headers, public_url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_origin_may_ask_for_a_change() {
        let asked = |pairs: &[(&'static str, &'static str)]| {
            let headers = pairs.iter().map(|(name, value)| {
                let name = axum::http::HeaderName::from_static(name);
                (name, axum::http::HeaderValue::from_static(value))
            });
            is_ours(&headers.collect(), "https://links.example/")
        };
        assert!(asked(&[("origin", "https://links.example")]));
        assert!(asked(&[("sec-fetch-site", "same-origin")]));
        assert!(asked(&[]));
        for origin in [
            "null",
            "",
            "https://links.example.evil",
            "http://links.example",
        ] {
            assert!(!asked(&[("origin", origin)]), "{origin}");
        }
        for site in ["cross-site", "same-site", "none"] {
            assert!(!asked(&[("sec-fetch-site", site)]), "{site}");
        }
    }
}
