//! `vcc-link links preflight`: whether an org and its API user are as the work needs them.

use std::fmt::Write as _;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::output::print;
use crate::domain::ids::AccountId;
use crate::domain::preflight::{Check, Found};
use crate::linking::Linking;

/// Asks, and tells.
pub(super) async fn run(
    linking: &Linking,
    account: &AccountId,
    as_json: bool,
) -> anyhow::Result<()> {
    let state = linking.preflight(account).await;
    let state = state.context("there is no preflight")?;
    let Some(org) = state.org else {
        bail!("the account {account} is not linked: there is nobody to ask");
    };
    let missing = org.missing();
    print(&if as_json {
        let checks: Vec<Value> = org.preflight.iter().map(to_json).collect();
        let document = json!({ "account": account, "ok": missing.is_empty(), "checks": checks });
        serde_json::to_string_pretty(&document)? + "\n"
    } else {
        org.preflight.iter().map(to_text).collect()
    })?;
    match missing.len() {
        0 => Ok(()),
        lacks => bail!("{lacks} needed things are missing: {}", missing.join(", ")),
    }
}

/// One check in words.
fn to_text(check: &Check) -> String {
    let (point, found) = (&check.point, word(check.found));
    let need = if point.is_needed() {
        "needed"
    } else {
        "better"
    };
    let mut text = format!("{found:<8} {need:<7} {}\n", point.name());
    if check.found != Found::Yes {
        let (setting, help) = (point.setting(), point.help());
        let _ = writeln!(text, "    {setting}\n    {help}");
    }
    text
}

/// One check as JSON.
fn to_json(check: &Check) -> Value {
    let point = &check.point;
    json!({
        "name": point.name(),
        "point": point,
        "found": check.found,
        "needed": point.is_needed(),
        "setting": point.setting(),
        "help": point.help(),
    })
}

/// What was found, in a word.
const fn word(found: Found) -> &'static str {
    match found {
        Found::Yes => "yes",
        Found::No => "NO",
        Found::Unknown => "unknown",
    }
}
