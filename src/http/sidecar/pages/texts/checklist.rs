//! What an admin of the Salesforce org prepares, in order.

use super::super::help::{
    APPROVALS, IDLE_TOKENS, INTEGRATION_USER, LINKING, MFA, PERMISSIONS, Page, UNINSTALLED_APPS,
};

/// One step.
pub(in super::super) struct Item {
    pub(in super::super) title: &'static str,
    pub(in super::super) body: String,
    pub(in super::super) points: Vec<String>,
    pub(in super::super) help: Option<Page>,
}

fn item(title: &'static str, body: &str, points: &[&str], help: Option<Page>) -> Item {
    Item {
        title,
        body: body.to_owned(),
        points: points.iter().map(|point| (*point).to_owned()).collect(),
        help,
    }
}

/// The steps. `addresses` are those that we connect from; none: they are not known here.
#[expect(clippy::too_many_lines, reason = "one list, one entry for each step")]
pub(in super::super) fn checklist(addresses: &[String], most: u32) -> Vec<Item> {
    let mut open = item(
        "Let it in from everywhere, at all times",
        "The integration works around the clock. In the API user's profile, leave Login Hours and Login IP Ranges empty, or allow the addresses that we connect from.",
        &[],
        None,
    );
    open.points = addresses.to_vec();
    vec![
        item(
            "Create an API user",
            &format!(
                "A Salesforce user for the contact centre alone, no person's own. We recommend the permission API Only User. Up to {most} accounts may share one API user."
            ),
            &[],
            Some(INTEGRATION_USER),
        ),
        item(
            "Give it its permissions",
            "By its profile or a permission set:",
            &[
                "API Enabled",
                "Edit Tasks, and write access to the fields of Task that calls fill",
                "Read on Contacts, Leads and Accounts, with their phone fields",
                "View All Users, if Tasks shall belong to the agents who took the calls",
                "View All Data, if your sharing is private",
            ],
            Some(PERMISSIONS),
        ),
        open,
        item(
            "Let its password never expire",
            "Give it the permission Password Never Expires.",
            &[],
            None,
        ),
        item(
            "Install or approve the app",
            "In Setup > Connected Apps OAuth Usage, press Install beside the app, or approve it for the API user. Where it is not installed, Salesforce refuses the login.",
            &[],
            Some(UNINSTALLED_APPS),
        ),
        item(
            "Let the connection last",
            "In the app's OAuth policies, choose for refresh tokens: valid until revoked. One that expires cuts the link.",
            &[],
            Some(IDLE_TOKENS),
        ),
        item(
            "Know what the login asks for",
            "Salesforce asks for multi-factor authentication where a user logs in through its pages, so have the API user's second factor at hand. An API Only User is usually not asked.",
            &[],
            Some(MFA),
        ),
        item(
            "Log in directly as the API user",
            "Never through “Log in as another user”: Salesforce does not approve apps there.",
            &[],
            Some(LINKING),
        ),
        item(
            "Count the accounts",
            &format!(
                "Salesforce keeps {most} approvals of a user for an app. For a further account, create another API user."
            ),
            &[],
            Some(APPROVALS),
        ),
    ]
}
