//! What the settings file and the environment say, laid over each other, and which said what.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use figment::providers::{Format, Toml};
use figment::value::Value;

use super::PREFIX;
use crate::domain::fault::Fault;

/// Settings as a tree of names.
pub(super) type Tree = figment::value::Dict;

/// Who set a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The settings file.
    File(PathBuf),
    /// The environment variable of this name.
    Environment(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => f.write_str(name),
        }
    }
}

/// Who set which setting; what is not in here is a default.
#[derive(Clone, Debug, Default)]
pub(super) struct Origins(BTreeMap<String, Origin>);

impl Origins {
    /// Who set a setting: itself, or the nearest around it (`crypto.keys` for `crypto.keys[0].id`).
    pub(super) fn of(&self, setting: &str) -> Option<&Origin> {
        let mut name = setting;
        loop {
            if let Some(origin) = self.0.get(name) {
                return Some(origin);
            }
            name = &name[..name.rfind(['.', '['])?];
        }
    }

    /// Notes the origin of every leaf of a tree.
    fn note(&mut self, around: &str, tree: &Tree, origin: &Origin) {
        for (key, value) in tree {
            let name = if around.is_empty() {
                key.clone()
            } else {
                format!("{around}.{key}")
            };
            match value {
                Value::Dict(_, inner) => self.note(&name, inner, origin),
                _ => drop(self.0.insert(name, origin.clone())),
            }
        }
    }
}

/// Both layers.
pub(super) struct Layers {
    /// The file's settings, with the environment's laid over them.
    pub(super) tree: Tree,
    /// Who set what.
    pub(super) origins: Origins,
}

/// Reads both layers. `known` are the names of all settings.
pub(super) fn read(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
    known: &BTreeSet<String>,
    faults: &mut Vec<Fault>,
) -> Layers {
    let mut layers = Layers {
        tree: Tree::new(),
        origins: Origins::default(),
    };
    if let Some(path) = file {
        layers.tree = read_file(path).unwrap_or_else(|fault| {
            faults.push(fault);
            Tree::new()
        });
        layers
            .origins
            .note("", &layers.tree, &Origin::File(path.to_owned()));
    }
    for (name, text) in environment {
        match setting_of(&name, known) {
            Variable::Setting(path) => {
                layers
                    .origins
                    .0
                    .insert(path.join("."), Origin::Environment(name));
                insert(&mut layers.tree, &path, value_of(&text));
            }
            Variable::Misspelt(meant) => {
                let advice = format!("no setting has this name; write {}", variable_of(&meant));
                faults.push(Fault::new(name, advice));
            }
            Variable::Foreign => {}
        }
    }
    layers
}

/// The tree of a settings file.
fn read_file(path: &Path) -> Result<Tree, Fault> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let advice = format!("cannot be read ({error}); write the path of a settings file");
        Fault::new(path.display().to_string(), advice)
    })?;
    parse_toml(&text).map_err(|fault| {
        Fault::new(
            format!("{} {}", path.display(), fault.setting),
            fault.advice,
        )
    })
}

/// The tree of a TOML text. The fault names the line and does not quote it: it may hold a secret.
pub(super) fn parse_toml(text: &str) -> Result<Tree, Fault> {
    Toml::from_str::<Tree>(text).map_err(|error| {
        let before = error
            .span()
            .and_then(|span| text.get(..span.start))
            .unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let what = error.message().replace('\n', ", ");
        Fault::new(format!("line {line}"), format!("this is no TOML: {what}"))
    })
}

/// What an environment variable is to us.
enum Variable {
    /// The setting at this path.
    Setting(Vec<String>),
    /// Meant to be the setting of this name.
    Misspelt(String),
    /// No setting.
    Foreign,
}

/// Tells settings from other variables. Two underscores stand between section and field; without
/// them it is most likely somebody else's (Kubernetes sets `VCC_LINK_SIDECAR_PORT` and the like
/// for a service of that name), unless a second underscore would make it ours.
fn setting_of(name: &str, known: &BTreeSet<String>) -> Variable {
    let Some(rest) = name.strip_prefix(PREFIX) else {
        return Variable::Foreign;
    };
    let path: Vec<String> = rest.split("__").map(str::to_ascii_lowercase).collect();
    if path.len() > 1 {
        return Variable::Setting(path);
    }
    match known
        .iter()
        .find(|setting| setting.replace('.', "_") == path[0])
    {
        Some(meant) => Variable::Misspelt(meant.clone()),
        None => Variable::Foreign,
    }
}

/// The environment variable of a setting.
pub(super) fn variable_of(setting: &str) -> String {
    format!(
        "{PREFIX}{}",
        setting.replace('.', "__").to_ascii_uppercase()
    )
}

/// A variable's text as a value. It stays text, so that a secret of digits only is not taken for a
/// number; numbers and booleans are made of it where the setting wants one. Lists and tables are
/// written as in TOML.
fn value_of(text: &str) -> Value {
    let list = text.trim();
    if list.starts_with(['[', '{'])
        && let Ok(value @ (Value::Array(..) | Value::Dict(..))) = list.parse()
    {
        return value;
    }
    Value::from(text)
}

/// Puts a value at a path; what is in the way gives way.
fn insert(tree: &mut Tree, path: &[String], value: Value) {
    let Some((key, rest)) = path.split_first() else {
        return;
    };
    if rest.is_empty() {
        tree.insert(key.clone(), value);
        return;
    }
    let inner = tree
        .entry(key.clone())
        .or_insert_with(|| Value::from(Tree::new()));
    if inner.as_dict().is_none() {
        *inner = Value::from(Tree::new());
    }
    if let Value::Dict(_, inner) = inner {
        insert(inner, rest, value);
    }
}
