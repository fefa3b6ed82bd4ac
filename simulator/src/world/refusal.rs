//! What Salesforce says when it does not do as asked.

use serde_json::{Value, json};

/// A refusal of a request, or of one row of it.
///
/// Endpoints for one record name the code `errorCode`; collections name it `statusCode`. The codes
/// and texts are the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The HTTP status if the whole request is refused.
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
    /// The fields at fault; `None` where Salesforce sends no such list.
    pub(crate) fields: Option<Vec<String>>,
}

impl Refusal {
    /// Refuses a whole request.
    pub(crate) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.into(),
            fields: None,
        }
    }

    /// Refuses a row because of `fields`.
    pub(crate) fn row(code: &str, message: impl Into<String>, fields: &[&str]) -> Self {
        Self {
            fields: Some(fields.iter().map(|&field| field.to_owned()).collect()),
            ..Self::new(400, code, message)
        }
    }

    /// `404 NOT_FOUND`, for resources, objects and rows that the caller cannot see alike.
    pub(crate) fn not_found() -> Self {
        Self::new(404, "NOT_FOUND", "The requested resource does not exist")
    }

    /// `401 INVALID_SESSION_ID`: the access token is unknown, expired or revoked.
    pub(crate) fn no_session() -> Self {
        Self::new(401, "INVALID_SESSION_ID", "Session expired or invalid")
    }

    /// `400 JSON_PARSER_ERROR`: the request body does not fit.
    pub(crate) fn json(message: impl Into<String>) -> Self {
        Self::new(400, "JSON_PARSER_ERROR", message)
    }

    /// The body of a refused request: an array of one error.
    pub(crate) fn as_body(&self) -> Value {
        let mut error = json!({ "message": self.message, "errorCode": self.code });
        if let Some(fields) = &self.fields {
            error["fields"] = json!(fields);
        }
        json!([error])
    }

    /// The result of a refused row in a collection.
    pub(crate) fn as_row(&self) -> Value {
        let fields = self.fields.as_deref().unwrap_or_default();
        json!({
            "success": false,
            "errors": [{ "statusCode": self.code, "message": self.message, "fields": fields }],
        })
    }
}
