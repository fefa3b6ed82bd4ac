//! What a row of the table is: one fault, and how a trial of it goes.

use std::time::Duration;

use futures::future::BoxFuture;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::clock::Clock;
use crate::disk::Disk;
use crate::world::{OwnService, Setup, World};

/// One time that a fault strikes.
pub(crate) struct Trial {
    /// Its number, from 0.
    pub(crate) number: u32,
    /// Calls that it is made of, in a row whose trials are as large as one likes.
    pub(crate) calls: u32,
    /// Everything that is left to chance in it.
    pub(crate) chance: StdRng,
    /// What it measured beyond what is counted of every row: what that is, and how long it took.
    pub(crate) measured: Option<(&'static str, Duration)>,
}

impl Trial {
    /// The `number`-th trial of a row: the same seed, the same chance.
    pub(crate) fn new(row: &Row, seed: u64, number: u32, calls: u32) -> Self {
        // FNV-1a: a number that stays the same from one release of Rust to the next.
        let name = row.name.bytes().chain(number.to_le_bytes());
        let mixed = name.fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self {
            number,
            calls,
            chance: StdRng::seed_from_u64(mixed),
            measured: None,
        }
    }
}

/// What a trial does to a world, under load. It leaves the world healthy, and calls behind that
/// still come to their end. Tells how often its fault really struck.
pub(crate) type Strike =
    for<'a> fn(&'a mut World, &'a mut Trial) -> BoxFuture<'a, anyhow::Result<u64>>;

/// A row.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    /// What it is called on the command line.
    pub(crate) name: &'static str,
    /// The fault, in words.
    pub(crate) fault: &'static str,
    /// Trials of the full run.
    pub(crate) full: u32,
    /// Calls of a full trial, where a scaled run makes the trial smaller; else it makes fewer trials.
    pub(crate) calls: Option<u32>,
    /// Whether a trial is so short that `make test` runs it.
    pub(crate) short: bool,
    /// Whether it kills a service that other rows use.
    pub(crate) alone: bool,
    /// How long calls may take to their end once the world is healthy again.
    pub(crate) patience: Duration,
    /// What its worlds are like.
    pub(crate) setup: Setup,
    /// A trial.
    pub(crate) strike: Strike,
}

impl Row {
    /// A row with the usual worlds, short enough for `make test`.
    pub(crate) const fn new(
        name: &'static str,
        fault: &'static str,
        full: u32,
        strike: Strike,
    ) -> Self {
        Self {
            name,
            fault,
            full,
            calls: None,
            short: true,
            alone: false,
            patience: Duration::from_mins(3),
            setup: Setup::USUAL,
            strike,
        }
    }

    /// What this machine lacks to try it, if anything.
    pub(crate) fn lacks(&self) -> Option<&'static str> {
        if matches!(self.setup.own, OwnService::OnSmallDisk(_)) && !Disk::may_be_mounted() {
            return Some(
                "a file system cannot be mounted: that takes root, outside of most containers",
            );
        }
        let clocks = self.setup.clocks || self.setup.own == OwnService::PostgresWithClock;
        if clocks && !Clock::may_be_had() {
            return Some("libfaketime is missing: scripts/requirements.sh test");
        }
        None
    }

    /// The same in other worlds.
    pub(crate) const fn in_worlds(mut self, setup: Setup) -> Self {
        self.setup = setup;
        self
    }

    /// The same, one trial of so many calls.
    pub(crate) const fn of_calls(mut self, calls: u32) -> Self {
        self.calls = Some(calls);
        self
    }

    /// The same, with nothing else at that time.
    pub(crate) const fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    /// The same, too long for `make test`.
    pub(crate) const fn long(mut self) -> Self {
        self.short = false;
        self
    }
}
