//! The login pages: username and password, and where it is asked for, a verification code.

use http::Method;

use super::super::resource::{HOME, LOGIN, VERIFY};
use super::super::{Reply, Request};
use super::authorize::{self, COOKIE};
use super::pages::{HomePage, LoginPage, RefusedPage, VerifyPage, page, redirect};
use crate::clock::Timestamp;
use crate::world::World;
use crate::world::door::{Denied, Means};
use crate::world::logins::Challenge;
use crate::world::tokens::Caller;

/// `/`: shows the form, and takes it.
pub(crate) fn login(world: &mut World, now: Timestamp, request: &Request) -> Reply {
    let source = request
        .parameter("source")
        .or_else(|| request.form("source"));
    if request.method != Method::POST {
        let hint = source
            .as_deref()
            .and_then(|source| world.logins.asked(source)?.login_hint.clone());
        return page(&LoginPage {
            error: None,
            source: source.as_deref(),
            username: &hint.unwrap_or_default(),
        });
    }
    let field = |name| request.form(name).unwrap_or_default();
    let (username, password) = (field("un"), field("pw"));
    let entered = world.log_in_by_password(
        now,
        (&request.base_url, request.address),
        (username.trim(), &password),
        Means::Page,
    );
    let caller = match entered {
        Ok(caller) => caller,
        Err(denied) => {
            return page(&LoginPage {
                error: Some(said_of(denied)),
                source: source.as_deref(),
                username: &username,
            });
        }
    };
    let asks_for_code = world
        .named(caller)
        .is_some_and(|(_, user)| user.settings.mfa_code.is_some());
    if asks_for_code {
        let challenge = Challenge { caller, source };
        let name = world.logins.challenge(challenge, &mut world.rng);
        return redirect(format!("{VERIFY}?challenge={name}"));
    }
    enter(world, now, caller, source.as_deref())
}

/// The page that asks for the verification code.
pub(crate) fn verify(world: &mut World, now: Timestamp, request: &Request) -> Reply {
    let name = request
        .parameter("challenge")
        .or_else(|| request.form("challenge"));
    let name = name.unwrap_or_default();
    let Some(challenge) = world.logins.challenged(&name).cloned() else {
        return redirect(LOGIN);
    };
    let form = |error| {
        page(&VerifyPage {
            error,
            action: VERIFY,
            challenge: &name,
        })
    };
    if request.method != Method::POST {
        return form(None);
    }
    let right = world
        .named(challenge.caller)
        .filter(|(_, user)| user.is_live())
        .and_then(|(_, user)| user.settings.mfa_code.as_deref());
    let code = request.form("code").unwrap_or_default();
    if right != Some(code.trim()) {
        let text = "Invalid or expired verification code. Try again, or contact your administrator for help.";
        return form(Some(text));
    }
    world.logins.end_challenge(&name);
    enter(world, now, challenge.caller, challenge.source.as_deref())
}

/// Logs the browser in and sends it on: to the authorization that it came for, or home.
fn enter(world: &mut World, now: Timestamp, caller: Caller, source: Option<&str>) -> Reply {
    let api_only = world
        .named(caller)
        .is_some_and(|(_, user)| user.settings.api_only);
    if api_only && source.is_none() {
        return page(&RefusedPage {
            reason: "This user has the permission API Only User, and so no access to the user interface.",
        });
    }
    let expires = now + world.session_timeout;
    let cookie = world.logins.open_browser(caller, expires, &mut world.rng);
    let next = match source {
        Some(source) => {
            world.logins.logged_in(source);
            authorize::proceed(world, now, source, Some(caller))
        }
        None => redirect(HOME),
    };
    next.with_header(
        "Set-Cookie",
        format!("{COOKIE}={cookie}; Path=/; HttpOnly; SameSite=Lax"),
    )
}

/// The only page for people who are logged in.
pub(crate) fn home(world: &mut World, now: Timestamp, request: &Request) -> Reply {
    let caller = authorize::browser(world, now, request);
    match caller.and_then(|caller| world.named(caller)) {
        Some((org, user)) => page(&HomePage {
            org: &org.name,
            username: &user.settings.username,
        }),
        None => redirect(LOGIN),
    }
}

fn said_of(denied: Denied) -> &'static str {
    match denied {
        Denied::Credentials | Denied::SecurityToken => {
            "Please check your username and password. If you still can't log in, contact your Salesforce administrator."
        }
        Denied::Address => {
            "Your login attempt has failed. You can't log in from your current IP address. Contact your administrator."
        }
        Denied::Hours => {
            "Your login attempt has failed. You can't log in at this time. Contact your administrator."
        }
    }
}
