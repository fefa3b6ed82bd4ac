//! Link, Relink, Unlink, as an admin does them.

use crate::browser::Browser;
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_links_an_account() {
    let world = World::start("link").await;
    let browser = Browser::enter(&world, "acme", "admin").await;
    browser.says("#status", "Unlinked").await;
    browser.says("#prepare", "Prepare this first").await;
    browser.says(".checklist", "192.0.2.10").await;
    browser.photograph("unlinked").await;

    let page = browser.window().await;
    browser.press("form.link button.first").await;
    browser.says("#outcome", "Waiting for Salesforce").await;
    browser.photograph("waiting").await;
    browser.look_at_other(&page).await;
    browser.log_in("api@acme.example").await;
    browser.allow().await;
    browser.look_at(&page).await;
    browser.says(".notice", "Linked.").await;
    browser.windows(1).await;
    browser.says("#status", "Linked").await;
    browser.says("#health", "Works").await;
    browser.says("main", "You do not need to relink.").await;
    browser.says(".facts", "api@acme.example").await;
    browser.says(".facts", "Acme").await;
    browser.says(".facts", "Production").await;
    browser.says(".facts", "by ann").await;
    browser
        .says(".facts", "1 of 5 accounts use this API user")
        .await;
    browser.says(".history", "Unlinked → Linked, Works").await;
    browser.photograph("linked").await;
    browser.close().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_replaces_the_link_and_unlinking_ends_it() {
    let world = World::start("relink").await;
    world.link("acme", "api@acme.example");
    let browser = Browser::enter(&world, "acme", "admin").await;
    browser.says(".facts", "api@acme.example").await;
    browser.press(".relink summary").await;
    browser.photograph("relinking").await;
    browser.link_as("two@acme.example").await;
    browser.says(".facts", "two@acme.example").await;
    browser.says(".history", "Relinked").await;
    browser.windows(1).await;

    world.park("acme", 3).await;
    browser.press("a.danger").await;
    browser
        .says("main", "will no longer work for this account")
        .await;
    browser
        .says("main", "3 calls wait to be logged. For 10 minutes more")
        .await;
    browser.photograph("unlinking").await;
    browser.press("button.danger").await;
    browser.says("#status", "Unlinked").await;
    browser.says(".notice", "Unlinked.").await;
    browser.says("#still-waiting", "3 calls still wait").await;
    browser
        .says("#still-waiting", "link the same org again by then")
        .await;
    browser.photograph("unlinked-again").await;
    browser.open("/history").await;
    browser.says(".history", "Unlinked").await;
    browser.photograph("history").await;
    browser.close().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_works_without_scripts_in_one_window() {
    let world = World::start("plain").await;
    let browser = Browser::enter(&world, "acme", "admin").await;
    browser.without_scripts().await;
    browser.open("/").await;
    browser.press("form.link button.first").await;
    browser.log_in("api@acme.example").await;
    browser.allow().await;
    browser.says("#outcome", "Linked").await;
    browser.says(".facts", "api@acme.example").await;
    assert_eq!(browser.windows(1).await.len(), 1);
    browser.press("a.button.first").await;
    browser.says("#status", "Linked").await;
    browser.press("a.danger").await;
    browser.press("button.danger").await;
    browser.says("#status", "Unlinked").await;
    browser.close().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_links_with_the_keyboard_alone() {
    let world = World::start("keys").await;
    let browser = Browser::enter(&world, "acme", "admin").await;
    browser.keys("\u{e004}").await;
    assert_eq!(browser.focused().await, "Skip to the content");
    browser.keys("\u{e007}").await;
    browser.keys("\u{e004}").await;
    assert_eq!(
        browser.focused().await.split_whitespace().next(),
        Some("Production")
    );
    browser.keys("\u{e004}").await;
    assert_eq!(browser.focused().await, "Link");
    let page = browser.window().await;
    browser.keys("\u{e007}").await;
    browser.look_at_other(&page).await;
    browser.log_in("api@acme.example").await;
    browser.allow().await;
    browser.look_at(&page).await;
    browser.says("#status", "Linked").await;
    browser.close().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_tab_follows_what_the_first_one_does() {
    let world = World::start("tabs").await;
    let browser = Browser::enter(&world, "acme", "admin").await;
    let first = browser.window().await;
    browser.new_tab().await;
    let second = browser.window().await;
    browser.open("/").await;
    browser.says("#status", "Unlinked").await;
    browser.look_at(&first).await;
    world.link("acme", "api@acme.example");
    browser.says("#status", "Linked").await;
    browser.look_at(&second).await;
    browser.says("#status", "Linked").await;
    browser.close().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_sees_and_changes_nothing() {
    let world = World::start("viewer").await;
    let browser = Browser::enter(&world, "acme", "viewer").await;
    browser
        .says("main", "You may see this page, and change nothing")
        .await;
    assert!(!browser.has("form").await);
    browser.photograph("viewer").await;
    browser.open("/unlink").await;
    browser.says("#outcome", "You cannot see this page").await;
    browser.close().await;
    let browser = Browser::start(&world).await;
    browser.open("/").await;
    browser.says("footer", "support@vcc.example").await;
    browser.photograph("no-rights").await;
    browser.close().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_looks_wrong_counts_once_the_admin_says_so() {
    let world = World::start("doubt").await;
    world.link("acme", "api@beta.example");
    world.park("acme", 4).await;
    let browser = Browser::enter(&world, "acme", "admin").await;
    for (answer, then) in [
        ("button:not(.first)", "api@beta.example"),
        ("button.first", "ada@acme.example"),
    ] {
        browser.press(".relink summary").await;
        browser.choose("#environment", "sandbox").await;
        browser.link_as("ada@acme.example").await;
        browser.says("#outcome", "Is this the right user?").await;
        browser.windows(1).await;
        browser.says(".facts", "ada@acme.example").await;
        browser
            .says(".doubts", "perhaps it is a person's own")
            .await;
        browser
            .says(".doubts", "not the environment that you chose")
            .await;
        browser.says(".doubts", "4 calls wait").await;
        browser.photograph("doubt").await;
        browser.press(&format!(".actions {answer}")).await;
        browser.says(".facts", then).await;
        browser.says("#status", "Linked").await;
    }
    browser.close().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_login_of_an_own_domain_is_checked() {
    let world = World::start("domain").await;
    let browser = Browser::enter(&world, "acme", "admin").await;
    browser.choose("#environment", "my_domain").await;
    browser.photograph("my-domain").await;
    browser.fill("#my_domain", "evil.example").await;
    let page = browser.window().await;
    browser.press("form.link button.first").await;
    browser.look_at_other(&page).await;
    browser.says("#outcome", "That is no My Domain").await;
    browser.photograph("no-such-domain").await;
    browser.close_window().await;
    browser.look_at(&page).await;
    let salesforce = world.simulator.base_url();
    browser.fill("#my_domain", &salesforce).await;
    browser.link_as("api@acme.example").await;
    browser.says("#status", "Linked").await;
    browser.close().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_by_the_older_method_is_recommended_to_be_relinked() {
    let world = World::start("legacy").await;
    world.link("acme", "api@acme.example");
    world.sql("update accounts set status = 'legacy'").await;
    let browser = Browser::enter(&world, "acme", "admin").await;
    browser.says("#status", "Legacy").await;
    browser.says("#health", "Works").await;
    browser
        .says("main", "We recommend that you relink it")
        .await;
    browser.says("main", "until 31 March 2027").await;
    browser.photograph("legacy").await;
    browser.press(".relink summary").await;
    browser.link_as("api@acme.example").await;
    browser.says("#status", "Linked").await;
    browser.close().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sixth_account_is_refused_and_relinking_at_five_takes_consent() {
    let world = World::start("full").await;
    for account in ["one", "two", "three", "four", "five"] {
        world.link(account, "api@acme.example");
    }
    let browser = Browser::enter(&world, "six", "admin").await;
    browser.link_as("api@acme.example").await;
    browser.says("#outcome", "This API user is full").await;
    for account in ["one", "two", "three", "four", "five"] {
        browser.says(".accounts", account).await;
    }
    browser.says("main", "Create another API user").await;
    browser
        .says("main", "each of the accounts below is looked at now")
        .await;
    browser.photograph("full").await;
    browser.close().await;

    // What the worker finds of the one that was displaced, its own page tells.
    world
        .sql(
            "update accounts set health = 'broken', reason = 'approval_displaced',
                sequence = sequence + 1 where account = 'one'",
        )
        .await;
    let browser = Browser::enter(&world, "one", "admin").await;
    browser.says("#health", "Broken").await;
    browser
        .says("#trouble", "Salesforce gave up this account's connection")
        .await;
    browser.says("#trouble", "Press Relink").await;
    browser.photograph("displaced").await;
    browser.close().await;

    let browser = Browser::enter(&world, "five", "admin").await;
    browser
        .says(".facts", "5 of 5 accounts use this API user")
        .await;
    browser.press(".relink summary").await;
    browser.photograph("consent").await;
    browser.press("form.link button.first").await;
    browser.press("#give_up_first").await;
    browser.link_as("api@acme.example").await;
    browser.says(".history", "Relinked").await;
    browser.says("#status", "Linked").await;
    browser.close().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_in_the_portals_frame_links_in_a_window_without_its_cookie() {
    let world = World::start("framed").await;
    let browser = Browser::enter(&world, "acme", "admin").await;
    browser.open_framed(&world).await;
    browser.says("#status", "Unlinked").await;
    // A window beside the frame has cookies of its own.
    browser.forget().await;
    let page = browser.window().await;
    browser.press("form.link button.first").await;
    browser.look_at_other(&page).await;
    browser.log_in("api@acme.example").await;
    browser.allow().await;
    browser.windows(1).await;
    browser.look_at(&page).await;
    browser.look_into_frame().await;
    browser.says("#status", "Linked").await;
    browser.close().await;
    world.finish().await;
}
