//! The control API as a handle: the oracle, the fault script and the switches.
//!
//! The HTTP routes under `/__sim/` do nothing but call it.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::clock::Clock;
use crate::seed::{Id, Seed};
use crate::server::Shared;
use crate::world::World;
use crate::world::faults::Rule;
use crate::world::journal::{Counters, Entry};

/// What was asked of the control API cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// There is no org, user, Task or fault of this name.
    #[error("no {0} '{1}'")]
    Unknown(&'static str, String),
    /// The request makes no sense; the text says why.
    #[error("{0}")]
    Invalid(String),
}

/// Which requests to tell of.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RequestFilter {
    /// Only of this org.
    pub org: Option<String>,
    /// Only with a greater number.
    pub since: u64,
}

/// A handle on a running world.
#[derive(Debug, Clone)]
pub struct Control {
    shared: Arc<Shared>,
}

impl Control {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.shared
            .world
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// Adds orgs and returns their ids.
    pub fn seed(&self, seed: Seed) -> Result<Vec<Id>, ControlError> {
        let now = self.clock().now();
        self.world().seed(seed, now).map_err(ControlError::Invalid)
    }

    /// All orgs with their switches and users.
    pub fn orgs(&self) -> Value {
        self.world().overview()
    }

    /// All Tasks of an org, or of every org: also those that sharing hides, and deleted ones.
    pub fn tasks(&self, org: Option<&str>) -> Result<Vec<Value>, ControlError> {
        let world = self.world();
        let org = org.map(|org| find_org(&world, org)).transpose()?;
        Ok(world.tasks(org))
    }

    /// The ids of the living Tasks, in whatever orgs, by the value that they have in a field. Copies no
    /// Task: there may be a million.
    pub fn living_tasks(&self, field: &str) -> std::collections::BTreeMap<String, Vec<String>> {
        self.world().living_tasks(field)
    }

    /// Groups of living Tasks, in whatever orgs, that share a value of a field.
    pub fn duplicates(&self, field: &str) -> Vec<Value> {
        self.world().duplicates(field)
    }

    /// The requests so far.
    pub fn requests(&self, filter: &RequestFilter) -> Result<Vec<Entry>, ControlError> {
        let world = self.world();
        let org = filter
            .org
            .as_deref()
            .map(|org| find_org(&world, org))
            .transpose()?;
        Ok(world.journal.requests(org, filter.since).cloned().collect())
    }

    /// The totals by org; requests that named no org are under `none`.
    pub fn counters(&self) -> std::collections::BTreeMap<String, Counters> {
        self.world().totals()
    }

    /// Adds a fault rule and returns its id.
    pub fn add_fault(&self, rule: Rule) -> String {
        self.world().faults.add(rule)
    }

    /// The fault rules, with how often each has fired.
    pub fn faults(&self) -> Vec<Rule> {
        self.world().faults.rules().to_vec()
    }

    /// Removes one fault rule, or all; returns how many.
    pub fn remove_faults(&self, id: Option<&str>) -> Result<usize, ControlError> {
        let removed = self.world().faults.remove(id);
        match id {
            Some(id) if removed == 0 => Err(ControlError::Unknown("fault", id.to_owned())),
            _ => Ok(removed),
        }
    }

    /// Changes the settings of the app that `patch` names.
    pub fn patch_app(&self, patch: Map<String, Value>) -> Result<Value, ControlError> {
        self.world().patch_app(patch).map_err(ControlError::Invalid)
    }

    /// Changes the switches named in `patch`, and `used_today`.
    pub fn patch_org(&self, org: &str, patch: Map<String, Value>) -> Result<Value, ControlError> {
        let now = self.clock().now();
        let mut world = self.world();
        let org = find_org(&world, org)?;
        world
            .patch_org(org, patch, now)
            .map_err(ControlError::Invalid)
    }

    /// Changes the settings named in `patch`; `revoke_tokens` revokes all tokens.
    pub fn patch_user(&self, user: &str, patch: Map<String, Value>) -> Result<Value, ControlError> {
        let mut world = self.world();
        let user = find_user(&world, user)?;
        world.patch_user(user, patch).map_err(ControlError::Invalid)
    }

    /// Approves the app for a user and returns the refresh token.
    pub fn approve(&self, user: &str) -> Result<String, ControlError> {
        let now = self.clock().now();
        let mut world = self.world();
        let user = find_user(&world, user)?;
        Ok(world.approve(user, now))
    }

    /// Opens a session for a user and returns the access token.
    pub fn log_in(&self, user: &str) -> Result<String, ControlError> {
        let now = self.clock().now();
        let mut world = self.world();
        let user = find_user(&world, user)?;
        Ok(world.log_in(user, now))
    }

    /// Ends the sessions of an org, or all; refresh tokens stay. Returns how many.
    pub fn expire_sessions(&self, org: Option<&str>) -> Result<usize, ControlError> {
        let mut world = self.world();
        let org = org.map(|org| find_org(&world, org)).transpose()?;
        Ok(world.tokens.expire_sessions(org))
    }

    /// Changes a Task as its owner would in the browser.
    pub fn edit_task(&self, id: &str, changes: &Map<String, Value>) -> Result<Value, ControlError> {
        self.touch_task(id, Some(changes))
    }

    /// Deletes a Task as its owner would in the browser.
    pub fn delete_task(&self, id: &str) -> Result<Value, ControlError> {
        self.touch_task(id, None)
    }

    fn touch_task(
        &self,
        id: &str,
        changes: Option<&Map<String, Value>>,
    ) -> Result<Value, ControlError> {
        let now = self.clock().now();
        let id = Id::parse(id).ok_or_else(|| ControlError::Unknown("Task", id.to_owned()))?;
        self.world()
            .edit_task(id, changes, now)
            .map_err(ControlError::Invalid)
    }

    /// Adds records to an org, subject to its index delay; returns their ids.
    pub fn add_records(
        &self,
        org: &str,
        records: Vec<Map<String, Value>>,
    ) -> Result<Vec<Id>, ControlError> {
        let now = self.clock().now();
        let mut world = self.world();
        let org = find_org(&world, org)?;
        world
            .add_records(org, records, now)
            .map_err(ControlError::Invalid)
    }

    /// The simulated time.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock().now()
    }

    /// Moves simulated time forward.
    pub fn advance(&self, by: Duration) {
        self.clock().advance(by);
    }

    /// Makes simulated time run `scale` times as fast as the wall clock.
    pub fn set_time_scale(&self, scale: f64) {
        self.clock().set_scale(scale);
    }

    /// How the world is, in a few numbers.
    pub fn health(&self) -> Value {
        let now = self.clock().now();
        let world = self.world();
        json!({
            "status": "ok",
            "time": now.to_rfc3339(),
            "orgs": world.orgs.len(),
            "requests": world.journal.next() - 1,
            "client_id": world.app.client_id,
        })
    }
}

fn find_org(world: &World, org: &str) -> Result<Id, ControlError> {
    world
        .find_org(org)
        .ok_or_else(|| ControlError::Unknown("org", org.to_owned()))
}

fn find_user(world: &World, user: &str) -> Result<crate::world::tokens::Caller, ControlError> {
    world
        .find_user(user)
        .ok_or_else(|| ControlError::Unknown("user", user.to_owned()))
}
