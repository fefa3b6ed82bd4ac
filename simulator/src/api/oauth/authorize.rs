//! `GET /services/oauth2/authorize`: an app sends a browser, and gets it back, or not.
//!
//! What is wrong with the app itself, or with what the org's admin decided about it, ends on a page
//! of Salesforce's and never returns to the app. What is wrong with the rest of the request returns.

use super::super::resource::{AUTHORIZATION_ERROR, CONSENT, LOGIN};
use super::super::{Reply, Request};
use super::pages::{ErrorPage, page, redirect};
use crate::clock::Timestamp;
use crate::seed::PermittedUsers;
use crate::world::World;
use crate::world::logins::Asked;
use crate::world::scope::Scope;
use crate::world::tokens::Caller;

/// The cookie of a browser that is logged in.
pub(super) const COOKIE: &str = "sid";

/// Begins an authorization.
pub(crate) fn begin(world: &mut World, now: Timestamp, request: &Request) -> Reply {
    let app = &world.app;
    if request.parameter("client_id").as_deref() != Some(&app.client_id) {
        return stop_here("invalid_client_id", "client identifier invalid");
    }
    let Some(uri) = request.parameter("redirect_uri") else {
        return stop_here("redirect_uri_missing", "redirect_uri required");
    };
    if !app.redirect_uris.iter().any(|known| known.as_str() == uri) {
        let text = "redirect_uri must match configuration";
        return stop_here("redirect_uri_mismatch", text);
    }
    let state = request.parameter("state");
    let asked = match read(world, request, uri.clone(), state.clone()) {
        Ok(asked) => asked,
        Err((code, text)) => return send_back(&uri, &refusal(code, text), state.as_deref()),
    };
    let who = browser(world, now, request);
    let source = world.logins.begin(asked, &mut world.rng);
    if request.parameter("immediate").as_deref() == Some("true") {
        return immediately(world, now, &source, who);
    }
    proceed(world, now, &source, who)
}

/// Reads what may be wrong without shame: these errors return to the app.
fn read(
    world: &World,
    request: &Request,
    redirect_uri: String,
    state: Option<String>,
) -> Result<Asked, (&'static str, &'static str)> {
    if request.parameter("response_type").as_deref() != Some("code") {
        return Err(("unsupported_response_type", "response type not supported"));
    }
    let known = Scope::of_app(&world.app.scopes);
    let scope = match request.parameter("scope").map(|text| Scope::parse(&text)) {
        Some(scope) if !scope.is_empty() => scope,
        _ => known.clone(),
    };
    if !known.covers(&scope) {
        let text = "the requested scope is not allowed";
        return Err(("invalid_scope", text));
    }
    let challenge = request.parameter("code_challenge");
    if challenge.is_none() && world.app.pkce {
        return Err(("invalid_request", "missing required code challenge"));
    }
    let method = request.parameter("code_challenge_method");
    if challenge.is_some() && method.as_deref().is_some_and(|method| method != "S256") {
        return Err(("invalid_request", "invalid code challenge method"));
    }
    let prompt = request.parameter("prompt").unwrap_or_default();
    let prompts = |name: &str| prompt.split_whitespace().any(|word| word == name);
    Ok(Asked {
        redirect_uri,
        state,
        scope,
        challenge,
        login_hint: request.parameter("login_hint"),
        fresh_login: prompts("login") || prompts("select_account"),
        fresh_consent: prompts("consent"),
    })
}

/// Sends the browser to the next step of an authorization: login, consent, or back to the app.
pub(super) fn proceed(
    world: &mut World,
    now: Timestamp,
    source: &str,
    who: Option<Caller>,
) -> Reply {
    let Some(asked) = world.logins.asked(source) else {
        return lost();
    };
    let Some(caller) = who.filter(|_| !asked.fresh_login) else {
        return redirect(format!("{LOGIN}?source={source}"));
    };
    if permitted(world, caller).is_ok() && needs_consent(world, asked, caller) {
        return redirect(format!("{CONSENT}?source={source}"));
    }
    allow(world, now, source, caller)
}

/// `immediate=true`: back to the app at once, whether there is a code or not.
fn immediately(world: &mut World, now: Timestamp, source: &str, who: Option<Caller>) -> Reply {
    let Some(asked) = world.logins.asked(source) else {
        return lost();
    };
    match who {
        Some(caller)
            if !asked.fresh_login
                && permitted(world, caller).is_ok()
                && !needs_consent(world, asked, caller) =>
        {
            allow(world, now, source, caller)
        }
        _ => {
            let text = "The user must log in or approve the app";
            let error = refusal("immediate_unsuccessful", text);
            end(world, source, &error)
        }
    }
}

/// What the org's admin decided about the app. These refusals stay on Salesforce's pages.
fn permitted(world: &World, caller: Caller) -> Result<(), (&'static str, &'static str)> {
    let Some((org, user)) = world.named(caller) else {
        return Err(("OAUTH_APPROVAL_ERROR_GENERIC", GENERIC));
    };
    let policy = &org.switches.app_policy;
    if policy.blocked {
        return Err(("OAUTH_APP_BLOCKED", "this app is blocked by admin"));
    }
    if !policy.installed && !user.settings.approve_uninstalled_apps {
        return Err(("OAUTH_APPROVAL_ERROR_GENERIC", GENERIC));
    }
    if policy.permitted_users == PermittedUsers::AdminApproved && !user.settings.app_approved {
        let text = "user is not admin approved to access this app";
        return Err(("OAUTH_APP_ACCESS_DENIED", text));
    }
    Ok(())
}

const GENERIC: &str = "An unexpected error has occurred during authentication. Please try again.";

/// Users that the admin has approved are never asked; others until they have approved as much.
fn needs_consent(world: &World, asked: &Asked, caller: Caller) -> bool {
    let Some((org, _)) = world.named(caller) else {
        return true;
    };
    if org.switches.app_policy.permitted_users == PermittedUsers::AdminApproved {
        return false;
    }
    asked.fresh_consent
        || !world
            .tokens
            .scopes_of(caller.user)
            .any(|approved| approved.covers(&asked.scope))
}

/// Ends an authorization with a code, if the org's admin lets the user have one.
pub(super) fn allow(world: &mut World, now: Timestamp, source: &str, caller: Caller) -> Reply {
    let Some(asked) = world.logins.end(source) else {
        return lost();
    };
    if let Err((code, text)) = permitted(world, caller) {
        return stop_here(code, text);
    }
    let (uri, state) = (asked.redirect_uri.clone(), asked.state.clone());
    let code = world.logins.issue_code(asked, caller, now, &mut world.rng);
    send_back(&uri, &[("code", &code)], state.as_deref())
}

/// Ends an authorization because the user said no.
pub(super) fn deny(world: &mut World, source: &str) -> Reply {
    let error = refusal("access_denied", "end-user denied authorization");
    end(world, source, &error)
}

fn end(world: &mut World, source: &str, error: &[(&str, &str)]) -> Reply {
    match world.logins.end(source) {
        Some(asked) => send_back(&asked.redirect_uri, error, asked.state.as_deref()),
        None => lost(),
    }
}

fn refusal<'a>(code: &'a str, text: &'a str) -> [(&'static str, &'a str); 2] {
    [("error", code), ("error_description", text)]
}

/// Sends the browser back to the app.
fn send_back(redirect_uri: &str, answer: &[(&str, &str)], state: Option<&str>) -> Reply {
    let Ok(mut url) = url::Url::parse(redirect_uri) else {
        return stop_here("redirect_uri_mismatch", "redirect_uri is not a URL");
    };
    url.query_pairs_mut()
        .extend_pairs(answer)
        .extend_pairs(state.map(|state| ("state", state)));
    redirect(url)
}

/// An authorization that is over or never was: the browser's back button, most likely.
pub(super) fn lost() -> Reply {
    stop_here("OAUTH_APPROVAL_ERROR_GENERIC", GENERIC)
}

/// Sends the browser to the error page, from which it does not return.
fn stop_here(code: &str, description: &str) -> Reply {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("error", code)
        .append_pair("error_description", description)
        .finish();
    redirect(format!("{AUTHORIZATION_ERROR}?{query}"))
}

/// The error page.
pub(crate) fn error_page(request: &Request) -> Reply {
    let text = |name| request.parameter(name).unwrap_or_default();
    page(&ErrorPage {
        code: &text("error"),
        description: &text("error_description"),
    })
}

/// Who is logged in in the browser that sent a request.
pub(super) fn browser(world: &mut World, now: Timestamp, request: &Request) -> Option<Caller> {
    let cookies = request.header("cookie")?;
    let cookie = cookies
        .split(';')
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE)?
        .1;
    let timeout = world.session_timeout;
    let caller = world.logins.browser(cookie, now, timeout)?;
    let (org, user) = world.named(caller)?;
    (user.is_live() && world.serves(&request.base_url, org)).then_some(caller)
}
