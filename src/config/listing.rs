//! The settings as they are in effect: every name with its value, as TOML, without secrets.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use super::Config;
use super::layers::{Origin, Origins, variable_of};

/// One setting in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its name: `http.listen`.
    pub setting: String,
    /// Its value as TOML; a secret is `"***"`.
    pub value: String,
    /// Who set it; `None` for a default.
    pub origin: Option<Origin>,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.setting, self.value)?;
        match &self.origin {
            Some(origin) => write!(f, "  # {origin}"),
            None => Ok(()),
        }
    }
}

impl Line {
    /// The environment variable that sets it.
    pub fn variable(&self) -> String {
        variable_of(&self.setting)
    }
}

/// Every setting in effect, by name. One that is not set and has no default is left out.
pub(super) fn lines(config: &Config, origins: &Origins) -> Vec<Line> {
    let line = |(setting, value): (String, Value)| Line {
        origin: origins.of(&setting).cloned(),
        value: toml(&value),
        setting,
    };
    let set = |(_, value): &(String, Value)| !value.is_null();
    leaves(config).into_iter().filter(set).map(line).collect()
}

/// The names of all settings.
pub(super) fn names() -> BTreeSet<String> {
    let leaves = leaves(&Config::default());
    leaves.into_iter().map(|(name, _)| name).collect()
}

/// Every setting with its value, by name.
fn leaves(config: &Config) -> Vec<(String, Value)> {
    let tree = serde_json::to_value(config).expect("settings have string keys and finite numbers");
    let mut leaves = Vec::new();
    walk("", tree, &mut leaves);
    leaves
}

/// Collects the leaves of a tree.
fn walk(around: &str, value: Value, leaves: &mut Vec<(String, Value)>) {
    let fields = match value {
        Value::Object(fields) if !fields.is_empty() => fields,
        leaf => return leaves.push((around.to_owned(), leaf)),
    };
    for (key, value) in fields {
        let key = bare_or_quoted(&key);
        let name = match around {
            "" => key,
            around => format!("{around}.{key}"),
        };
        walk(&name, value, leaves);
    }
}

/// A key as TOML wants it: in quotes if it has dots, as librdkafka's names do.
fn bare_or_quoted(key: &str) -> String {
    let bare = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
    if key.bytes().all(bare) {
        key.to_owned()
    } else {
        Value::from(key).to_string()
    }
}

/// A value as TOML. JSON's texts, numbers and booleans are TOML too.
fn toml(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            format!(
                "[{}]",
                items.iter().map(toml).collect::<Vec<_>>().join(", ")
            )
        }
        Value::Object(fields) if fields.is_empty() => "{}".into(),
        Value::Object(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(key, value)| format!("{} = {}", bare_or_quoted(key), toml(value)))
                .collect();
            format!("{{ {} }}", fields.join(", "))
        }
        leaf => leaf.to_string(),
    }
}
