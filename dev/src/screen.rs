//! What is seen while it runs: a block that is drawn over and over in place on a terminal, a line
//! now and then elsewhere.

use std::fmt::Write as _;
use std::io;
use std::time::{Duration, Instant};

use console::{Term, style, truncate_str};

use crate::outside::Counted;
use crate::report::{counts, list, per_thousand, seconds};
use crate::tally::{Done, End, Tally};

/// Between two lines where there is no terminal.
const LINE: Duration = Duration::from_secs(1);

/// Lines of the block besides the last calls.
const FIXED: usize = 9;

/// Where it is shown.
pub(crate) struct Screen {
    term: Term,
    /// Lines of the block that stands there now.
    drawn: usize,
    /// The last line that was written where there is no terminal, and when.
    said: Option<(String, Instant)>,
}

/// What is shown.
pub(crate) struct View<'a> {
    pub(crate) tally: &'a Tally,
    /// At Salesforce, since the first call.
    pub(crate) counted: Counted,
    /// Since the first call.
    pub(crate) elapsed: Duration,
    /// What it waits for, and what Ctrl-C does.
    pub(crate) note: &'a str,
}

impl Screen {
    /// Standard output; standard error where that is for the result alone.
    pub(crate) fn new(json: bool) -> Self {
        let term = if json {
            Term::buffered_stderr()
        } else {
            Term::buffered_stdout()
        };
        Self {
            term,
            drawn: 0,
            said: None,
        }
    }

    /// Writes a text that stays.
    pub(crate) fn say(&mut self, text: &str) -> io::Result<()> {
        self.wipe()?;
        self.term.write_line(text)?;
        self.term.flush()
    }

    /// Writes a note that the block shows too, where there is a block.
    pub(crate) fn note(&mut self, text: &str) -> io::Result<()> {
        if self.term.is_term() {
            return Ok(());
        }
        self.say(text)
    }

    /// Shows how it stands.
    pub(crate) fn show(&mut self, view: &View<'_>) -> io::Result<()> {
        if !self.term.is_term() {
            return self.show_line(view);
        }
        let colours = self.term.features().colors_supported();
        let (height, width) = self.term.size();
        let room = usize::from(height).saturating_sub(FIXED + 2);
        let lines = block(view, room, colours);
        self.wipe()?;
        for line in &lines {
            self.term
                .write_line(&truncate_str(line, usize::from(width), "…"))?;
        }
        self.drawn = lines.len();
        self.term.flush()
    }

    /// Takes the block away.
    fn wipe(&mut self) -> io::Result<()> {
        if self.drawn > 0 {
            self.term.move_cursor_up(self.drawn)?;
            self.term.clear_to_end_of_screen()?;
            self.drawn = 0;
        }
        Ok(())
    }

    /// Writes one line, if it is time and something is new.
    fn show_line(&mut self, view: &View<'_>) -> io::Result<()> {
        let text = line(view);
        let due = match &self.said {
            Some((said, at)) => at.elapsed() >= LINE && *said != text,
            None => true,
        };
        if !due {
            return Ok(());
        }
        let shown = format!("{:>5.0} s: {text}", view.elapsed.as_secs_f64());
        self.said = Some((text, Instant::now()));
        self.term.write_line(&shown)?;
        self.term.flush()
    }
}

/// How it stands, in one line.
fn line(view: &View<'_>) -> String {
    let tally = view.tally;
    let sum = |counts: &crate::tally::Counts| counts.values().sum::<u64>();
    format!(
        "{} calls, {} under way, {} Tasks, {} skipped, {} failed, {} parked",
        tally.calls,
        tally.under_way(),
        view.counted.tasks,
        sum(&tally.skipped),
        sum(&tally.failed),
        sum(&tally.parked()),
    )
}

/// The block, with room for so many of the last calls.
fn block(view: &View<'_>, room: usize, colours: bool) -> Vec<String> {
    let tally = view.tally;
    let head = |name: &str| style(format!("{name:<9}")).bold().force_styling(colours);
    let bad = |text: String| style(text).red().force_styling(colours).to_string();
    let mut lines = vec![
        format!(
            "{}{} calls, {} ended, {} under way, in {:.0} s",
            head("Calls"),
            tally.calls,
            tally.ended,
            tally.under_way(),
            view.elapsed.as_secs_f64(),
        ),
        format!(
            "{}{}{}{}{}",
            head("Tasks"),
            style(view.counted.tasks).green().force_styling(colours),
            counts(", skipped ", &tally.skipped),
            counts(", parked ", &tally.parked()),
            bad(counts(", failed ", &tally.failed)),
        ),
        format!("{}{}", head("Callers"), list(&tally.answers)),
        format!("{}{}", head("Links"), links(tally)),
        format!("{}{}", head("Cost"), cost(view)),
        format!("{}{}", head("Time"), times(tally)),
        String::new(),
    ];
    let last = tally.last.iter().take(room);
    lines.extend(last.map(|done| call(done, colours)));
    lines.push(String::new());
    lines.push(style(view.note).dim().force_styling(colours).to_string());
    lines
}

/// How the links stand: how many are healthy, and each that is not.
fn links(tally: &Tally) -> String {
    let healthy = |(_, link): &(&String, &crate::tally::Standing)| {
        link.status == "linked" && link.health == "healthy"
    };
    let count = tally.links.iter().filter(healthy).count();
    let mut text = format!("{count} healthy");
    for (account, link) in tally.links.iter().filter(|link| !healthy(link)) {
        let _ = write!(text, ", {account} {} ({})", link.health, link.reason);
    }
    text
}

/// What it costs at Salesforce.
fn cost(view: &View<'_>) -> String {
    let api_calls = view.counted.api_calls;
    let each = per_thousand(api_calls, view.tally.ended);
    let each = each.map(|each| format!(", {each} for 1,000 calls"));
    let retried = match view.tally.retried {
        0 => String::new(),
        count => format!("; retried {count}"),
    };
    format!("{api_calls} API calls{}{retried}", each.unwrap_or_default())
}

/// How long Tasks take.
fn times(tally: &Tally) -> String {
    match (tally.millis(0.5), tally.millis(0.99)) {
        (Some(p50), Some(p99)) => format!(
            "from the end of a call to its Task: half within {}, 99 % within {}",
            seconds(p50),
            seconds(p99)
        ),
        _ => "no Task yet".to_owned(),
    }
}

/// A call, in words.
fn call(done: &Done, colours: bool) -> String {
    let end = match (&done.end, done.took) {
        (End::Logged, Some(took)) => {
            style(format!("Task after {:.1} s", took.as_secs_f64())).green()
        }
        (End::Logged, None) => style("Task".to_owned()).green(),
        (End::Skipped(reason), _) => style(format!("no Task: {reason}")).dim(),
        (End::Parked(reason), _) => style(format!("parked: {reason}")).yellow(),
        (End::Failed(reason), _) => style(format!("failed: {reason}")).red(),
    };
    format!(
        "  {:<14} {:<28} caller: {:<13} {}",
        done.account,
        done.words,
        done.caller,
        end.force_styling(colours)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::Standing;

    #[test]
    fn the_block_shows_what_came_of_the_calls() {
        let mut tally = Tally::new().unwrap();
        (tally.calls, tally.ended, tally.retried) = (3, 2, 1);
        tally.skipped.insert("internal".into(), 1);
        let broken = Standing {
            status: "linked".into(),
            health: "broken".into(),
            reason: "token_revoked".into(),
        };
        tally.links.insert("acme-broken".into(), broken);
        let done = |end, took| Done {
            account: "acme-1".into(),
            words: "inbound, answered, 1.0 s".into(),
            caller: "a contact".into(),
            end,
            took,
        };
        let took = Some(Duration::from_millis(2_140));
        tally.last.push_back(done(End::Logged, took));
        tally
            .last
            .push_back(done(End::Skipped("policy".into()), None));
        let view = View {
            tally: &tally,
            counted: Counted {
                tasks: 1,
                api_calls: 4,
            },
            elapsed: Duration::from_secs(9),
            note: "Ctrl-C ends it",
        };
        let expected = "\
Calls    3 calls, 2 ended, 0 under way, in 9 s
Tasks    1, skipped 1 (internal 1)
Callers  \nLinks    0 healthy, acme-broken broken (token_revoked)
Cost     4 API calls, 2000 for 1,000 calls; retried 1
Time     no Task yet

  acme-1         inbound, answered, 1.0 s     caller: a contact     Task after 2.1 s

Ctrl-C ends it";
        assert_eq!(block(&view, 1, false).join("\n"), expected);
        assert_eq!(block(&view, 0, false).len(), FIXED);
        assert!(block(&view, 1, true).join("").contains("\u{1b}["));
    }
}
