//! The world: all orgs, all tokens, the fault script and the request log.
//!
//! It is a value that changes only when told to, at the time it is told: no clock, no socket, no
//! task. The server carries each request through three steps, and waits between them:
//! [`World::admit`] (is it let in, and what will go wrong), [`World::execute`] (the work itself),
//! [`World::close`] (the log).

pub(crate) mod access;
mod admission;
pub(crate) mod cursors;
pub(crate) mod door;
pub(crate) mod faults;
mod generate;
pub(crate) mod id;
pub(crate) mod jobs;
pub(crate) mod journal;
mod limits;
pub(crate) mod logins;
pub(crate) mod objects;
pub(crate) mod oracle;
pub(crate) mod org;
mod populate;
pub(crate) mod refusal;
mod rules;
pub(crate) mod schema;
pub(crate) mod scope;
pub(crate) mod table;
pub(crate) mod tokens;
pub(crate) mod transaction;
pub(crate) mod value;

use std::collections::BTreeMap;

use chrono::TimeDelta;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

pub(crate) use admission::{MAINTENANCE_PAGE, NEWEST_VERSION, OLDEST_VERSION, Ticket};

use crate::api::resource::Resource;
use crate::api::{Reply, Request, bulk, data, oauth, soap};
use crate::clock::Timestamp;
use crate::config::InstanceUrlStyle;
use crate::seed::App;
use faults::Faults;
use id::Id;
use journal::Journal;
use logins::Logins;
use org::Org;
use tokens::Tokens;

/// Everything the simulator knows.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) app: App,
    pub(crate) session_timeout: TimeDelta,
    pub(crate) orgs: BTreeMap<Id, Org>,
    pub(crate) tokens: Tokens,
    pub(crate) logins: Logins,
    pub(crate) faults: Faults,
    pub(crate) journal: Journal,
    pub(crate) rng: StdRng,
    instance_urls: InstanceUrlStyle,
    /// Orgs and users made so far: their ids come from one sequence.
    made: u64,
}

impl World {
    /// An empty world. The same seed and the same requests give the same world again.
    pub(crate) fn new(seed: u64, instance_urls: InstanceUrlStyle) -> Self {
        Self {
            app: App::default(),
            session_timeout: TimeDelta::hours(2),
            orgs: BTreeMap::new(),
            tokens: Tokens::default(),
            logins: Logins::default(),
            faults: Faults::default(),
            journal: Journal::default(),
            rng: StdRng::seed_from_u64(seed),
            instance_urls,
            made: 0,
        }
    }

    /// Does the work of a request and answers it.
    pub(crate) fn execute(&mut self, now: Timestamp, request: &Request, ticket: &Ticket) -> Reply {
        let answer = match &ticket.resource {
            Resource::Authorize => oauth::authorize::begin(self, now, request),
            Resource::Login => oauth::login::login(self, now, request),
            Resource::Verify => oauth::login::verify(self, now, request),
            Resource::Consent => oauth::consent::consent(self, now, request),
            Resource::AuthorizationError => oauth::authorize::error_page(request),
            Resource::Home => oauth::login::home(self, now, request),
            Resource::Token => oauth::token::token(self, now, request),
            Resource::Revoke => oauth::introspect::revoke(self, request),
            Resource::Introspect => oauth::introspect::introspect(self, now, request),
            Resource::Userinfo => oauth::identity::userinfo(self, now, request),
            Resource::Identity { org, user } => {
                oauth::identity::identity(self, now, request, (*org, *user))
            }
            Resource::Discovery => oauth::identity::discovery(self, request),
            Resource::Soap { wsdl, version } => soap::call(self, now, request, (*wsdl, version)),
            Resource::Versions => data::versions(),
            Resource::Bulk => bulk::version_1(request),
            Resource::Data { .. } => data::execute(self, now, request, ticket),
            Resource::Unknown => Reply::html(404, "<html><body>URL No Longer Exists</body></html>"),
        };
        if let Some(token) = &ticket.refreshing {
            self.tokens.end_refresh(token);
        }
        answer
    }

    /// Notes that a request has ended. `status` is what was sent, `None` for a dropped connection.
    pub(crate) fn close(&mut self, ticket: &Ticket, status: Option<u16>, rows: usize) {
        if let Some(token) = &ticket.refreshing {
            self.tokens.end_refresh(token);
        }
        if let Some(org) = ticket
            .caller
            .and_then(|caller| self.orgs.get_mut(&caller.org))
        {
            org.running.finish(ticket.seq);
        }
        self.journal.close(ticket.seq, status, rows);
    }

    /// The base of an org's data API, as seen by a client that used `base_url`.
    pub(crate) fn instance_url(&self, org: &Org, base_url: &str) -> String {
        match (self.instance_urls, url::Url::parse(base_url)) {
            (InstanceUrlStyle::Subdomain, Ok(url)) => {
                let port = url
                    .port()
                    .map(|port| format!(":{port}"))
                    .unwrap_or_default();
                format!("{}://{}.localhost{port}", url.scheme(), org.my_domain)
            }
            _ => base_url.to_owned(),
        }
    }

    /// The org whose My Domain is the first label of a host, if there is one.
    pub(crate) fn org_of_host(&self, base_url: &str) -> Option<&Org> {
        let url = url::Url::parse(base_url).ok()?;
        let label = url.host_str()?.strip_suffix(".localhost")?.to_owned();
        self.orgs
            .values()
            .find(|org| org.my_domain.eq_ignore_ascii_case(&label))
    }

    /// Finds an org by its id, name or My Domain.
    pub(crate) fn find_org(&self, text: &str) -> Option<Id> {
        let id = Id::parse(text);
        self.orgs
            .values()
            .find(|org| Some(org.id) == id || org.name == text || org.my_domain == text)
            .map(|org| org.id)
    }

    /// Finds a user by id or username.
    pub(crate) fn find_user(&self, text: &str) -> Option<tokens::Caller> {
        let id = Id::parse(text);
        self.orgs.values().find_map(|org| {
            org.users
                .values()
                .find(|user| {
                    Some(user.id) == id || user.settings.username.eq_ignore_ascii_case(text)
                })
                .map(|user| tokens::Caller {
                    org: org.id,
                    user: user.id,
                })
        })
    }
}
