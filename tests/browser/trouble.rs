//! Logins that come to nothing, and links that do not work: what happened is said, what to do is
//! said, and the link before stands.

use serde_json::json;

use crate::browser::Browser;
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_is_denied_changes_nothing() {
    let world = World::start("deny").await;
    world.link("acme", "api@acme.example");
    let browser = Browser::enter(&world, "acme", "admin").await;
    let page = browser.window().await;
    browser.press(".relink summary").await;
    browser.press("form.link button.first").await;
    browser.look_at_other(&page).await;
    browser.log_in("two@acme.example").await;
    browser.press("button[value=deny]").await;
    browser.look_at(&page).await;
    browser.says("#outcome", "Access was denied").await;
    browser.says("main", "press Allow").await;
    browser.windows(1).await;
    browser.photograph("denied").await;
    browser.press("a.button.first").await;
    browser.says(".facts", "api@acme.example").await;
    browser.close().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_is_closed_is_given_up_or_runs_out() {
    let world = World::start("closed").await;
    // Salesforce's own error page, from which nobody comes back.
    let policy = json!({"app_policy": {"installed": false}});
    let policy = policy.as_object().expect("an object").clone();
    world.control().patch_org("Acme", policy).expect("changed");
    let browser = Browser::enter(&world, "acme", "admin").await;
    let page = browser.window().await;
    for time_runs_out in [false, true] {
        browser.press("form.link button.first").await;
        browser.look_at_other(&page).await;
        browser.log_in("api@acme.example").await;
        browser.says("body", "OAUTH").await;
        browser.close_window().await;
        browser.look_at(&page).await;
        browser.says("#outcome", "Waiting for Salesforce").await;
        if time_runs_out {
            world.expire_logins().await;
            browser.says("#outcome", "The login took too long").await;
            browser
                .says("main", "check that the app is installed")
                .await;
            browser.photograph("expired").await;
        } else {
            browser.press(".actions button").await;
            browser.says(".notice", "The login was cancelled").await;
            browser.photograph("cancelled").await;
        }
        browser.open("/").await;
        browser.says("#status", "Unlinked").await;
    }
    browser.close().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_that_comes_again_or_from_nowhere_does_nothing() {
    let world = World::start("replay").await;
    let browser = Browser::enter(&world, "acme", "admin").await;
    browser.without_scripts().await;
    browser.open("/").await;
    browser.press("form.link button.first").await;
    browser.log_in("api@acme.example").await;
    browser.allow().await;
    browser.says("#outcome", "Linked").await;
    let callback = world.callback();

    let thief = Browser::enter(&world, "beta", "admin").await;
    thief.open(&callback).await;
    thief.says("#outcome", "This login is not known here").await;
    thief.close().await;

    for _ in 0..3 {
        browser.open(&callback).await;
        browser.says("#outcome", "Linked").await;
        let shown = browser.address().await;
        assert!(
            !shown.contains("code=") && !shown.contains("state="),
            "{shown}"
        );
        browser.back().await;
    }
    browser.open("/history").await;
    assert_eq!(browser.count(".history li").await, 1, "it was linked once");

    for forged in [
        "/callback?code=aPrx&state=forged",
        "/callback?error=access_denied&state=forged",
        "/callback?code=aPrx",
        "/callback",
        "/authorizations/unknown",
    ] {
        browser.open(forged).await;
        browser
            .says("#outcome", "This login is not known here")
            .await;
    }
    browser.photograph("unknown-login").await;
    browser.open("/").await;
    browser.says(".facts", "api@acme.example").await;
    browser.close().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_opens_no_windows_goes_on_in_this_one() {
    let world = World::start("blocked").await;
    let browser = Browser::enter(&world, "acme", "admin").await;
    browser.block_windows().await;
    browser.press("form.link button.first").await;
    browser.says(".blocked", "did not open a new window").await;
    browser.photograph("blocked").await;
    browser.press(".blocked button").await;
    browser.log_in("api@acme.example").await;
    browser.allow().await;
    browser.says("#outcome", "Linked").await;
    browser.photograph("back-in-this-window").await;
    browser.press("a.button.first").await;
    browser.says("#status", "Linked").await;
    browser.close().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_does_not_work_says_why_and_what_to_press() {
    let world = World::start("broken").await;
    world.user(
        "api@acme.example",
        json!({"read_only_fields": ["Task.CallObject", "Task.CallDisposition"]}),
    );
    world.link("acme", "api@acme.example");
    let browser = Browser::enter(&world, "acme", "admin").await;
    browser.says("#status", "Linked").await;
    browser.says("#health", "At risk").await;
    browser.says("#trouble", "press Check again").await;
    browser
        .says("#preflight", "2 things that are needed are missing")
        .await;
    browser
        .says("#preflight .checks", "Writing the field CallObject of Task")
        .await;
    browser.photograph("at-risk").await;

    world.park("acme", 12).await;
    browser.says("[data-waiting]", "12").await;
    world
        .sql(
            "update accounts set health = 'broken', reason = 'token_revoked', sequence = sequence + 1",
        )
        .await;
    browser.says("#health", "Broken").await;
    browser
        .says("#trouble", "Salesforce no longer accepts the connection")
        .await;
    browser
        .says("#trouble", "Calls that wait for it: 12.")
        .await;
    browser.says("#trouble", "Press Relink").await;
    browser.photograph("broken").await;
    browser.close().await;
    world.finish().await;
}
