//! What is wrong with a link that stands, and what to do: on the pages and in notices.

use crate::domain::link::{Health, LinkReason};

/// What is wrong with a link.
pub struct Trouble {
    /// That something is.
    pub title: &'static str,
    /// What is.
    pub what: &'static str,
    /// What to do.
    pub todo: &'static str,
    /// The button to press is Relink.
    pub relink: bool,
}

/// The trouble that a reason is; for a healthy link there is none.
#[expect(clippy::too_many_lines, reason = "one table, one row for each reason")]
pub fn trouble(health: Health, reason: Option<LinkReason>) -> Option<Trouble> {
    let title = match health {
        Health::Healthy => return None,
        Health::AtRisk => "The link works, and may not for long",
        Health::Broken => "The link does not work",
    };
    let (what, todo, relink) = match reason.unwrap_or(LinkReason::Unknown) {
        LinkReason::TokenRevoked => (
            "Salesforce no longer accepts the connection: it was revoked, it expired, or a newer approval of the same API user displaced it.",
            "Press Relink, and log in as the API user.",
            true,
        ),
        LinkReason::ApprovalDisplaced => (
            "Somebody logged in as this API user for one account more than Salesforce allows. That account was not linked, but Salesforce gave up this account's connection for it, as the oldest.",
            "Press Relink, and log in as the API user; or as another one, if it serves too many accounts.",
            true,
        ),
        LinkReason::RefreshInDoubt => (
            "An answer of Salesforce was lost while the connection was renewed. It may still turn out well by itself.",
            "If it is broken, press Relink and log in as the API user.",
            health == Health::Broken,
        ),
        LinkReason::ApiUserInactive => (
            "The API user is inactive or frozen in Salesforce.",
            "In Salesforce, Setup > Users: activate or unfreeze the API user. Then press Relink.",
            true,
        ),
        LinkReason::AppNotApproved => (
            "The app is not installed in your org, or not approved for the API user.",
            "In Salesforce, Setup > Connected Apps OAuth Usage: install the app, and approve it for the API user. Then press Relink.",
            true,
        ),
        LinkReason::IpOrHoursRestricted => (
            "Login hours or IP ranges of the API user's profile forbid it.",
            "In Salesforce, open the API user's profile: remove Login Hours and Login IP Ranges, or allow our addresses. Then press Relink.",
            true,
        ),
        LinkReason::PermissionMissing => (
            "The API user may not do everything that is needed. Until it may, Tasks go out without these fields, or wait.",
            "Give the API user what is missing (the page of the account lists it), then press Check again there. It is also looked at by itself, at the latest tomorrow.",
            false,
        ),
        LinkReason::ApiDisabled => (
            "The API user may not use the API, or the org's edition has none.",
            "In Salesforce, give the API user's profile or permission set the permission API Enabled. Then press Relink.",
            true,
        ),
        LinkReason::OrgInactive => (
            "Salesforce says that the org is inactive, locked or deleted.",
            "Ask Salesforce about the org. To use another org, press Relink.",
            true,
        ),
        LinkReason::OurCredentials => (
            "Salesforce refuses our app, not your API user. The fault is on our side.",
            "You need do nothing: we have been told, and calls wait until it works.",
            false,
        ),
        LinkReason::UserLinked
        | LinkReason::UserRelinked
        | LinkReason::UserUnlinked
        | LinkReason::Recovered
        | LinkReason::Unknown => (
            "Salesforce refuses the connection, and does not say why.",
            "Press Relink, and log in as the API user. If that does not help, contact support.",
            true,
        ),
    };
    Some(Trouble {
        title,
        what,
        todo,
        relink,
    })
}
