//! Inviting a Salesforce admin, who has no login at the portal.

use crate::browser::Browser;
use crate::world::World;

/// Makes a link, as the account's admin does; gives it.
async fn invite(admin: &Browser) -> String {
    admin.press("form[action='/invitations'] button").await;
    admin.says("#made", "Send this link").await;
    admin.value("#invitation").await
}

/// Opens a link in a browser of one's own, and goes on.
async fn follow(world: &World, link: &str) -> Browser {
    let guest = Browser::start(world).await;
    guest.goto(link).await;
    guest.says("#invited", "You are invited").await;
    guest.press("button.first").await;
    guest.says("#link", "Log in at Salesforce").await;
    guest
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_is_invited_links_once_the_admin_confirms() {
    let world = World::start("invite").await;
    let admin = Browser::enter(&world, "acme", "admin").await;
    admin.photograph("invite-before").await;
    let link = invite(&admin).await;
    admin.press("button[data-copy]").await;
    admin.says("[data-copied]", "Copied").await;
    admin.photograph("invite-link").await;
    admin.press("main a.button").await;
    admin.says(".invitations", "Made by ann, ends").await;
    admin
        .says(".history", "A Salesforce admin was invited")
        .await;
    admin.photograph("invite-open").await;

    let guest = Browser::start(&world).await;
    guest.goto(&link).await;
    guest.says("#invited", "You are invited").await;
    let address = guest.address().await;
    assert!(!address.contains('#'), "{address} holds the secret");
    guest.photograph("invited-link").await;
    guest.press("button.first").await;
    guest
        .says(
            "main",
            "ann asks you to connect the contact centre account acme",
        )
        .await;
    guest.says(".checklist", "192.0.2.10").await;
    guest.photograph("invited").await;
    guest.link_as("api@acme.example").await;
    guest.says("#outcome", "Done: your part is complete").await;
    guest.says(".facts", "api@acme.example").await;
    guest.windows(1).await;
    guest.photograph("invited-done").await;

    // The admin's page follows by itself.
    admin.says(".to-confirm", "api@acme.example").await;
    admin.says("#status", "Unlinked").await;
    admin.photograph("invite-to-confirm").await;
    admin.press(".to-confirm button.first").await;
    admin.says(".notice", "Linked.").await;
    admin.says(".facts", "by ann").await;
    admin.says(".history", "whomever ann invited").await;
    admin.photograph("invite-confirmed").await;
    guest.says("#outcome", "Connected").await;
    guest.photograph("invited-connected").await;
    guest.goto(&link).await;
    guest.press("button.first").await;
    guest
        .says("#outcome", "This invitation does not hold")
        .await;
    guest.photograph("invited-over").await;
    guest.close().await;
    admin.close().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_login_is_tried_again_and_an_unknown_org_discarded() {
    let world = World::start("discard").await;
    world.link("acme", "api@acme.example");
    let admin = Browser::enter(&world, "acme", "admin").await;
    let link = invite(&admin).await;
    admin.press("main a.button").await;
    let guest = follow(&world, &link).await;
    let page = guest.window().await;
    guest.press("form.link button.first").await;
    guest.says("#outcome", "Waiting for Salesforce").await;
    guest.look_at_other(&page).await;
    guest.log_in("ada@acme.example").await;
    guest.press("button[value=deny]").await;
    guest.look_at(&page).await;
    guest.says("#outcome", "Access was denied").await;
    guest.photograph("invited-denied").await;
    guest.press("a.button.first").await;
    guest.windows(1).await;
    guest.link_as("ada@acme.example").await;
    guest.says("#outcome", "Done: your part is complete").await;

    admin
        .says(".to-confirm", "perhaps it is a person's own")
        .await;
    admin.photograph("invite-doubtful").await;
    admin.press(".to-confirm button:not(.first)").await;
    admin.says(".notice", "The login was discarded.").await;
    admin.says(".facts", "api@acme.example").await;
    admin.says(".history", "That login was not confirmed").await;
    guest.says("#outcome", "The login was not confirmed").await;
    guest.photograph("invited-discarded").await;
    guest.close().await;
    admin.close().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_link_ends_and_without_scripts_all_of_it_works() {
    let world = World::start("revoke").await;
    let admin = Browser::enter(&world, "acme", "admin").await;
    let link = invite(&admin).await;
    admin.press("main a.button").await;
    let guest = follow(&world, &link).await;
    admin.press(".invitations button").await;
    admin.says(".history", "An invitation was revoked").await;
    guest
        .says("#outcome", "This invitation does not hold")
        .await;
    guest.close().await;

    admin.without_scripts().await;
    let link = invite(&admin).await;
    let guest = Browser::start(&world).await;
    guest.without_scripts().await;
    guest.goto(&link).await;
    // What a script takes from the address, a person pastes.
    guest.fill("#secret", &link).await;
    guest.photograph("invited-plain").await;
    guest.press("button.first").await;
    guest.says("#link", "Log in at Salesforce").await;
    guest.press("form.link button.first").await;
    guest.log_in("api@acme.example").await;
    guest.allow().await;
    guest.says("#outcome", "Done: your part is complete").await;
    admin.open("/").await;
    admin.press(".to-confirm button.first").await;
    admin.says("#status", "Linked").await;
    guest.close().await;
    admin.close().await;
    world.finish().await;
}
