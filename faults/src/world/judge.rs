//! What came of the calls, judged by the results topic and by what there really is at Salesforce.

use std::collections::BTreeMap;
use std::time::Duration;

use super::call::Call;
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

impl Sent {
    /// Whether its end or its answer is not told yet.
    fn waits(&self, told: Option<&Told>) -> bool {
        let ended = told.is_some_and(|told| told.end.is_some());
        let looked_up = told.is_some_and(|told| told.looked_up);
        self.ended && !ended || self.started && !looked_up
    }
}

/// What there is to judge by.
struct Evidence<'a> {
    sent: &'a BTreeMap<String, Sent>,
    told: &'a BTreeMap<String, Told>,
    /// The living Tasks by their call's key.
    tasks: &'a BTreeMap<String, Vec<String>>,
    /// Reasons with which any call may end.
    reasons: &'a [&'a str],
}

/// Reasons that say themselves that there may be a Task.
const UNSURE: [&str; 2] = ["unknown", "unresolved_in_previous_org"];

impl Evidence<'_> {
    /// The calls that wait for their end or for their answer.
    fn missing(&self) -> Vec<String> {
        let none = Told::default();
        let mut missing = Vec::new();
        for (key, sent) in self.sent {
            let told = self.told.get(key).unwrap_or(&none);
            if sent.ended && told.end.is_none() {
                missing.push(format!("{key} has no end"));
            }
            if sent.started && !told.looked_up {
                missing.push(format!("{key} has no answer to its lookup"));
            }
        }
        missing
    }

    fn verdict(&self) -> Verdict {
        let mut verdict = Verdict {
            calls: self.sent.values().filter(|sent| sent.ended).count(),
            lost: self.missing(),
            ..Verdict::default()
        };
        for (key, ids) in self.tasks {
            let earned = usize::from(self.sent.get(key).is_some_and(|sent| sent.ended));
            if ids.len() > earned {
                let text = format!("{key} has {} Tasks: {}", ids.len(), ids.join(", "));
                verdict.doubled.push(text);
            }
        }
        for (key, told) in self.told {
            let said = told.contradictions.iter();
            let said = said.map(|text| format!("{key}: {text}"));
            verdict.doubled.extend(said);
            if let (Some(sent), Some((end, at))) = (self.sent.get(key), &told.end) {
                let waited = at.saturating_duration_since(sent.at);
                verdict.stall = verdict.stall.max(waited);
                self.judge_end(key, sent, end, &mut verdict);
            }
        }
        verdict
    }

    fn judge_end(&self, key: &str, sent: &Sent, end: &End, verdict: &mut Verdict) {
        let tasks = self.tasks.get(key).map_or(&[][..], Vec::as_slice);
        match end {
            End::Logged(id) if !tasks.contains(id) => {
                let text = format!("{key} is told as logged, and has no such Task");
                verdict.lost.push(text);
            }
            End::Logged(_) => {}
            End::Reason(reason) => {
                let reason = reason.as_str();
                let allowed = self.reasons.contains(&reason) || sent.reasons.contains(&reason);
                if !allowed {
                    verdict.lost.push(format!("{key} ended as {reason}"));
                } else if !tasks.is_empty() && !UNSURE.contains(&reason) {
                    let text = format!("{key} ended as {reason}, and has a Task");
                    verdict.wrong.push(text);
                } else {
                    verdict.reasons += 1;
                }
            }
        }
    }
}

impl World {
    /// Whether calls wait for their end or for their answer.
    pub(crate) fn waits(&self) -> bool {
        let told = self.results.told();
        let waits = |(key, sent): (&String, &Sent)| sent.waits(told.calls.get(key));
        self.sent.iter().any(waits)
    }

    /// The longest that one of these calls waited for its end, where all have one.
    pub(crate) fn longest(&self, calls: &[Call]) -> Option<Duration> {
        let told = self.results.told();
        let waits = calls.iter().map(|call| {
            let key = call.task_key();
            let (_, at) = told.calls.get(&key)?.end.as_ref()?;
            Some(at.saturating_duration_since(self.sent.get(&key)?.at))
        });
        waits.collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    /// The keys of the calls that wait. There may be a million: whoever asks again asks only for these.
    pub(super) fn waiting(&self) -> Vec<String> {
        let told = self.results.told();
        let waits = |(key, sent): &(&String, &Sent)| sent.waits(told.calls.get(*key));
        let waiting = self.sent.iter().filter(waits);
        waiting.map(|(key, _)| key.clone()).collect()
    }

    /// Takes those that wait no more off the end of the list.
    pub(super) fn narrow(&self, waiting: &mut Vec<String>) {
        let told = self.results.told();
        let waits = |key: &String| self.sent[key].waits(told.calls.get(key));
        while waiting.last().is_some_and(|key| !waits(key)) {
            waiting.pop();
        }
    }

    /// How many calls ended with a reason, and not with a Task.
    pub(crate) fn reasons(&self) -> usize {
        let told = self.results.told();
        let ends = told.calls.values().filter_map(|told| told.end.as_ref());
        ends.filter(|(end, _)| matches!(end, End::Reason(_)))
            .count()
    }

    /// How many events were refused so far.
    pub(crate) fn quarantined(&self) -> usize {
        self.results.told().quarantined
    }

    /// Judges all calls of this world; counts those since the last verdict.
    pub(crate) fn judge(&mut self) -> Verdict {
        self.look();
        let mut verdict = Evidence {
            sent: &self.sent,
            told: &self.results.told().calls,
            tasks: &self.control().living_tasks("CallObject"),
            reasons: self.setup.reasons,
        }
        .verdict();
        verdict.memory = self.peak;
        let (calls, reasons) = (verdict.calls, verdict.reasons);
        verdict.calls -= self.judged;
        verdict.reasons = reasons.saturating_sub(self.reasons);
        (self.judged, self.reasons) = (calls, reasons);
        for (org, counters) in self.control().counters() {
            let reused = counters.reuse_detected;
            if reused > self.reuse_allowed {
                let text = format!("a used refresh token was used {reused} times in {org}");
                verdict.wrong.push(text);
            }
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn logged(id: &str) -> End {
        End::Logged(id.to_owned())
    }

    fn reason(reason: &str) -> End {
        End::Reason(reason.to_owned())
    }

    /// How many are lost, doubled and told wrongly where one call ended, was told so, and these are
    /// the Tasks with its key.
    fn judged(end: Option<End>, tasks: &[&str]) -> [usize; 3] {
        let sent = Sent {
            at: Instant::now(),
            started: false,
            ended: true,
            reasons: &["refused"],
        };
        let told = Told {
            end: end.map(|end| (end, Instant::now())),
            ..Told::default()
        };
        let tasks: Vec<String> = tasks.iter().map(|id| (*id).to_owned()).collect();
        let tasks = (!tasks.is_empty()).then(|| ("call".to_owned(), tasks));
        let verdict = Evidence {
            sent: &BTreeMap::from([("call".to_owned(), sent)]),
            told: &BTreeMap::from([("call".to_owned(), told)]),
            tasks: &tasks.into_iter().collect(),
            reasons: &["unknown"],
        }
        .verdict();
        let faults = [&verdict.lost, &verdict.doubled, &verdict.wrong];
        faults.map(Vec::len)
    }

    #[test]
    fn every_way_to_lose_or_double_a_call_is_seen() {
        for (end, tasks, faults) in [
            (Some(logged("a")), &["a"][..], [0, 0, 0]),
            (Some(reason("refused")), &[], [0, 0, 0]),
            (Some(reason("unknown")), &[], [0, 0, 0]),
            (Some(reason("unknown")), &["a"], [0, 0, 0]),
            (None, &[], [1, 0, 0]),
            (None, &["a"], [1, 0, 0]),
            (Some(logged("a")), &[], [1, 0, 0]),
            (Some(logged("a")), &["b"], [1, 0, 0]),
            (Some(logged("a")), &["a", "b"], [0, 1, 0]),
            (Some(reason("bug")), &[], [1, 0, 0]),
            (Some(reason("refused")), &["a"], [0, 0, 1]),
        ] {
            assert_eq!(judged(end.clone(), tasks), faults, "{end:?} {tasks:?}");
        }
    }

    #[test]
    fn a_started_call_wants_an_answer_and_a_task_wants_a_call() {
        let sent = Sent {
            at: Instant::now(),
            started: true,
            ended: false,
            reasons: &[],
        };
        let stray = ("other".to_owned(), vec!["a".to_owned()]);
        let verdict = Evidence {
            sent: &BTreeMap::from([("call".to_owned(), sent)]),
            told: &BTreeMap::new(),
            tasks: &BTreeMap::from([stray]),
            reasons: &[],
        }
        .verdict();
        assert_eq!((verdict.lost.len(), verdict.doubled.len()), (1, 1));
        assert!(!verdict.holds());
    }
}
