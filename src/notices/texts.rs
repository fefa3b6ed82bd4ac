//! Every word of a notice, in English; what is wrong and what to do is told as on the pages
//! ([`crate::telling::troubles`]). Another language is another such module.

use askama::Template;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::domain::ids::AccountId;
use crate::domain::link::Health;
use crate::domain::notice::{Notice, NoticeKind};
use crate::telling::troubles::{Trouble, trouble};

/// A notice in words, for people.
#[derive(Template)]
#[template(path = "notice.html")]
pub(super) struct Letter {
    /// What a list of mails shows.
    pub(super) subject: String,
    /// What holds, and why.
    lines: Vec<String>,
    /// What is needed and missing.
    missing: Vec<String>,
    /// What to do.
    todo: Option<&'static str>,
    /// What the link to the page says, and where it leads.
    button: Option<(&'static str, String)>,
    /// Why this came.
    foot: &'static str,
}

const MISSING: &str = "Missing:";
const TODO: &str = "What to do:";
const FOOT: &str = "You get this because an admin of the account put this address among its contacts. Admins remove it on the account's page.";

/// What a notice is about, for programs.
const fn kind(kind: NoticeKind) -> &'static str {
    match kind {
        NoticeKind::Broken => "link.broken",
        NoticeKind::Recovered => "link.recovered",
        NoticeKind::PreflightRed => "link.preflight_red",
        NoticeKind::Test => "link.test",
    }
}

/// What is wrong, where something is.
fn wrong(notice: &Notice) -> Option<Trouble> {
    match notice.kind {
        NoticeKind::Broken => trouble(Health::Broken, notice.reason),
        NoticeKind::PreflightRed => trouble(
            Health::AtRisk,
            Some(crate::domain::link::LinkReason::PermissionMissing),
        ),
        NoticeKind::Recovered | NoticeKind::Test => None,
    }
}

/// What a notice says first.
fn title(account: &AccountId, kind: NoticeKind) -> String {
    match kind {
        NoticeKind::Broken => format!("The Salesforce link of account {account} does not work"),
        NoticeKind::Recovered => {
            format!("The Salesforce link of account {account} works as it should again")
        }
        NoticeKind::PreflightRed => {
            format!("Something that account {account} needs is missing in Salesforce")
        }
        NoticeKind::Test => format!("Test: notices about account {account} arrive here"),
    }
}

/// How many calls wait.
fn waiting(kind: NoticeKind, calls: u64) -> String {
    let calls = match calls {
        0 => return "No calls wait for it.".to_owned(),
        1 => "1 call waits for it".to_owned(),
        calls => format!("{calls} calls wait for it"),
    };
    match kind {
        NoticeKind::Recovered => format!("{calls}, and will be logged by itself."),
        _ => format!("{calls}. Calls are kept, and logged once it works."),
    }
}

impl Letter {
    /// A notice in words, with the page where an admin acts.
    pub(super) fn of(account: &AccountId, notice: &Notice, page: Option<String>) -> Self {
        let trouble = wrong(notice);
        let mut lines = vec![format!("{}.", title(account, notice.kind))];
        let since = notice.since.format("%-d %b %Y, %H:%M UTC");
        match notice.kind {
            NoticeKind::Broken => lines.push(format!("Since {since}.")),
            NoticeKind::Test => {
                lines.push("Nothing has happened: somebody pressed Send a test notice.".to_owned());
            }
            NoticeKind::Recovered | NoticeKind::PreflightRed => {}
        }
        lines.extend(trouble.as_ref().map(|trouble| trouble.what.to_owned()));
        lines.push(waiting(notice.kind, notice.waiting));
        let relink = trouble.as_ref().is_some_and(|trouble| trouble.relink);
        let label = if relink {
            "Open the page to relink"
        } else {
            "Open the account's page"
        };
        Self {
            subject: title(account, notice.kind),
            lines,
            missing: notice.missing.clone(),
            todo: trouble.map(|trouble| trouble.todo),
            button: page.map(|page| (label, page)),
            foot: FOOT,
        }
    }

    /// As plain text.
    pub(super) fn plain(&self) -> String {
        let mut parts = self.lines.clone();
        if !self.missing.is_empty() {
            let missing = self.missing.iter().map(|name| format!("\n- {name}"));
            parts.push(format!("{MISSING}{}", missing.collect::<String>()));
        }
        parts.extend(self.todo.map(|todo| format!("{TODO} {todo}")));
        parts.extend(
            self.button
                .as_ref()
                .map(|(label, url)| format!("{label}: {url}")),
        );
        parts.push(format!("-- \n{}", self.foot));
        parts.join("\n\n")
    }

    /// As simple HTML.
    pub(super) fn html(&self) -> String {
        self.render().unwrap_or_default()
    }
}

/// A notice for programs, in the form that Standard Webhooks recommends.
pub(super) fn payload(
    account: &AccountId,
    notice: &Notice,
    page: Option<String>,
    made_at: DateTime<Utc>,
) -> Value {
    let trouble = wrong(notice);
    json!({
        "type": kind(notice.kind),
        "timestamp": made_at,
        "data": {
            "account": account,
            "reason": notice.reason,
            "cause": trouble.as_ref().map(|trouble| trouble.what),
            "todo": trouble.as_ref().map(|trouble| trouble.todo),
            "missing": notice.missing,
            "waitingCalls": notice.waiting,
            "since": notice.since,
            "page": page,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::link::LinkReason;

    #[test]
    fn a_letter_tells_cause_waiting_calls_and_what_to_press() {
        let notice = Notice {
            kind: NoticeKind::Broken,
            reason: Some(LinkReason::TokenRevoked),
            missing: vec!["Task.<b>".to_owned()],
            waiting: 3,
            since: DateTime::UNIX_EPOCH,
        };
        let account = "acme".parse().expect("an account");
        let page = Some("https://portal.example/acme?a=1&b=2".to_owned());
        let letter = Letter::of(&account, &notice, page);
        let plain = letter.plain();
        for part in [
            "does not work",
            "revoked",
            "3 calls wait",
            "Press Relink",
            "a=1&b=2",
        ] {
            assert!(plain.contains(part), "{part}: {plain}");
        }
        let html = letter.html();
        assert!(html.contains("Task.&#60;b&#62;"), "{html}");
        assert!(
            html.contains("href=\"https://portal.example/acme?a=1&#38;b=2\""),
            "{html}"
        );
        assert!(!letter.subject.contains(['\r', '\n']));
    }
}
