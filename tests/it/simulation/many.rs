//! Many worlds on all cores, with a word now and then on how far they are.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often it is told how far the worlds are.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Worlds that broke a promise, after which no more are tried.
const ENOUGH: usize = 10;

/// What became of the worlds so far.
#[derive(Default)]
struct Lived {
    happened: BTreeSet<String>,
    broken: BTreeSet<u64>,
    worlds: u64,
    told: Option<Instant>,
}

/// Lives through so many worlds, the first with the seed `first`. Tells what happened in them; fails
/// with the seeds of those that broke a promise.
pub(super) fn live_all(
    first: u64,
    seeds: u64,
    live: impl Fn(u64) -> BTreeSet<String> + Sync,
) -> BTreeSet<String> {
    let next = AtomicU64::new(first);
    let lived = Mutex::new(Lived::default());
    let began = Instant::now();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let enough = lived.lock().expect("whole").broken.len() >= ENOUGH;
            if seed >= first + seeds || enough {
                return;
            }
            let happened = catch_unwind(AssertUnwindSafe(|| live(seed)));
            let mut lived = lived.lock().expect("whole");
            lived.take(seed, happened.ok());
            lived.tell(began, seeds);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
    let lived = lived.into_inner().expect("whole");
    assert!(
        lived.broken.is_empty(),
        "of {} worlds these broke a promise: {:?}; the story of each: make simulate SEED=…",
        lived.worlds,
        lived.broken
    );
    println!(
        "{} worlds in {:.0} s",
        lived.worlds,
        began.elapsed().as_secs_f64()
    );
    lived.happened
}

impl Lived {
    /// Takes in what happened in a world; nothing: it broke a promise.
    fn take(&mut self, seed: u64, happened: Option<BTreeSet<String>>) {
        self.worlds += 1;
        match happened {
            Some(happened) => self.happened.extend(happened),
            None => {
                self.broken.insert(seed);
            }
        }
    }

    fn tell(&mut self, began: Instant, seeds: u64) {
        let told = *self.told.get_or_insert(began);
        if told.elapsed() >= TELL_EVERY {
            self.told = Some(Instant::now());
            let rate = self.worlds as f64 / began.elapsed().as_secs_f64();
            println!("{} of {seeds} worlds, {rate:.0} per second", self.worlds);
        }
    }
}

#[test]
fn a_world_that_breaks_a_promise_is_named_and_the_others_go_on() {
    let failure = catch_unwind(|| {
        live_all(5, 100, |seed| {
            assert_ne!(seed % 50, 7, "a broken promise");
            BTreeSet::new()
        })
    });
    let text = failure.expect_err("two worlds broke a promise");
    let text = text.downcast_ref::<String>().expect("a text");
    assert!(
        text.contains("of 100 worlds") && text.contains("{7, 57}"),
        "{text}"
    );
}
