//! One request's way: admitted, delayed, executed, struck by its fault, delivered.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::to_bytes;
use axum::response::Response;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::delivery::{Coding, Delivery};
use super::{Client, Shared};
use crate::api::{Body, Reply, Request};
use crate::clock::{Timestamp, delta};
use crate::world::faults::Action;
use crate::world::refusal::Refusal;
use crate::world::{MAINTENANCE_PAGE, Ticket, World};

/// Bytes of a request body.
const LARGEST_BODY: usize = 50 * 1024 * 1024;

/// The side of Salesforce that a listener shows.
#[derive(Debug, Clone)]
pub(crate) struct Front {
    pub(crate) shared: Arc<Shared>,
    pub(crate) scheme: &'static str,
}

impl Front {
    /// Answers a request. Its work goes on if the client goes away.
    pub(crate) async fn answer(&self, request: axum::extract::Request) -> Response {
        let coding = Coding::accepted(request.headers());
        let Some(request) = self.read(request).await else {
            return Delivery::Nothing.into_response(&self.shared, coding);
        };
        let (sender, receiver) = oneshot::channel();
        let shared = Arc::clone(&self.shared);
        self.shared.spawn(async move {
            let mut journey = Journey {
                shared,
                request,
                client: Some(sender),
                rows: 0,
            };
            journey.travel().await;
        });
        let delivery = receiver.await.unwrap_or(Delivery::Nothing);
        delivery.into_response(&self.shared, coding)
    }

    /// Reads a request whole; `None` if the client goes away before its end.
    async fn read(&self, request: axum::extract::Request) -> Option<Request> {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, LARGEST_BODY).await.ok()?;
        let host = parts
            .headers
            .get("host")
            .and_then(|host| host.to_str().ok());
        let host = host.or_else(|| parts.uri.authority().map(http::uri::Authority::as_str));
        let client = parts.extensions.get::<Client>();
        Some(Request {
            address: client.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |client| client.0),
            base_url: format!("{}://{}", self.scheme, host.unwrap_or("localhost")),
            method: parts.method,
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: parts.headers,
            body,
        })
    }
}

/// A request on its way.
#[derive(Debug)]
struct Journey {
    shared: Arc<Shared>,
    request: Request,
    /// Where the answer goes; gone once something was sent.
    client: Option<oneshot::Sender<Delivery>>,
    /// Rows written or returned by the work, whether its answer arrives or not.
    rows: usize,
}

impl Journey {
    async fn travel(&mut self) {
        let now = self.shared.clock.now();
        let mut ticket = self.world().admit(now, &self.request);
        if let Some(reply) = ticket.refusal.take() {
            return self.finish(&ticket, Delivery::Whole(reply));
        }
        let fault = ticket.fault.take();
        let Some(fault) = fault else {
            let reply = self.work(&ticket, now).await;
            return self.finish(&ticket, Delivery::Whole(reply));
        };
        let delivery = self.strike(&ticket, fault, now).await;
        self.finish(&ticket, delivery);
    }

    /// Does the work when the latency since `start` has passed; returns the answer after the latency
    /// of its rows.
    ///
    /// Latency runs from a given moment, so that whoever moves time as soon as the log shows a
    /// request moves it for this request too.
    async fn work(&mut self, ticket: &Ticket, start: Timestamp) -> Reply {
        let done = start + delta(ticket.latency);
        self.shared.clock.sleep_until(done).await;
        let now = self.shared.clock.now();
        let reply = self.world().execute(now, &self.request, ticket);
        self.rows = reply.rows;
        let rows = u32::try_from(reply.rows).unwrap_or(u32::MAX);
        let returning = ticket.per_row.saturating_mul(rows);
        self.shared.clock.sleep(returning).await;
        reply
    }

    /// Does what the fault says, and what it leaves of the work.
    async fn strike(&mut self, ticket: &Ticket, fault: Action, now: Timestamp) -> Delivery {
        if let Some((commit, reply)) = instead(&fault) {
            if commit {
                self.work(ticket, now).await;
            } else {
                let done = now + delta(ticket.latency);
                self.shared.clock.sleep_until(done).await;
            }
            return reply.map_or(Delivery::Nothing, Delivery::Whole);
        }
        let delay = match fault {
            Action::Delay { ms } => Duration::from_millis(ms),
            Action::CommitLate { ms } => {
                self.send(Delivery::Nothing);
                Duration::from_millis(ms)
            }
            _ => Duration::ZERO,
        };
        let reply = self.work(ticket, now + delta(delay)).await;
        match fault {
            Action::CommitThenDrop | Action::CommitLate { .. } | Action::TokenDropAfterRotate => {
                Delivery::Nothing
            }
            Action::StallAfterCommit { ms } => {
                let late = now + delta(ticket.latency) + delta(Duration::from_millis(ms));
                self.shared.clock.sleep_until(late).await;
                Delivery::Whole(reply)
            }
            Action::Truncated => Delivery::Truncated(reply),
            Action::SlowDrip { bytes_per_s } => Delivery::Drip(reply, bytes_per_s),
            other => Delivery::Whole(spoiled(reply, &other)),
        }
    }

    fn finish(&mut self, ticket: &Ticket, delivery: Delivery) {
        let status = match &delivery {
            Delivery::Whole(reply) | Delivery::Truncated(reply) | Delivery::Drip(reply, _) => {
                Some(reply.status)
            }
            Delivery::Nothing => None,
        };
        self.world().close(ticket, status, self.rows);
        self.send(delivery);
    }

    /// Sends an answer, unless one was sent or the client is gone.
    fn send(&mut self, delivery: Delivery) {
        if let Some(client) = self.client.take() {
            let _ = client.send(delivery);
        }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.shared
            .world
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answer that a fault gives in place of the work's, if it does; and whether the work is done
/// all the same. No answer at all is a dropped connection.
fn instead(fault: &Action) -> Option<(bool, Option<Reply>)> {
    Some(match fault {
        Action::DropBeforeCommit => (false, None),
        Action::Status {
            status,
            code,
            message,
            commit,
        } => (*commit, Some(Refusal::new(*status, code, message).into())),
        Action::Throttle {
            status,
            retry_after_s,
        } => {
            let reply = Reply::html(*status, "<html><body>Too Many Requests</body></html>");
            let reply = reply.with_header("Retry-After", retry_after_s.to_string());
            (false, Some(reply))
        }
        Action::Constant500 => {
            let text = "An unexpected error occurred. Please include this ErrorId if you contact support: 1234567890-12345 (-1234567890)";
            (
                false,
                Some(Refusal::new(500, "UNKNOWN_EXCEPTION", text).into()),
            )
        }
        Action::Html {
            status,
            body,
            commit,
        } => {
            let page = body.as_deref().unwrap_or(MAINTENANCE_PAGE);
            (*commit, Some(Reply::html(*status, page)))
        }
        Action::Redirect { location } => {
            let reply = Reply::empty(302).with_header("Location", location);
            (false, Some(reply))
        }
        Action::TokenError {
            error,
            error_description,
            status,
        } => {
            let body = json!({ "error": error, "error_description": error_description });
            (false, Some(Reply::json(*status, body)))
        }
        _ => return None,
    })
}

/// The work's answer with something wrong with it.
fn spoiled(mut reply: Reply, fault: &Action) -> Reply {
    match fault {
        Action::Oversized { bytes } => {
            let padding = " ".repeat(*bytes);
            if let Body::Json(value) = &reply.body {
                let text = format!("{value}{padding}");
                reply.body = Body::Text("application/json;charset=UTF-8", text);
            }
        }
        Action::BadJson => {
            reply.body = Body::Text(
                "application/json;charset=UTF-8",
                "{\"id\": \"00T".to_owned(),
            );
        }
        Action::WrongArrayLength => {
            if let Body::Json(value) = &mut reply.body {
                shorten(value);
            }
        }
        _ => {}
    }
    reply
}

/// Takes the last element out of an answer's array.
fn shorten(value: &mut Value) {
    match value {
        Value::Array(items) => drop(items.pop()),
        Value::Object(fields) => {
            let arrays = ["records", "searchRecords", "compositeResponse", "results"];
            for name in arrays {
                if let Some(Value::Array(items)) = fields.get_mut(name) {
                    items.pop();
                }
            }
        }
        _ => {}
    }
}
