//! What is wrong with a link that stands, and what to do.

use crate::domain::link::{Health, LinkReason};

/// What is wrong with a link.
pub(in super::super) struct Trouble {
    pub(in super::super) title: &'static str,
    pub(in super::super) what: &'static str,
    pub(in super::super) todo: &'static str,
    /// The button to press is Relink.
    pub(in super::super) relink: bool,
}

/// The trouble that a reason is; for a healthy link there is none.
#[expect(clippy::too_many_lines, reason = "one table, one row for each reason")]
pub(in super::super) fn trouble(health: Health, reason: Option<LinkReason>) -> Option<Trouble> {
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
            "Give the API user what is named above. It is looked at again by itself, at the latest tomorrow.",
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

/// Something that the API user lacks.
pub(in super::super) struct Lack {
    pub(in super::super) what: String,
    pub(in super::super) setting: &'static str,
    /// Where that is, below the org's own address.
    pub(in super::super) path: &'static str,
}

/// What a line of [`crate::domain::link::LinkedOrg::missing`] means.
pub(in super::super) fn lack(missing: &str) -> Lack {
    match missing.split_once('.') {
        Some(("Task", field)) => Lack {
            what: format!("The field {field} of Task cannot be written."),
            setting: "Setup > Object Manager > Task > Fields & Relationships > the field > Set Field-Level Security: visible and not read-only for the API user's profile.",
            path: "/lightning/setup/ObjectManager/Task/FieldsAndRelationships/view",
        },
        _ if missing == "create Task" => Lack {
            what: "The API user may not create Tasks.".to_owned(),
            setting: "Setup > Permission Sets > the API user's permission set > System Permissions: Edit Tasks.",
            path: "/lightning/setup/PermSets/home",
        },
        _ => Lack {
            what: missing.to_owned(),
            setting: "Setup > Permission Sets > the API user's permission set.",
            path: "/lightning/setup/PermSets/home",
        },
    }
}
