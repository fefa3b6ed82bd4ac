//! What has come of the calls of this run.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::call::Call;
use crate::results::{Told, What};

/// The longest time from a call's end to its Task that is told apart from longer ones: a day, in
/// milliseconds.
const LONGEST: u64 = 86_400_000;

/// Calls kept to be shown.
const SHOWN: usize = 30;

/// Counts by reason or answer.
pub(crate) type Counts = BTreeMap<String, u64>;

/// How a call ended, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// There is a Task.
    Logged,
    /// There is none, for this reason.
    Skipped(String),
    /// Given up, for this reason.
    Failed(String),
    /// It waits, for this reason; a Task may come yet.
    Parked(String),
}

/// A call that is not accounted for yet.
struct Flight {
    account: String,
    words: String,
    /// When its end was sent.
    ended: Option<Instant>,
    /// Who was calling: the result of the lookup, and the kind of record.
    answer: Option<(String, String)>,
    end: Option<End>,
    /// From its end to its Task.
    took: Option<Duration>,
}

/// A call that is accounted for.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    pub(crate) account: String,
    /// How it went.
    pub(crate) words: String,
    /// The kind of record that the customer has, or why none is known.
    pub(crate) caller: String,
    pub(crate) end: End,
    /// From its end to its Task.
    pub(crate) took: Option<Duration>,
}

/// An account's link, as last published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) status: String,
    pub(crate) health: String,
    pub(crate) reason: String,
}

/// The count of everything.
pub(crate) struct Tally {
    /// Calls that began.
    pub(crate) calls: u64,
    /// Calls whose end was sent.
    pub(crate) ended: u64,
    /// Calls told to have a Task, by number.
    pub(crate) logged: BTreeSet<u64>,
    /// Those of them that took more than one attempt.
    pub(crate) retried: u64,
    pub(crate) skipped: Counts,
    pub(crate) failed: Counts,
    /// Answers to who is calling.
    pub(crate) answers: Counts,
    /// Calls of earlier runs, or sent by others, that came to their end.
    pub(crate) others: u64,
    /// Links, by account.
    pub(crate) links: BTreeMap<String, Standing>,
    /// The last calls that were accounted for, newest first.
    pub(crate) last: VecDeque<Done>,
    /// When the first Task was told of.
    pub(crate) first_task: Option<Instant>,
    /// When something was last told of a call of this run.
    pub(crate) heard: Option<Instant>,
    flights: HashMap<u64, Flight>,
    /// Why each parked call waits.
    waiting: HashMap<u64, String>,
    /// From a call's end to its Task, in milliseconds.
    times: Histogram<u64>,
}

impl Tally {
    /// Nothing yet.
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            calls: 0,
            ended: 0,
            logged: BTreeSet::new(),
            retried: 0,
            skipped: Counts::new(),
            failed: Counts::new(),
            answers: Counts::new(),
            others: 0,
            links: BTreeMap::new(),
            last: VecDeque::new(),
            first_task: None,
            heard: None,
            flights: HashMap::new(),
            waiting: HashMap::new(),
            times: Histogram::new_with_bounds(1, LONGEST, 3)?,
        })
    }

    /// A call began.
    pub(crate) fn began(&mut self, call: &Call) {
        self.calls += 1;
        let flight = Flight {
            account: call.account.clone(),
            words: call.words(),
            ended: None,
            answer: None,
            end: None,
            took: None,
        };
        self.flights.insert(call.number, flight);
    }

    /// Its end was sent.
    pub(crate) fn ended(&mut self, number: u64, now: Instant) {
        self.ended += 1;
        if let Some(flight) = self.flights.get_mut(&number) {
            flight.ended = Some(now);
        }
    }

    /// Something was published.
    pub(crate) fn hear(&mut self, told: Told) {
        let (number, what) = match (told.call, told.what) {
            (_, What::Link(account, standing)) => {
                self.links.insert(account, standing);
                return;
            }
            (None, What::LookedUp { .. }) => return,
            (None, What::Ended { .. }) => {
                self.others += 1;
                return;
            }
            (Some(number), what) => (number, what),
        };
        self.heard = Some(told.at);
        match what {
            What::LookedUp { result, record } => {
                if let Some(flight) = self.flights.get_mut(&number) {
                    flight.answer = Some((result, record));
                }
            }
            What::Ended { end, attempts } => self.end(number, end, attempts, told.at),
            What::Link(..) => {}
        }
        self.land(number);
    }

    /// How a call ended. What is told again of a call that is accounted for changes nothing, but
    /// for one that waited.
    fn end(&mut self, number: u64, end: End, attempts: u64, at: Instant) {
        let first = match self.flights.get_mut(&number) {
            Some(flight) => {
                let first = flight.end.is_none();
                if first && end == End::Logged {
                    flight.took = flight.ended.map(|ended| at.duration_since(ended));
                }
                flight.end = Some(end.clone());
                first
            }
            None => false,
        };
        let waited = self.waiting.remove(&number);
        if !first && waited.is_none() {
            return;
        }
        match end {
            End::Logged => {
                self.logged.insert(number);
                self.first_task.get_or_insert(at);
                self.retried += u64::from(attempts > 1);
                let took = self.flights.get(&number).and_then(|flight| flight.took);
                if let Some(took) = took {
                    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
                    self.times.saturating_record(millis);
                }
            }
            End::Skipped(reason) => *self.skipped.entry(reason).or_default() += 1,
            End::Failed(reason) => *self.failed.entry(reason).or_default() += 1,
            End::Parked(reason) => drop(self.waiting.insert(number, reason)),
        }
    }

    /// Takes a call off the list once both is known: who called, and what came of it.
    fn land(&mut self, number: u64) {
        let known = |flight: &Flight| flight.answer.is_some() && flight.end.is_some();
        if !self.flights.get(&number).is_some_and(known) {
            return;
        }
        let Some(Flight {
            account,
            words,
            answer: Some((result, record)),
            end: Some(end),
            took,
            ..
        }) = self.flights.remove(&number)
        else {
            return;
        };
        let caller = if record.is_empty() {
            result.clone()
        } else {
            format!("a {record}")
        };
        *self.answers.entry(result).or_default() += 1;
        self.last.truncate(SHOWN - 1);
        self.last.push_front(Done {
            account,
            words,
            caller,
            end,
            took,
        });
    }

    /// Calls that are not accounted for.
    pub(crate) fn under_way(&self) -> usize {
        self.flights.len()
    }

    /// Calls that wait, by reason.
    pub(crate) fn parked(&self) -> Counts {
        let mut counts = Counts::new();
        for reason in self.waiting.values() {
            *counts.entry(reason.clone()).or_default() += 1;
        }
        counts
    }

    /// The time in milliseconds, from a call's end to its Task, that this share of them did not
    /// exceed; none without Tasks.
    pub(crate) fn millis(&self, share: f64) -> Option<u64> {
        (!self.times.is_empty()).then(|| self.times.value_at_quantile(share))
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::call::Run;
    use crate::world::World;

    fn told(call: Option<u64>, at: Instant, what: What) -> Told {
        Told { call, at, what }
    }

    fn ended(end: End) -> What {
        What::Ended { end, attempts: 1 }
    }

    fn matched() -> What {
        What::LookedUp {
            result: "matched".into(),
            record: "lead".into(),
        }
    }

    /// A tally of one call that has ended.
    fn one_call(now: Instant) -> Tally {
        let mut tally = Tally::new().unwrap();
        let run = Run::begun(DateTime::UNIX_EPOCH);
        tally.began(&Call::nth(run, 7, &World::new(3)));
        tally.ended(7, now);
        tally
    }

    #[test]
    fn a_call_is_accounted_for_when_answer_and_end_are_known() {
        let now = Instant::now();
        let later = now + Duration::from_millis(900);
        let mut tally = one_call(now);
        tally.hear(told(Some(7), later, ended(End::Logged)));
        assert_eq!((tally.under_way(), tally.logged.len()), (1, 1));
        tally.hear(told(Some(7), later, matched()));
        assert_eq!(tally.under_way(), 0);
        assert_eq!(tally.millis(0.5), Some(900));
        // Whoever publishes may repeat itself.
        tally.hear(told(Some(7), later, ended(End::Logged)));
        tally.hear(told(Some(7), later, matched()));
        assert_eq!((tally.logged.len(), tally.answers["matched"]), (1, 1));
        assert_eq!(tally.last[0].caller, "a lead");
    }

    #[test]
    fn a_parked_call_counts_until_its_task_comes() {
        let now = Instant::now();
        let mut tally = one_call(now);
        tally.hear(told(Some(7), now, matched()));
        tally.hear(told(Some(7), now, ended(End::Parked("link_broken".into()))));
        assert_eq!(tally.under_way(), 0);
        assert_eq!(tally.parked()["link_broken"], 1);
        tally.hear(told(Some(7), now, ended(End::Logged)));
        assert_eq!((tally.parked().len(), tally.logged.len()), (0, 1));
    }

    #[test]
    fn calls_of_others_are_counted_apart() {
        let now = Instant::now();
        let mut tally = one_call(now);
        tally.hear(told(None, now, ended(End::Logged)));
        assert_eq!(
            (tally.others, tally.logged.len(), tally.under_way()),
            (1, 0, 1)
        );
    }
}
