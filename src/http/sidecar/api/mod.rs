//! The API: what the pages can do, for the portal and for programs. Its document is made of the
//! handlers, and checked in as `docs/contract/openapi.json`.

mod authorizations;
mod caller;
mod calls;
mod contacts;
mod invitations;
mod link;
mod preflight;
mod trial;

use std::sync::Arc;

use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use serde_json::Value;
use utoipa::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Sidecar;
use super::problem::Problem;

/// What stands before the operations.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "vcc-link: linking accounts to Salesforce",
        description = "Who may use it: a browser with the session that the portal's token was exchanged for at `/enter`, for that session's account; or a program with a token of its own, for the accounts of the settings. Reading needs the role viewer, changing the role admin; a session's changes also bring `X-CSRF-Token`. An authorization is for whoever began it: a session, or a program with `may_link`, which any browser may serve that it sends to Salesforce, and which always confirms; but those by invitation each session of their account sees, and an admin confirms. Errors are problem details (RFC 9457). Unknown fields and words may come with later versions.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    security(("session" = []), ("machine" = []))
)]
struct Front;

/// The operations.
fn operations() -> OpenApiRouter<Arc<Sidecar>> {
    OpenApiRouter::with_openapi(Front::openapi())
        .routes(routes!(link::read, link::unlink))
        .routes(routes!(link::history))
        .routes(routes!(link::slots))
        .routes(routes!(preflight::read, preflight::ask))
        .routes(routes!(trial::look_up))
        .routes(routes!(trial::create))
        .routes(routes!(trial::delete))
        .routes(routes!(authorizations::begin))
        .routes(routes!(authorizations::read))
        .routes(routes!(authorizations::confirm))
        .routes(routes!(authorizations::cancel))
        .routes(routes!(invitations::invite, invitations::list))
        .routes(routes!(invitations::revoke))
        .routes(routes!(calls::why))
        .routes(routes!(contacts::read, contacts::add))
        .routes(routes!(contacts::history))
        .routes(routes!(contacts::remove))
        .routes(routes!(contacts::test))
}

/// The API's routes, and its document.
pub(super) fn router() -> Router<Arc<Sidecar>> {
    let (routes, _) = operations().split_for_parts();
    let document = document();
    let document = get(move || std::future::ready(Json(document.clone())));
    routes
        .route("/api/v1/openapi.json", document)
        .method_not_allowed_fallback(|| std::future::ready(Problem::wrong_method()))
}

/// The document of the API, in the form of OpenAPI 3.1.
pub fn document() -> Value {
    let (_, mut document) = operations().split_for_parts();
    let components = document.components.get_or_insert_default();
    let cookie = ApiKeyValue::with_description(
        "__Host-vcc-link",
        "Set by `/enter`; `vcc-link` where the pages are served by http, on one machine.",
    );
    let cookie = SecurityScheme::ApiKey(ApiKey::Cookie(cookie));
    components.add_security_scheme("session", cookie);
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    components.add_security_scheme("machine", SecurityScheme::Http(bearer));
    serde_json::to_value(&document).expect("the document has string keys")
}

/// A value's published word.
fn word<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    }
}
