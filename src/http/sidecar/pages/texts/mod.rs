//! Every word that the pages say, in English. Another language is another such module.
//!
//! - here: headings, buttons and sentences; [`checklist`]: what an admin prepares;
//! - [`points`]: what a preflight found; [`asking`]: why an org did not answer;
//! - [`trial`]: what a test shows; [`contacts`]: who is told;
//! - [`invitations`]: of those who have no login at the portal;
//! - [`faults`]: what went wrong with a login, and what to do. What is wrong with a link is told in
//!   notices too, in the words of [`crate::telling::troubles`].

pub(in super::super) mod asking;
pub(in super::super) mod checklist;
pub(in super::super) mod contacts;
pub(in super::super) mod faults;
pub(in super::super) mod invitations;
pub(in super::super) mod points;
pub(in super::super) mod trial;

use std::time::Duration;

use crate::domain::link::{Actor, Environment, Health, LinkReason, LinkStatus};

pub(super) const LANGUAGE: &str = "en";

// Every page.
pub(super) const SKIP: &str = "Skip to the content";
pub(super) const ACCOUNT: &str = "Account";
pub(super) const AREA: &str = "Salesforce account credentials";
pub(super) const SUPPORT: &str = "Need help? Contact support:";
pub(super) const BACK: &str = "Back to the account";

// What holds.
pub(super) const STANDING: &str = "Where it stands";
pub(super) const STATUS: &str = "Status";
pub(super) const HEALTH: &str = "Health";
pub(super) const SINCE: &str = "Since";
pub(super) const UNTIL: &str = "until";
pub(super) const TASKS_PAUSED: &str = "Logging of calls is paused";
pub(super) const LOOKUPS_PAUSED: &str = "Looking callers up is paused";
pub(super) const CALLS_WAIT: &str = "Calls that wait for it:";
pub(super) const CALLS_KEPT: &str = "They are kept, and logged once it works.";
pub(super) const WHAT_TO_DO: &str = "What to do";
pub(super) const UNLINKED: &str = "This account is not linked to Salesforce. Link it with the API user that the contact centre shall act as.";
pub(super) const UNLINKED_WORKS: [&str; 2] = [
    "Calls, routing and everything else of the contact centre.",
    "This page: prepare the API user now, and link later.",
];
pub(super) const UNLINKED_WORKS_NOT: [&str; 3] = [
    "Callers are not looked up in Salesforce.",
    "Calls that end are not logged as Salesforce Tasks, nor will they be later.",
    "Nothing else that the contact centre does in Salesforce.",
];
pub(super) const WORKS: &str = "What works";
pub(super) const WORKS_NOT: &str = "What does not, until it is linked";
pub(super) const LINKED: &str = "The account is linked to Salesforce. You do not need to relink.";
pub(super) const LINKED_TROUBLED: &str =
    "The account is linked to Salesforce, and needs your attention.";

/// What a link by the older method means.
pub(super) fn legacy(until: Option<&str>) -> String {
    let until = until.map_or_else(String::new, |day| {
        format!(" It goes on working until {day}, and no longer.")
    });
    format!("The account is linked by an older method. We recommend that you relink it.{until}")
}

// The link.
pub(super) const CREDENTIALS: &str = "Credentials";
pub(super) const API_USER: &str = "API user";
pub(super) const ORG: &str = "Salesforce org";
pub(super) const ENVIRONMENT: &str = "Environment";
pub(super) const LINKED_SINCE: &str = "Linked since";
pub(super) const BY: &str = "by";
pub(super) const SHARED: &str = "Accounts on this API user";
pub(super) const NOT_ASKED_YET: &str = "not asked yet";

/// How many accounts an API user serves.
pub(super) fn slots(used: usize, most: u32) -> String {
    format!("{used} of {most} accounts use this API user")
}

// The preflight.
pub(super) const PREFLIGHT: &str = "What the API user may do";
pub(super) const PREFLIGHT_AT: &str = "Checked";
pub(super) const REQUESTS_LEFT: &str = "API requests left today";
pub(super) const NEEDED: &str = "Needed";
pub(super) const ADVISED: &str = "Advised";
pub(super) const OPEN_SETUP: &str = "Open it in Salesforce";
pub(super) const EXPLAINED: &str = "How Salesforce explains it";
pub(super) const CHECK_AGAIN: &str = "Check again";
pub(super) const UNTOLD: &str = "Salesforce tells nobody about login hours, IP ranges, passwords that expire, and how long the app’s connections last: see “What to prepare” below for these.";

// The test.
pub(super) const TEST: &str = "Test it";
pub(super) const TEST_MEANS: &str = "Enter a customer’s phone number, and see which record a call from it would be logged on. Nothing is changed by looking.";
pub(super) const NUMBER: &str = "Phone number";
pub(super) const NUMBER_HELP: &str =
    "With its country code, like +44 20 7946 0018; or as it is dialled in the org’s own country.";
pub(super) const LOOK_UP: &str = "Look it up";
pub(super) const FOUND: &str = "What was found";
pub(super) const READ_AS: &str = "Read as";
pub(super) const RULE: &str = "Rule";
pub(super) const WITH_NUMBER: &str = "Records with this number";
pub(super) const CANDIDATES: &str = "In the order of the rules";
pub(super) const CHOSEN: &str = "Chosen";
pub(super) const OPEN_RECORD: &str = "Open in Salesforce";
pub(super) const MAKE_TITLE: &str = "See a Task of it";
pub(super) const MAKE: &str = "Create one test Task";
pub(super) const TEST_MORE: &str = "Test another number";
pub(super) const LOOK_AGAIN: &str = "Look again";
pub(super) const DELETE: &str = "Delete it";
pub(super) const SUBJECT: &str = "Subject";
pub(super) const LEFT_OUT: &str = "Left out, as Salesforce refused it";

// Link and Relink.
pub(super) const LINK_TITLE: &str = "Link this account";
pub(super) const LINK_MEANS: &str = "Once everything below is prepared: choose where the API user logs in. Salesforce's login opens; log in as the API user, and press Allow.";
pub(super) const LINK_GO: &str = "Link";
pub(super) const RELINK: &str = "Relink";
pub(super) const RELINK_MEANS: &str =
    "Use this to link another org or another API user, or to mend a broken link.";
pub(super) const RELINK_KEEPS: &str =
    "The present link stays as it is until the new one is complete.";
pub(super) const RELINK_GO: &str = "Relink now";
pub(super) const LOG_IN_TO: &str = "Log in to";
pub(super) const PRODUCTION: &str = "Production";
pub(super) const SANDBOX: &str = "Sandbox";
pub(super) const MY_DOMAIN: &str = "My Domain…";
pub(super) const MY_DOMAIN_LABEL: &str = "My Domain";
pub(super) const MY_DOMAIN_HELP: &str = "The address of your org's own login page. In Salesforce: Setup > My Domain > Current My Domain URL.";
pub(super) const NEW_WINDOW: &str = "Opens Salesforce's login.";
pub(super) const BLOCKED: &str = "Your browser did not open a new window.";
pub(super) const GO_HERE: &str = "Open Salesforce's login without it";
pub(super) const VIEWER: &str =
    "You may see this page, and change nothing. Ask an admin of this account.";

/// What relinking takes where the API user is full.
pub(super) fn give_up_first(most: u32) -> String {
    format!(
        "This API user serves {most} accounts, the most that Salesforce allows. I agree that this account's present connection is given up first: until the new login is complete, calls wait."
    )
}

// Unlink.
pub(super) const UNLINK: &str = "Unlink…";
pub(super) const UNLINK_TITLE: &str = "Unlink this account from Salesforce?";
pub(super) const UNLINK_WARNING: &str =
    "The Salesforce integration will no longer work for this account.";
pub(super) const UNLINK_CALLS: &str =
    "Callers are no longer looked up, and calls that end are not logged.";
pub(super) const UNLINK_TOKEN: &str =
    "Our permission to act as the API user is given back to Salesforce.";
pub(super) const UNLINK_GO: &str = "Unlink";
pub(super) const KEEP: &str = "Keep the link";

/// What unlinking means for calls that wait, which they do for so long.
pub(super) fn unlink_waiting(calls: u64, grace: Duration) -> String {
    let waiting = match calls {
        0 => return "No calls wait to be logged.".to_owned(),
        1 => "1 call waits to be logged.".to_owned(),
        calls => format!("{calls} calls wait to be logged."),
    };
    if grace.is_zero() {
        return format!(
            "{waiting} What waits will not be logged any more, whatever is linked later."
        );
    }
    let grace = lasting(grace);
    format!(
        "{waiting} For {grace} more they are kept: if you link the same org again by then, they are logged. After that they are dropped."
    )
}

/// What becomes of the calls of an account that was unlinked, until then.
pub(super) fn still_waiting(calls: u64, until: &str) -> String {
    let (wait, logged) = match calls {
        1 => ("1 call still waits".to_owned(), "it is logged"),
        calls => (format!("{calls} calls still wait"), "they are logged"),
    };
    format!(
        "{wait}, until {until}. If you link the same org again by then, {logged}; if you link another org, you are asked first. After that, what waits is dropped."
    )
}

/// A time in words, in whole minutes or hours.
pub(super) fn lasting(time: Duration) -> String {
    let minutes = time.as_secs().div_ceil(60);
    match minutes {
        1 => "1 minute".to_owned(),
        60 => "1 hour".to_owned(),
        minutes if minutes % 60 == 0 => format!("{} hours", minutes / 60),
        minutes => format!("{minutes} minutes"),
    }
}

// The checklist and the history.
pub(super) const PREPARE: &str = "Prepare this first";
pub(super) const PREPARED: &str = "What to prepare";
pub(super) const PREPARE_MEANS: &str =
    "An admin of your Salesforce org does this once, in this order.";
pub(super) const HISTORY: &str = "History";
pub(super) const HISTORY_EMPTY: &str = "Nothing has happened yet.";
pub(super) const HISTORY_ALL: &str = "The whole history";
pub(super) const HISTORY_OLDER: &str = "Older";

// A login.
pub(super) const CONFIRM: &str = "Yes, link this user";
pub(super) const REJECT: &str = "No, that is wrong";
pub(super) const GIVE_UP: &str = "Cancel this login";
pub(super) const ENDS_AT: &str = "If nobody comes back, it ends by itself:";
pub(super) const MAY_CLOSE: &str = "You may close this window.";

/// A notice above the account.
pub(super) struct Notice {
    pub(super) tone: &'static str,
    pub(super) what: &'static str,
    pub(super) todo: &'static str,
}

pub(super) const NOTICE_LINKED: Notice = Notice {
    tone: "good",
    what: "Linked.",
    todo: "Calls are looked up and logged from now on.",
};
pub(super) const NOTICE_UNLINKED: Notice = Notice {
    tone: "still",
    what: "Unlinked.",
    todo: "Callers are no longer looked up, and calls are not logged.",
};
pub(super) const NOTICE_CANCELLED: Notice = Notice {
    tone: "still",
    what: "The login was cancelled.",
    todo: "Nothing was changed.",
};

pub(super) const NOTICE_DISCARDED: Notice = Notice {
    tone: "still",
    what: "The login was discarded.",
    todo: "Nothing was changed, and what Salesforce gave us is given back.",
};

/// A status.
pub(super) const fn status(status: LinkStatus) -> &'static str {
    match status {
        LinkStatus::Unlinked => "Unlinked",
        LinkStatus::Linked => "Linked",
        LinkStatus::Legacy => "Legacy",
    }
}

/// A health.
pub(super) const fn health(health: Health) -> &'static str {
    match health {
        Health::Healthy => "Works",
        Health::AtRisk => "At risk",
        Health::Broken => "Broken",
    }
}

/// An environment.
pub(super) const fn environment(environment: Environment) -> &'static str {
    match environment {
        Environment::Production => PRODUCTION,
        Environment::Sandbox => SANDBOX,
    }
}

/// Who did something.
pub(super) fn actor(actor: &Actor) -> String {
    match actor {
        Actor::Admin(id) => id.clone(),
        Actor::Operator(id) => format!("{id}, operator"),
        Actor::Machine(id) => format!("{id}, program"),
        Actor::System => "the integration itself".to_owned(),
        Actor::Salesforce => "Salesforce".to_owned(),
    }
}

/// A line of the history about which nothing changed but what is known.
pub(super) const LEARNT: &str = "Salesforce told who the API user is";

/// Why something changed, in the history.
pub(super) const fn reason(reason: LinkReason) -> &'static str {
    match reason {
        LinkReason::UserLinked => "Linked",
        LinkReason::UserRelinked => "Relinked",
        LinkReason::UserUnlinked => "Unlinked",
        LinkReason::Recovered => "Works again",
        LinkReason::TokenRevoked => "Salesforce no longer accepts the connection",
        LinkReason::ApprovalDisplaced => "A sixth approval of the API user displaced this one",
        LinkReason::RefreshInDoubt => "An answer of Salesforce was lost",
        LinkReason::ApiUserInactive => "The API user is inactive or frozen",
        LinkReason::AppNotApproved => "The app is not installed or not approved",
        LinkReason::IpOrHoursRestricted => "Login hours or IP ranges forbid it",
        LinkReason::PermissionMissing => "A permission is missing",
        LinkReason::ApiDisabled => "The API may not be used",
        LinkReason::OrgInactive => "The org is inactive",
        LinkReason::OurCredentials => "Salesforce refuses our app",
        LinkReason::Unknown => "Something that Salesforce does not explain",
    }
}
