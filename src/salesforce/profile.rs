//! What an org and its API user allow: asked when an account is linked, in one request.

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::preflight::{Answers, Described, SEARCHED};
use super::query::{Part, Rows, query_path};
use super::soql::literal;
use super::{Answered, Client, Error, Session};
use crate::domain::link::Username;
use crate::domain::outcome::Failure;
use crate::domain::phone;
use crate::domain::preflight::Check;
use crate::domain::task::KeyMode;
use crate::domain::work::ApiUsage;

/// What matters of an org and its API user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// What the org calls itself.
    pub org_name: Option<String>,
    /// The API user's name.
    pub username: Username,
    /// Whether the API user may use the API alone, and none of Salesforce's pages; `None`: that is
    /// not told. A permission set may make it so where the profile does not, which few may ask.
    pub api_only: Option<bool>,
    /// How Tasks are found again.
    pub key_mode: KeyMode,
    /// The org's IANA time zone.
    pub time_zone: Option<String>,
    /// The org's country (ISO 3166-1 alpha-2).
    pub default_country: Option<String>,
    /// Whether the org is a sandbox.
    pub is_sandbox: Option<bool>,
    /// The closed values of Task's Status, in the org's order.
    pub closed_statuses: Vec<String>,
    /// Whether all is as the work needs it.
    pub preflight: Vec<Check>,
}

impl Profile {
    /// What to write into Status in place of `wanted`; `None` where `wanted` is closed, or
    /// nothing is known.
    pub fn closed_status(&self, wanted: &str) -> Option<String> {
        let known = self.closed_statuses.iter().any(|status| status == wanted);
        self.closed_statuses.first().filter(|_| !known).cloned()
    }
}

/// The rows of a query within a composite request.
#[derive(Deserialize)]
struct Records<T> {
    records: Vec<T>,
}

/// The org's own row.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Organization {
    name: Option<String>,
    time_zone_sid_key: Option<String>,
    default_locale_sid_key: Option<String>,
    country: Option<String>,
    is_sandbox: Option<bool>,
}

/// The API user's row.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct User {
    username: String,
}

/// What the API user's profile permits.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Permissions {
    profile: Option<HashMap<String, serde_json::Value>>,
}

/// A value of Status.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TaskStatus {
    api_name: String,
}

impl Client {
    /// Asks an org what it allows. Task must be visible; what else cannot be asked is unknown.
    pub async fn profile(&self, session: &Session) -> Result<Answered<Profile>, Error> {
        let user = literal(session.api_user.user.as_str());
        let query = |statement: &str| query_path(Rows::Living, statement);
        let paths = [
            "sobjects/Task/describe".to_owned(),
            query(
                "SELECT Name, TimeZoneSidKey, DefaultLocaleSidKey, Country, IsSandbox FROM Organization",
            ),
            query(&format!("SELECT Username FROM User WHERE Id = {user}")),
            permissions_path(session),
            query("SELECT ApiName FROM TaskStatus WHERE IsClosed = true ORDER BY SortOrder"),
            query(&format!(
                "SELECT Profile.PermissionsApiUserOnly, Profile.PermissionsViewAllUsers FROM User WHERE Id = {user}"
            )),
        ];
        let searched = SEARCHED.map(|object| format!("sobjects/{object}/describe"));
        let paths = [&paths[..], &searched].concat();
        let answered = self.composite(session, &paths, None).await?;
        let usage = answered.usage;
        match profile(answered.value, usage, &self.config.task_key_field) {
            Ok(value) => Ok(Answered { value, usage }),
            Err(failure) => Err(Error {
                usage,
                ..Error::answered(failure)
            }),
        }
    }
}

/// Reads the answers, in the order of their questions.
fn profile(parts: Vec<Part>, usage: Option<ApiUsage>, key_field: &str) -> Result<Profile, Failure> {
    let mut parts = parts.into_iter();
    let mut next = || parts.next().expect("an answer to each question");
    let described: Described = next().read()?;
    let organization: Option<Organization> = rows(next())?.into_iter().next();
    let user: Option<User> = rows(next())?.into_iter().next();
    let all_data: Option<Permissions> = rows(next())?.into_iter().next();
    let sees_all = all_data.map(|p| p.has(VIEW_ALL_DATA));
    let statuses: Vec<TaskStatus> = rows(next())?;
    let others: Option<Permissions> = rows(next())?.into_iter().next();
    let other = |name| others.as_ref().map(|permissions| permissions.has(name));
    let api_only = other("PermissionsApiUserOnly");
    let searched = [
        next().permitted()?,
        next().permitted()?,
        next().permitted()?,
    ];
    let key_mode = key_mode(&described, key_field, sees_all.unwrap_or_default());
    let answers = Answers {
        task: &described,
        searched,
        key_mode: &key_mode,
        key_field,
        sees_all,
        sees_users: other("PermissionsViewAllUsers"),
        api_only,
        usage,
    };
    Ok(Profile {
        preflight: answers.checks(),
        org_name: organization.as_ref().and_then(|o| o.name.clone()),
        username: user
            .map(|user| Username::new(user.username))
            .unwrap_or_default(),
        api_only,
        key_mode,
        default_country: organization.as_ref().and_then(Organization::country_code),
        is_sandbox: organization.as_ref().and_then(|o| o.is_sandbox),
        time_zone: organization.and_then(|o| o.time_zone_sid_key),
        closed_statuses: statuses.into_iter().map(|status| status.api_name).collect(),
    })
}

/// The permission to see every record, as a profile has it.
const VIEW_ALL_DATA: &str = "PermissionsViewAllData";

/// The path of the question what the API user's profile permits. An edition without the permission
/// refuses the whole query, so it is asked by itself.
pub(super) fn permissions_path(session: &Session) -> String {
    let user = literal(session.api_user.user.as_str());
    let statement = format!("SELECT Profile.PermissionsViewAllData FROM User WHERE Id = {user}");
    query_path(Rows::Living, &statement)
}

/// Whether the API user sees every record, by the answer to [`permissions_path`].
pub(super) fn sees_all(part: Part) -> Result<bool, Failure> {
    let permissions: Option<Permissions> = rows(part)?.into_iter().next();
    Ok(permissions.is_some_and(|p| p.has(VIEW_ALL_DATA)))
}

/// The rows of a part; none where the API user may not ask.
fn rows<T: DeserializeOwned>(part: Part) -> Result<Vec<T>, Failure> {
    let rows: Option<Records<T>> = part.permitted()?;
    Ok(rows.map(|rows| rows.records).unwrap_or_default())
}

impl Permissions {
    /// Whether the profile grants it. A permission set may grant it too, but few API users may ask
    /// for those: then it is taken as not granted.
    fn has(&self, permission: &str) -> bool {
        let granted = self.profile.as_ref().and_then(|p| p.get(permission));
        granted
            .and_then(serde_json::Value::as_bool)
            .unwrap_or_default()
    }
}

impl Organization {
    /// The country of numbers without a country code: the org's own where it is a code, else that
    /// of its locale (`en_GB`, `de_AT_EURO`).
    fn country_code(&self) -> Option<String> {
        let own = self.country.as_deref().and_then(phone::country);
        own.or_else(|| {
            let mut parts = self.default_locale_sid_key.as_deref()?.split('_').skip(1);
            parts.find_map(phone::country)
        })
    }
}

/// By the unique field where the org has it and the API user may write it, else by `CallObject`.
fn key_mode(task: &Described, field: &str, sees_all: bool) -> KeyMode {
    let found = task
        .fields
        .iter()
        .find(|f| f.name.eq_ignore_ascii_case(field));
    match found.filter(|f| f.external_id && f.unique && f.createable) {
        Some(field) => KeyMode::UniqueField {
            field: field.name.clone(),
        },
        None => KeyMode::CallObject { sees_all },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described((name, createable, key): (&str, bool, bool)) -> Described {
        let described = serde_json::json!({
            "createable": true,
            "fields": [{
                "name": name,
                "createable": createable,
                "externalId": key,
                "unique": key,
            }],
        });
        serde_json::from_value(described).expect("a description")
    }

    #[test]
    fn the_unique_field_counts_only_if_it_is_unique_and_writable() {
        let mode = |field| key_mode(&described(field), "vcc_call_key__c", true);
        let unique = KeyMode::UniqueField {
            field: "VCC_Call_Key__c".into(),
        };
        assert_eq!(mode(("VCC_Call_Key__c", true, true)), unique);
        let fallback = KeyMode::CallObject { sees_all: true };
        assert_eq!(mode(("VCC_Call_Key__c", false, true)), fallback);
        assert_eq!(mode(("VCC_Call_Key__c", true, false)), fallback);
        assert_eq!(mode(("Other__c", true, true)), fallback);
    }

    #[test]
    fn the_country_is_a_code_or_the_locales() {
        let code = |country: Option<&str>, locale: Option<&str>| {
            let organization = Organization {
                name: None,
                time_zone_sid_key: None,
                default_locale_sid_key: locale.map(Into::into),
                country: country.map(Into::into),
                is_sandbox: None,
            };
            organization.country_code()
        };
        assert_eq!(code(Some("de"), Some("en_US")), Some("DE".into()));
        assert_eq!(
            code(Some("United Kingdom"), Some("en_GB")),
            Some("GB".into())
        );
        assert_eq!(code(Some("UK"), Some("de_AT_EURO")), Some("AT".into()));
        assert_eq!(code(None, Some("en")), None);
    }

    #[test]
    fn a_status_is_replaced_only_if_it_is_not_closed() {
        let closed = |statuses: &[&str]| {
            let profile = Profile {
                org_name: None,
                username: Username::default(),
                api_only: None,
                key_mode: KeyMode::CallObject { sees_all: false },
                time_zone: None,
                default_country: None,
                is_sandbox: None,
                closed_statuses: statuses.iter().map(|s| (*s).to_owned()).collect(),
                preflight: vec![],
            };
            profile.closed_status("Completed")
        };
        assert_eq!(closed(&["Erledigt", "Abgesagt"]), Some("Erledigt".into()));
        assert_eq!(closed(&["Abgesagt", "Completed"]), None);
        assert_eq!(closed(&[]), None);
    }
}
