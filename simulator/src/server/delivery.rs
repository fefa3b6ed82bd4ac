//! How an answer reaches the client: whole, in pieces, in part, or not at all.

use std::fmt;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::{StreamExt as _, stream};
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::Shared;
use crate::api::Reply;

/// Pieces of a slow answer that are sent in one second.
const DRIPS_PER_SECOND: u64 = 4;

/// The connection is to be closed without an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dropped;

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the fault script closes this connection")
    }
}

impl std::error::Error for Dropped {}

/// An answer, and how it is sent.
#[derive(Debug)]
pub(crate) enum Delivery {
    Whole(Reply),
    /// Cut off in the middle, with the length of the whole announced.
    Truncated(Reply),
    /// So many bytes in a second of simulated time.
    Drip(Reply, u64),
    Nothing,
}

impl Delivery {
    pub(crate) fn into_response(self, shared: &Arc<Shared>, coding: Coding) -> Response {
        match self {
            Self::Whole(reply) => response(reply, coding, Body::from),
            Self::Truncated(reply) => response(reply, coding, |bytes| truncated(&bytes)),
            Self::Drip(reply, bytes_per_s) => {
                let shared = Arc::clone(shared);
                response(reply, coding, |bytes| drip(&bytes, bytes_per_s, shared))
            }
            Self::Nothing => {
                let mut response = Response::new(Body::empty());
                response.extensions_mut().insert(Dropped);
                response
            }
        }
    }
}

/// How bodies are written for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Plain,
    Gzip,
}

impl Coding {
    /// What a client accepts: gzip, unless it does not name it or weighs it nought.
    pub(crate) fn accepted(headers: &HeaderMap) -> Self {
        let gzip = headers
            .get_all(ACCEPT_ENCODING)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|coding| {
                let (name, weight) = coding.split_once(";q=").unwrap_or((coding, "1"));
                let gzip = ["gzip", "x-gzip", "*"].contains(&name.trim());
                gzip.then(|| weight.trim().parse::<f64>().unwrap_or(0.0))
            })
            .any(|weight| weight > 0.0);
        if gzip { Self::Gzip } else { Self::Plain }
    }
}

fn gzipped(bytes: &[u8]) -> io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish().map(Bytes::from)
}

fn response(reply: Reply, coding: Coding, body: impl FnOnce(Bytes) -> Body) -> Response {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = reply.headers.clone();
    let (content_type, plain) = reply.into_bytes();
    let zipped = (coding == Coding::Gzip && !plain.is_empty())
        .then(|| gzipped(&plain).ok())
        .flatten();
    let is_zipped = zipped.is_some();
    let bytes = zipped.unwrap_or(plain);
    let length = bytes.len();
    let mut response = Response::new(body(bytes));
    *response.status_mut() = status;
    let target = response.headers_mut();
    target.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    if is_zipped {
        target.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if let Some(content_type) = content_type {
        target.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    if status != StatusCode::NO_CONTENT {
        target.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(&value)) {
            target.insert(name, value);
        }
    }
    response
}

fn truncated(bytes: &Bytes) -> Body {
    let half = bytes.slice(..bytes.len() / 2);
    let cut = async {
        // The half must be on its way before the connection is closed.
        tokio::task::yield_now().await;
        Err(io::Error::from(io::ErrorKind::ConnectionAborted))
    };
    Body::from_stream(stream::iter([Ok(half)]).chain(stream::once(cut)))
}

fn drip(bytes: &Bytes, bytes_per_s: u64, shared: Arc<Shared>) -> Body {
    let piece = usize::try_from(bytes_per_s / DRIPS_PER_SECOND)
        .unwrap_or(usize::MAX)
        .max(1);
    let pieces: Vec<Bytes> = bytes.chunks(piece).map(Bytes::copy_from_slice).collect();
    let pause = Duration::from_millis(1_000 / DRIPS_PER_SECOND);
    Body::from_stream(stream::iter(pieces).then(move |piece| {
        let shared = Arc::clone(&shared);
        async move {
            shared.clock.sleep(pause).await;
            Ok::<_, io::Error>(piece)
        }
    }))
}
