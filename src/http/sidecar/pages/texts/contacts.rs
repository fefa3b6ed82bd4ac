//! Who is told of a link: headings, buttons, and what became of notices.

use crate::domain::link::Actor;
use crate::domain::notice::{Channel, DeliveryFault, NoticeKind};
use crate::notices::Error;
use crate::store::contacts::{ContactEvent, NoticeState};

pub(in super::super) const TITLE: &str = "Who is told";
pub(in super::super) const MEANS: &str = "When the link breaks, works again, or lacks something in Salesforce, these contacts are told: what is wrong, how many calls wait, and what to do.";
pub(in super::super) const NOBODY: &str =
    "Nobody is told yet. Add a contact, so that a broken link does not go unnoticed.";
pub(in super::super) const CHANGE: &str = "Change who is told";
pub(in super::super) const SEE: &str = "See who is told";
pub(in super::super) const CONTACTS: &str = "Contacts";
pub(in super::super) const LAST: &str = "Last notice,";
pub(in super::super) const NONE_YET: &str = "No notice was sent yet.";
pub(in super::super) const TEST: &str = "Send a test notice";
pub(in super::super) const REMOVE: &str = "Remove";
pub(in super::super) const ADD_MAIL: &str = "Add a mail address";
pub(in super::super) const ADD_WEBHOOK: &str = "Add a webhook";
pub(in super::super) const ADD: &str = "Add";
pub(in super::super) const MAIL_LABEL: &str = "Mail address";
pub(in super::super) const MAIL_HELP: &str = "A list that several people read is best.";
pub(in super::super) const NO_MAIL: &str =
    "Mails cannot be sent from here: no mail server is set up. Webhooks can.";
pub(in super::super) const WEBHOOK_LABEL: &str = "Webhook URL";
pub(in super::super) const WEBHOOK_HELP: &str = "A public https address of a program of yours. Requests are signed as Standard Webhooks says; the key is shown once, after you add it.";
pub(in super::super) const STANDARD: &str = "Standard Webhooks: how to verify a request";
pub(in super::super) const STANDARD_ADDRESS: &str = "https://www.standardwebhooks.com/";
pub(in super::super) const KEY: &str = "The webhook is added. This is its signing key.";
pub(in super::super) const KEY_ONCE: &str = "Copy it now: it is not shown again. Whoever has it can forge notices. To change it, remove the webhook and add it again.";
pub(in super::super) const HISTORY: &str = "What was changed";

/// What has just been done.
pub(in super::super) const ADDED: &str =
    "The contact is added. Send a test notice to see that it arrives.";
pub(in super::super) const REMOVED: &str = "The contact is removed.";
pub(in super::super) const TESTING: &str =
    "A test notice is on its way. What became of it stands with the contact.";

/// A channel.
pub(in super::super) const fn channel(channel: Channel) -> &'static str {
    match channel {
        Channel::Mail => "Mail",
        Channel::Webhook => "Webhook",
    }
}

/// How many more there may be.
pub(in super::super) fn most(most: usize) -> String {
    format!("At most {most} of these.")
}

/// What a notice was about.
const fn about(kind: NoticeKind) -> &'static str {
    match kind {
        NoticeKind::Broken => "the link broke",
        NoticeKind::Recovered => "the link works again",
        NoticeKind::PreflightRed => "something is missing in Salesforce",
        NoticeKind::Test => "test",
    }
}

/// What became of a notice.
pub(in super::super) fn last(
    kind: NoticeKind,
    state: NoticeState,
    fault: Option<DeliveryFault>,
) -> String {
    let about = about(kind);
    match (state, fault) {
        (NoticeState::Sent, _) => format!("sent ({about})"),
        (NoticeState::Waiting, None) => format!("on its way ({about})"),
        (NoticeState::Waiting, Some(fault)) => {
            format!(
                "not arrived yet ({about}): {} It is tried again.",
                why(fault)
            )
        }
        (NoticeState::GivenUp, Some(fault)) => format!("failed ({about}): {}", why(fault)),
        (NoticeState::GivenUp, None) => format!("failed ({about})"),
    }
}

/// Why a notice did not arrive.
fn why(fault: DeliveryFault) -> String {
    match fault {
        DeliveryFault::Unreachable => "the server could not be reached.".to_owned(),
        DeliveryFault::TimedOut => "the server did not answer in time.".to_owned(),
        DeliveryFault::Refused { code, .. } => format!("the server refused it ({code})."),
        DeliveryFault::NotPublic => {
            "the host has no public address, and nothing is sent to others.".to_owned()
        }
        DeliveryFault::NotConfigured => "no mail server is set up here any more.".to_owned(),
        DeliveryFault::Unreadable => {
            "the contact cannot be read: remove it, and add it again.".to_owned()
        }
    }
}

/// A change of contacts.
pub(in super::super) fn changed(event: ContactEvent, by: Channel, shown: &str) -> String {
    let done = match event {
        ContactEvent::Added => "added",
        ContactEvent::Removed => "removed",
    };
    format!("{} {shown} {done}", channel(by))
}

/// Who changed them.
pub(in super::super) fn actor(actor: &Actor) -> String {
    super::actor(actor)
}

/// Why contacts were not changed.
pub(in super::super) fn refused(error: &Error) -> String {
    error.to_string()
}
