//! Turns a seed into orgs, users and records.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::id::Id;
use super::objects::{CLOSED, TASK_STATUSES};
use super::org::{Org, User};
use super::scope::Scope;
use super::table::{Fields, Table};
use super::tokens::{Caller, Consent, Lifetime};
use super::{World, generate, rules};
use crate::clock::{Timestamp, delta};
use crate::seed::{OrgSeed, Seed, UserSeed, UserSettings};

impl World {
    /// Adds what a seed says and returns the ids of its orgs.
    pub(crate) fn seed(&mut self, seed: Seed, now: Timestamp) -> Result<Vec<Id>, String> {
        if let Some(app) = seed.app {
            self.app = app;
        }
        if let Some(seconds) = seed.session_timeout_s {
            self.session_timeout = delta(Duration::from_secs(seconds));
        }
        seed.orgs
            .into_iter()
            .enumerate()
            .map(|(place, org)| {
                self.add_org(org, now)
                    .map_err(|error| format!("orgs[{place}]: {error}"))
            })
            .collect()
    }

    fn add_org(&mut self, seed: OrgSeed, now: Timestamp) -> Result<Id, String> {
        self.made += 1;
        let pod = u16::try_from(self.made % 3_844).unwrap_or_default();
        let id = seed
            .id
            .unwrap_or_else(|| Id::generate(*b"00D", pod, self.made));
        if self.orgs.contains_key(&id) {
            return Err(format!("org {id} exists already"));
        }
        let name = seed.name.unwrap_or_else(|| format!("Org {}", self.made));
        let my_domain = seed.my_domain.unwrap_or_else(|| host_label(&name));
        let mut org = Org::new(id, pod, name, my_domain);
        org.switch(seed.switches);
        for field in &seed.custom_fields {
            org.add_custom_field(field)?;
        }
        set_up_organization(&mut org, now);
        let mut users = seed.users;
        if users.is_empty() {
            users.push(UserSeed::default());
        }
        let added: Vec<(Id, UserSeed)> = users
            .into_iter()
            .map(|seed| (set_up_user(&mut org, &seed, now), seed))
            .collect();
        for user in org.users.values() {
            let username = &user.settings.username;
            let namesakes = |org: &Org| {
                let same = |user: &&User| user.settings.username.eq_ignore_ascii_case(username);
                org.users.values().filter(same).count()
            };
            if namesakes(&org) > 1 || self.orgs.values().any(|org| namesakes(org) > 0) {
                return Err(format!(
                    "user '{username}' exists already: usernames are unique over all orgs"
                ));
            }
        }
        let owner = added.first().map_or(id, |(user, _)| *user);
        if let Some(book) = seed.generate {
            generate::phone_book(&mut org, owner, book, now);
        }
        for record in seed.records {
            set_up_record(&mut org, owner, record, now)?;
        }
        self.orgs.insert(id, org);
        for (user, seed) in added {
            self.set_up_tokens(Caller { org: id, user }, seed, now);
        }
        Ok(id)
    }

    fn set_up_tokens(&mut self, caller: Caller, seed: UserSeed, now: Timestamp) {
        if let Some(token) = seed.refresh_token {
            self.approve_with(caller, token, now);
        }
        if let Some(token) = seed.access_token {
            self.open_session(caller, token, now);
        }
    }

    /// Notes an approval of all that the app may ask for.
    pub(super) fn approve_with(&mut self, caller: Caller, refresh_token: String, now: Timestamp) {
        let scope = Scope::of_app(&self.app.scopes);
        let consent = Consent { caller, scope };
        let most = self.app.approvals;
        self.tokens.approve(consent, refresh_token, most, now);
    }

    /// Opens a session that no app asked for.
    pub(crate) fn open_session(&mut self, caller: Caller, access_token: String, now: Timestamp) {
        let scope = Scope::full();
        let consent = Consent { caller, scope };
        let times = (now, Lifetime::Idle(self.session_timeout));
        self.tokens.open_session(access_token, consent, None, times);
    }

    /// Adds records as somebody else's work: no rules, but the search index lags.
    pub(crate) fn add_records(
        &mut self,
        org: Id,
        records: Vec<Map<String, Value>>,
        now: Timestamp,
    ) -> Result<Vec<Id>, String> {
        let org = self.orgs.get_mut(&org).ok_or("no such org")?;
        let owner = org.users.keys().next().copied().unwrap_or(org.id);
        let mut ids = Vec::new();
        for record in records {
            let id = set_up_record(org, owner, record, now)?;
            if let Some(mut record) = org.record(id).cloned() {
                record.index_lag = org.index_lag(now, None);
                org.put(record);
            }
            ids.push(id);
        }
        Ok(ids)
    }
}

/// "Acme & Sons" as `acme-sons`.
fn host_label(name: &str) -> String {
    let words: Vec<String> = name
        .split(|letter: char| !letter.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    words.join("-")
}

/// The records that describe the org itself.
fn set_up_organization(org: &mut Org, now: Timestamp) {
    let fields = fields_of(&json!({
        "Name": org.name,
        "OrganizationType": org.switches.edition,
        "InstanceName": "SIM1",
        "IsSandbox": org.switches.sandbox,
        "Country": org.switches.default_country,
        "DefaultLocaleSidKey": "en_GB",
        "TimeZoneSidKey": "Europe/London",
    }));
    org.set_up(org.id, fields, now);
    for (place, status) in (1..).zip(TASK_STATUSES) {
        let id = org.next_id(*b"01J");
        let fields = fields_of(&json!({
            "MasterLabel": status,
            "ApiName": status,
            "SortOrder": place,
            "IsDefault": place == 1,
            "IsClosed": *status == CLOSED,
        }));
        org.set_up(id, fields, now);
    }
}

/// Adds a user with a profile of their own and the permission set that every profile owns.
fn set_up_user(org: &mut Org, seed: &UserSeed, now: Timestamp) -> Id {
    let id = seed.id.unwrap_or_else(|| org.next_id(*b"005"));
    let mut settings = seed.settings.clone();
    if settings.username.is_empty() {
        let number = org.users.len() + 1;
        settings.username = format!("user{number}@{}.example", org.my_domain);
    }
    if settings.email.is_empty() {
        settings.email.clone_from(&settings.username);
    }
    let license = org.next_id(*b"100");
    org.set_up(license, fields_of(&json!({"Name": "Salesforce"})), now);
    let profile = org.next_id(*b"00e");
    let set = org.next_id(*b"0PS");
    let assignment = org.next_id(*b"0Pa");
    let links = json!({"ProfileId": profile, "UserLicenseId": license, "UserType": "Standard"});
    org.set_up(profile, fields_of(&links), now);
    org.set_up(
        set,
        fields_of(&json!({"ProfileId": profile, "IsOwnedByProfile": true})),
        now,
    );
    let assigned = json!({"AssigneeId": id, "PermissionSetId": set});
    org.set_up(assignment, fields_of(&assigned), now);
    org.set_up(id, fields_of(&json!({"ProfileId": profile})), now);
    show_user(org, id, settings);
    id
}

/// Puts a user's settings in force, and shows them in the records that a query reads.
pub(crate) fn show_user(org: &mut Org, id: Id, settings: UserSettings) {
    let (first, last) = settings
        .name
        .rsplit_once(' ')
        .unwrap_or(("", &settings.name));
    let alias: String = settings.username.chars().take(8).collect();
    let shown = json!({
        "Username": settings.username,
        "Email": settings.email,
        "FirstName": first,
        "LastName": last,
        "Name": settings.name,
        "Alias": alias,
        "IsActive": settings.active,
        "UserType": "Standard",
        "TimeZoneSidKey": "Europe/London",
        "LocaleSidKey": "en_GB",
        "LanguageLocaleKey": "en_US",
    });
    lay_over(org, id, &shown);
    let profile = org.record(id).and_then(|user| user.reference("ProfileId"));
    let granted = json!({
        "Name": if settings.api_only { "Minimum Access - API Only Integrations" } else { "Standard User" },
        "PermissionsApiUserOnly": settings.api_only,
        "PermissionsApiEnabled": settings.api_enabled,
        "PermissionsEditTask": settings.edit_tasks,
        "PermissionsViewAllData": settings.view_all_data,
        // The one cannot be granted without the other.
        "PermissionsViewAllUsers": settings.view_all_data,
        "PermissionsViewSetup": settings.view_setup,
    });
    let sets: Vec<Id> = org
        .table("PermissionSet")
        .into_iter()
        .flat_map(Table::records)
        .filter(|set| set.reference("ProfileId") == profile)
        .map(|set| set.id)
        .collect();
    for record in profile.into_iter().chain(sets) {
        lay_over(org, record, &granted);
    }
    org.users.insert(id, User { id, settings });
}

fn lay_over(org: &mut Org, id: Id, shown: &Value) {
    if let Some(mut record) = org.record(id).cloned() {
        record.fields.extend(fields_of(shown));
        org.put(record);
    }
}

/// Adds one record with its `type`; fields that the object lacks, and values that are not of the
/// field's type, are an error.
fn set_up_record(
    org: &mut Org,
    owner: Id,
    mut record: Map<String, Value>,
    now: Timestamp,
) -> Result<Id, String> {
    let name = record
        .remove("type")
        .and_then(|name| name.as_str().map(str::to_owned))
        .ok_or("a record needs its \"type\"")?;
    let schema = std::sync::Arc::clone(&org.schema);
    let object = schema
        .object(&name)
        .ok_or_else(|| format!("no object '{name}'"))?;
    let id = match record.remove("Id").or_else(|| record.remove("id")) {
        Some(id) => id
            .as_str()
            .and_then(Id::parse)
            .filter(|id| id.prefix() == object.prefix)
            .ok_or_else(|| format!("{id} is no id of a {name}"))?,
        None => org.next_id(object.prefix),
    };
    let mut fields = Fields::new();
    for (name, value) in record {
        let field = object
            .field(&name)
            .ok_or_else(|| format!("no field '{name}' on {}", object.name))?;
        let value = rules::converted(field, &value)
            .map_err(|refusal| format!("{}.{}: {}", object.name, field.name, refusal.message))?;
        if !value.is_null() {
            fields.insert(std::sync::Arc::clone(&field.name), value);
        }
    }
    for field in object.fields() {
        if let Some(default) = &field.default {
            let value = fields.entry(std::sync::Arc::clone(&field.name));
            value.or_insert_with(|| default.clone());
        }
    }
    if object.field("OwnerId").is_some() {
        let owner = Value::String(owner.to_string());
        fields.entry("OwnerId".into()).or_insert(owner);
    }
    rules::derive(org, object, &mut fields, now);
    org.set_up(id, fields, now);
    Ok(id)
}

/// A JSON object as field values; nulls are absent.
pub(super) fn fields_of(value: &Value) -> Fields {
    value
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.as_str().into(), value.clone()))
        .collect()
}
