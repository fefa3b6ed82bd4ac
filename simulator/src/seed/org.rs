//! An org: what it is made of, and what can be switched about it.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::{AppPolicy, Generate, Id, UserSeed, remaining, take};

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
    /// Login address ranges hold for every request, not only for logins and refreshes.
    pub addresses_on_every_request: bool,
    /// What the admin decides about the app.
    pub app_policy: AppPolicy,
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
            addresses_on_every_request: false,
            app_policy: AppPolicy::default(),
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
