//! Changes come from our own pages alone.
//!
//! Twice: a browser says from which site a request comes (`Sec-Fetch-Site`, `Origin`), and a change
//! brings the token that stands in its sealed session, which no other site can read.

use std::sync::Arc;

use axum::Form;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Sidecar;
use super::access::Refused;
use super::config::origin;
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
        let (parts, body) = request.into_parts();
        let known = sidecar.session(&parts);
        let body = Bytes::from_request(Request::new(body), sidecar).await;
        let body = body.map_err(IntoResponse::into_response)?;
        let again = |parts| Request::from_parts(parts, Body::from(body.clone()));
        let proof = Form::<Proof>::from_request(again(parts.clone()), sidecar).await;
        let Form(proof) = proof.map_err(IntoResponse::into_response)?;
        let refused = || Refused::new(sidecar).into_response();
        let ticket = proof.ticket.as_deref();
        let session = known.or_else(|| sidecar.by_ticket(ticket?));
        let session = session.ok_or_else(refused)?;
        if session.role != Role::Admin || !crypto::same(&proof.csrf, &session.csrf) {
            return Err(refused());
        }
        let form = Form::from_request(again(parts), sidecar).await;
        let Form(form) = form.map_err(IntoResponse::into_response)?;
        Ok(Self { session, form })
    }
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
