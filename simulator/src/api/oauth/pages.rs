//! The pages that a person sees. They need no script.

use askama::Template;

use super::super::Reply;

#[derive(Template)]
#[template(path = "login.html")]
pub(super) struct LoginPage<'a> {
    pub(super) error: Option<&'a str>,
    /// The authorization that the login is for.
    pub(super) source: Option<&'a str>,
    pub(super) username: &'a str,
}

#[derive(Template)]
#[template(path = "verify.html")]
pub(super) struct VerifyPage<'a> {
    pub(super) error: Option<&'a str>,
    pub(super) action: &'a str,
    pub(super) challenge: &'a str,
}

#[derive(Template)]
#[template(path = "consent.html")]
pub(super) struct ConsentPage<'a> {
    pub(super) app: &'a str,
    pub(super) scopes: Vec<&'a str>,
    pub(super) username: &'a str,
    /// Where somebody else can log in.
    pub(super) other_user: String,
    pub(super) action: &'a str,
    pub(super) source: &'a str,
}

#[derive(Template)]
#[template(path = "error.html")]
pub(super) struct ErrorPage<'a> {
    pub(super) code: &'a str,
    pub(super) description: &'a str,
}

#[derive(Template)]
#[template(path = "home.html")]
pub(super) struct HomePage<'a> {
    pub(super) org: &'a str,
    pub(super) username: &'a str,
}

#[derive(Template)]
#[template(path = "refused.html")]
pub(super) struct RefusedPage<'a> {
    pub(super) reason: &'a str,
}

/// A page as an answer.
pub(super) fn page(template: &impl Template) -> Reply {
    match template.render() {
        Ok(text) => Reply::html(200, text).with_header("Cache-Control", "no-cache, no-store"),
        Err(_) => Reply::html(500, "<h1>Internal Server Error</h1>"),
    }
}

/// Sends the browser on.
pub(super) fn redirect(location: impl Into<String>) -> Reply {
    Reply::empty(302)
        .with_header("Location", location)
        .with_header("Cache-Control", "no-cache, no-store")
}
