//! What a token is, and its end: `/services/oauth2/introspect` and `/revoke`.

use serde_json::json;

use super::super::{Reply, Request};
use super::token::authenticate_client;
use super::{identity_url, named_token, refused, uncached};
use crate::clock::Timestamp;
use crate::world::World;
use crate::world::tokens::{Living, OAuthError};

/// `POST /services/oauth2/introspect`. Of a dead or unknown token it says only that it is not active.
pub(crate) fn introspect(world: &World, now: Timestamp, request: &Request) -> Reply {
    if let Err(error) = authenticate_client(world, request) {
        return refused(&error);
    }
    let inactive = uncached(Reply::ok(json!({ "active": false })));
    let Some(living) = world.tokens.living(&named_token(request), now) else {
        return inactive;
    };
    let (consent, sort) = match &living {
        Living::Access(session) => (&session.consent, "access_token"),
        Living::Refresh(consent) => (consent, "refresh_token"),
    };
    let Some((_, user)) = world
        .named(consent.caller)
        .filter(|(_, user)| user.is_live())
    else {
        return inactive;
    };
    let mut body = json!({
        "active": true,
        "scope": consent.scope.to_string(),
        "client_id": world.app.client_id,
        "username": user.settings.username,
        "sub": identity_url(&request.base_url, consent.caller),
        "token_type": sort,
    });
    if let Living::Access(session) = &living {
        body["exp"] = json!(session.expires.timestamp());
        body["iat"] = json!(session.issued.timestamp());
        body["nbf"] = json!(session.issued.timestamp());
    }
    uncached(Reply::ok(body))
}

/// `POST /services/oauth2/revoke`, and the GET form that old clients use.
pub(crate) fn revoke(world: &mut World, request: &Request) -> Reply {
    if world.tokens.revoke(&named_token(request)) {
        return Reply::empty(200);
    }
    refused(&OAuthError::new("invalid_token", "invalid token"))
}
