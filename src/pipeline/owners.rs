//! Who owns a Task: the agent's Salesforce user, found by e-mail address, else the API user.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use moka::sync::Cache;

use super::dispatch::OpenedCall;
use crate::domain::call::Agent;
use crate::domain::ids::{CallId, OrgId, UserId};
use crate::domain::private::Private;
use crate::domain::task::Owner;
use crate::salesforce::{Client, Session};

/// How long a found or missing user is remembered. A new agent waits this long at most before
/// Tasks carry their name; until then the API user owns them.
const REMEMBERED: Duration = Duration::from_mins(15);

/// Users remembered at most, over all orgs.
const USERS: u64 = 200_000;

/// Agents as Salesforce users.
pub struct Owners {
    /// The query.
    salesforce: Client,
    /// By org and e-mail address in lower case; `None`: no active user has it.
    users: Cache<(OrgId, Private<String>), Option<UserId>>,
}

impl Owners {
    /// Owners by this Salesforce.
    pub fn new(salesforce: Client) -> Self {
        let users = Cache::builder()
            .max_capacity(USERS)
            .time_to_live(REMEMBERED)
            .build();
        Self { salesforce, users }
    }

    /// The owner of each call's Task. Unknown addresses are asked for in one query; if that
    /// fails, the API user owns the Task rather than the Task waiting for it.
    pub(super) async fn of(
        &self,
        session: &Session,
        org: &OrgId,
        calls: &HashMap<CallId, OpenedCall>,
    ) -> HashMap<CallId, Owner> {
        let unknown: BTreeSet<Private<String>> = calls
            .values()
            .filter_map(|opened| address(agent(opened)?))
            .filter(|email| !self.users.contains_key(&(org.clone(), email.clone())))
            .collect();
        if !unknown.is_empty() {
            self.ask(session, org, unknown).await;
        }
        calls
            .values()
            .filter_map(|opened| Some((opened.stored.id.clone(), self.owner(org, agent(opened)?))))
            .collect()
    }

    /// Asks Salesforce for users and remembers what it says, absence included.
    async fn ask(&self, session: &Session, org: &OrgId, emails: BTreeSet<Private<String>>) {
        let asked: Vec<Private<String>> = emails.into_iter().collect();
        match self.salesforce.users_by_email(session, &asked).await {
            Ok(answered) => {
                for email in asked {
                    let user = answered.value.get(&email).cloned();
                    self.users.insert((org.clone(), email), user);
                }
            }
            Err(error) => {
                let code = error.failure.code;
                tracing::warn!(%org, code, "agents could not be looked up; the API user owns their Tasks");
            }
        }
    }

    /// The owner by what is known.
    fn owner(&self, org: &OrgId, agent: &Agent) -> Owner {
        if let Some(user) = &agent.crm_user {
            return Owner::of_event(user.clone());
        }
        let found =
            address(agent).and_then(|email| self.users.get(&(org.clone(), email)).flatten());
        found.map_or_else(Owner::default, Owner::by_email)
    }
}

/// The agent who dealt with the call last.
fn agent(opened: &OpenedCall) -> Option<&Agent> {
    opened.call.ended.as_deref().map(|ended| &ended.facts.agent)
}

/// An agent's address as it is compared.
fn address(agent: &Agent) -> Option<Private<String>> {
    agent
        .email
        .as_ref()
        .map(|email| Private::new(email.expose().trim().to_lowercase()))
}
