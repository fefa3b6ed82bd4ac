//! The REST API: what is asked, what is answered, and how each resource turns one into the other.
//!
//! Everything here is pure: a request in, a reply out, with the world changed in between. Sockets,
//! delays and broken connections are the server's business.

pub(crate) mod bulk;
pub(crate) mod changes;
pub(crate) mod collections;
pub(crate) mod composite;
pub(crate) mod data;
pub(crate) mod describe;
pub(crate) mod external;
pub(crate) mod graph;
pub(crate) mod limits;
pub(crate) mod oauth;
pub(crate) mod query;
pub(crate) mod resource;
pub(crate) mod rows;
pub(crate) mod search;
pub(crate) mod soap;
pub(crate) mod tree;

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::Value;

use crate::world::refusal::Refusal;

/// The type of every JSON answer, spelled as Salesforce spells it.
const JSON: &str = "application/json;charset=UTF-8";

/// A request, read whole.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// The path, percent-encoded as sent.
    pub(crate) path: String,
    /// The query string without its question mark.
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Scheme and authority that the client used: answers point back to it.
    pub(crate) base_url: String,
    /// Where the client is.
    pub(crate) address: IpAddr,
}

impl Request {
    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A decoded parameter of the query string.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        parameter(self.query.as_bytes(), name)
    }

    /// A decoded field of a form body.
    pub(crate) fn form(&self, name: &str) -> Option<String> {
        parameter(&self.body, name)
    }

    /// The token of `Authorization: Bearer …` or, as Salesforce also accepts, `OAuth …`.
    pub(crate) fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.header("authorization")?.split_once(' ')?;
        let known = ["bearer", "oauth"].contains(&scheme.to_ascii_lowercase().as_str());
        known.then(|| token.trim())
    }
}

/// A decoded parameter of an urlencoded text.
pub(crate) fn parameter(encoded: &[u8], name: &str) -> Option<String> {
    url::form_urlencoded::parse(encoded)
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

/// An answer, not yet written to a socket.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Body,
    /// Rows written or returned: what latency and the request log count.
    pub(crate) rows: usize,
}

/// The body of an answer.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    Empty,
    Json(Value),
    /// Text of a content type.
    Text(&'static str, String),
}

impl Reply {
    pub(crate) fn json(status: u16, body: Value) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Body::Json(body),
            rows: 0,
        }
    }

    pub(crate) fn ok(body: Value) -> Self {
        Self::json(200, body)
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Body::Empty,
            rows: 0,
        }
    }

    pub(crate) fn text(status: u16, content_type: &'static str, text: impl Into<String>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Body::Text(content_type, text.into()),
            rows: 0,
        }
    }

    pub(crate) fn html(status: u16, text: impl Into<String>) -> Self {
        Self::text(status, "text/html;charset=UTF-8", text)
    }

    pub(crate) fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn with_rows(mut self, rows: usize) -> Self {
        self.rows = rows;
        self
    }

    /// The content type and the bytes of the body.
    pub(crate) fn into_bytes(self) -> (Option<&'static str>, Bytes) {
        match self.body {
            Body::Empty => (None, Bytes::new()),
            Body::Json(value) => (Some(JSON), Bytes::from(value.to_string())),
            Body::Text(content_type, text) => (Some(content_type), Bytes::from(text)),
        }
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        let reply = Self::json(refusal.status, refusal.as_body());
        match refusal.status {
            401 => reply.with_header("WWW-Authenticate", "Token"),
            _ => reply,
        }
    }
}

/// What a resource answers.
pub(crate) type Answer = Result<Reply, Refusal>;
