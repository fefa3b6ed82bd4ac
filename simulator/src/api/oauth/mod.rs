//! OAuth: the pages of a login, the token endpoint, and who a token speaks for.

mod access_token;
pub(crate) mod authorize;
pub(crate) mod consent;
pub(crate) mod identity;
pub(crate) mod introspect;
pub(crate) mod login;
mod pages;
pub(crate) mod token;

use serde_json::json;

use super::{Reply, Request};
use crate::clock::Timestamp;
use crate::world::World;
use crate::world::tokens::{Caller, OAuthError};

/// An error of the token endpoint: an object, unlike those of the data API.
pub(crate) fn refused(error: &OAuthError) -> Reply {
    let body = json!({ "error": error.error, "error_description": error.description });
    uncached(Reply::json(400, body))
}

fn uncached(reply: Reply) -> Reply {
    reply
        .with_header("Cache-Control", "no-cache, no-store")
        .with_header("Pragma", "no-cache")
}

/// The token that a revocation or an introspection is about.
pub(crate) fn named_token(request: &Request) -> String {
    request
        .form("token")
        .or_else(|| request.parameter("token"))
        .unwrap_or_default()
}

/// The `id` of a token answer.
pub(crate) fn identity_url(base_url: &str, caller: Caller) -> String {
    format!("{base_url}/id/{}/{}", caller.org, caller.user)
}

/// Who a request's access token speaks for.
fn bearer(world: &mut World, now: Timestamp, request: &Request) -> Option<Caller> {
    let session = world.tokens.authenticate(request.bearer()?, now)?;
    Some(session.consent.caller)
}
