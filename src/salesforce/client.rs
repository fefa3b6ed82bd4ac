//! The one place where a request to Salesforce is made.
//!
//! What holds for every request: it goes only to a trusted host, it follows no redirect, nothing
//! repeats it, its answer is bounded in time and size, and no body is written after its deadline.
//! Errors of the HTTP layer are never passed on: they quote addresses, and those quote numbers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use moka::sync::Cache;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Response};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use url::Url;

use super::error::{self, Trouble};
use super::send_by::GuardedBody;
use super::soql::Searched;
use super::trust::trusted;
use super::{API_VERSION, Answered, Config, Error, SendBy};
use crate::domain::ids::{OrgId, UserId};
use crate::domain::link::{App, Environment};
use crate::domain::outcome::{Failure, FailureClass, FailureScope};
use crate::domain::work::ApiUsage;
use crate::telemetry::Metrics;
use crate::telemetry::metrics::SalesforceRequest;

/// The user of an org that a link acts as.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ApiUser {
    /// The org.
    pub org: OrgId,
    /// The user.
    pub user: UserId,
}

/// What data requests are made with: where, and as whom.
#[derive(Clone, Debug)]
pub struct Session {
    /// The org's own host.
    pub(super) instance_url: String,
    /// The access token.
    access_token: SecretString,
    /// Whose token it is.
    pub(super) api_user: ApiUser,
}

impl Session {
    /// A session at this host with this user's token.
    pub const fn new(instance_url: String, access_token: SecretString, api_user: ApiUser) -> Self {
        Self {
            instance_url,
            access_token,
            api_user,
        }
    }
}

/// How long it is remembered what an API user may not search: a refused search and the question
/// cost two requests, and a permission that an admin grants is used after this at the latest.
const SEARCHED_FOR: Duration = Duration::from_hours(1);

/// API users remembered at most; each takes well under a kilobyte.
const SEARCHERS: u64 = 100_000;

/// Makes requests. Cheap to clone; connections are shared.
#[derive(Clone, Debug)]
pub struct Client {
    /// Without redirects or retries.
    http: reqwest::Client,
    /// Settings.
    pub(super) config: Arc<Config>,
    /// What is counted; nothing where nobody looks.
    metrics: Option<Metrics>,
    /// What a search names for those API users that Salesforce refused some of it.
    searched: Cache<ApiUser, Arc<Searched>>,
}

/// A request to the data API of an org.
pub(super) struct Call {
    /// The method.
    pub method: Method,
    /// Path below the versioned data API, with its query.
    pub path: String,
    /// The JSON body.
    pub body: Option<serde_json::Value>,
    /// No body is written after this. Without it, it is a read.
    pub send_by: Option<SendBy>,
    /// How long the answer may take; `None`: the setting.
    pub within: Option<Duration>,
}

impl Call {
    /// A read.
    pub(super) const fn get(path: String) -> Self {
        Self {
            method: Method::GET,
            path,
            body: None,
            send_by: None,
            within: None,
        }
    }

    /// A read whose question is too long for an address.
    pub(super) const fn ask(path: String, body: serde_json::Value) -> Self {
        Self {
            method: Method::POST,
            path,
            body: Some(body),
            send_by: None,
            within: None,
        }
    }

    /// A write.
    pub(super) const fn write(
        method: Method,
        path: String,
        body: serde_json::Value,
        send_by: SendBy,
    ) -> Self {
        Self {
            method,
            path,
            body: Some(body),
            send_by: Some(send_by),
            within: None,
        }
    }
}

/// A request, as HTTP knows it.
pub(super) struct Request {
    /// The method.
    pub method: Method,
    /// A trusted address.
    pub url: Url,
    /// Headers.
    pub headers: HeaderMap,
    /// The body; empty: none.
    pub body: Bytes,
    /// No body is written after this.
    pub send_by: Option<SendBy>,
    /// How long the answer may take; `None`: the setting.
    pub within: Option<Duration>,
    /// It creates or changes something: what remains unanswered is ambiguous.
    pub writes: bool,
}

/// An answer, read within its bounds.
pub(super) struct Reply {
    /// The HTTP status; never a redirect.
    pub status: u16,
    /// Whether it says that it is JSON.
    pub json: bool,
    /// What its headers told of the daily limit.
    pub usage: Option<ApiUsage>,
    /// How many seconds the answer asks to be left alone.
    pub retry_after: Option<u32>,
    /// The body, decompressed.
    pub body: Bytes,
}

impl Client {
    /// A client by these settings. Fails where the machine's certificates cannot be loaded.
    pub fn new(config: Config) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .user_agent(concat!("vcc-link/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .gzip(true)
            // One request to a connection: a slow one holds up no other, and a broken one breaks
            // no other.
            .http1_only()
            .connect_timeout(config.connect_timeout)
            .timeout(config.request_timeout)
            // Short, so that a request seldom goes out on a connection that the other side is
            // just closing: its answer would be lost, and a create left in doubt. (A connection
            // found closed before the first byte is replaced by hyper, and nothing is sent twice.)
            .pool_idle_timeout(Duration::from_secs(20))
            .build()?;
        Ok(Self {
            http,
            config: Arc::new(config),
            metrics: None,
            searched: Cache::builder()
                .max_capacity(SEARCHERS)
                .time_to_live(SEARCHED_FOR)
                .build(),
        })
    }

    /// Counts requests there.
    #[must_use]
    pub fn with_metrics(self, metrics: Metrics) -> Self {
        Self {
            metrics: Some(metrics),
            ..self
        }
    }

    /// Where an API user of this environment logs in.
    pub fn login_url(&self, environment: Environment) -> String {
        self.config.login_url(environment).to_owned()
    }

    /// Which app a consumer key names; nothing: the older method's. `None`: no app of the settings.
    pub fn app_of(&self, client_id: Option<&str>) -> Option<App> {
        let legacy = Some(self.config.legacy_client_id.as_str()).filter(|id| !id.is_empty());
        match client_id {
            None => legacy.map(|_| App::Legacy),
            Some(id) if Some(id) == legacy => Some(App::Legacy),
            Some(id) => (id == self.config.client_id).then_some(App::Own),
        }
    }

    /// Whether the host where API users of an environment log in answers at all: it says which
    /// versions it knows, to anybody. Any answer of HTTP counts.
    pub async fn reach(&self, environment: Environment) -> Result<(), Failure> {
        let request = Request {
            method: Method::GET,
            url: self.at(self.config.login_url(environment), "/services/data/")?,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            send_by: None,
            within: None,
            writes: false,
        };
        match self.exchange(request).await {
            Err(error) if error.failure.http_status.is_none() => Err(error.failure),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// What a search in this session names: all, until Salesforce refuses some.
    pub(super) fn searched(&self, session: &Session) -> Arc<Searched> {
        self.searched.get(&session.api_user).unwrap_or_default()
    }

    /// Keeps in mind what this session's user may search.
    pub(super) fn remember_searched(&self, session: &Session, searched: Searched) {
        let user = session.api_user.clone();
        self.searched.insert(user, Arc::new(searched));
    }

    /// The address of a path at a host, if the host is trusted.
    pub(super) fn at(&self, host: &str, path: &str) -> Result<Url, Failure> {
        trusted(host, &self.config.trusted_hosts)
            .and_then(|base| base.join(path).ok())
            .ok_or_else(untrusted)
    }

    /// Makes a request to an org's data API and reads its JSON.
    pub(super) async fn data<T: DeserializeOwned>(
        &self,
        session: &Session,
        call: Call,
    ) -> Result<Answered<T>, Error> {
        let writes = call.send_by.is_some();
        let request = Request {
            method: call.method,
            url: self
                .at(&session.instance_url, &data_path(&call.path))
                .map_err(unsent)?,
            headers: headers(session),
            body: call
                .body
                .map(|body| body.to_string().into())
                .unwrap_or_default(),
            send_by: call.send_by,
            within: call.within,
            writes,
        };
        let reply = self.exchange(request).await?;
        let (status, usage) = (reply.status, reply.usage);
        let mut failure = match (reply.json, status) {
            (false, _) => error::trouble(Trouble::NoJson(status), writes),
            (true, 200..300) => match serde_json::from_slice(&reply.body) {
                Ok(value) => return Ok(Answered { value, usage }),
                Err(_) => error::trouble(Trouble::BadJson(status), writes),
            },
            (true, _) => error::classify(status, &reply.body, writes),
        };
        failure.retry_after = reply.retry_after;
        Err(Error {
            failure,
            usage,
            not_sent: false,
        })
    }

    /// Makes one request, once, and counts it.
    pub(super) async fn exchange(&self, request: Request) -> Result<Reply, Error> {
        let begun = Instant::now();
        let operation = operation(request.url.path());
        let method = match request.method {
            Method::GET => "GET",
            Method::PATCH => "PATCH",
            Method::DELETE => "DELETE",
            _ => "POST",
        };
        let result = self.exchange_once(request).await;
        if let Some(metrics) = &self.metrics {
            let status = match &result {
                Ok(reply) => Some(reply.status),
                Err(error) => error.failure.http_status,
            };
            metrics.salesforce_request(&SalesforceRequest {
                operation,
                method,
                status,
                failure: result.as_ref().err().map(|error| &error.failure),
                took: begun.elapsed(),
            });
        }
        result
    }

    /// Makes one request, once.
    async fn exchange_once(&self, request: Request) -> Result<Reply, Error> {
        let (send_by, writes) = (request.send_by, request.writes);
        let is_collection = operation(request.url.path()) == "collections";
        if send_by.is_some_and(SendBy::has_passed) {
            return Err(unsent(too_late()));
        }
        let mut builder = self
            .http
            .request(request.method, request.url)
            .headers(request.headers);
        let (body, gate) = GuardedBody::new(request.body, send_by);
        if !http_body::Body::is_end_stream(&body) {
            builder = builder.body(reqwest::Body::wrap(body));
        }
        if let Some(within) = request.within {
            builder = builder.timeout(within);
        }
        match builder.send().await {
            Ok(response) => {
                // It was carried out, and its answer is not read yet.
                if is_collection {
                    crate::crash_point("dispatch.sent");
                }
                self.read(response, writes).await
            }
            Err(_) if writes && !gate.shut() && send_by.is_some_and(SendBy::has_passed) => {
                Err(unsent(too_late()))
            }
            Err(cause) if cause.is_connect() || (writes && !gate.shut()) => {
                Err(unsent(unconnected(&cause)))
            }
            Err(cause) => Err(lost(&cause, writes)),
        }
    }

    /// Reads an answer within its bounds.
    async fn read(&self, response: Response, writes: bool) -> Result<Reply, Error> {
        let status = response.status().as_u16();
        let usage = usage(response.headers());
        let retry_after = retry_after(response.headers());
        let json = is_json(response.headers());
        let body = match status {
            300..400 => Err(Trouble::Redirect(status)),
            _ => self.bounded(response).await,
        };
        match body {
            Ok(body) => Ok(Reply {
                status,
                json,
                usage,
                retry_after,
                body,
            }),
            Err(trouble) => Err(Error {
                failure: Failure {
                    retry_after,
                    ..error::trouble(trouble, writes)
                },
                usage,
                not_sent: false,
            }),
        }
    }

    /// Reads a body up to the bound; what is longer is dropped with its connection.
    async fn bounded(&self, mut response: Response) -> Result<Bytes, Trouble> {
        let status = response.status().as_u16();
        let mut body = BytesMut::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|_| Trouble::Truncated(status))?
        {
            if body.len() + chunk.len() > self.config.max_answer_bytes {
                return Err(Trouble::TooLarge(status));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }
}

/// What a request asks for, in a few words, for the count.
fn operation(path: &str) -> &'static str {
    let known = [
        ("/oauth2/token", "token"),
        ("/oauth2/revoke", "revoke"),
        ("/search", "search"),
        ("/query", "query"),
        ("/composite/sobjects", "collections"),
        ("/composite", "composite"),
        ("/describe", "describe"),
    ];
    let found = known.iter().find(|(part, _)| path.contains(part));
    found.map_or("other", |(_, name)| name)
}

/// A path of the versioned data API.
pub(super) fn data_path(path: &str) -> String {
    format!("/services/data/{API_VERSION}/{path}")
}

/// The headers of a data request. The token is marked sensitive, so that no debug output of the
/// HTTP layer shows it.
fn headers(session: &Session) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let bearer = format!("Bearer {}", session.access_token.expose_secret());
    if let Ok(mut bearer) = HeaderValue::from_str(&bearer) {
        bearer.set_sensitive(true);
        headers.insert(AUTHORIZATION, bearer);
    }
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/json; charset=UTF-8"),
    );
    headers
}

/// Whether the answer says that it is JSON. Salesforce answers HTML in outages, with any status.
fn is_json(headers: &HeaderMap) -> bool {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    value.to_ascii_lowercase().starts_with("application/json")
}

/// `Sforce-Limit-Info: api-usage=10018/100000; …`, read leniently.
fn usage(headers: &HeaderMap) -> Option<ApiUsage> {
    let value = headers.get("Sforce-Limit-Info")?.to_str().ok()?;
    let part = value
        .split([';', ','])
        .find_map(|p| p.trim().strip_prefix("api-usage="))?;
    let (used, limit) = part.trim().split_once('/')?;
    Some(ApiUsage {
        used: used.trim().parse().ok()?,
        limit: limit.trim().parse().ok()?,
    })
}

/// `Retry-After` in seconds. Salesforce's core API is not known to send it; what stands before it
/// may. The other form, a date, would depend on the clocks of two hosts.
fn retry_after(headers: &HeaderMap) -> Option<u32> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()
}

/// A failure of a request that was not sent.
pub(super) const fn unsent(failure: Failure) -> Error {
    Error {
        failure,
        usage: None,
        not_sent: true,
    }
}

/// The request went out, and no answer came.
fn lost(cause: &reqwest::Error, writes: bool) -> Error {
    let trouble = if cause.is_timeout() {
        Trouble::TimedOut
    } else {
        Trouble::ConnectionLost
    };
    Error {
        failure: error::trouble(trouble, writes),
        usage: None,
        not_sent: false,
    }
}

/// The connection could not be made, or broke before the body was out.
fn unconnected(cause: &reqwest::Error) -> Failure {
    let code = if cause.is_timeout() {
        "connect_timeout"
    } else {
        "connect_failed"
    };
    let mut failure = Failure::new(FailureClass::Transient, FailureScope::Org, code);
    failure.hint = "the org's host cannot be reached: it is tried again by itself".into();
    failure
}

/// The deadline passed before the request was out.
fn too_late() -> Failure {
    let mut failure = Failure::new(
        FailureClass::Transient,
        FailureScope::Request,
        "send_by_passed",
    );
    failure.hint = "nothing to do: it is sent again later".into();
    failure
}

/// The host is none of Salesforce's: no token goes there.
fn untrusted() -> Failure {
    let mut failure = Failure::new(
        FailureClass::Link,
        FailureScope::Request,
        "host_not_trusted",
    );
    failure.hint = "the org's address is no host of Salesforce: link the account again, or add the host to salesforce.trusted_hosts".into();
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_read_leniently() {
        let check = |value: &'static str, expected: Option<(u64, u64)>| {
            let mut headers = HeaderMap::new();
            headers.insert("Sforce-Limit-Info", HeaderValue::from_static(value));
            assert_eq!(
                usage(&headers).map(|u| (u.used, u.limit)),
                expected,
                "{value}"
            );
        };
        check("api-usage=10018/100000", Some((10_018, 100_000)));
        check("api-bursts=1/750; api-usage=1/5", Some((1, 5)));
        check(
            "api-usage=1/5, per-app-api-usage=17/250(appName=x)",
            Some((1, 5)),
        );
        check("api-usage=many/5", None);
        check("", None);
    }

    #[test]
    fn debug_shows_no_token() {
        let api_user = ApiUser {
            org: "00DB0000000TfcR".parse().expect("org"),
            user: "005B0000005Bk90".parse().expect("user"),
        };
        let token = "00D!secret".to_owned().into();
        let session = Session::new("https://a".into(), token, api_user);
        assert!(!format!("{session:?}").contains("secret"));
        assert!(headers(&session)[AUTHORIZATION].is_sensitive());
    }
}
