//! Who a token speaks for: userinfo and the identity URL; and where everything is.

use serde_json::{Value, json};

use super::super::{Reply, Request};
use super::{bearer, identity_url};
use crate::clock::Timestamp;
use crate::world::World;
use crate::world::id::Id;
use crate::world::org::User;
use crate::world::tokens::Caller;
use crate::world::value::format_datetime;

/// `GET /.well-known/openid-configuration`.
pub(crate) fn discovery(world: &World, request: &Request) -> Reply {
    let base = &request.base_url;
    let oauth = |name: &str| format!("{base}/services/oauth2/{name}");
    Reply::ok(json!({
        "issuer": base,
        "authorization_endpoint": oauth("authorize"),
        "token_endpoint": oauth("token"),
        "revocation_endpoint": oauth("revoke"),
        "userinfo_endpoint": oauth("userinfo"),
        "introspection_endpoint": oauth("introspect"),
        "scopes_supported": world.app.scopes,
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        "code_challenge_methods_supported": ["S256"],
        "display_values_supported": ["page", "popup", "touch"],
    }))
}

/// `GET /services/oauth2/userinfo`.
pub(crate) fn userinfo(world: &mut World, now: Timestamp, request: &Request) -> Reply {
    let caller = bearer(world, now, request);
    let Some((org, user)) = caller.and_then(|caller| world.named(caller)) else {
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
    let Some((org, user)) = caller.and_then(|caller| world.named(caller)) else {
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
