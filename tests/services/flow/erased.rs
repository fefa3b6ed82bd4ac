//! An account is erased, and comes back.

use serde_json::{Value, json};

use super::world::World;

/// What `privacy erase` says of an account.
fn erase(world: &World, account: &str) -> Value {
    let args = ["privacy", "erase", "--account", account, "--json"];
    serde_json::from_str(&world.cli(&args, "")).expect("one JSON document")
}

/// Workers hold the data key of an account while it is erased. Linked again, its calls are sealed by
/// a new one, and none is lost.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_was_erased_comes_back() {
    let mut world = World::start("erased").await;
    world.link("acme", "api@acme.example");
    world.link("beta", "api@beta.example");
    world.work(2).await;
    world.load(&["acme", "beta"], 4);
    world.settled().await;
    let linked = world.refused(&["privacy", "erase", "--account", "acme"], "");
    assert!(linked.contains("links unlink acme"), "{linked}");
    let slip = world.cli(&["privacy", "erase", "--account", "acne"], "");
    assert!(slip.contains("Nothing is known of that account"), "{slip}");

    world.cli(&["links", "unlink", "acme", "--yes"], "");
    // Its last events may still be on their way.
    let destroyed = |w: &World| {
        let told = erase(w, "acme");
        (told["keyDestroyed"] == true).then_some(told)
    };
    let told = world.until("its key is destroyed", destroyed).await;
    assert_eq!(told["notOver"], json!([]));
    let kept = &told["remains"]["salesforceTasks"];
    assert_eq!(kept.as_array().map(Vec::len), Some(4), "Tasks stay: {told}");

    let mut database = world.connect().await;
    let mut stored = async |account: &str| -> i64 {
        let sql = "select count(*) from call_bodies where account = $1";
        let count = sqlx::query_scalar(sql).bind(account.to_owned());
        count.fetch_one(&mut database).await.expect("a count")
    };
    let counts = (stored("acme").await, stored("beta").await);
    assert_eq!(
        counts,
        (0, 12),
        "begin, end and answer of each of beta's calls"
    );

    world.link("acme", "api@acme.example");
    world.load(&["acme", "beta"], 4);
    world.settled().await;
    assert_eq!(stored("acme").await, 12, "its new calls are stored");
    world.finish().await;
}
