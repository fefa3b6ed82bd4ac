//! The token endpoint, revocation, and who a token speaks for.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Reply, Request};
use crate::clock::Timestamp;
use crate::world::World;
use crate::world::id::Id;
use crate::world::org::{Org, User};
use crate::world::tokens::{Caller, EXPIRED, Granted, OAuthError};
use crate::world::value::format_datetime;

/// Scopes of every grant.
const SCOPE: &str = "refresh_token api id";

/// `POST /services/oauth2/token`. A refresh is the only grant so far.
pub(crate) fn token(world: &mut World, now: Timestamp, request: &Request) -> Reply {
    if request.method != http::Method::POST {
        let error = OAuthError {
            error: "invalid_request",
            description: "must use HTTP POST",
        };
        return refused(&error);
    }
    let granted = authenticate_client(world, request).and_then(|()| {
        match request.form("grant_type").as_deref() {
            Some("refresh_token") => refresh(world, now, request),
            _ => Err(OAuthError {
                error: "unsupported_grant_type",
                description: "grant type not supported",
            }),
        }
    });
    match granted {
        Ok(granted) => grant(world, now, request, &granted),
        Err(error) => refused(&error),
    }
}

/// The app must know its secret, in the form or by HTTP Basic.
fn authenticate_client(world: &World, request: &Request) -> Result<(), OAuthError> {
    let (id, secret) = basic_credentials(request).unwrap_or_else(|| {
        let field = |name| request.form(name).unwrap_or_default();
        (field("client_id"), field("client_secret"))
    });
    if id != world.app.client_id {
        return Err(OAuthError {
            error: "invalid_client_id",
            description: "client identifier invalid",
        });
    }
    if secret != world.app.client_secret {
        return Err(OAuthError {
            error: "invalid_client",
            description: "invalid client credentials",
        });
    }
    Ok(())
}

fn basic_credentials(request: &Request) -> Option<(String, String)> {
    let encoded = request.header("authorization")?.strip_prefix("Basic ")?;
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}

fn refresh(world: &mut World, now: Timestamp, request: &Request) -> Result<Granted, OAuthError> {
    let token = request.form("refresh_token").unwrap_or_default();
    if let Some(user) = world
        .tokens
        .owner(&token)
        .and_then(|caller| named(world, caller))
        .map(|(_, user)| user)
    {
        if !user.settings.active {
            return Err(OAuthError {
                error: "inactive_user",
                description: "user is inactive",
            });
        }
        if user.settings.frozen {
            return Err(EXPIRED);
        }
    }
    let expires = now + world.session_timeout;
    world
        .tokens
        .refresh(&token, world.app.rotation, expires, &mut world.rng)
}

/// The token answer: signed, and without `expires_in`.
fn grant(world: &mut World, now: Timestamp, request: &Request, granted: &Granted) -> Reply {
    let caller = granted.caller;
    let Some(org) = world.orgs.get(&caller.org) else {
        return refused(&EXPIRED);
    };
    let id = identity_url(&request.base_url, caller);
    let issued_at = now.timestamp_millis().to_string();
    let key = hmac::Key::new(hmac::HMAC_SHA256, world.app.client_secret.as_bytes());
    let signature = hmac::sign(&key, format!("{id}{issued_at}").as_bytes());
    let mut body = json!({ "access_token": granted.access_token });
    if let Some(token) = &granted.refresh_token {
        body["refresh_token"] = json!(token);
    }
    body["signature"] = json!(STANDARD.encode(signature));
    body["scope"] = json!(SCOPE);
    body["instance_url"] = json!(world.instance_url(org, &request.base_url));
    body["id"] = json!(id);
    body["token_type"] = json!("Bearer");
    body["issued_at"] = json!(issued_at);
    world.journal.counters_mut(caller.org).tokens_issued += 1;
    uncached(Reply::ok(body))
}

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

/// `POST /services/oauth2/revoke`, and the GET form that old clients use.
pub(crate) fn revoke(world: &mut World, request: &Request) -> Reply {
    if world.tokens.revoke(&named_token(request)) {
        return Reply::empty(200);
    }
    refused(&OAuthError {
        error: "invalid_token",
        description: "invalid token",
    })
}

/// The token that a request is about.
pub(crate) fn named_token(request: &Request) -> String {
    request
        .form("token")
        .or_else(|| request.parameter("token"))
        .unwrap_or_default()
}

/// `GET /services/oauth2/userinfo`.
pub(crate) fn userinfo(world: &mut World, now: Timestamp, request: &Request) -> Reply {
    let caller = bearer(world, now, request);
    let Some((org, user)) = caller.and_then(|caller| named(world, caller)) else {
        return Reply::text(403, "text/html;charset=UTF-8", "Bad_OAuth_Token");
    };
    let url = identity_url(
        &request.base_url,
        Caller {
            org: org.id,
            user: user.id,
        },
    );
    let (given, family) = names(user);
    let base = world.instance_url(org, &request.base_url);
    Reply::ok(json!({
        "sub": url,
        "user_id": user.id,
        "organization_id": org.id,
        "preferred_username": user.settings.username,
        "nickname": user.settings.username,
        "name": user.settings.name,
        "email": user.settings.email,
        "email_verified": true,
        "given_name": given,
        "family_name": family,
        "zoneinfo": "Europe/London",
        "urls": urls(&base, org.id, user.id),
        "active": user.settings.active,
        "user_type": "STANDARD",
        "language": "en_US",
        "locale": "en_GB",
        "utcOffset": 0,
        "updated_at": format_datetime(now),
    }))
}

/// `GET /id/<org>/<user>`: refusals are plain text.
pub(crate) fn identity(
    world: &mut World,
    now: Timestamp,
    request: &Request,
    (wanted_org, wanted_user): (Id, Id),
) -> Reply {
    let plain = |status, text: &str| Reply::text(status, "text/html;charset=UTF-8", text);
    if request.bearer().is_none() {
        return plain(403, "Missing_OAuth_Token");
    }
    let caller = bearer(world, now, request);
    let Some((org, user)) = caller.and_then(|caller| named(world, caller)) else {
        return plain(403, "Bad_OAuth_Token");
    };
    if org.id != wanted_org {
        return plain(403, "Wrong_Org");
    }
    if user.id != wanted_user {
        return plain(404, "Bad_Id");
    }
    let (first, last) = names(user);
    let base = world.instance_url(org, &request.base_url);
    Reply::ok(json!({
        "id": identity_url(&request.base_url, Caller { org: org.id, user: user.id }),
        "asserted_user": true,
        "user_id": user.id,
        "organization_id": org.id,
        "username": user.settings.username,
        "nick_name": user.settings.username,
        "display_name": user.settings.name,
        "email": user.settings.email,
        "email_verified": true,
        "first_name": first,
        "last_name": last,
        "timezone": "Europe/London",
        "mobile_phone": null,
        "mobile_phone_verified": false,
        "is_lightning_login_user": false,
        "status": { "created_date": null, "body": null },
        "urls": urls(&base, org.id, user.id),
        "active": user.settings.active,
        "user_type": "STANDARD",
        "language": "en_US",
        "locale": "en_GB",
        "utcOffset": 0,
        "last_modified_date": format_datetime(now),
        "is_app_installed": true,
    }))
}

/// The `id` of a token answer.
pub(crate) fn identity_url(base_url: &str, caller: Caller) -> String {
    format!("{base_url}/id/{}/{}", caller.org, caller.user)
}

fn urls(base: &str, org: Id, user: Id) -> Value {
    let data = format!("{base}/services/data/v{{version}}");
    json!({
        "enterprise": format!("{base}/services/Soap/c/{{version}}/{org}"),
        "metadata": format!("{base}/services/Soap/m/{{version}}/{org}"),
        "partner": format!("{base}/services/Soap/u/{{version}}/{org}"),
        "rest": format!("{data}/"),
        "sobjects": format!("{data}/sobjects/"),
        "search": format!("{data}/search/"),
        "query": format!("{data}/query/"),
        "recent": format!("{data}/recent/"),
        "profile": format!("{base}/{user}"),
        "custom_domain": base,
    })
}

fn names(user: &User) -> (&str, &str) {
    user.settings
        .name
        .rsplit_once(' ')
        .unwrap_or(("", &user.settings.name))
}

fn bearer(world: &mut World, now: Timestamp, request: &Request) -> Option<Caller> {
    let timeout = world.session_timeout;
    world.tokens.authenticate(request.bearer()?, now, timeout)
}

fn named(world: &World, caller: Caller) -> Option<(&Org, &User)> {
    let org = world.orgs.get(&caller.org)?;
    Some((org, org.users.get(&caller.user)?))
}
