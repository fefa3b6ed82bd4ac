//! What the world looks like at the start: the app, the orgs, their users and their records.
//!
//! Everything has a default, so `{"orgs": [{}]}` is a seed. The same shapes serve the control API:
//! the switches of an org and the settings of a user are patched with what is named in the patch.

mod app;
mod org;
mod user;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub use crate::world::id::Id;
pub use app::{App, AppPolicy, CallbackUrl, PermittedUsers, RefreshTokenPolicy};
pub use org::{CustomField, CustomFieldType, Latency, OrgSeed, OrgSwitches, ValidationRule};
pub use user::{AddressRange, LoginHours, UserSeed, UserSettings};

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
    /// Reads a seed from JSON. The error names the place in it: `orgs[0]: users[1]: …`.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let mut reader = serde_json::Deserializer::from_str(text);
        let seed =
            serde_path_to_error::deserialize(&mut reader).map_err(|error| told("", error))?;
        reader.end().map_err(|error| error.to_string())?;
        Ok(seed)
    }

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
pub(super) fn take<T: DeserializeOwned + Default, E: serde::de::Error>(
    map: &mut Map<String, Value>,
    key: &str,
) -> Result<T, E> {
    match map.remove(key) {
        None | Some(Value::Null) => Ok(T::default()),
        Some(value) => {
            serde_path_to_error::deserialize(value).map_err(|error| E::custom(told(key, error)))
        }
    }
}

/// Reads what `take` has left; an unknown key is an error here.
pub(super) fn remaining<T: DeserializeOwned, E: serde::de::Error>(
    map: Map<String, Value>,
) -> Result<T, E> {
    serde_path_to_error::deserialize(Value::Object(map)).map_err(|error| E::custom(told("", error)))
}

/// An error and its place, below `key`.
fn told(key: &str, error: serde_path_to_error::Error<serde_json::Error>) -> String {
    let path = error.path().to_string();
    let place = match path.as_str() {
        "." | "?" => key.to_owned(),
        path if key.is_empty() || path.starts_with('[') => format!("{key}{path}"),
        path => format!("{key}.{path}"),
    };
    match error.into_inner() {
        inner if place.is_empty() => inner.to_string(),
        inner => format!("{place}: {inner}"),
    }
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
    fn errors_name_the_place() {
        for (text, error) in [
            (
                r#"{"orgs": [{"users": [{}, {"activ": true}]}]}"#,
                "orgs[0]: users[1]: activ: unknown field `activ`",
            ),
            (
                r#"{"orgs": [{}, {"latency": {"base_ms": "x"}}]}"#,
                "orgs[1]: latency.base_ms: invalid type",
            ),
            (
                r#"{"orgs": [{"users": [{"login_hours": [9, 25]}]}]}"#,
                "orgs[0]: users[0]: login_hours: ",
            ),
            (
                r#"{"app": {"redirect_uris": ["callback"]}}"#,
                "app.redirect_uris[0]: ",
            ),
            (r#"{"orgs": []"#, "EOF while parsing"),
            (r#"{"orgs": []} {}"#, "trailing characters"),
        ] {
            let told = Seed::from_json(text).unwrap_err();
            assert!(told.starts_with(error), "{told}");
        }
    }

    #[test]
    fn a_patch_changes_what_it_names() {
        let patch = json!({"active": false}).as_object().cloned().unwrap();
        let settings = patched(&UserSettings::default(), patch).unwrap();
        assert!(!settings.active && settings.edit_tasks);
    }
}
