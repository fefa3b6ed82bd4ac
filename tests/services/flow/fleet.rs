//! Two replicas of the pages and three workers: what they must do once between them, and what must
//! go on while keys are changed.

use salesforce_simulator::{Counters, Kind};
use serde_json::Value;

use super::crashes::{ended, everything};
use super::pages::Pages;
use super::world::World;

const ACCOUNTS: [&str; 4] = ["acme", "acme-two", "beta", "beta-two"];

/// The whole of it, every account linked by its admin.
async fn fleet(scenario: &str) -> (World, Pages) {
    let mut world = World::start(scenario).await;
    world.work(3).await;
    let mut pages = Pages::start(&world).await;
    for account in ACCOUNTS {
        let org = account.split('-').next().unwrap_or(account);
        pages.link(account, &format!("api@{org}.example")).await;
    }
    everything(&world).await;
    (world, pages)
}

/// Refresh tokens are good for one use: each time that the sessions expire, each link's is used once,
/// whoever works for it, sends and looks at it meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn each_expiry_takes_one_refresh_of_each_link() {
    let (mut world, _pages) = fleet("expiry").await;
    world.load(&ACCOUNTS, 5);
    world.settled().await;
    for round in 0..4 {
        let before = refreshes(&world);
        world.control().expire_sessions(None).expect("expired");
        world.load(&ACCOUNTS, 20);
        world.settled().await;
        let used = refreshes(&world) - before;
        assert_eq!(used, ACCOUNTS.len() as u64, "round {round}");
    }
    let links = world.cli(&["links", "list", "--json"], "");
    let links: Value = serde_json::from_str(&links).expect("JSON");
    for link in links.as_array().expect("a list") {
        assert_eq!(link["health"], "healthy", "{link}");
    }
    world.finish().await;
}

/// How many tokens were asked for so far, by the simulator's journal.
fn refreshes(world: &World) -> u64 {
    let counters = world.control().counters();
    let asked = |counters: &Counters| counters.requests.get(&Kind::Token).copied();
    counters.values().filter_map(asked).sum()
}

/// A new key takes over as the settings' instructions say, under load, while an admin links anew:
/// every process restarted twice, and what the old key sealed sealed anew.
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_changed_beside_the_full_flow() {
    const OLD: &str = "{ id = \"flow\", key = \"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\" }";
    let (mut world, mut pages) = fleet("keys").await;
    let made = world.cli(&["keys", "add", "--id", "next"], "");
    let both = format!("keys = [{OLD}, {}]", made.trim());
    for (from, to) in [
        (format!("keys = [{OLD}]"), both.as_str()),
        ("primary = \"flow\"".to_owned(), "primary = \"next\""),
    ] {
        world.rewrite(&from, to);
        for place in 0..3 {
            world.load(&ACCOUNTS, 3);
            world.workers[place].signal("TERM");
            ended(&mut world, place).await;
            world.restart(place);
        }
        pages.restart(&world).await;
    }
    everything(&world).await;
    world.load(&ACCOUNTS, 20);
    pages.link("acme", "api@acme.example").await;
    world.cli(&["keys", "rotate"], "");
    world.load(&ACCOUNTS, 20);
    world.control().expire_sessions(None).expect("expired");
    pages.link("beta", "api@beta.example").await;
    world.settled().await;
    let listed = world.cli(&["keys", "list", "--json"], "");
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    let keys = listed["keys"].as_array().expect("a list");
    let old = keys.iter().find(|key| key["id"] == "flow");
    assert_eq!(old.expect("the old key")["removable"], true, "{listed}");
    world.finish().await;
}
