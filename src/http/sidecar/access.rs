//! The page for those without rights. One answer, whatever is missing: a session, a role, or the
//! account itself, so that nobody learns which accounts there are.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};

use super::Sidecar;

/// A request without the rights that it needs.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{ title }}</title></head>
<body><main>
<h1>{{ title }}</h1>
<p>You cannot see this page, or you have been away for too long. Open it again from your portal.</p>
{% if !support.is_empty() %}<p>If that does not help, contact support: <a href="{{ link }}">{{ support }}</a>.</p>{% else %}<p>If that does not help, contact support.</p>{% endif %}
</main></body>
</html>
"#
)]
pub struct Refused {
    /// The pages' title.
    title: String,
    /// Where to ask.
    support: String,
    /// The same as an address.
    link: String,
}

impl Refused {
    /// A refusal, with the sidecar's words.
    pub fn new(sidecar: &Sidecar) -> Self {
        let support = sidecar.config.support.clone();
        let is_mail = support.contains('@') && !support.contains("://");
        Self {
            title: sidecar.config.title.clone(),
            link: if is_mail {
                format!("mailto:{support}")
            } else {
                support.clone()
            },
            support,
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self.render() {
            Ok(page) => (StatusCode::FORBIDDEN, Html(page)).into_response(),
            Err(_) => StatusCode::FORBIDDEN.into_response(),
        }
    }
}
