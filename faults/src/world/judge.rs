//! What came of the calls, judged by the results topic and by what there really is at Salesforce.

use std::collections::BTreeMap;
use std::time::Duration;

use super::results::{End, Told};
use super::{Sent, World};

/// What came of a trial's calls.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Verdict {
    /// Calls that ended.
    pub(crate) calls: usize,
    /// Those without a Task and without a stated reason that the row allows, and started calls
    /// without an answer; each in words.
    pub(crate) lost: Vec<String>,
    /// Tasks beyond the one of a call, and facts that were told in two ways; each in words.
    pub(crate) doubled: Vec<String>,
    /// What was told otherwise than it is; each in words.
    pub(crate) wrong: Vec<String>,
    /// Calls that ended with a stated reason that the row allows.
    pub(crate) reasons: usize,
    /// The longest that an ended call waited for its result.
    pub(crate) stall: Duration,
    /// The most memory that any worker had, in bytes.
    pub(crate) memory: u64,
}

impl Verdict {
    /// Whether nothing was lost, doubled or told wrongly.
    pub(crate) fn holds(&self) -> bool {
        self.lost.is_empty() && self.doubled.is_empty() && self.wrong.is_empty()
    }

    /// Every fault in words.
    pub(crate) fn faults(&self) -> impl Iterator<Item = String> + '_ {
        let say = |what: &'static str| move |text: &String| format!("{what}: {text}");
        let lost = self.lost.iter().map(say("lost"));
        let doubled = self.doubled.iter().map(say("doubled"));
        let wrong = self.wrong.iter().map(say("wrong"));
        lost.chain(doubled).chain(wrong)
    }
}

impl World {
    /// The calls that wait for their end or for their answer.
    pub(crate) fn missing(&self) -> Vec<String> {
        let told = self.results.told();
        let none = Told::default();
        let mut missing = Vec::new();
        for (key, sent) in &self.sent {
            let told = told.calls.get(key).unwrap_or(&none);
            if sent.ended && told.end.is_none() {
                missing.push(format!("{key} has no end"));
            }
            if sent.started && !told.looked_up {
                missing.push(format!("{key} has no answer to its lookup"));
            }
        }
        missing
    }

    /// How many events were refused so far.
    pub(crate) fn quarantined(&self) -> usize {
        self.results.told().quarantined
    }

    /// How many events were told as too old so far.
    pub(crate) fn too_old(&self) -> usize {
        self.results.told().too_old
    }

    /// Judges all calls of this world; counts those since the last verdict.
    pub(crate) fn judge(&mut self) -> anyhow::Result<Verdict> {
        self.look();
        let ended = self.sent.values().filter(|sent| sent.ended).count();
        let mut verdict = Verdict {
            calls: ended - self.judged,
            lost: self.missing(),
            memory: self.peak,
            ..Verdict::default()
        };
        self.judged = ended;
        let tasks = self.tasks()?;
        for (key, ids) in &tasks {
            let known = usize::from(self.sent.get(key).is_some_and(|sent| sent.ended));
            if ids.len() > known {
                let text = format!("{key} has {} Tasks: {}", ids.len(), ids.join(", "));
                verdict.doubled.push(text);
            }
        }
        self.judge_ends(&tasks, &mut verdict);
        let reasons = verdict.reasons;
        verdict.reasons -= self.reasons;
        self.reasons = reasons;
        for (org, counters) in self.control().counters() {
            let reused = counters.reuse_detected;
            if reused > self.reuse_allowed {
                let text = format!("a used refresh token was used {reused} times in {org}");
                verdict.wrong.push(text);
            }
        }
        Ok(verdict)
    }

    /// The living Tasks by their call's key.
    fn tasks(&self) -> anyhow::Result<BTreeMap<String, Vec<String>>> {
        let mut tasks: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for task in self.control().tasks(None)? {
            let text = |name: &str| task[name].as_str().map(str::to_owned);
            if task["IsDeleted"] == true {
                continue;
            }
            if let (Some(key), Some(id)) = (text("CallObject"), text("Id")) {
                tasks.entry(key).or_default().push(id);
            }
        }
        Ok(tasks)
    }

    fn allows(&self, sent: &Sent, reason: &str) -> bool {
        self.setup.reasons.contains(&reason) || sent.reasons.contains(&reason)
    }

    fn judge_ends(&self, tasks: &BTreeMap<String, Vec<String>>, verdict: &mut Verdict) {
        for (key, told) in &self.results.told().calls {
            let said = told.contradictions.iter();
            verdict
                .doubled
                .extend(said.map(|text| format!("{key}: {text}")));
            let (Some(sent), Some((end, at))) = (self.sent.get(key), &told.end) else {
                continue;
            };
            verdict.stall = verdict.stall.max(at.saturating_duration_since(sent.at));
            let has = tasks.get(key);
            match end {
                End::Logged(id) if !has.is_some_and(|ids| ids.contains(id)) => {
                    let text = format!("{key} is told as logged, and has no such Task");
                    verdict.lost.push(text);
                }
                End::Logged(_) => {}
                End::Reason(reason) if !self.allows(sent, reason) => {
                    verdict.lost.push(format!("{key} ended as {reason}"));
                }
                // These say themselves that there may be a Task.
                End::Reason(reason)
                    if has.is_some()
                        && !["unknown", "unresolved_in_previous_org"]
                            .contains(&reason.as_str()) =>
                {
                    verdict
                        .wrong
                        .push(format!("{key} ended as {reason}, and has a Task"));
                }
                End::Reason(_) => verdict.reasons += 1,
            }
        }
    }
}
