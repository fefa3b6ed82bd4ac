//! `vcc-link links import-legacy`: taking over the links of the older method.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Read;
use std::path::Path;

use anyhow::{Context as _, bail};
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::output::print;
use super::progress::Progress;
use crate::domain::ids::AccountId;
use crate::domain::link::Actor;
use crate::linking::Linking;
use crate::linking::legacy::{LegacyLink, TakenOver, read};
use crate::salesforce::Client;

/// The largest file that is read: a line has some 300 bytes.
const LARGEST: u64 = 64 * 1024 * 1024;

/// Faults that are told one by one.
const TOLD: usize = 20;

/// Takes over every link of a file, once all of its lines are good.
pub(super) async fn import(
    file: &Path,
    linking: &Linking,
    client: &Client,
    actor: &Actor,
    as_json: bool,
) -> anyhow::Result<()> {
    let text = content(file)?;
    let links = links(&text, client)?;
    let all = links.len();
    let mut progress = Progress::new(!as_json);
    let (mut added, mut known, mut failed) = (0, 0, Vec::new());
    for (n, link) in links.into_iter().enumerate() {
        let account = link.account.clone();
        match linking.take_over(link, actor.clone()).await {
            Ok(TakenOver::Added(_)) => added += 1,
            Ok(TakenOver::Known) => known += 1,
            Err(error) => failed.push((account, error.to_string())),
        }
        progress.tell(|| format!("{} of {all} links taken over", n + 1));
    }
    progress.end();
    tell(added, known, &failed, as_json)?;
    if failed.is_empty() {
        Ok(())
    } else {
        bail!(
            "{} of {all} links were not taken over; run it again once that is mended, which leaves the others as they are",
            failed.len()
        )
    }
}

/// Tells what became of the links.
fn tell(
    added: u64,
    known: u64,
    failed: &[(AccountId, String)],
    as_json: bool,
) -> anyhow::Result<()> {
    if as_json {
        let failed: Vec<_> = failed
            .iter()
            .map(|(account, why)| json!({ "account": account, "error": why }))
            .collect();
        let document = json!({ "added": added, "alreadyKnown": known, "failed": failed });
        return print(&format!("{document}\n"));
    }
    for (account, why) in failed {
        eprintln!("{account}: {why}");
    }
    print(&format!(
        "{added} links are Legacy from now on; {known} accounts were linked before and stay as they are\n"
    ))
}

/// The content of a file, `-` being standard input.
fn content(file: &Path) -> anyhow::Result<String> {
    let reader: Box<dyn Read> = if file == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        let opened = std::fs::File::open(file);
        Box::new(opened.with_context(|| format!("{} cannot be opened", file.display()))?)
    };
    let mut text = String::new();
    let read = reader.take(LARGEST + 1).read_to_string(&mut text);
    let bytes = read.context("the file cannot be read as text")?;
    if bytes as u64 > LARGEST {
        bail!("the file has over {LARGEST} bytes: import it in parts");
    }
    Ok(text)
}

/// The links of all lines, if each is good; else every wrong line is named.
fn links(text: &str, client: &Client) -> anyhow::Result<Vec<LegacyLink>> {
    let mut links: Vec<LegacyLink> = Vec::new();
    let mut faults = Vec::new();
    let mut accounts: HashMap<AccountId, usize> = HashMap::new();
    let mut tokens: HashMap<String, usize> = HashMap::new();
    for (n, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let link = match read(line, client) {
            Ok(link) => link,
            Err(why) => {
                faults.push(format!("line {}: {why}", n + 1));
                continue;
            }
        };
        if let Some(first) = accounts.insert(link.account.clone(), n + 1) {
            faults.push(format!("line {}: has the account of line {first}", n + 1));
        }
        let token = link.refresh_token.expose_secret().to_owned();
        if let Some(first) = tokens.insert(token, n + 1) {
            faults.push(format!(
                "line {}: has the token of line {first}, which is good for one link only",
                n + 1
            ));
        }
        links.push(link);
    }
    if faults.is_empty() {
        return Ok(links);
    }
    let more = faults.len().saturating_sub(TOLD);
    let mut told = format!("nothing was imported: {} faults", faults.len());
    for fault in faults.iter().take(TOLD) {
        told.push_str("\n  ");
        told.push_str(fault);
    }
    if more > 0 {
        let _ = write!(told, "\n  and {more} more");
    }
    bail!(told)
}
