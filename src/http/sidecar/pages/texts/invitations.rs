//! What is said of invitations: to the account's admins, and to those whom they invite.

use super::faults::Told;
use crate::domain::invitation::Step;

// On the account's page.
pub(in super::super) const TITLE: &str = "Invite your Salesforce admin";
pub(in super::super) const MEANS: &str = "Does somebody else have the API user's password? Make a link for them. They need no login here: they see what to prepare, log in at Salesforce, and you confirm the result. They can do nothing else.";
pub(in super::super) const GO: &str = "Make a link";
pub(in super::super) const OPEN: &str = "Links that are open";
pub(in super::super) const MADE_BY: &str = "Made by";
pub(in super::super) const ENDS: &str = "ends";
pub(in super::super) const REVOKE: &str = "Revoke";

// The link, once.
pub(in super::super) const LINK_TITLE: &str = "Send this link to your Salesforce admin";
pub(in super::super) const LINK: &str = "Link";
pub(in super::super) const LINK_ONCE: &str =
    "It is shown this once. If it gets lost, revoke it and make another.";
pub(in super::super) const LINK_MAY: &str = "Whoever has it can log in at Salesforce for this account, once, and nothing else. Nothing is linked until you confirm who logged in.";
pub(in super::super) const LINK_ENDS: &str = "It ends";
pub(in super::super) const COPY: &str = "Copy";
pub(in super::super) const COPIED: &str = "Copied";

// A login to be confirmed.
pub(in super::super) const CONFIRM_TITLE: &str = "Is this the right org?";
pub(in super::super) const CONFIRM_MEANS: &str =
    "Somebody who was invited has logged in at Salesforce. Nothing is linked until you confirm it.";
pub(in super::super) const CONFIRM: &str = "Yes, link this org";
pub(in super::super) const DISCARD: &str = "No, discard it";
pub(in super::super) const INVITED_BY: &str = "Invited by";
pub(in super::super) const CONFIRM_UNTIL: &str = "Confirm until";

// For whoever is invited.
pub(in super::super) const AREA: &str = "Connect Salesforce";
pub(in super::super) const OPEN_TITLE: &str = "You are invited";
pub(in super::super) const OPEN_MEANS: &str = "An admin of a contact centre asks you to connect it to your Salesforce org. Opening this page changes nothing.";
pub(in super::super) const SECRET: &str = "The code of your link";
pub(in super::super) const SECRET_HELP: &str =
    "What stands after # in the link that was sent to you; or the whole link.";
pub(in super::super) const OPEN_GO: &str = "Continue";
pub(in super::super) const LINK_HERE: &str = "Log in at Salesforce";
pub(in super::super) const LINK_HERE_MEANS: &str = "Once everything below is prepared: choose where the API user logs in. Salesforce's login opens; log in as the API user, and press Allow.";
pub(in super::super) const LINK_HERE_GO: &str = "Log in at Salesforce";
pub(in super::super) const LINK_HERE_ENDS: &str = "This invitation ends";
pub(in super::super) const TRY_AGAIN: &str = "Back to the invitation";

/// Who invites to what.
pub(in super::super) fn invites(by: &str, account: &str) -> String {
    format!("{by} asks you to connect the contact centre account {account} to your Salesforce org.")
}

/// Whoever was invited has logged in.
pub(in super::super) fn submitted() -> Told {
    Told {
        title: "Done: your part is complete",
        lines: vec![
            "An admin of the contact centre account now confirms that this is the right user and org. You need do nothing more.".to_owned(),
        ],
        steps: Vec::new(),
    }
}

/// The link that came of it stands.
pub(in super::super) fn confirmed() -> Told {
    Told {
        title: "Connected",
        lines: vec![
            "The account's admin has confirmed it. Calls are looked up and logged from now on."
                .to_owned(),
        ],
        steps: Vec::new(),
    }
}

/// The account's admin is asked.
pub(in super::super) fn to_confirm() -> Told {
    Told {
        title: CONFIRM_TITLE,
        lines: vec![CONFIRM_MEANS.to_owned()],
        steps: Vec::new(),
    }
}

/// A further approval would displace that of another account.
pub(in super::super) fn full() -> Told {
    Told {
        title: "This account cannot be connected anew like this",
        lines: vec![
            "Its present API user serves as many accounts as Salesforce allows for one user."
                .to_owned(),
        ],
        steps: vec!["Ask the account's admin to relink or unlink it on their own page."],
    }
}

/// The user whom they logged in as serves other accounts, which are not named.
pub(in super::super) fn user_full() -> Told {
    Told {
        title: "This API user is full",
        lines: vec![
            "It serves as many accounts of the contact centre as Salesforce allows for one user."
                .to_owned(),
        ],
        steps: vec![
            "Create another API user in Salesforce, with the same permissions.",
            "Ask the account's admin for another invitation, and log in as that one.",
        ],
    }
}

/// A step, in the history.
pub(in super::super) const fn step(step: Step) -> &'static str {
    match step {
        Step::Invited => "A Salesforce admin was invited",
        Step::Revoked => "An invitation was revoked",
        Step::Used => "Logged in at Salesforce by invitation, to be confirmed",
        Step::Discarded => "That login was not confirmed",
    }
}

/// Who used an invitation, as far as that is known.
pub(in super::super) fn whom_invited(by: &str) -> String {
    format!("whomever {by} invited")
}
