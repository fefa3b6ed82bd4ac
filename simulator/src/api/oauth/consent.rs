//! The page that asks "Allow Access?".

use http::Method;

use super::super::resource::{CONSENT, LOGIN};
use super::super::{Reply, Request};
use super::authorize::{self, browser};
use super::pages::{ConsentPage, page};
use crate::clock::Timestamp;
use crate::world::World;

/// Shows the page, and takes the decision.
pub(crate) fn consent(world: &mut World, now: Timestamp, request: &Request) -> Reply {
    let source = request
        .parameter("source")
        .or_else(|| request.form("source"));
    let source = source.unwrap_or_default();
    let who = browser(world, now, request);
    let Some(asked) = world.logins.asked(&source) else {
        return authorize::lost();
    };
    let Some(caller) = who.filter(|_| !asked.fresh_login) else {
        return authorize::proceed(world, now, &source, None);
    };
    let Some((_, user)) = world.named(caller) else {
        return authorize::lost();
    };
    if request.method == Method::POST {
        return match request.form("decision").as_deref() {
            Some("allow") => authorize::allow(world, now, &source, caller),
            _ => authorize::deny(world, &source),
        };
    }
    page(&ConsentPage {
        app: &world.app.name,
        scopes: asked.scope.names().map(described).collect(),
        username: &user.settings.username,
        other_user: format!("{LOGIN}?source={source}"),
        action: CONSENT,
        source: &source,
    })
}

/// A scope as the page puts it.
fn described(scope: &str) -> &str {
    match scope {
        "api" => "Manage user data via APIs",
        "full" => "Full access",
        "id" => "Access the identity URL service",
        "openid" => "Access unique user identifiers",
        "refresh_token" => "Perform requests at any time",
        "web" => "Manage user data via Web browsers",
        other => other,
    }
}
