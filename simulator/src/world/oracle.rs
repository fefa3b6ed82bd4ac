//! What really is in the world, sharing and recycle bin or not, and changes made past the API.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::id::Id;
use super::org::{Org, User};
use super::populate::show_user;
use super::table::Record;
use super::tokens::{Caller, new_access_token, new_refresh_token};
use super::transaction::Transaction;
use super::{World, journal};
use crate::api::resource::Kind;
use crate::clock::Timestamp;
use crate::seed::patched;

impl World {
    /// All orgs with their users, as an overview.
    pub(crate) fn overview(&self) -> Value {
        let users = |org: &Org| -> Vec<Value> {
            let user = |user: &User| {
                let approvals = self.tokens.approvals_of(user.id);
                let mut shown = json!({ "id": user.id, "approvals": approvals });
                extend(
                    &mut shown,
                    serde_json::to_value(&user.settings).unwrap_or_default(),
                );
                shown
            };
            org.users.values().map(user).collect()
        };
        self.orgs
            .values()
            .map(|org| {
                let mut shown =
                    json!({ "id": org.id, "name": org.name, "my_domain": org.my_domain });
                extend(
                    &mut shown,
                    serde_json::to_value(&org.switches).unwrap_or_default(),
                );
                shown["users"] = json!(users(org));
                shown
            })
            .collect()
    }

    /// All Tasks of an org, or of all: hidden and deleted ones too, every field as stored.
    pub(crate) fn tasks(&self, org: Option<Id>) -> Vec<Value> {
        self.every_task(org)
            .map(|(org, record)| task_as_json(org, record))
            .collect()
    }

    /// The ids of the living Tasks by the value that they have in a field, in whatever orgs.
    pub(crate) fn living_tasks(&self, field: &str) -> BTreeMap<String, Vec<String>> {
        let mut tasks: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (_, record) in self.every_task(None) {
            if let Some(value) = record.text(field).filter(|_| !record.is_deleted()) {
                let ids = tasks.entry(value.to_owned()).or_default();
                ids.push(record.id.to_string());
            }
        }
        tasks
    }

    /// Values of a field that more than one living Task has, in whatever orgs.
    pub(crate) fn duplicates(&self, field: &str) -> Vec<Value> {
        let mut groups: BTreeMap<&str, Vec<(Id, Id)>> = BTreeMap::new();
        for (org, record) in self.every_task(None) {
            if let Some(value) = record.text(field).filter(|_| !record.is_deleted()) {
                groups.entry(value).or_default().push((org.id, record.id));
            }
        }
        groups
            .into_iter()
            .filter(|(_, tasks)| tasks.len() > 1)
            .map(|(value, tasks)| {
                let tasks: Vec<Value> = tasks
                    .iter()
                    .map(|(org, id)| json!({ "org": org, "id": id }))
                    .collect();
                json!({ "value": value, "count": tasks.len(), "tasks": tasks })
            })
            .collect()
    }

    fn every_task(&self, only: Option<Id>) -> impl Iterator<Item = (&Org, &Record)> {
        self.orgs
            .values()
            .filter(move |org| only.is_none_or(|only| only == org.id))
            .filter_map(|org| Some((org, org.table("Task")?)))
            .flat_map(|(org, table)| table.records().map(move |record| (org, record)))
    }

    /// The totals of all orgs; requests that named none are under `none`.
    pub(crate) fn totals(&self) -> BTreeMap<String, journal::Counters> {
        let mut totals: BTreeMap<String, journal::Counters> = self
            .journal
            .counters()
            .iter()
            .map(|(org, counters)| {
                let name = org.map_or_else(|| "none".to_owned(), |org| org.to_string());
                (name, counters.clone())
            })
            .collect();
        for (org, &count) in &self.tokens.reuse_detected {
            totals.entry(org.to_string()).or_default().reuse_detected = count;
        }
        totals
    }

    /// Changes settings of the app.
    pub(crate) fn patch_app(&mut self, patch: Map<String, Value>) -> Result<Value, String> {
        self.app = patched(&self.app, patch).map_err(|error| error.to_string())?;
        Ok(serde_json::to_value(&self.app).unwrap_or_default())
    }

    /// Changes switches of an org. `used_today` sets what the daily limit has counted.
    pub(crate) fn patch_org(
        &mut self,
        org: Id,
        mut patch: Map<String, Value>,
        now: Timestamp,
    ) -> Result<Value, String> {
        let org = self.orgs.get_mut(&org).ok_or("no such org")?;
        let used = patch.remove("used_today");
        let switches = patched(&org.switches, patch).map_err(|error| error.to_string())?;
        if let Some(used) = used {
            let used = used.as_u64().ok_or("\"used_today\" is a number of calls")?;
            org.usage.set(now, used);
        }
        org.switch(switches);
        let mut shown = serde_json::to_value(&org.switches).unwrap_or_default();
        shown["used_today"] = json!(org.usage.used(now));
        Ok(shown)
    }

    /// Changes a user. `revoke_tokens` revokes all they have; freezing and deactivating do so too.
    pub(crate) fn patch_user(
        &mut self,
        user: Caller,
        mut patch: Map<String, Value>,
    ) -> Result<Value, String> {
        let org = self.orgs.get_mut(&user.org).ok_or("no such org")?;
        let known = org.users.get(&user.user).ok_or("no such user")?;
        let revoke = patch.remove("revoke_tokens") == Some(Value::Bool(true));
        let settings = patched(&known.settings, patch).map_err(|error| error.to_string())?;
        if revoke || settings.frozen || !settings.active {
            self.tokens.revoke_user(user.user);
        }
        let shown = serde_json::to_value(&settings).unwrap_or_default();
        show_user(org, user.user, settings);
        Ok(shown)
    }

    /// Approves the app for a user, as the consent page would, and returns the refresh token.
    pub(crate) fn approve(&mut self, user: Caller, now: Timestamp) -> String {
        let token = new_refresh_token(&mut self.rng);
        self.approve_with(user, token.clone(), now);
        token
    }

    /// Opens a session for a user without the token endpoint.
    pub(crate) fn log_in(&mut self, user: Caller, now: Timestamp) -> String {
        let token = new_access_token(user.org, &mut self.rng);
        self.open_session(user, token.clone(), now);
        token
    }

    /// Changes or deletes a Task as its owner would, in the browser.
    pub(crate) fn edit_task(
        &mut self,
        id: Id,
        changes: Option<&Map<String, Value>>,
        now: Timestamp,
    ) -> Result<Value, String> {
        let org = self
            .orgs
            .values_mut()
            .find(|org| id.prefix() == *b"00T" && org.record(id).is_some())
            .ok_or("no such Task")?;
        let owner = org
            .record(id)
            .and_then(|task| task.reference("OwnerId"))
            .and_then(|owner| org.users.get(&owner))
            .or_else(|| org.users.values().next())
            .cloned()
            .ok_or("the org has no users")?;
        let schema = std::sync::Arc::clone(&org.schema);
        let object = schema.object("Task").ok_or("the org has no Tasks")?;
        let mut work = Transaction {
            org,
            user: owner,
            now,
            request: 0,
            version: String::new(),
            // A person's click is no API request: no fault strikes it.
            faults: &mut super::faults::Faults::default(),
            rng: &mut self.rng,
            undo: Vec::new(),
        };
        match changes {
            Some(changes) => work.update(object, Kind::Update, id, changes),
            None => work.delete(object, id),
        }
        .map_err(|refusal| format!("{}: {}", refusal.code, refusal.message))?;
        let org = &*work.org;
        org.record(id)
            .map(|record| task_as_json(org, record))
            .ok_or_else(|| "no such Task".to_owned())
    }
}

fn task_as_json(org: &Org, record: &Record) -> Value {
    let mut shown: Map<String, Value> = record
        .fields
        .iter()
        .map(|(name, value)| (name.to_string(), value.clone()))
        .collect();
    shown.insert("_org".to_owned(), json!(org.id));
    shown.insert("_request_id".to_owned(), json!(record.request));
    Value::Object(shown)
}

fn extend(target: &mut Value, more: Value) {
    if let (Value::Object(target), Value::Object(more)) = (target, more) {
        target.extend(more);
    }
}
