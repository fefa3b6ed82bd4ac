//! `vcc-link keys`: the keys that seal what the database holds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::output::{Output, print};
use super::progress::Progress;
use super::{Global, open_store};
use crate::clock;
use crate::config::Config;
use crate::crypto::{self, Key};
use crate::domain::ids::KeyId;
use crate::sealing::Sealer;
use crate::sealing::rotation::{self, Census, Counts, Rotation};
use crate::store::rings::RingKind;

/// Show, make and rotate the keys of the ring, which seal tokens and the data keys of accounts.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
To change the key, without stopping anything:
  1. vcc-link keys add         makes a key: add it to crypto.keys of every process, restart each
  2. set crypto.primary to its id in every process, restart each
  3. vcc-link keys rotate      seals by it whatever another key sealed
  4. vcc-link keys list        says which keys may go out of crypto.keys

What is stored about calls is sealed by a data key of its account, and is left as it is: only the data
keys are sealed anew.")]
pub struct Args {
    /// How it is told.
    #[command(flatten)]
    pub output: Output,
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// The actions on keys.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Make a key of 32 random bytes and print it in the form of the settings. It is stored nowhere.
    #[command(after_help = "\
Examples:
  vcc-link keys add
  vcc-link keys add --id 2026-12 --json | jq -r .key")]
    Add {
        /// Its id: 1 to 32 letters, digits, '-', '_' or '.'; today's date if none is given.
        #[arg(long)]
        id: Option<String>,
    },
    /// List every key of the ring: how many rows it seals, which key is the primary, and which may be removed.
    #[command(after_help = "\
Examples:
  vcc-link keys list
  vcc-link keys list --json | jq -r '.keys[] | select(.removable) | .id'")]
    List,
    /// Seal by the primary key whatever another key of the ring sealed, while workers go on.
    ///
    /// That is tokens, the data keys of accounts, contacts, logins, events of links and quarantined
    /// records. Bodies of calls and their events stay as they are, sealed by their accounts' data keys.
    ///
    /// A row is replaced only where nobody changed it meanwhile. It may be interrupted at any time,
    /// and run again.
    #[command(after_help = "\
Example:
  vcc-link keys rotate && vcc-link keys list")]
    Rotate,
}

/// Runs it.
pub async fn run(args: Args, global: &Global) -> anyhow::Result<()> {
    let as_json = args.output.json;
    if let Action::Add { id } = args.action {
        return add(id, global, as_json);
    }
    let config = global.sections(&["store", "crypto"])?.config;
    let sealer = Sealer::of(&config.crypto)?;
    let rotation = Rotation::new(open_store(&config).await?, sealer);
    match args.action {
        Action::Rotate => rotate(&rotation, &config, as_json).await,
        Action::List | Action::Add { .. } => list(&rotation, &config, as_json).await,
    }
}

/// Prints a key.
fn add(id: Option<String>, global: &Global, as_json: bool) -> anyhow::Result<()> {
    let id = id.unwrap_or_else(|| clock::now().format("%Y-%m-%d").to_string());
    if id.parse::<KeyId>().is_err() {
        bail!("--id: write 1 to 32 letters, digits, '-', '_' or '.'");
    }
    // Before the first key the settings are wrong, which is no reason to make none.
    let taken = global.sections(&["crypto"]).is_ok_and(|settings| {
        let keys = &settings.config.crypto.keys;
        keys.iter().any(|key| key.id == id)
    });
    if taken {
        bail!("--id: crypto.keys has a key `{id}` already; give this one an id of its own");
    }
    let key = Key::random(id);
    let (id, secret) = (&key.id, key.key.expose_secret());
    if as_json {
        return print(&format!("{}\n", json!({ "id": id, "key": secret })));
    }
    eprintln!(
        "Add this to crypto.keys in the settings of every process (best in VCC_LINK_CRYPTO__KEYS, \
         out of the file), and keep it where secrets are kept: it is stored nowhere else. What is \
         sealed by it is lost without it."
    );
    print(&format!("{{ id = \"{id}\", key = \"{secret}\" }}\n"))
}

/// Lists the keys of the settings and of the database.
async fn list(rotation: &Rotation, config: &Config, as_json: bool) -> anyhow::Result<()> {
    let mut progress = Progress::new(!as_json);
    let census = rotation
        .census(|seen| progress.tell(|| format!("{seen} rows looked at")))
        .await;
    progress.end();
    let census = census.context("the sealed rows could not be read")?;
    let lines = lines(&census, &config.crypto);
    print(&if as_json {
        to_json(&lines, &census.unreadable)
    } else {
        to_text(&lines, &census.unreadable)
    })
}

/// What is told of one key.
struct Line<'a> {
    id: &'a str,
    rows: Counts,
    /// It seals.
    primary: bool,
    /// It is in the settings.
    known: bool,
}

impl Line<'_> {
    /// Nothing needs it any more.
    fn is_removable(&self) -> bool {
        self.known && !self.primary && self.rows.is_empty()
    }

    /// What a person should know of it.
    fn says(&self) -> &'static str {
        match (self.primary, self.known) {
            (true, _) => "primary: it seals",
            (_, false) => "NOT in crypto.keys: put it back, these rows cannot be read",
            _ if self.rows.is_empty() => {
                "seals nothing: may be removed, once every process has the primary above"
            }
            _ => "opens only: needed until `vcc-link keys rotate` has run",
        }
    }
}

/// The keys, the primary first.
fn lines<'a>(census: &'a Census, config: &'a crypto::Config) -> Vec<Line<'a>> {
    let known: BTreeSet<&str> = config.keys.iter().map(|key| key.id.as_str()).collect();
    let used = census.keys.keys().map(KeyId::as_str);
    let all: BTreeSet<&str> = used.chain(known.iter().copied()).collect();
    let mut lines: Vec<Line<'a>> = all
        .into_iter()
        .map(|id| Line {
            id,
            rows: rows_of(census, id),
            primary: id == config.primary,
            known: known.contains(id),
        })
        .collect();
    lines.sort_by_key(|line| !line.primary);
    lines
}

/// What a key sealed. An id that may be none, as the settings have it, sealed nothing.
fn rows_of(census: &Census, id: &str) -> Counts {
    let id = id.parse::<KeyId>().ok();
    let rows = id.and_then(|id| census.keys.get(&id));
    rows.cloned().unwrap_or_default()
}

/// The counts of all kinds, by their names.
fn by_kind(rows: &Counts) -> Value {
    let count = |kind: RingKind| (kind, rows.get(&kind).copied().unwrap_or_default());
    let counts: BTreeMap<RingKind, u64> = RingKind::ALL.into_iter().map(count).collect();
    json!(counts)
}

/// The keys as one document.
fn to_json(lines: &[Line<'_>], unreadable: &Counts) -> String {
    let line = |line: &Line<'_>| {
        json!({
            "id": line.id,
            "primary": line.primary,
            "inSettings": line.known,
            "removable": line.is_removable(),
            "rows": by_kind(&line.rows),
        })
    };
    let keys: Vec<Value> = lines.iter().map(line).collect();
    json!({ "keys": keys, "unreadable": by_kind(unreadable) }).to_string() + "\n"
}

/// The keys as a table.
fn to_text(lines: &[Line<'_>], unreadable: &Counts) -> String {
    let mut text = format!("{:<24}", "key");
    for kind in RingKind::ALL {
        let _ = write!(text, " {:>14}", name(kind));
    }
    text.push('\n');
    let row = |text: &mut String, id: &str, rows: &Counts, says: &str| {
        let _ = write!(text, "{id:<24}");
        for kind in RingKind::ALL {
            let _ = write!(
                text,
                " {:>14}",
                rows.get(&kind).copied().unwrap_or_default()
            );
        }
        let _ = writeln!(text, "  {says}");
    };
    for line in lines {
        row(&mut text, line.id, &line.rows, line.says());
    }
    if !unreadable.is_empty() {
        row(
            &mut text,
            "(none)",
            unreadable,
            "not sealed by any key: changed from outside",
        );
    }
    text
}

/// A kind, as a heading.
const fn name(kind: RingKind) -> &'static str {
    match kind {
        RingKind::Tokens => "tokens",
        RingKind::AccountKeys => "account keys",
        RingKind::LinkEvents => "link events",
        RingKind::Quarantine => "quarantine",
        RingKind::Authorizations => "authorizations",
        RingKind::Contacts => "contacts",
    }
}

/// Seals anew what the primary key did not seal.
async fn rotate(rotation: &Rotation, config: &Config, as_json: bool) -> anyhow::Result<()> {
    let mut progress = Progress::new(!as_json);
    let tell = |p: &rotation::Progress| {
        let told = || format!("{} rows looked at, {} sealed anew", p.seen, p.resealed);
        progress.tell(told);
    };
    let done = rotation.rotate(tell).await;
    progress.end();
    let done =
        done.context("the rows could not all be sealed anew; what is done is done, run it again")?;
    let primary = &config.crypto.primary;
    print(&if as_json {
        let document = json!({
            "primary": primary,
            "resealed": done.resealed,
            "left": done.left,
            "unreadable": done.unreadable,
        });
        document.to_string() + "\n"
    } else {
        format!(
            "{} rows were sealed anew by the key {primary}\n",
            done.resealed
        )
    })?;
    if done.unreadable > 0 {
        bail!(
            "{} rows do not open; `vcc-link keys list` names the keys that are missing from crypto.keys",
            done.unreadable
        );
    }
    if done.left > 0 {
        bail!(
            "{} rows were being changed all the while; run it again",
            done.left
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_may_go_when_it_seals_nothing_and_another_is_primary() {
        let keys = ["new", "old", "older"].map(|id| Key::random(id.to_owned()));
        let config = crypto::Config {
            primary: "new".to_owned(),
            keys: keys.to_vec(),
        };
        let mut census = Census::default();
        for id in ["lost", "old"] {
            let rows = Counts::from([(RingKind::AccountKeys, 3)]);
            census.keys.insert(id.parse().expect("an id"), rows);
        }
        let lines = lines(&census, &config);
        let told: Vec<(&str, bool)> = lines.iter().map(|l| (l.id, l.is_removable())).collect();
        let wanted = [
            ("new", false),
            ("lost", false),
            ("old", false),
            ("older", true),
        ];
        assert_eq!(told, wanted);
        let text = to_text(&lines, &census.unreadable);
        assert!(text.contains("NOT in crypto.keys"), "{text}");
        let document: Value =
            serde_json::from_str(&to_json(&lines, &census.unreadable)).expect("JSON");
        assert_eq!(document["keys"][2]["rows"]["account_keys"], 3);
        assert_eq!(document["keys"][2]["rows"]["tokens"], 0);
    }
}
