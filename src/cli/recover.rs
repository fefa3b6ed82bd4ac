//! `vcc-link recover`: going on with a database that came back from the past.

use std::fmt::Write as _;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::links::{client, linking};
use super::output::{Output, print};
use super::progress::Progress;
use super::{Global, open_store};
use crate::domain::ids::AccountId;
use crate::domain::link::{Health, LinkState, LinkStatus};
use crate::linking::{Linking, Vetted};
use crate::pipeline::recognise::witness;
use crate::store::Store;
use crate::store::recovery::Standing;
use crate::telling::time;

/// Go on with a database that was restored, or promoted without all that was confirmed.
///
/// Workers recognise such a database by themselves, and send nothing through it: /readyz and the
/// alert `VccLinkRecovering` say so. This asks Salesforce which links' access tokens still work,
/// without spending a refresh token, and then lets the workers go on: each call that ended before now
/// and has no Task here is first looked for at Salesforce by its key, and a Task is made only where
/// there is none. That takes ten minutes, for as long may what was sent last take effect.
///
/// First make sure that the database before is down for good, or that no worker reaches it. It may be
/// interrupted, and run again.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vcc-link recover --dry-run
  vcc-link recover
  vcc-link recover --json | jq -r '.relink[]'")]
pub struct Args {
    /// How it is told.
    #[command(flatten)]
    pub output: Output,
    /// Only say how it stands, and which links are to be made anew.
    #[arg(long)]
    pub dry_run: bool,
    /// Do it although nothing tells that the database came back from the past: you know that a backup
    /// was restored, and that what its workers noted in Kafka is lost as well.
    #[arg(long)]
    pub anyway: bool,
}

/// Links read with one question.
const PAGE: u32 = 500;

/// What Salesforce said of the links.
#[derive(Default)]
struct Census {
    /// Their access token works.
    working: u64,
    /// Their access token is refused: they are to be made anew, unless the refresh token, which the
    /// worker tries once, was not used since.
    relink: Vec<AccountId>,
    /// Salesforce did not say; with the code of what it said.
    unknown: Vec<(AccountId, String)>,
}

/// Runs it.
pub async fn run(args: &Args, global: &Global) -> anyhow::Result<()> {
    let config = global.settings()?.config;
    let store = open_store(&config).await?;
    let witness = witness(&config.kafka).await.context("kafka.brokers")?;
    let mut standing = store.standing().await?;
    if standing == Standing::Unrecognised && !args.dry_run {
        standing = store.recognise(&witness).await?;
    }
    if standing == Standing::Recognised && !args.anyway {
        return print(&if args.output.json {
            json!({ "recovering": false, "lifted": false }).to_string() + "\n"
        } else {
            "the database is as workers left it: there is nothing to recover\n".to_owned()
        });
    }
    let linking = linking(config.clone(), store.clone(), client(&config)?)?;
    let census = census(&*store, &linking, args.output.json).await?;
    let doubted = if args.dry_run {
        None
    } else {
        Some(store.lift(&witness).await?.doubted.len())
    };
    print(&if args.output.json {
        to_json(standing, &census, doubted)
    } else {
        to_text(standing, &census, doubted)
    })?;
    if !census.relink.is_empty() {
        let links = census.relink.len();
        bail!("{links} links are refused: see above which, and tell their admins to press Relink");
    }
    Ok(())
}

/// Asks Salesforce with every link's access token.
async fn census(store: &dyn Store, linking: &Linking, quiet: bool) -> anyhow::Result<Census> {
    let mut progress = Progress::new(!quiet);
    let mut census = Census::default();
    let mut asked = 0_u64;
    let mut last: Option<AccountId> = None;
    loop {
        let page = store.all_links(last.as_ref(), PAGE).await?;
        last = page.last().map(|link| link.account.clone());
        if last.is_none() {
            break;
        }
        for link in page.into_iter().filter(may_work) {
            match linking.vet(&link).await {
                Vetted::Works => census.working += 1,
                Vetted::Refused => census.relink.push(link.account),
                Vetted::Unknown(code) => census.unknown.push((link.account, code)),
            }
            asked += 1;
            progress.tell(|| format!("{asked} links asked for"));
        }
    }
    progress.end();
    Ok(census)
}

/// Whether a link worked as far as the database knows.
fn may_work(link: &LinkState) -> bool {
    link.status != LinkStatus::Unlinked && link.health != Health::Broken
}

/// It as one document.
fn to_json(standing: Standing, census: &Census, doubted: Option<usize>) -> String {
    let (since, reason) = match standing {
        Standing::Recovering { since, reason } => (Some(time(since)), Some(reason)),
        Standing::Recognised | Standing::Unrecognised => (None, None),
    };
    let unknown =
        |(account, code): &(AccountId, String)| json!({ "account": account, "code": code });
    let document = json!({
        "recovering": reason.is_some() && doubted.is_none(),
        "since": since,
        "reason": reason,
        "lifted": doubted.is_some(),
        "working": census.working,
        "relink": census.relink,
        "unknown": census.unknown.iter().map(unknown).collect::<Vec<Value>>(),
        "refreshTokensInDoubt": doubted,
    });
    document.to_string() + "\n"
}

/// It in words.
fn to_text(standing: Standing, census: &Census, doubted: Option<usize>) -> String {
    let mut text = match standing {
        Standing::Recovering { since, reason } => format!(
            "The database came back from the past, seen at {}: {}.\n",
            time(since),
            reason.says()
        ),
        Standing::Unrecognised => {
            "No worker has looked at the database yet since its server was started.\n".to_owned()
        }
        Standing::Recognised => "The database is as workers left it.\n".to_owned(),
    };
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{} links: the access token works", census.working);
    for account in &census.relink {
        let _ = writeln!(
            text,
            "{account}: the access token is refused; relink it, unless the refresh token, which is tried once, still works"
        );
    }
    for (account, code) in &census.unknown {
        let _ = writeln!(text, "{account}: Salesforce did not say ({code})");
    }
    match doubted {
        None => text.push_str("Nothing was changed.\n"),
        Some(doubted) => {
            let _ = writeln!(
                text,
                "Workers go on. {doubted} refresh tokens are in doubt: each is tried once, when the access token is refused. Calls that ended before now are looked for at Salesforce before a Task is made."
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::recovery::RecoveryReason;

    #[test]
    fn what_is_to_be_relinked_is_told() {
        let census = Census {
            working: 3,
            relink: vec!["acme".parse().expect("an account")],
            unknown: vec![("beta".parse().expect("an account"), "timeout".to_owned())],
        };
        let standing = Standing::Recovering {
            since: "2026-11-26T01:00:00Z".parse().expect("a time"),
            reason: RecoveryReason::BehindKafka,
        };
        let text = to_text(standing, &census, None);
        assert!(text.contains("acme: the access token is refused"), "{text}");
        assert!(text.ends_with("Nothing was changed.\n"), "{text}");
        let document: Value =
            serde_json::from_str(&to_json(standing, &census, Some(4))).expect("JSON");
        assert_eq!(document["reason"], "behind_kafka");
        assert_eq!(document["relink"], json!(["acme"]));
        assert_eq!(document["recovering"], false);
        assert_eq!(document["refreshTokensInDoubt"], 4);
    }
}
