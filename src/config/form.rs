//! Names and types of settings: every fault at once.
//!
//! Serde stops at the first fault. So the faulty setting is noted and taken out, its default takes
//! its place, and reading starts again, until what is left can be read.

use figment::Figment;
use figment::error::{Actual, Kind};
use figment::providers::Serialized;
use figment::value::Value;

use super::layers::Tree;
use super::{Config, listing};
use crate::domain::fault::Fault;

/// Reads a tree as settings. Also returns the names whose values are not what was written,
/// because they could not be read.
pub(super) fn read(mut tree: Tree, faults: &mut Vec<Fault>) -> (Config, Vec<String>) {
    let mut doubtful = Vec::new();
    loop {
        // Lossy: text becomes a number or a boolean where one is wanted. The environment has
        // nothing but text.
        let error = match Figment::from(Serialized::defaults(&tree)).extract_lossy() {
            Ok(config) => return (config, doubtful),
            Err(error) => error,
        };
        faults.push(fault(&error));
        let Some(removed) = remove(&mut tree, &error.path) else {
            // No single setting is to blame: nothing can be read beside it.
            return (Config::default(), listing::names().into_iter().collect());
        };
        doubtful.push(removed);
    }
}

/// Takes the setting at a path out and returns its name. An element of a list cannot go without
/// moving the others, so the list goes, and the whole section is in doubt.
fn remove(tree: &mut Tree, path: &[String]) -> Option<String> {
    let (last, around) = path.split_last()?;
    let mut inner = &mut *tree;
    for key in around {
        if inner.get(key)?.as_dict().is_none() {
            return inner.remove(key).map(|_| path[0].clone());
        }
        let Some(Value::Dict(_, next)) = inner.get_mut(key) else {
            return None;
        };
        inner = next;
    }
    inner.remove(last).map(|_| path.join("."))
}

/// The fault of one error, without the value: it may be a secret.
fn fault(error: &figment::Error) -> Fault {
    let setting = name(&error.path);
    let advice = match &error.kind {
        Kind::UnknownField(_, allowed) => unknown(&error.path, allowed),
        Kind::UnknownVariant(_, allowed) => format!("write one of: {}", allowed.join(", ")),
        Kind::InvalidType(found, wanted) => format!("write {}, not {}", words(wanted), kind(found)),
        Kind::InvalidValue(_, wanted) | Kind::InvalidLength(_, wanted) => {
            format!("write {}", words(wanted))
        }
        Kind::MissingField(field) => {
            return Fault::new(format!("{setting}.{field}"), "is missing here: write it");
        }
        Kind::Message(message) => sentence(message),
        other => other.to_string(),
    };
    Fault::new(setting, advice)
}

/// A path as it is written in faults: `crypto.keys[0].id`.
fn name(path: &[String]) -> String {
    path.iter().fold(String::new(), |around, key| {
        if around.is_empty() {
            key.clone()
        } else if key.bytes().all(|b| b.is_ascii_digit()) {
            format!("{around}[{key}]")
        } else {
            format!("{around}.{key}")
        }
    })
}

/// Advice on a name that no setting has: the nearest beside it, the same name in another section,
/// or what there is.
fn unknown(path: &[String], allowed: &[&str]) -> String {
    let written = path.last().map_or("", String::as_str);
    let similarity = |name: &str| strsim::jaro_winkler(written, name);
    let nearest = allowed
        .iter()
        .max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
    if let Some(nearest) = nearest.filter(|name| similarity(name) > 0.8) {
        return format!("there is no such setting; did you mean `{nearest}`?");
    }
    let elsewhere = listing::names()
        .into_iter()
        .find(|n| n.rsplit('.').next() == Some(written));
    if let Some(elsewhere) = elsewhere {
        return format!("there is no such setting; did you mean `{elsewhere}`?");
    }
    format!(
        "there is no such setting; here may stand: {}",
        allowed.join(", ")
    )
}

/// What serde expects, in words for people.
fn words(wanted: &str) -> String {
    match wanted {
        "a duration" => "a duration like \"30s\", \"5m\" or \"1h 30m\"".into(),
        "a boolean" => "true or false".into(),
        "a sequence" => "a list: [\"…\", \"…\"]".into(),
        "f32" | "f64" => "a number".into(),
        number if number.starts_with(['u', 'i']) && number[1..].parse::<u8>().is_ok() => {
            format!("a whole number ({number})")
        }
        "usize" | "u64 or usize" => "a whole number".into(),
        section if section.starts_with("struct ") => "a table of settings: { name = value }".into(),
        other => other.to_owned(),
    }
}

/// The message of a type that reads itself from text, where it does not say what to write.
fn sentence(message: &str) -> String {
    match message {
        "invalid socket address syntax" => {
            "write an address with a port, like \"127.0.0.1:9464\"".into()
        }
        other => other.to_owned(),
    }
}

/// What kind of value was found, without the value.
fn kind(found: &Actual) -> &'static str {
    match found {
        Actual::Bool(_) => "true or false",
        Actual::Unsigned(_) | Actual::Signed(_) => "a whole number",
        Actual::Float(_) => "a number",
        Actual::Str(_) | Actual::Char(_) => "this text",
        Actual::Seq => "a list",
        Actual::Map => "a table",
        _ => "this",
    }
}
