//! What the world looks like at the start: the app, the orgs, their users and their records.
//!
//! Everything has a default, so `{"orgs": [{}]}` is a seed. The same shapes serve the control API:
//! the switches of an org and the settings of a user are patched with what is named in the patch.

use std::collections::BTreeSet;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

pub use crate::world::id::Id;

/// A seed: what to add to the world.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Seed {
    /// Replaces the connected app, if given.
    pub app: Option<App>,
    /// Idle time after which an access token dies; sliding, as Salesforce's is.
    pub session_timeout_s: Option<u64>,
    /// Orgs to add.
    pub orgs: Vec<OrgSeed>,
}

impl Seed {
    /// The seed used when none is given: one org, one API user, a small phone book.
    pub fn demo() -> Self {
        let org = json!({
            "name": "Acme", "my_domain": "acme",
            "users": [
                {"username": "api@acme.example", "name": "Api User", "api_only": true,
                 "view_all_data": true, "refresh_token": "demo-refresh-token"},
                {"username": "agent@acme.example", "name": "Ada Agent"},
            ],
            "generate": {"contacts": 50, "leads": 20, "accounts": 10},
        });
        // The text above is fixed, and the tests read it.
        let org = serde_json::from_value(org).unwrap_or_default();
        Self {
            orgs: vec![org],
            ..Self::default()
        }
    }
}

/// The connected app (or External Client App) that tokens are issued to.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct App {
    /// Consumer key.
    pub client_id: String,
    /// Consumer secret; also the key of the token answer's signature.
    pub client_secret: String,
    /// Whether each refresh gives a new refresh token and kills the old one.
    pub rotation: bool,
    /// Approvals that a user may have at a time; one more revokes the oldest.
    pub approvals: usize,
}

impl Default for App {
    fn default() -> Self {
        Self {
            client_id: "sim-client-id".to_owned(),
            client_secret: "sim-client-secret".to_owned(),
            rotation: true,
            approvals: 5,
        }
    }
}

/// One org to add.
#[derive(Debug, Clone, Default)]
pub struct OrgSeed {
    /// Its `00D…` id; generated if absent.
    pub id: Option<Id>,
    /// The company's name.
    pub name: Option<String>,
    /// The first label of its My Domain host; made from the name if absent.
    pub my_domain: Option<String>,
    /// Its users; one API user if empty.
    pub users: Vec<UserSeed>,
    /// Records, each with its `type` and fields.
    pub records: Vec<Map<String, Value>>,
    /// A phone book to make up.
    pub generate: Option<Generate>,
    /// Fields beyond the standard ones.
    pub custom_fields: Vec<CustomField>,
    /// Everything that can also be changed later.
    pub switches: OrgSwitches,
}

impl<'de> Deserialize<'de> for OrgSeed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut rest = Map::deserialize(deserializer)?;
        Ok(Self {
            id: take(&mut rest, "id")?,
            name: take(&mut rest, "name")?,
            my_domain: take(&mut rest, "my_domain")?,
            users: take(&mut rest, "users")?,
            records: take(&mut rest, "records")?,
            generate: take(&mut rest, "generate")?,
            custom_fields: take(&mut rest, "custom_fields")?,
            switches: remaining(rest)?,
        })
    }
}

/// What can be switched about an org at any time.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches, as an admin has them"
)]
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct OrgSwitches {
    /// `Organization.OrganizationType`.
    pub edition: String,
    /// `Organization.IsSandbox`.
    pub sandbox: bool,
    /// `Organization.Country`, an ISO code: what national numbers are national to.
    pub default_country: String,
    /// API calls per rolling 24 hours.
    pub daily_limit: u64,
    /// Requests of 20 seconds and more that may run at a time.
    pub long_running_limit: usize,
    /// A custom Task field that is External ID and unique.
    pub task_external_id_field: Option<String>,
    /// How long the search index lags behind the database.
    pub index_delay_ms: u64,
    /// How long an answer takes.
    pub latency: Latency,
    /// Users without View All Data see only the Tasks they own.
    pub private_tasks: bool,
    /// Users without View All Data see only the Accounts, Contacts and Leads they own.
    pub private_records: bool,
    /// Numbers that are not of ten digits are found only in their exact spelling.
    pub strict_international: bool,
    /// A validation rule on Task.
    pub validation_rule: Option<ValidationRule>,
    /// A Task field that an admin made required.
    pub required_task_field: Option<String>,
    /// All data storage is used up.
    pub storage_full: bool,
    /// The edition has no API.
    pub api_disabled: bool,
    /// Answers every data request with the maintenance page, under this HTTP status.
    pub maintenance: Option<u16>,
}

impl Default for OrgSwitches {
    fn default() -> Self {
        Self {
            edition: "Enterprise Edition".to_owned(),
            sandbox: false,
            default_country: "GB".to_owned(),
            daily_limit: 100_000,
            long_running_limit: 25,
            task_external_id_field: None,
            index_delay_ms: 0,
            latency: Latency::default(),
            private_tasks: false,
            private_records: false,
            strict_international: false,
            validation_rule: None,
            required_task_field: None,
            storage_full: false,
            api_disabled: false,
            maintenance: None,
        }
    }
}

/// The time an answer takes: `base_ms` + `per_record_ms` × records.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Latency {
    /// For every request.
    pub base_ms: u64,
    /// For every record written or returned.
    pub per_record_ms: f64,
}

/// A validation rule: Tasks that it matches are refused.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ValidationRule {
    /// The field that the error is shown at.
    pub field: String,
    /// The admin's text.
    pub message: String,
    /// Refuses Tasks whose field contains this; every Task if absent.
    #[serde(default)]
    pub contains: Option<String>,
}

/// A custom field to add to an object.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomField {
    /// Such as `Task`.
    pub object: String,
    /// Such as `Agent_Id__c`.
    pub name: String,
    /// Its type.
    #[serde(rename = "type", default)]
    pub kind: CustomFieldType,
    /// Its length, for text.
    #[serde(default = "CustomField::default_length")]
    pub length: usize,
    /// External ID and unique.
    #[serde(default)]
    pub unique: bool,
    /// External ID without being unique.
    #[serde(default)]
    pub external_id: bool,
}

impl CustomField {
    fn default_length() -> usize {
        255
    }
}

/// The types that a custom field can have.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CustomFieldType {
    /// Text.
    #[default]
    String,
    /// Phone: read by `IN PHONE FIELDS`.
    Phone,
    /// Email.
    Email,
    /// Checkbox.
    Boolean,
    /// Number.
    Double,
    /// Date and time.
    DateTime,
}

/// One user to add.
#[derive(Debug, Clone, Default)]
pub struct UserSeed {
    /// Their `005…` id; generated if absent.
    pub id: Option<Id>,
    /// A refresh token that the app already has for this user.
    pub refresh_token: Option<String>,
    /// A session that the user already has.
    pub access_token: Option<String>,
    /// Everything that can also be changed later.
    pub settings: UserSettings,
}

impl<'de> Deserialize<'de> for UserSeed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut rest = Map::deserialize(deserializer)?;
        Ok(Self {
            id: take(&mut rest, "id")?,
            refresh_token: take(&mut rest, "refresh_token")?,
            access_token: take(&mut rest, "access_token")?,
            settings: remaining(rest)?,
        })
    }
}

/// What can be changed about a user at any time.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent permissions, as an admin has them"
)]
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserSettings {
    /// Their login; made unique if empty.
    pub username: String,
    /// Their email address; the username if empty.
    pub email: String,
    /// First and last name.
    pub name: String,
    /// `IsActive`. A deactivated user owns nothing new and gets no token.
    pub active: bool,
    /// Frozen: the user cannot log in, and their tokens are dead.
    pub frozen: bool,
    /// The permission "API Only User".
    pub api_only: bool,
    /// The permission "API Enabled".
    pub api_enabled: bool,
    /// The permission "Edit Tasks": without it no Task is created or changed.
    pub edit_tasks: bool,
    /// The permission "View All Data": sharing hides nothing.
    pub view_all_data: bool,
    /// The permission "View Setup and Configuration".
    pub view_setup: bool,
    /// Fields that field-level security hides, such as `Task.CallDisposition`.
    pub hidden_fields: BTreeSet<String>,
    /// Objects that the user has no access to, such as `Lead`.
    pub hidden_objects: BTreeSet<String>,
    /// Fields that the user may read but not write, such as `Task.CallObject`.
    pub read_only_fields: BTreeSet<String>,
    /// Objects that the user may read but not write, such as `Contact`.
    pub read_only_objects: BTreeSet<String>,
}

impl Default for UserSettings {
    fn default() -> Self {
        Self {
            username: String::new(),
            email: String::new(),
            name: "Pat Person".to_owned(),
            active: true,
            frozen: false,
            api_only: false,
            api_enabled: true,
            edit_tasks: true,
            view_all_data: false,
            view_setup: false,
            hidden_fields: BTreeSet::new(),
            hidden_objects: BTreeSet::new(),
            read_only_fields: BTreeSet::new(),
            read_only_objects: BTreeSet::new(),
        }
    }
}

/// How many records to make up.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Generate {
    /// Contacts, each of one of the accounts.
    pub contacts: usize,
    /// Leads.
    pub leads: usize,
    /// Accounts.
    pub accounts: usize,
    /// The same seed makes the same phone book.
    pub seed: u64,
}

/// Takes one key out of a map; absent means default.
fn take<T: DeserializeOwned + Default, E: serde::de::Error>(
    map: &mut Map<String, Value>,
    key: &str,
) -> Result<T, E> {
    match map.remove(key) {
        None | Some(Value::Null) => Ok(T::default()),
        Some(value) => {
            serde_json::from_value(value).map_err(|error| E::custom(format!("{key}: {error}")))
        }
    }
}

/// Reads what `take` has left; an unknown key is an error here.
fn remaining<T: DeserializeOwned, E: serde::de::Error>(map: Map<String, Value>) -> Result<T, E> {
    serde_json::from_value(Value::Object(map)).map_err(E::custom)
}

/// Lays the keys of `patch` over `settings`.
pub(crate) fn patched<T: Serialize + DeserializeOwned>(
    settings: &T,
    patch: Map<String, Value>,
) -> Result<T, serde_json::Error> {
    let mut merged = serde_json::to_value(settings)?;
    let target = merged
        .as_object_mut()
        .ok_or_else(|| serde_json::Error::custom("settings are an object"))?;
    target.extend(patch);
    serde_json::from_value(merged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_and_the_smallest_seed_are_seeds() {
        assert_eq!(Seed::demo().orgs[0].users.len(), 2);
        let seed: Seed = serde_json::from_str(r#"{"orgs": [{}]}"#).unwrap();
        assert_eq!(seed.orgs[0].switches.daily_limit, 100_000);
    }

    #[test]
    fn a_misspelt_key_is_refused() {
        for text in [
            r#"{"org": []}"#,
            r#"{"orgs": [{"dayly_limit": 3}]}"#,
            r#"{"orgs": [{"users": [{"activ": true}]}]}"#,
        ] {
            assert!(serde_json::from_str::<Seed>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_patch_changes_what_it_names() {
        let patch = json!({"active": false}).as_object().cloned().unwrap();
        let settings = patched(&UserSettings::default(), patch).unwrap();
        assert!(!settings.active && settings.edit_tasks);
    }
}
