//! What each answer tells browsers: whose scripts run, who may frame it, and that nothing is kept.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

use super::Sidecar;

/// The headers that do not depend on the settings.
const ALWAYS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // Not `no-referrer`: browsers would then hide even from us that our own forms are ours.
    (header::REFERRER_POLICY, "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=()",
    ),
    // The window that logs in at Salesforce stays one of ours alone.
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin-allow-popups",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// What browsers are told, by the settings.
pub(super) struct Told(HeaderMap);

impl Told {
    /// `framed_by` is the portal's origin or empty; `logins` are the origins that a form of ours may
    /// lead on to: browsers hold a form to them through each redirect.
    pub(super) fn new(framed_by: &str, logins: &[String], plain: bool) -> Self {
        let mut headers = HeaderMap::new();
        for (name, value) in ALWAYS {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let ancestors = if framed_by.is_empty() {
            headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
            "'none'"
        } else {
            framed_by
        };
        let logins = logins.join(" ");
        let policy = format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
             connect-src 'self'; base-uri 'none'; form-action 'self' {logins}; \
             frame-ancestors {ancestors}"
        );
        if let Ok(policy) = HeaderValue::try_from(policy) {
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        if !plain {
            let year = HeaderValue::from_static("max-age=31536000");
            headers.insert(header::STRICT_TRANSPORT_SECURITY, year);
        }
        Self(headers)
    }
}

/// Adds the headers to an answer. One that says itself how long it may be kept is kept so long:
/// scripts and style sheets.
pub(super) async fn tell(
    State(sidecar): State<Arc<Sidecar>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in &sidecar.told.0 {
        // A page that holds a secret in its address says less than the others.
        let own = *name == header::REFERRER_POLICY && headers.contains_key(name);
        if !own {
            headers.insert(name, value.clone());
        }
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}
