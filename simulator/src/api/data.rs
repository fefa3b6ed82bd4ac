//! The data API: one request, one transaction, one answer with its limit header.

use http::Method;
use serde_json::{Map, Value, json};

use super::resource::{Resource, Target};
use super::{
    Answer, Reply, Request, bulk, changes, collections, composite, describe, external, graph,
    limits, query, rows, search, tree,
};
use crate::clock::Timestamp;
use crate::world::refusal::Refusal;
use crate::world::transaction::Transaction;
use crate::world::{NEWEST_VERSION, OLDEST_VERSION, Ticket, World};

/// The header that tells of the daily limit.
pub(crate) const LIMIT_INFO: &str = "Sforce-Limit-Info";

/// One request of the data API, or one of several inside a composite.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) target: Target,
    /// Query string, percent-encoded.
    pub(crate) query: String,
    pub(crate) body: Body,
    /// Rows of a page, if the client asked for fewer than usual.
    pub(crate) page: Option<usize>,
}

/// A request's body.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    Bytes(bytes::Bytes),
    /// A subrequest's, already read.
    Json(Value),
}

impl Ask {
    /// A decoded parameter of the query string.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        super::parameter(self.query.as_bytes(), name)
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Result<Value, Refusal> {
        match &self.body {
            Body::Json(value) => Ok(value.clone()),
            Body::Bytes(bytes) => serde_json::from_slice(bytes).map_err(|error| {
                let (line, column) = (error.line(), error.column());
                let text =
                    "Unexpected character or end-of-input: the body is not the JSON expected";
                Refusal::json(format!("{text} at [line:{line}, column:{column}]"))
            }),
        }
    }

    /// The body as a JSON object.
    pub(crate) fn object(&self) -> Result<Map<String, Value>, Refusal> {
        match self.json()? {
            Value::Object(object) => Ok(object),
            _ => Err(Refusal::json(
                "The request body must be a JSON object at [line:1, column:1]",
            )),
        }
    }

    /// Refuses methods other than `allowed`.
    pub(crate) fn only(&self, allowed: &[Method]) -> Result<(), Refusal> {
        if allowed.contains(&self.method) {
            return Ok(());
        }
        let names: Vec<&str> = allowed.iter().map(Method::as_str).collect();
        let text = format!(
            "HTTP Method '{}' not allowed. Allowed are {}",
            self.method,
            names.join(",")
        );
        Err(Refusal::new(405, "METHOD_NOT_ALLOWED", text))
    }
}

/// `GET /services/data/`: no token needed, not counted, no limit header.
pub(crate) fn versions() -> Reply {
    let versions = (OLDEST_VERSION..=NEWEST_VERSION).map(|version| {
        // Winter comes first in a release year: v65 is Winter '26.
        let year = (version + 13) / 3;
        let season = ["Spring", "Summer", "Winter"][usize::try_from(version % 3).unwrap_or(0)];
        json!({
            "label": format!("{season} '{year}"),
            "url": format!("/services/data/v{version}.0"),
            "version": format!("{version}.0"),
        })
    });
    Reply::ok(versions.collect())
}

/// Does a data request's work.
pub(crate) fn execute(
    world: &mut World,
    now: Timestamp,
    request: &Request,
    ticket: &Ticket,
) -> Reply {
    let (Some(caller), Resource::Data { target, .. }) = (ticket.caller, &ticket.resource) else {
        return Refusal::not_found().into();
    };
    let identity = super::oauth::identity_url(&request.base_url, caller);
    let version = request
        .path
        .split('/')
        .filter(|part| !part.is_empty())
        .nth(2);
    let Some(org) = world.orgs.get_mut(&caller.org) else {
        return Refusal::not_found().into();
    };
    let Some(user) = org.users.get(&caller.user).cloned() else {
        return Refusal::not_found().into();
    };
    let mut work = Transaction {
        org,
        user,
        now,
        request: ticket.seq,
        version: version.unwrap_or_default().to_owned(),
        faults: &mut world.faults,
        rng: &mut world.rng,
        undo: Vec::new(),
    };
    let ask = Ask {
        method: request.method.clone(),
        target: target.clone(),
        query: request.query.clone(),
        body: Body::Bytes(request.body.clone()),
        page: page_size(request.header("sforce-query-options")),
    };
    let answer = match target {
        Target::Composite => composite::run(&mut work, &ask),
        Target::Batch => composite::run_batch(&mut work, &ask),
        Target::Graph => graph::run(&mut work, &ask),
        Target::Jobs(path) => bulk::run(&mut work, &ask, path),
        Target::Resources => ask
            .only(&[Method::GET])
            .map(|()| resources(&work.version, &identity)),
        _ => one(&mut work, &ask),
    };
    let created = work.created(*b"00T");
    let limit_info = org.limit_info(now);
    world.journal.counters_mut(caller.org).tasks_created += created;
    answer
        .unwrap_or_else(Reply::from)
        .with_header(LIMIT_INFO, limit_info)
        .with_header(
            "Cache-Control",
            "no-cache,must-revalidate,max-age=0,no-store,private",
        )
}

/// Answers a single request, alone or inside a composite.
pub(crate) fn one(work: &mut Transaction<'_>, ask: &Ask) -> Answer {
    let get = || ask.only(&[Method::GET]);
    match &ask.target {
        Target::Limits => get().and_then(|()| limits::limits(work)),
        Target::Query { all } => get().and_then(|()| query::query(work, ask, *all)),
        Target::QueryMore { locator } => get().and_then(|()| query::more(work, locator)),
        Target::Search => get().and_then(|()| search::search(work, ask)),
        Target::ParameterizedSearch => search::parameterized(work, ask),
        Target::Objects => get().map(|()| describe::global(work)),
        Target::Object { object } => rows::object(work, ask, object),
        Target::Describe { object } => get().and_then(|()| describe::object(work, object)),
        Target::Updated { object } => changes::updated(work, ask, object),
        Target::Deleted { object } => changes::deleted(work, ask, object),
        Target::Row { object, id } => rows::row(work, ask, object, id),
        Target::External(name) => external::row(work, ask, name),
        Target::Collections => collections::run(work, ask),
        Target::CollectionsBy { object, field } => collections::upsert(work, ask, object, field),
        Target::Tree { object } => tree::run(work, ask, object),
        // Nobody looks at records in a browser here, so nobody has looked at one of late.
        Target::Recent => get().map(|()| Reply::ok(json!([]))),
        Target::CollectionsOf { object } => collections::retrieve(work, ask, object),
        Target::Resources
        | Target::Composite
        | Target::Batch
        | Target::Graph
        | Target::Jobs(_)
        | Target::Unknown => Err(Refusal::not_found()),
    }
}

/// `GET /services/data/vXX.0/`: what there is, and where.
fn resources(version: &str, identity: &str) -> Reply {
    let names = [
        "sobjects",
        "query",
        "queryAll",
        "search",
        "parameterizedSearch",
        "composite",
        "limits",
        "recent",
    ];
    let mut resources = Map::new();
    for name in names {
        resources.insert(
            name.to_owned(),
            json!(format!("/services/data/{version}/{name}")),
        );
    }
    resources.insert("identity".to_owned(), json!(identity));
    Reply::ok(Value::Object(resources))
}

/// `Sforce-Query-Options: batchSize=500`.
fn page_size(options: Option<&str>) -> Option<usize> {
    options?
        .split(',')
        .filter_map(|option| option.trim().split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("batchSize"))
        .and_then(|(_, size)| size.trim().parse().ok())
}
