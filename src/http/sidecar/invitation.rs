//! The way in by an invitation: its secret is exchanged for a [`Guest`]'s session.
//!
//! The secret stands behind `#` in the link, which browsers send to nobody: so it is in no log, no
//! history of a proxy and no `Referer`, and a program that opens links in mails asks for nothing but
//! an empty page. That page's form posts the secret once; from then on the cookie is what counts. The
//! exchange changes nothing: an invitation is used up by a login that is complete.

use std::sync::Arc;

use axum::Form;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::access::Refused;
use super::config::origin;
use super::guest::Guest;
use super::{Sidecar, csrf, pages};
use crate::telemetry::names::field;

/// Where the link leads.
pub(super) const PAGE: &str = "/invitation";

/// What the page's form brings.
#[derive(Deserialize)]
pub(super) struct Shown {
    /// The secret; or the whole link, as somebody pasted it.
    secret: SecretString,
}

impl Sidecar {
    /// The link of an invitation.
    pub(super) fn invitation_link(&self, secret: &SecretString) -> String {
        let origin = origin(&self.config.public_url).unwrap_or_default();
        format!("{origin}{PAGE}#{}", secret.expose_secret())
    }
}

/// `POST /invitation`
pub(super) async fn enter(
    State(sidecar): State<Arc<Sidecar>>,
    headers: HeaderMap,
    Form(shown): Form<Shown>,
) -> Response {
    // Else a page of anybody's could have a visitor link an account that is not theirs.
    if !csrf::is_ours_unnamed(&headers, &sidecar.config.public_url) {
        return Refused::new(&sidecar).into_response();
    }
    let shown = shown.secret.expose_secret().trim();
    let secret = shown.rsplit('#').next().unwrap_or(shown);
    match sidecar.linking.invited(secret).await {
        Ok(Some(invitation)) => {
            tracing::info!({ field::ACCOUNT } = %invitation.account, "somebody who was invited came");
            let cookie = sidecar.guest_cookie(&Guest::begin(&sidecar, invitation));
            let cookie = AppendHeaders([(header::SET_COOKIE, cookie.to_string())]);
            (cookie, Redirect::to(pages::INVITED)).into_response()
        }
        Ok(None) => pages::no_invitation(&sidecar),
        Err(error) => pages::unavailable(&sidecar, &error),
    }
}
