//! Who is told: an admin says so, and sees what became of notices.

use crate::browser::Browser;
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_says_who_is_told_and_sees_whether_it_arrives() {
    let world = World::start("contacts").await;
    world.link("acme", "api@acme.example");
    let browser = Browser::enter(&world, "acme", "admin").await;
    browser.says("main", "Nobody is told yet").await;
    browser.photograph("nobody-is-told").await;
    add_contacts(&world, &browser).await;
    browser
        .press(".contacts li:nth-child(1) .actions .button")
        .await;
    browser
        .says(".contacts li:nth-child(1)", "sent (test)")
        .await;
    browser
        .press(".contacts li:nth-child(2) .actions .button")
        .await;
    browser
        .says(
            ".contacts li:nth-child(2)",
            "the server could not be reached",
        )
        .await;
    browser.photograph("contacts").await;

    break_link(&world).await;
    let deadline = std::time::Instant::now() + crate::world::PATIENCE;
    while !browser.text().await.contains("sent (the link broke)") {
        assert!(std::time::Instant::now() < deadline, "nobody is told");
        browser.open("/").await;
    }
    browser.says("#told ~ ul", "op***@acme.example").await;
    browser.photograph("broken-and-told").await;

    browser.open("/contacts").await;
    browser.press(".contacts li:nth-child(2) .danger").await;
    browser.says(".notice", "The contact is removed.").await;
    assert_eq!(browser.count(".contacts > li").await, 1);
    browser.close().await;

    let viewer = Browser::enter(&world, "acme", "viewer").await;
    viewer.open("/contacts").await;
    viewer.says(".contacts", "/…").await;
    assert!(!viewer.has("form").await, "a viewer changes nothing");
    viewer.photograph("contacts-viewer").await;
    viewer.close().await;
    world.finish().await;
}

/// The link breaks, and nobody has looked at that yet.
async fn break_link(world: &World) {
    world
        .sql(
            "update accounts set health = 'broken', reason = 'token_revoked', since = now()
                where account = 'acme'",
        )
        .await;
    world
        .sql(
            "insert into link_watch (account, changes, changed_at) values ('acme', 100, now())
             on conflict (account) do update set changes = 100, changed_at = now()",
        )
        .await;
}

/// Adds a webhook, at the second try, and a mail address.
async fn add_contacts(world: &World, browser: &Browser) {
    browser.open("/contacts").await;
    browser.photograph("contacts-empty").await;

    browser
        .fill("#webhook", "https://169.254.169.254/latest")
        .await;
    browser.press("form:has(#webhook) button").await;
    browser
        .says("#fault", "Webhooks go to public addresses by https alone")
        .await;
    browser.photograph("contact-refused").await;
    let hook = format!("{}/hook", world.portal);
    browser.fill("#webhook", &hook).await;
    browser.press("form:has(#webhook) button").await;
    browser.says("#key", "whsec_").await;
    browser.photograph("webhook-key").await;
    browser.fill("#mail", "ops@acme.example").await;
    browser.press("form:has(#mail) button").await;
    browser.says(".notice", "The contact is added.").await;
    browser
        .says(".history", "Mail op***@acme.example added")
        .await;
    assert!(!browser.text().await.contains("whsec_"), "shown once");
}
