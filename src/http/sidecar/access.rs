//! The answer to those without rights. One answer, whatever is missing: a session, a role, or the
//! account itself, so that nobody learns which accounts there are.

use axum::response::{IntoResponse, Response};

use super::{Sidecar, pages};

/// A request without the rights that it needs.
pub struct Refused(Response);

impl Refused {
    /// A refusal, with the sidecar's words.
    pub fn new(sidecar: &Sidecar) -> Self {
        Self(pages::refused(sidecar))
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        self.0
    }
}
