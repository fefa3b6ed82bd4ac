//! A sixth account on one API user: Salesforce gives up the oldest approval without a word.

use std::collections::BTreeMap;

use super::calls::Call;
use super::world::{End, KNOWN, World};

/// As many as Salesforce keeps approvals for, and the account whose is the oldest.
const ACCOUNTS: [&str; 5] = ["first", "second", "third", "fourth", "fifth"];

#[tokio::test(flavor = "multi_thread")]
async fn what_a_refused_sixth_account_displaced_is_found_and_told_at_once() {
    displaced(World::start("displaced").await, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_refused_sixth_account_displaced_is_found_and_told_at_once_on_a_file() {
    displaced(World::start_on_file("displaced_file").await, 1).await;
}

async fn displaced(mut world: World, workers: usize) {
    for account in ACCOUNTS {
        world.link(account, "api@acme.example");
    }
    world.link("beta", "api@beta.example");
    world.work(workers).await;
    world.load(&ACCOUNTS, 1);
    world.settled().await;

    // Nobody calls meanwhile: only a look at the tokens can tell.
    let sixth = world.control().approve("api@acme.example");
    let sixth = sixth.expect("an approval");
    let add = ["links", "add", "sixth", "--environment", "production"];
    let refused = world.refused(&add, &sixth);
    for account in ACCOUNTS {
        assert!(refused.contains(account), "{refused}");
    }
    world
        .until("the displaced link is told broken", |w| {
            (healths(w).get("first")? == &("broken".to_owned(), "approval_displaced".to_owned()))
                .then_some(())
        })
        .await;
    let waiting = Call::new("first", KNOWN[0]);
    world.end(&waiting, 0, End::Logged);
    world.load(&ACCOUNTS[1..], 2);
    world
        .until("its call is deferred", |w| {
            let told = w.of(&waiting);
            let deferred = |p: &super::results::Published| p.kind() == "calllog.deferred.v1";
            told.iter().any(deferred).then_some(())
        })
        .await;
    for account in ACCOUNTS[1..].iter().chain(&["beta"]) {
        let told = healths(&world).get(*account).cloned();
        let health = told.map(|(health, _)| health);
        assert_ne!(health.as_deref(), Some("broken"), "{account}");
    }

    // Another API user has room: the account is linked to it, and what waits is logged.
    world.link("first", "ada@acme.example");
    world.finish().await;
}

/// The health and reason of each account's link, as they were told last.
fn healths(world: &World) -> BTreeMap<String, (String, String)> {
    let mut told = world.results.all();
    told.retain(|p| p.kind() == "link.statuschanged.v1");
    told.sort_by_key(|p| p.data["sequence"].as_i64());
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let state = |p: &super::results::Published| {
        (
            text(&p.data["accountId"]),
            (text(&p.data["health"]), text(&p.data["reason"])),
        )
    };
    told.iter().map(state).collect()
}
