//! The table: one row per fault, as text, as JSON, and as it stands in docs/RELIABILITY.md.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::row::Row;
use crate::rows::LEFT_OUT;
use crate::world::Verdict;
use crate::world::call::now;

/// What came of a row.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) name: &'static str,
    fault: &'static str,
    /// Trials of the full run, and of this one.
    full: u32,
    pub(crate) wanted: u32,
    /// Calls of a trial, and of a full one, where this run has smaller trials.
    scaled: Option<(u32, u32)>,
    /// Trials in which the fault struck, and how often it did in all.
    trials: u32,
    struck: u64,
    calls: usize,
    /// Calls that ended with a stated reason that the row allows.
    reasons: usize,
    lost: usize,
    doubled: usize,
    wrong: usize,
    stall: Duration,
    memory: u64,
    /// What the row measures besides, and the longest that it took.
    measured: Option<(&'static str, Duration)>,
    /// Why the row cannot be tried here.
    lacks: Option<&'static str>,
    /// Numbers of the trials that failed.
    pub(crate) failed: Vec<u32>,
    pub(crate) took: Duration,
}

/// Whether a row holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Holds,
    Fails,
    /// The fault did not strike in every trial: nothing is proven.
    NotRun,
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Fails => "FAILS",
            Self::NotRun => "not run",
        }
    }
}

impl Line {
    pub(crate) fn of(row: &Row, wanted: u32, calls: Option<u32>) -> Self {
        Self {
            name: row.name,
            fault: row.fault,
            full: row.full,
            wanted,
            scaled: calls.zip(row.calls).filter(|(calls, full)| calls < full),
            trials: 0,
            struck: 0,
            calls: 0,
            reasons: 0,
            lost: 0,
            doubled: 0,
            wrong: 0,
            stall: Duration::ZERO,
            memory: 0,
            measured: None,
            lacks: row.lacks(),
            failed: Vec::new(),
            took: Duration::ZERO,
        }
    }

    /// Counts a trial in which the fault struck so often.
    pub(crate) fn count(&mut self, struck: u64, verdict: &Verdict) {
        self.trials += u32::from(struck > 0);
        self.struck += struck;
        self.count_rest(verdict);
    }

    /// Notes what a trial measured; the longest counts.
    pub(crate) fn measure(&mut self, measured: Option<(&'static str, Duration)>) {
        self.measured = self.measured.max(measured);
    }

    /// Whether the row cannot be tried on this machine.
    pub(crate) const fn is_impossible(&self) -> bool {
        self.lacks.is_some()
    }

    /// Its state in words, with what it measured, or why it was not run.
    fn told(&self) -> String {
        let state = self.state().as_str();
        match (self.lacks, self.measured) {
            (Some(why), _) => format!("{state}: {why}"),
            (None, Some((what, longest))) => {
                format!("{state}; {what} within {:.1} s", longest.as_secs_f64())
            }
            (None, None) => state.to_owned(),
        }
    }

    /// Counts what came of calls behind the trials.
    pub(crate) fn count_rest(&mut self, verdict: &Verdict) {
        self.calls += verdict.calls;
        self.reasons += verdict.reasons;
        self.lost += verdict.lost.len();
        self.doubled += verdict.doubled.len();
        self.wrong += verdict.wrong.len();
        self.stall = self.stall.max(verdict.stall);
        self.memory = self.memory.max(verdict.memory);
    }

    fn state(&self) -> State {
        if !self.failed.is_empty() {
            State::Fails
        } else if self.trials < self.wanted {
            State::NotRun
        } else {
            State::Holds
        }
    }

    /// How far the row is.
    pub(crate) fn progress(&self) -> String {
        format!(
            "  {} {} of {} trials, {} calls, {} lost, {} doubled, {} trials failed",
            self.name,
            self.trials,
            self.wanted,
            self.calls,
            self.lost,
            self.doubled,
            self.failed.len(),
        )
    }

    /// The 95 % bound of the chance that a trial fails: 3/N, where none of N did.
    fn bound(&self) -> Option<f64> {
        let holds = self.state() == State::Holds;
        holds.then(|| (3.0 / f64::from(self.trials)).min(1.0))
    }

    pub(crate) fn as_text(&self) -> String {
        format!(
            "{:<17} {:>6}/{:<6} {:>8} {:>8} {:>7} {:>6} {:>8} {:>6} {:>7.1} s {:>5} MiB {:>6} s  {}",
            self.name,
            self.trials,
            self.wanted,
            self.struck,
            self.calls,
            self.reasons,
            self.lost,
            self.doubled,
            self.wrong,
            self.stall.as_secs_f64(),
            self.memory / 1_048_576,
            self.took.as_secs(),
            self.told(),
        )
    }

    fn as_json(&self) -> Value {
        json!({
            "row": self.name, "fault": self.fault, "state": self.state().as_str(),
            "fullTrials": self.full, "wantedTrials": self.wanted, "trials": self.trials,
            "struck": self.struck, "calls": self.calls, "statedReasons": self.reasons,
            "lost": self.lost, "duplicated": self.doubled, "wrong": self.wrong,
            "longestStallMs": u64::try_from(self.stall.as_millis()).unwrap_or(u64::MAX),
            "peakMemoryBytes": self.memory, "failedTrials": self.failed,
            "tookSeconds": self.took.as_secs(), "bound95": self.bound(), "lacks": self.lacks,
            "callsOfTrial": self.scaled.map(|(calls, _)| calls),
            "measured": self.measured.map(|(what, longest)| {
                json!({"what": what, "longestMs": u64::try_from(longest.as_millis()).unwrap_or(u64::MAX)})
            }),
        })
    }

    fn as_markdown(&self) -> String {
        let run = match self.scaled {
            Some((calls, full)) => format!("{calls} of {full} calls"),
            None if self.trials < self.full => format!("{} of {}", self.trials, self.full),
            None => self.trials.to_string(),
        };
        let bound = self.bound();
        let bound = bound.map_or_else(|| "–".to_owned(), |b| format!("{:.1} %", b * 100.0));
        format!(
            "| `{}` | {} | {run} | {} | {} | {} | {} | {} | {} | {:.1} s | {} MiB | {bound} | {} |\n",
            self.name,
            self.fault,
            self.struck,
            self.calls,
            self.reasons,
            self.lost,
            self.doubled,
            self.wrong,
            self.stall.as_secs_f64(),
            self.memory / 1_048_576,
            self.told(),
        )
    }
}

/// What came of a run.
pub(crate) struct Report {
    pub(crate) lines: Vec<Line>,
    pub(crate) took: Duration,
    seed: u64,
    program: String,
    date: String,
}

impl Report {
    pub(crate) fn new(seed: u64, program: &Path) -> Self {
        let built = program.components().rev().nth(1);
        let built = built.map(|folder| folder.as_os_str().to_string_lossy());
        Self {
            lines: Vec::new(),
            took: Duration::ZERO,
            seed,
            program: built.unwrap_or_default().into_owned(),
            date: now().format("%Y-%m-%d").to_string(),
        }
    }

    /// Whether every row holds.
    pub(crate) fn holds(&self) -> bool {
        self.lines.iter().all(|line| line.state() == State::Holds)
    }

    pub(crate) fn as_text(&self) -> String {
        let mut text = format!(
            "{:<17} {:>13} {:>8} {:>8} {:>7} {:>6} {:>8} {:>6} {:>9} {:>9} {:>8}\n",
            "row",
            "trials",
            "struck",
            "calls",
            "reasons",
            "lost",
            "doubled",
            "wrong",
            "stall",
            "memory",
            "took"
        );
        for line in &self.lines {
            text += &line.as_text();
            text.push('\n');
        }
        for (fault, why) in LEFT_OUT {
            let _ = writeln!(text, "not tried: {fault}: {why}");
        }
        let verdict = if self.holds() {
            "every row holds"
        } else {
            "NOT every row holds"
        };
        let _ = writeln!(
            text,
            "{verdict}; seed {}, {} s",
            self.seed,
            self.took.as_secs()
        );
        text
    }

    pub(crate) fn as_json(&self) -> Value {
        let left_out = LEFT_OUT.map(|(fault, why)| json!({"fault": fault, "why": why}));
        json!({
            "holds": self.holds(), "seed": self.seed, "date": self.date, "build": self.program,
            "machine": machine(), "tookSeconds": self.took.as_secs(),
            "rows": self.lines.iter().map(Line::as_json).collect::<Vec<_>>(), "notTried": left_out,
        })
    }

    pub(crate) fn as_markdown(&self) -> String {
        let mut text = format!(
            "Run on {} for {} min, with seed {}, {} build, on {}.\n\n\
             | row | fault | trials | struck | calls | stated reasons | lost | duplicated | told wrongly | longest stall | memory | 95 % bound | |\n\
             |---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
            self.date,
            self.took.as_secs().div_ceil(60),
            self.seed,
            self.program,
            machine(),
        );
        for line in &self.lines {
            text += &line.as_markdown();
        }
        text += "\nNot tried:\n\n";
        for (fault, why) in LEFT_OUT {
            let _ = writeln!(text, "- {fault}: {why}.");
        }
        text
    }
}

/// The rows with their full trials.
pub(crate) fn list(rows: &[Row]) -> String {
    let line = |row: &Row| {
        let short = if row.short {
            ""
        } else {
            " (not in the short run)"
        };
        format!("{:<17} {:>6}  {}{short}\n", row.name, row.full, row.fault)
    };
    rows.iter().map(line).collect()
}

/// The machine in a few words.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("an unknown processor", |(_, model)| model.trim());
    format!("{cores} cores of {model}")
}
