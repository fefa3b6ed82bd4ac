//! How far a command is, for those who wait.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// Nobody wants to hear about what is over soon.
const SOON: Duration = Duration::from_secs(2);

/// How often progress is told where it stays on the screen.
const NEXT_LINE: Duration = Duration::from_secs(10);

/// Tells on standard error how far it is: on a terminal in one line, else now and then. Where that
/// is kept for a program, nothing.
pub(super) struct Progress {
    wanted: bool,
    began: Instant,
    told: Option<Instant>,
    terminal: bool,
}

impl Progress {
    pub(super) fn new(wanted: bool) -> Self {
        Self {
            wanted,
            began: Instant::now(),
            told: None,
            terminal: std::io::stderr().is_terminal(),
        }
    }

    /// Tells how far it is, if it is time for that.
    pub(super) fn tell(&mut self, how_far: impl FnOnce() -> String) {
        let due = match self.told {
            None => self.began.elapsed() >= SOON,
            Some(told) => self.terminal || told.elapsed() >= NEXT_LINE,
        };
        if !(due && self.wanted) {
            return;
        }
        self.told = Some(Instant::now());
        let (start, end) = if self.terminal {
            ("\r", "")
        } else {
            ("", "\n")
        };
        // Nobody may be reading; that is no reason to stop.
        let _ = write!(std::io::stderr(), "{start}{}{end}", how_far());
    }

    /// What follows stands on a line of its own.
    pub(super) fn end(&self) {
        if self.told.is_some() && self.terminal {
            let _ = writeln!(std::io::stderr());
        }
    }
}
