//! What became of a login, and what to do.

use std::time::Duration;

use super::lasting;
use crate::domain::authorization::{AuthorizationFault, Doubt};

/// What is said of a login.
pub(in super::super) struct Told {
    pub(in super::super) title: &'static str,
    pub(in super::super) lines: Vec<String>,
    pub(in super::super) steps: Vec<&'static str>,
}

pub(super) fn told(title: &'static str, line: &str, steps: &[&'static str]) -> Told {
    Told {
        title,
        lines: vec![line.to_owned()],
        steps: steps.to_vec(),
    }
}

/// The admin is at Salesforce.
pub(in super::super) fn waiting() -> Told {
    Told {
        title: "Waiting for Salesforce",
        lines: vec![
            "Log in as the API user in the window that opened, and press Allow. This page follows by itself.".to_owned(),
            "If that window is closed, or Salesforce shows an error there, cancel this login and begin it again.".to_owned(),
        ],
        steps: Vec::new(),
    }
}

/// The code is redeemed.
pub(in super::super) fn redeeming() -> Told {
    told(
        "Back from Salesforce",
        "Salesforce is asked who the API user is. This takes a few seconds.",
        &[],
    )
}

/// Something looks wrong.
pub(in super::super) fn doubtful() -> Told {
    told(
        "Is this the right user?",
        "The login is complete, and something about it looks unusual. Nothing is linked until you say so.",
        &[],
    )
}

/// It stands.
pub(in super::super) fn linked() -> Told {
    told("Linked", "Calls are looked up and logged from now on.", &[])
}

/// Said under every fault.
const UNTOUCHED: &str = "Nothing was changed: if the account was linked before, it still is.";

/// Why it came to nothing.
#[expect(clippy::too_many_lines, reason = "one table, one row for each fault")]
pub(in super::super) fn fault(fault: &AuthorizationFault, most: u32) -> Told {
    let mut told = match fault {
        AuthorizationFault::Denied => told(
            "Access was denied",
            "On Salesforce's page “Allow Access?”, Deny was pressed.",
            &["Begin again, and press Allow."],
        ),
        AuthorizationFault::Cancelled => told(
            "The login was cancelled",
            "You gave it up, and what Salesforce gave us is given back.",
            &["To link after all, begin again."],
        ),
        AuthorizationFault::Discarded => told(
            "The login was not confirmed",
            "An admin of the account did not recognise the user or the org. What Salesforce gave us is given back.",
            &["To link after all, an admin of the account invites again."],
        ),
        AuthorizationFault::Unconfirmed => told(
            "The login was not confirmed in time",
            "No admin of the account confirmed it. What Salesforce gave us is given back.",
            &["To link after all, an admin of the account invites again."],
        ),
        AuthorizationFault::InvitationOver => told(
            "The invitation is over",
            "It was taken back, or another login by it was complete first. What Salesforce gave us is given back.",
            &["To link after all, an admin of the account invites again."],
        ),
        AuthorizationFault::Expired => told(
            "The login took too long",
            "Nobody came back from Salesforce in time. Perhaps the window was closed, or Salesforce showed a page that leads nowhere.",
            &[
                "If Salesforce showed an error: check that the app is installed in your org and approved for the API user (Setup > Connected Apps OAuth Usage).",
                "If the org allows logins at its own address only, choose My Domain…",
                "Begin again.",
            ],
        ),
        AuthorizationFault::AppNotApproved => told(
            "The app is not approved",
            "Salesforce says that the app is not installed in your org, is blocked there, or is not approved for this user.",
            &[
                "In Salesforce, Setup > Connected Apps OAuth Usage: install the app, or approve it for the API user.",
                "Begin again.",
            ],
        ),
        AuthorizationFault::UserInactive => told(
            "The user is inactive",
            "Salesforce says that this user is inactive or frozen.",
            &[
                "In Salesforce, Setup > Users: activate or unfreeze the API user.",
                "Begin again.",
            ],
        ),
        AuthorizationFault::IpOrHours => told(
            "Login hours or IP ranges forbid it",
            "Salesforce does not let this user in now, or not from our addresses.",
            &[
                "In Salesforce, open the API user's profile: remove Login Hours and Login IP Ranges, or allow our addresses.",
                "Begin again.",
            ],
        ),
        AuthorizationFault::CodeRefused => told(
            "Salesforce did not accept the login",
            "What Salesforce sent back with you was too old, or had been used before.",
            &["Begin again, and do not use the browser's Back button meanwhile."],
        ),
        AuthorizationFault::OurCredentials => told(
            "Salesforce refuses our app",
            "The fault is on our side, not yours.",
            &["Contact support. There is nothing that you can do in Salesforce."],
        ),
        AuthorizationFault::Unavailable => told(
            "Salesforce did not answer",
            "Salesforce did not answer, or not as it should.",
            &["Begin again in a few minutes."],
        ),
        AuthorizationFault::ApiUserFull { .. } => Told {
            title: "This API user is full",
            lines: vec![
                "This account was not linked. Salesforce may have given up the oldest connection of the API user as you logged in: each of the accounts below is looked at now, and one that has lost its connection says so on its page, and is to be relinked.".to_owned(),
                format!(
                    "It serves {most} accounts already, the most that Salesforce allows for one user:"
                ),
            ],
            steps: vec![
                "Create another API user in Salesforce, with the same permissions.",
                "Begin again, and log in as that one.",
            ],
        },
        AuthorizationFault::LinkChanged => told(
            "Somebody else changed the link meanwhile",
            "Another admin linked, relinked or unlinked this account while you were at Salesforce. This login was dropped.",
            &["Look at what holds now, and begin again if it is not right."],
        ),
        AuthorizationFault::Other { code } => told(
            "Salesforce refused the login",
            &format!("Salesforce says: {code}"),
            &[
                "Begin again. If that does not help, contact support, and tell them what Salesforce says.",
            ],
        ),
    };
    if !matches!(
        fault,
        AuthorizationFault::LinkChanged | AuthorizationFault::ApiUserFull { .. }
    ) {
        told.lines.push(UNTOUCHED.to_owned());
    }
    told
}

/// A callback that nobody here began.
pub(in super::super) fn unknown() -> Told {
    told(
        "This login is not known here",
        "It was not begun in this browser, it took too long, or it was begun by somebody else.",
        &["Go back, and begin again."],
    )
}

/// A browser brought back what a program began.
pub(in super::super) fn brought_back() -> Told {
    told(
        "Back from Salesforce",
        "The program that sent you to Salesforce goes on from here, and looks at who logged in.",
        &["You may close this window."],
    )
}

/// What was typed is no My Domain.
pub(in super::super) fn no_such_domain() -> Told {
    told(
        "That is no My Domain of Salesforce's",
        "The address must be that of your org's own login page, like acme.my.salesforce.com or acme--test.sandbox.my.salesforce.com.",
        &[
            "In Salesforce, copy it from Setup > My Domain > Current My Domain URL.",
            "Begin again.",
        ],
    )
}

/// Relinking gives up the present link first, and nobody agreed.
pub(in super::super) fn needs_consent(most: u32) -> Told {
    told(
        "This API user is full",
        &format!(
            "It serves {most} accounts, the most that Salesforce allows. Relinking gives this account's present connection up first, and you have not agreed to that yet:"
        ),
        &["Go back, press Relink, and tick the box that says so."],
    )
}

/// So many invitations are open.
pub(in super::super) fn too_many_invitations(most: u32) -> Told {
    told(
        "Enough people are invited",
        &format!("{most} invitations of this account are open, as many as may be."),
        &["Revoke one of them, or wait until it ends."],
    )
}

/// An invitation does not hold, whatever the reason: strangers learn nothing.
pub(in super::super) fn no_invitation() -> Told {
    told(
        "This invitation does not hold",
        "It has ended, was used or taken back, or the link is not complete.",
        &[
            "Open the link again, exactly as it was sent to you.",
            "If that does not help, ask whoever sent it for another one.",
        ],
    )
}

/// Rights are missing.
pub(in super::super) fn no_rights() -> Told {
    Told {
        title: "You cannot see this page",
        lines: vec![
            "You have no rights for it, or you have been away for too long. Open it again from your portal.".to_owned(),
            "If that does not help, contact support.".to_owned(),
        ],
        steps: Vec::new(),
    }
}

/// The settings name no address to come back to.
pub(in super::super) fn not_configured() -> Told {
    told(
        "Linking is not set up here",
        "The service does not know yet where Salesforce shall send you back to.",
        &["Contact support."],
    )
}

/// The database is away.
pub(in super::super) fn broken() -> Told {
    told(
        "This does not work at the moment",
        "The fault is on our side. Nothing was changed.",
        &["Try again in a few minutes."],
    )
}

/// A question to the admin.
pub(in super::super) fn doubt(doubt: Doubt, waiting: u64, grace: Duration) -> String {
    match doubt {
        Doubt::NotApiOnly => "This user may log in to Salesforce's pages: perhaps it is a person's own. We recommend an API Only User.".to_owned(),
        Doubt::BegunByProgram => "A program began this login, and is to say whether this is the right user.".to_owned(),
        Doubt::OtherEnvironment => "This is not the environment that you chose.".to_owned(),
        Doubt::OtherOrg => {
            let grace = lasting(grace);
            format!(
                "This is another org than before, and {waiting} calls wait. If you link it, they are logged in this org. If they shall not be: press No, unlink the account if it is linked, and link it again {grace} later, when they are dropped."
            )
        }
    }
}
