//! The door: who is let in, what it counts, how long it takes, and which fault strikes.

use std::net::IpAddr;
use std::time::Duration;

use http::Method;
use serde_json::{Map, Value};

use super::faults::{Action, Place};
use super::journal::Arrival;
use super::refusal::Refusal;
use super::tokens::Caller;
use super::{World, id::Id};
use crate::api::data::LIMIT_INFO;
use crate::api::resource::{Kind, Resource, Target};
use crate::api::{Reply, Request, composite, oauth};
use crate::clock::Timestamp;

/// Bytes of the request line's URI, and of URI and headers together.
const URI_LIMIT: usize = 16_384;

/// The oldest version that answers; those from `FIRST_VERSION` on have been retired.
pub(crate) const OLDEST_VERSION: u32 = 31;
/// The newest version there is.
pub(crate) const NEWEST_VERSION: u32 = 68;
const FIRST_VERSION: u32 = 20;

/// What Salesforce shows while an instance is down.
pub(crate) const MAINTENANCE_PAGE: &str = "<!DOCTYPE html><html><head><title>Maintenance</title></head>\
    <body><h1>We are down for maintenance.</h1><p>Sorry for the inconvenience. We'll be back shortly.</p></body></html>";

/// A request that has come in.
#[derive(Debug)]
pub(crate) struct Ticket {
    /// Its number in the log.
    pub(crate) seq: u64,
    pub(crate) resource: Resource,
    pub(crate) caller: Option<Caller>,
    /// What goes wrong with it.
    pub(crate) fault: Option<Action>,
    /// The answer, if it is not let in.
    pub(crate) refusal: Option<Reply>,
    /// Time until the work is done.
    pub(crate) latency: Duration,
    /// Time for each row returned, after the work.
    pub(crate) per_row: Duration,
    /// The refresh token that is in use until the request ends.
    pub(crate) refreshing: Option<String>,
}

impl World {
    /// Lets a request in, or refuses it, and notes it in the log.
    pub(crate) fn admit(&mut self, now: Timestamp, request: &Request) -> Ticket {
        let resource = Resource::of(&request.path);
        let kind = resource.kind(&request.method);
        let mut refreshing = None;
        let (caller, mut refusal) = match &resource {
            Resource::Token if request.form("refresh_token").is_some() => {
                let token = request.form("refresh_token").unwrap_or_default();
                let refused = self.tokens.begin_refresh(&token).err();
                if refused.is_none() {
                    refreshing = Some(token.clone());
                }
                (
                    self.tokens.owner(&token),
                    refused.map(|error| oauth::refused(&error)),
                )
            }
            Resource::Data { version, .. } => self.enter(now, request, version),
            _ => (self.spoken_for(&resource, request), None),
        };
        refusal = too_long(request).or(refusal);
        let known = caller.is_some() || !matches!(resource, Resource::Data { .. });
        let fault = (refusal.is_none() && known)
            .then(|| self.strike(caller, kind, &resource, request))
            .flatten();
        let counted = match (&resource, caller, &refusal) {
            (Resource::Data { target, .. }, Some(caller), None) => {
                self.count(now, caller.org, calls(target, &request.body))
            }
            _ => 0,
        };
        let (latency, per_row) = self.latency(caller, kind, request);
        let seq = self.journal.open(
            now,
            Arrival {
                org: caller.map(|caller| caller.org),
                user: caller.map(|caller| caller.user),
                kind,
                method: request.method.as_str(),
                path: &request.path,
                counted,
                fault: fault.as_ref().map(Action::name),
            },
        );
        if let Some(org) = caller.and_then(|caller| self.orgs.get_mut(&caller.org)) {
            org.running.start(seq, now);
        }
        Ticket {
            seq,
            resource,
            caller,
            fault,
            refusal,
            latency,
            per_row,
            refreshing,
        }
    }

    /// Whose token a request to the login host carries: its org's faults strike it, its org's log
    /// tells of it.
    fn spoken_for(&self, resource: &Resource, request: &Request) -> Option<Caller> {
        match resource {
            Resource::Revoke | Resource::Introspect => {
                self.tokens.bearer_of(&oauth::named_token(request))
            }
            Resource::Token => self
                .logins
                .code_of(&request.form("code").unwrap_or_default())
                .or_else(|| self.find_user(&request.form("username")?)),
            Resource::Login => self.find_user(&request.form("un")?),
            Resource::Userinfo | Resource::Identity { .. } => {
                self.tokens.bearer_of(request.bearer()?)
            }
            _ => None,
        }
    }

    /// Checks session, version, permission, maintenance and limits, in the order Salesforce does.
    fn enter(
        &mut self,
        now: Timestamp,
        request: &Request,
        version: &str,
    ) -> (Option<Caller>, Option<Reply>) {
        let caller = match self.session(now, request) {
            Ok(caller) => caller,
            Err(refusal) => return (None, Some(refusal.into())),
        };
        if let Err(refusal) = self.right_host(request, caller) {
            return (Some(caller), Some(refusal.into()));
        }
        let refused = api_version(version)
            .and_then(|_| self.permitted(now, request.address, caller))
            .and_then(|()| self.within_limits(now, caller.org));
        let org = self.orgs.get_mut(&caller.org);
        let maintenance = org.as_ref().and_then(|org| org.switches.maintenance);
        let refusal = match (maintenance, refused) {
            (Some(status), _) => Some(Reply::html(status, MAINTENANCE_PAGE)),
            (None, Err(refusal)) => {
                let limit_info = org.map(|org| org.limit_info(now)).unwrap_or_default();
                Some(Reply::from(refusal).with_header(LIMIT_INFO, limit_info))
            }
            (None, Ok(())) => None,
        };
        (Some(caller), refusal)
    }

    /// Where each org has its own host, data calls must go to that host.
    fn right_host(&self, request: &Request, caller: Caller) -> Result<(), Refusal> {
        let Some(org) = self.orgs.get(&caller.org) else {
            return Ok(());
        };
        let right = url::Url::parse(&self.instance_url(org, &request.base_url));
        let used = url::Url::parse(&request.base_url);
        let (Ok(right), Ok(used)) = (right, used) else {
            return Ok(());
        };
        if right.host_str() == used.host_str() {
            return Ok(());
        }
        if self.org_of_host(&request.base_url).is_some() {
            return Err(Refusal::no_session());
        }
        let text = "Destination URL not reset. The URL returned from login must be set";
        Err(Refusal::new(404, "URL_NOT_RESET", text))
    }

    /// Who the request's access token speaks for.
    fn session(&mut self, now: Timestamp, request: &Request) -> Result<Caller, Refusal> {
        if request.header("authorization").is_some() && request.bearer().is_none() {
            return Err(Refusal::new(
                401,
                "INVALID_AUTH_HEADER",
                "INVALID_HEADER_TYPE",
            ));
        }
        let session = request
            .bearer()
            .and_then(|token| self.tokens.authenticate(token, now))
            .ok_or_else(Refusal::no_session)?;
        if !session.consent.scope.has("api") {
            let text = "This session is not valid for use with the REST API";
            return Err(Refusal::new(401, "INVALID_SESSION_ID", text));
        }
        Ok(session.consent.caller)
    }

    fn permitted(&self, now: Timestamp, address: IpAddr, caller: Caller) -> Result<(), Refusal> {
        let (org, user) = self.named(caller).ok_or_else(Refusal::not_found)?;
        if org.switches.addresses_on_every_request {
            user.may_log_in(now, address)
                .map_err(|_| Refusal::no_session())?;
        }
        if org.switches.api_disabled {
            let text = "API is not enabled for this Organization or Partner";
            return Err(Refusal::new(403, "API_DISABLED_FOR_ORG", text));
        }
        if !user.settings.api_enabled {
            let text = "API is disabled for this User";
            return Err(Refusal::new(403, "API_CURRENTLY_DISABLED", text));
        }
        Ok(())
    }

    fn within_limits(&mut self, now: Timestamp, org: Id) -> Result<(), Refusal> {
        let org = self.orgs.get_mut(&org).ok_or_else(Refusal::not_found)?;
        let exceeded = |text| Err(Refusal::new(403, "REQUEST_LIMIT_EXCEEDED", text));
        if org.usage.used(now) >= org.switches.daily_limit {
            return exceeded("TotalRequests Limit exceeded.");
        }
        if org.running.long(now) >= org.switches.long_running_limit {
            return exceeded("ConcurrentRequests (Concurrent API Requests) Limit exceeded.");
        }
        Ok(())
    }

    fn strike(
        &mut self,
        caller: Option<Caller>,
        kind: Kind,
        resource: &Resource,
        request: &Request,
    ) -> Option<Action> {
        let mut body: Value = if self.faults.look_at_rows() {
            serde_json::from_slice(&request.body).unwrap_or_default()
        } else {
            Value::Null
        };
        // An upsert's row has its External ID in the path.
        if let (Resource::Data { target, .. }, Value::Object(row)) = (resource, &mut body)
            && let Target::External(name) = target
        {
            row.insert(name.field.clone(), Value::String(name.value.clone()));
        }
        let org = caller.and_then(|caller| self.orgs.get(&caller.org));
        let place = Place {
            org: org.map(|org| (org.id, org.name.as_str())),
            kind,
        };
        self.faults
            .strike_request(place, &records_of(&body), &mut self.rng)
    }

    fn count(&mut self, now: Timestamp, org: Id, calls: u64) -> u64 {
        if let Some(org) = self.orgs.get_mut(&org) {
            org.usage.count(now, calls);
        }
        calls
    }

    /// The time before the work, and the time for each row returned after it.
    fn latency(
        &self,
        caller: Option<Caller>,
        kind: Kind,
        request: &Request,
    ) -> (Duration, Duration) {
        let Some(org) = caller.and_then(|caller| self.orgs.get(&caller.org)) else {
            return (Duration::ZERO, Duration::ZERO);
        };
        let latency = org.switches.latency;
        let base = Duration::from_millis(latency.base_ms);
        let per_row =
            Duration::try_from_secs_f64(latency.per_record_ms / 1_000.0).unwrap_or_default();
        let writes = matches!(
            kind,
            Kind::Create
                | Kind::Update
                | Kind::Upsert
                | Kind::Collections
                | Kind::CollectionsUpdate
                | Kind::CollectionsUpsert
                | Kind::Composite
                | Kind::Graph
                | Kind::Tree
        );
        if !writes || per_row.is_zero() {
            return (base, per_row);
        }
        let body = serde_json::from_slice(&request.body).unwrap_or_default();
        let rows = u32::try_from(records_of(&body).len()).unwrap_or(u32::MAX);
        (
            base.saturating_add(per_row.saturating_mul(rows)),
            Duration::ZERO,
        )
    }
}

/// The number of a version such as `v66.0`.
pub(crate) fn api_version(text: &str) -> Result<u32, Refusal> {
    let number = text
        .strip_prefix('v')
        .and_then(|text| text.strip_suffix(".0"))
        .and_then(|text| text.parse().ok())
        .ok_or_else(Refusal::not_found)?;
    match number {
        OLDEST_VERSION..=NEWEST_VERSION => Ok(number),
        FIRST_VERSION..OLDEST_VERSION => Err(Refusal::new(
            410,
            "UNSUPPORTED_API_VERSION",
            "The requested API version has been retired",
        )),
        _ => Err(Refusal::not_found()),
    }
}

/// API calls that a request counts as: one, except a batch, which counts each of its requests.
fn calls(target: &Target, body: &[u8]) -> u64 {
    match target {
        Target::Batch => composite::batch_size(body).max(1),
        _ => 1,
    }
}

/// Refuses what does not fit: 414 for the URI alone, 431 for URI and headers together.
fn too_long(request: &Request) -> Option<Reply> {
    let uri = request.path.len() + request.query.len();
    let headers: usize = request
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    if uri > URI_LIMIT {
        return Some(Reply::html(414, "<h1>URI Too Long</h1>"));
    }
    (uri + headers > URI_LIMIT)
        .then(|| Reply::html(431, "<h1>Request Header Fields Too Large</h1>"))
}

/// The records that a request wants to write, wherever its body has them.
fn records_of(body: &Value) -> Vec<&Map<String, Value>> {
    let Some(object) = body.as_object() else {
        return Vec::new();
    };
    if let Some(records) = object.get("records").and_then(Value::as_array) {
        return records.iter().filter_map(Value::as_object).collect();
    }
    if let Some(graphs) = object.get("graphs").and_then(Value::as_array) {
        return graphs.iter().flat_map(records_of).collect();
    }
    let Some(requests) = object.get("compositeRequest").and_then(Value::as_array) else {
        return vec![object];
    };
    let reads = |request: &Value| request["method"].as_str() == Some(Method::GET.as_str());
    requests
        .iter()
        .filter(|request| !reads(request))
        .flat_map(|request| records_of(&request["body"]))
        .collect()
}
