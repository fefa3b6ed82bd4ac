//! What a replay would do, before it does it; and what replays did.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::time;
use crate::domain::ids::AccountId;
use crate::domain::link::LinkState;
use crate::domain::replay::{Effect, Why, effect};
use crate::store::replays::{ReplayGroup, ReplayLine};

/// How much goes into one request to Salesforce.
#[derive(Clone, Copy, Debug)]
pub struct Requests {
    /// Tasks in one request.
    pub tasks: u64,
    /// Calls that one query looks for.
    pub looks: u64,
}

/// What a replay would do.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Calls that would be sent.
    pub send: u64,
    /// Calls that would be looked for first.
    pub look: u64,
    /// Of those sent, calls that may have a Task.
    pub may_double: u64,
    /// Calls that would stay as they are, by why.
    pub leave: BTreeMap<Why, u64>,
    /// Requests to Salesforce, at the least.
    pub requests: u64,
    /// Calls that would be put back, by account.
    pub accounts: BTreeMap<AccountId, u64>,
    /// When the first and the last of them were first heard of.
    pub span: Option<(DateTime<Utc>, DateTime<Utc>)>,
}

impl Plan {
    /// The plan for these groups, by the links of their accounts.
    pub fn of(
        groups: &[ReplayGroup],
        links: &[LinkState],
        certain: bool,
        requests: Requests,
    ) -> Self {
        let links: BTreeMap<&AccountId, &LinkState> =
            links.iter().map(|link| (&link.account, link)).collect();
        let mut plan = Self::default();
        let mut each: BTreeMap<&AccountId, (u64, u64)> = BTreeMap::new();
        for group in groups {
            let link = links.get(&group.account).filter(|link| link.is_live());
            let org = link.and_then(|link| link.org.as_ref()).map(|org| &org.org);
            let (send, look) = each.entry(&group.account).or_default();
            match effect(group.stand, group.sent_to.as_ref(), org, certain) {
                Effect::Send => {
                    *send += group.calls;
                    plan.may_double += group.calls * u64::from(group.stand.may_have_a_task());
                }
                Effect::Look => *look += group.calls,
                Effect::Leave(why) => {
                    *plan.leave.entry(why).or_default() += group.calls;
                    continue;
                }
            }
            *plan.accounts.entry(group.account.clone()).or_default() += group.calls;
            let (first, last) = plan.span.unwrap_or((group.first, group.last));
            plan.span = Some((first.min(group.first), last.max(group.last)));
        }
        for (send, look) in each.into_values() {
            plan.send += send;
            plan.look += look;
            let tasks = (send + look).div_ceil(requests.tasks.max(1));
            plan.requests += tasks + look.div_ceil(requests.looks.max(1));
        }
        plan
    }

    /// In words.
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).expect("a string takes any text");
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let all = self.send + self.look;
        let Some((first, last)) = self.span else {
            writeln!(out, "No such call would be put back.")?;
            return self.write_left(out);
        };
        let (first, last) = (time(first), time(last));
        writeln!(
            out,
            "{all} calls would be put back, first heard of from {first} to {last}:"
        )?;
        writeln!(out, "  {} sent again", self.send)?;
        if self.may_double > 0 {
            writeln!(
                out,
                "    {} of them may have a Task already: likely duplicates, if nobody has looked",
                self.may_double
            )?;
        }
        if self.look > 0 {
            writeln!(
                out,
                "  {} looked for first, as their Task may exist; a Task is made of those that have none for sure",
                self.look
            )?;
        }
        writeln!(out, "Requests to Salesforce: at least {}", self.requests)?;
        writeln!(out, "Accounts: {}", self.accounts.len())?;
        let mut accounts: Vec<_> = self.accounts.iter().collect();
        accounts.sort_by_key(|(account, calls)| (std::cmp::Reverse(**calls), *account));
        for (account, calls) in accounts.iter().take(ACCOUNTS) {
            writeln!(out, "  {account:<24} {calls}")?;
        }
        if accounts.len() > ACCOUNTS {
            writeln!(out, "  and {} more", accounts.len() - ACCOUNTS)?;
        }
        self.write_left(out)
    }

    fn write_left(&self, out: &mut String) -> std::fmt::Result {
        for (why, calls) in &self.leave {
            writeln!(out, "{calls} stay as they are: {}", why_in_words(*why))?;
        }
        Ok(())
    }

    /// As JSON.
    pub fn json(&self) -> Value {
        json!({
            "calls": self.send + self.look,
            "sent": self.send,
            "lookedFor": self.look,
            "likelyDuplicates": self.may_double,
            "left": self.leave,
            "requests": self.requests,
            "accounts": self.accounts,
            "first": self.span.map(|(first, _)| time(first)),
            "last": self.span.map(|(_, last)| time(last)),
        })
    }
}

/// Accounts that are told one by one.
const ACCOUNTS: usize = 20;

/// Why calls stay, and what a person can do.
pub const fn why_in_words(why: Why) -> &'static str {
    match why {
        Why::NoWorkingLink => "the account has no working link. Link it, then replay them.",
        Why::OtherOrg => {
            "their Task may exist in an org that the account is not linked to any more. Look there; for those without a Task, write --no-task."
        }
        Why::GoesByItself => "their link works, and they go out by themselves.",
        Why::Paused => "an operator paused the account. `vcc-link links resume` sends them.",
        Why::NoTaskEarned => "they earn no Task, by the rules that stood when they ended.",
    }
}

/// One replay in a line.
pub fn line(line: &ReplayLine) -> String {
    let ended = line.ended_at.map_or_else(
        || "not ended".to_owned(),
        |at| format!("ended {}", time(at)),
    );
    format!(
        "{:>5}  {}  {ended}  by {}: {}: {} sent, {} looked for, {} left\n",
        line.replay.0,
        time(line.begun_at),
        line.actor,
        line.filter,
        line.sent,
        line.looked_for,
        line.left
    )
}

/// One replay as JSON.
pub fn line_json(line: &ReplayLine) -> Value {
    json!({
        "replay": line.replay.0,
        "by": line.actor,
        "begunAt": time(line.begun_at),
        "endedAt": line.ended_at.map(time),
        "filter": line.filter,
        "sent": line.sent,
        "lookedFor": line.looked_for,
        "left": line.left,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::OrgId;
    use crate::domain::link::{Environment, LinkStatus, LinkedOrg, Username};
    use crate::domain::outcome::DeadReason;
    use crate::domain::replay::Stand;
    use crate::domain::task::KeyMode;

    /// Calls of an account that were sent to an org.
    fn group(account: &str, reason: DeadReason, sent_to: &OrgId, calls: u64) -> ReplayGroup {
        let at: DateTime<Utc> = "2026-11-26T08:00:00Z".parse().expect("a time");
        ReplayGroup {
            account: account.parse().expect("an account"),
            stand: Stand::Dead(reason),
            sent_to: Some(sent_to.clone()),
            calls,
            first: at,
            last: at,
        }
    }

    /// An account that is linked to an org.
    fn linked(account: &str, org: &OrgId) -> LinkState {
        let account = account.parse().expect("an account");
        let mut link = LinkState::unlinked(account, DateTime::UNIX_EPOCH);
        link.status = LinkStatus::Linked;
        link.org = Some(LinkedOrg {
            org: org.clone(),
            user: "005000000000001".parse().expect("a user id"),
            name: None,
            username: Username::default(),
            environment: Environment::Production,
            instance_url: String::new(),
            key_mode: KeyMode::CallObject { sees_all: true },
            time_zone: None,
            default_country: None,
            closed_status: None,
            preflight: Vec::new(),
            asked_at: None,
        });
        link
    }

    #[test]
    fn a_plan_tells_what_is_done_asked_and_left() {
        let org: OrgId = "00D000000000001".parse().expect("an org id");
        let left: OrgId = "00D000000000002".parse().expect("an org id");
        let groups = [
            group("acme", DeadReason::Bug, &org, 401),
            group("acme", DeadReason::Unknown, &org, 7),
            group("beta", DeadReason::Unknown, &left, 3),
            group("gone", DeadReason::Bug, &org, 5),
        ];
        let links = [linked("acme", &org), linked("beta", &org)];
        let requests = Requests {
            tasks: 200,
            looks: 200,
        };
        let plan = Plan::of(&groups, &links, false, requests);
        assert_eq!((plan.send, plan.look, plan.may_double), (401, 7, 0));
        assert_eq!(plan.requests, 3 + 1, "408 Tasks, and one query");
        let stay = [(Why::NoWorkingLink, 5), (Why::OtherOrg, 3)];
        assert_eq!(plan.leave, BTreeMap::from(stay));
        assert!(plan.text().starts_with("408 calls would be put back"));

        let certain = Plan::of(&groups, &links, true, requests);
        assert_eq!(
            (certain.send, certain.look, certain.may_double),
            (411, 0, 10)
        );
        assert!(
            certain
                .text()
                .contains("10 of them may have a Task already")
        );

        let none = Plan::of(&groups[3..], &links, true, requests);
        assert!(
            none.text()
                .starts_with("No such call would be put back.\n5 stay")
        );
    }
}
