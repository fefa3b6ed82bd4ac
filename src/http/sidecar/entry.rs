//! The way in: the portal posts its user's token to `/enter`, and gets a session for one account.
//!
//! By POST alone, so that no token stands in an address, a history or a log. Only the portal's pages
//! may send somebody here (`sidecar.entry_origin`): else a page of anybody's could put a visitor into
//! a session that is not theirs. Without that setting any page may, which the settings allow on this
//! machine alone.

use std::sync::Arc;

use axum::Form;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::DateTime;
use secrecy::SecretString;
use serde::Deserialize;

use super::Sidecar;
use super::access::Refused;
use super::config::origin;
use super::portal::Error;
use super::session::Session;
use crate::clock;
use crate::crypto;
use crate::store;
use crate::telemetry::names::field;

/// What the portal's form brings.
#[derive(Deserialize)]
pub(super) struct Entry {
    /// The token.
    token: SecretString,
}

/// Takes a user over from the portal.
pub(super) async fn enter(
    State(sidecar): State<Arc<Sidecar>>,
    headers: HeaderMap,
    Form(entry): Form<Entry>,
) -> Response {
    if !comes_from_the_portal(&sidecar, &headers) {
        tracing::warn!("somebody was sent to /enter by a page that is not the portal's");
        return Refused::new(&sidecar).into_response();
    }
    match sidecar.session_of(&entry.token).await {
        Ok(Some(session)) => {
            let cookie = sidecar.cookie(&session).to_string();
            let cookie = AppendHeaders([(header::SET_COOKIE, cookie)]);
            (cookie, Redirect::to("/")).into_response()
        }
        Ok(None) => Refused::new(&sidecar).into_response(),
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "nobody can enter while the store is away");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

/// Whether the browser says that the portal's page, or one of ours, sent the token.
fn comes_from_the_portal(sidecar: &Sidecar, headers: &HeaderMap) -> bool {
    let config = &sidecar.config;
    let portal = config.entry_origin();
    if portal.is_empty() {
        return true;
    }
    let from = headers
        .get(header::ORIGIN)
        .and_then(|from| from.to_str().ok());
    let known = [portal, &config.public_url];
    from.is_some_and(|from| known.iter().any(|o| origin(o).as_deref() == Some(from)))
}

impl Sidecar {
    /// The new session of a token that is taken, once.
    async fn session_of(&self, token: &SecretString) -> store::Result<Option<Session>> {
        let claims = match self.verifier.verify(token).await {
            Ok(claims) => claims,
            Err(error @ Error::Token(_)) => {
                tracing::info!(reason = %error, "nobody entered");
                return Ok(None);
            }
            Err(error @ Error::Keys(_)) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "nobody can enter");
                return Ok(None);
            }
        };
        // Hashed: whatever a portal puts into it, its length is ours.
        let id = URL_SAFE_NO_PAD.encode(crypto::sha256(claims.jti.as_bytes()));
        // It is refused as too old long before it is forgotten.
        let until = DateTime::from_timestamp(claims.exp, 0).unwrap_or_else(clock::now);
        let until = until + super::portal::LONGEST;
        if !self.store.enter_once(&id, until, clock::now()).await? {
            tracing::warn!({ field::ACCOUNT } = %claims.account, "a portal's token came a second time");
            return Ok(None);
        }
        tracing::info!({ field::ACCOUNT } = %claims.account, role = ?claims.role, "somebody entered");
        let session = Session::begin(self, claims.account, claims.sub, claims.role);
        Ok(Some(session))
    }
}
