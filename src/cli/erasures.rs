//! `vcc-link privacy log`: what was erased, and by whom.

use serde_json::{Value, json};

use super::output::print;
use crate::store::Store;
use crate::store::privacy::ErasureNote;
use crate::telling::time;

/// Lines that are listed.
const LINES: u32 = 200;

/// Lists what was erased.
pub(super) async fn list(store: &dyn Store, as_json: bool) -> anyhow::Result<()> {
    let notes = store.erasures(LINES).await?;
    print(&if as_json {
        let entry = |note: &ErasureNote| {
            json!({
                "at": time(note.at),
                "by": note.by,
                "subject": note.subject,
                "account": note.account,
                "calls": note.calls,
                "notOver": note.kept,
                "quarantined": note.records,
            })
        };
        json!(notes.iter().map(entry).collect::<Vec<Value>>()).to_string() + "\n"
    } else {
        notes.iter().map(line).collect()
    })
}

/// A line of the log.
fn line(note: &ErasureNote) -> String {
    let whose = match &note.account {
        Some(account) => format!("the account {account}"),
        None => "a number".to_owned(),
    };
    format!(
        "{}  {whose}, by {}: {} calls and {} quarantined records; {} calls were not over\n",
        time(note.at),
        note.by,
        note.calls,
        note.records,
        note.kept
    )
}
