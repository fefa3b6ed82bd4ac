//! One run, from its start to its end.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{ExitCode, ExitStatus};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::{MissedTickBehavior, interval, sleep_until, timeout};

use crate::arguments::Arguments;
use crate::call::Run;
use crate::feed::{self, Feed};
use crate::house::{House, Process};
use crate::outside::{Counted, Outside};
use crate::portal::Portal;
use crate::report::{Report, Times};
use crate::results::Results;
use crate::screen::{Screen, View};
use crate::settings::{self, Ports};
use crate::signals::Signals;
use crate::state::State;
use crate::tally::Tally;
use crate::world::{Link, World};

/// How long vcc-link may take to be ready. Behind an end that was none, it waits for its leases.
const READY: Duration = Duration::from_secs(30);

/// How long, at the end, calls under way may take to be accounted for.
const FINISH: Duration = Duration::from_secs(15);

/// How long vcc-link's drain may take; its own grace time is shorter.
const DRAIN: Duration = Duration::from_secs(30);

/// How long what was published last may take to be read.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// With `--once`, how long nothing may be heard of any call before the rest counts as lost.
const SILENCE: Duration = Duration::from_mins(1);

/// Links that are added at a time.
const LINKING: usize = 8;

/// Between two looks at how it stands.
const TICK: Duration = Duration::from_millis(200);

/// What is shown in the meantime.
const ENDING: &str = "Ending: waiting for the calls under way; Ctrl-C again ends it at once";

/// The exit code of a program that a Ctrl-C has ended.
const INTERRUPTED: u8 = 130;

/// Runs it all.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    arguments.check()?;
    let start = Instant::now();
    let mut signals = Signals::listen()?;
    let mut screen = Screen::new(arguments.json);
    let state = State::open(&arguments.state, arguments.fresh)?;
    let started = tokio::select! {
        started = Parts::start(&arguments, &state, &mut screen, start) => Some(started?),
        () = signals.next() => None,
    };
    let Some(parts) = started else {
        return interrupted(&arguments, &mut screen, "Stopped before the first call.");
    };
    let Some(report) = parts.run(&arguments, &mut signals, &mut screen).await? else {
        let text = "Stopped at once. The next run goes on with what is left.";
        return interrupted(&arguments, &mut screen, text);
    };
    if arguments.json {
        writeln!(std::io::stdout(), "{}", report.json())?;
    } else {
        screen.say(&report.words())?;
    }
    Ok(if report.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Tells that there is no report.
fn interrupted(arguments: &Arguments, screen: &mut Screen, text: &str) -> anyhow::Result<ExitCode> {
    if arguments.json {
        let document = serde_json::json!({ "error": text });
        writeln!(std::io::stdout(), "{document}")?;
    } else {
        screen.say(text)?;
    }
    Ok(ExitCode::from(INTERRUPTED))
}

/// The parts of a run, all of them running.
struct Parts {
    run: Run,
    outside: Outside,
    process: Process,
    /// It stands as long as the rest does.
    _portal: Portal,
    results: Results,
    feed: Feed,
    tally: Tally,
    /// When the program started.
    started: Instant,
    /// When the first call could begin, and what Salesforce had counted then.
    begun: Instant,
    before: Counted,
}

/// Why a part of the run ended.
enum Stop {
    /// All that was asked for is done, or a signal came.
    Finished,
    /// A second signal came.
    AtOnce,
    /// vcc-link ended by itself.
    Died(ExitStatus),
}

impl Parts {
    /// Starts everything, in the order in which it is needed.
    async fn start(
        arguments: &Arguments,
        state: &State,
        screen: &mut Screen,
        started: Instant,
    ) -> anyhow::Result<Self> {
        let run = Run::begun(feed::now());
        let world = World::new(arguments.accounts);
        let ports = Ports {
            operations: free_port(arguments.port, "--port")?,
            admins: free_port(arguments.pages_port, "--pages-port")?,
        };
        let callback = format!("{}/callback", ports.admins());
        let outside = Outside::start(&world, run, arguments.salesforce_port, &callback).await?;
        let text = settings::of(state, &outside, ports)?;
        let house = Arc::new(House::new(state.write_private(settings::FILE, &text)?)?);
        let migrated = house.call(&["migrate"], "").await;
        migrated.context("what earlier runs left cannot be used; --fresh begins without it")?;
        link(&house, &outside, &world).await?;
        let topics = &outside.topics;
        let published = [topics.call_logs.as_str(), topics.link_status.as_str()];
        let results = Results::read(&outside.kafka, &published, run)?;
        let mut process = house.start(state.file("vcc-link.log"), ports.operations)?;
        process.ready(READY).await?;
        let portal = Portal::start(house, world.clone(), ports.admins()).await?;
        screen.say(&opening(&outside, state, ports, &portal))?;
        let feed = Feed::new(&outside.kafka, &topics.calls, &world, run)?;
        Ok(Self {
            run,
            process,
            _portal: portal,
            results,
            feed: feed.paced(arguments.rate, arguments.limit()),
            tally: Tally::new()?,
            started,
            begun: Instant::now(),
            before: outside.counted(),
            outside,
        })
    }

    /// Makes calls until the end, and ends everything. No report after a second signal.
    async fn run(
        mut self,
        arguments: &Arguments,
        signals: &mut Signals,
        screen: &mut Screen,
    ) -> anyhow::Result<Option<Report>> {
        let mut stop = self.make_calls(arguments, signals, screen).await?;
        if matches!(stop, Stop::Finished) {
            stop = self.finish(signals, screen).await?;
        }
        let times = Times {
            started: self.started,
            begun: self.begun,
            ended: Instant::now(),
        };
        if matches!(stop, Stop::Finished) {
            stop = self.drain(signals).await?;
        }
        match stop {
            Stop::Died(status) => return Err(self.process.death(status)),
            Stop::AtOnce => {
                self.process.kill().await;
                self.outside.stop().await;
                return Ok(None);
            }
            Stop::Finished => {}
        }
        let report = self.report(times)?;
        self.outside.stop().await;
        Ok(Some(report))
    }

    /// Makes calls until there are enough, or a signal comes.
    async fn make_calls(
        &mut self,
        arguments: &Arguments,
        signals: &mut Signals,
        screen: &mut Screen,
    ) -> anyhow::Result<Stop> {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if arguments.once && self.feed.is_done() && self.is_accounted_for() {
                return Ok(Stop::Finished);
            }
            let due = self.feed.due(self.tally.under_way());
            tokio::select! {
                told = self.results.next() => self.tally.hear(told),
                () = sleep_until(due.unwrap_or(self.begun).into()), if due.is_some() => {
                    self.feed.step(&mut self.tally)?;
                }
                _ = tick.tick() => self.show(screen, "Ctrl-C ends it in good order")?,
                () = signals.next() => return Ok(Stop::Finished),
                status = self.process.ended() => return Ok(Stop::Died(status?)),
            }
        }
    }

    /// Whether nothing more is to be expected of any call.
    fn is_accounted_for(&self) -> bool {
        let silent = self.tally.heard.unwrap_or(self.begun).elapsed() > SILENCE;
        self.tally.under_way() == 0 || silent
    }

    /// Begins no more calls, and waits for what came of those under way.
    async fn finish(&mut self, signals: &mut Signals, screen: &mut Screen) -> anyhow::Result<Stop> {
        self.feed.stop(&mut self.tally)?;
        if !self.is_accounted_for() {
            screen.note(ENDING)?;
        }
        let deadline = Instant::now() + FINISH;
        let mut tick = interval(TICK);
        while !self.is_accounted_for() && Instant::now() < deadline {
            tokio::select! {
                told = self.results.next() => self.tally.hear(told),
                _ = tick.tick() => self.show(screen, ENDING)?,
                () = signals.next() => return Ok(Stop::AtOnce),
                status = self.process.ended() => return Ok(Stop::Died(status?)),
            }
        }
        Ok(Stop::Finished)
    }

    /// Tells vcc-link to end, and hears its last words.
    async fn drain(&mut self, signals: &mut Signals) -> anyhow::Result<Stop> {
        self.process.drain();
        let deadline = Instant::now() + DRAIN;
        loop {
            tokio::select! {
                told = self.results.next() => self.tally.hear(told),
                status = self.process.ended() => {
                    let status = status?;
                    if !status.success() {
                        return Ok(Stop::Died(status));
                    }
                    break;
                }
                () = signals.next() => return Ok(Stop::AtOnce),
                () = sleep_until(deadline.into()) => return Ok(Stop::AtOnce),
            }
        }
        let last_words = async {
            while self.tally.under_way() > 0 {
                let told = self.results.next().await;
                self.tally.hear(told);
            }
        };
        // Where they do not come, the report says so.
        let _ = timeout(LAST_WORDS, last_words).await;
        Ok(Stop::Finished)
    }

    /// What came of it.
    fn report(&self, times: Times) -> anyhow::Result<Report> {
        let logged = self.outside.logged_calls()?;
        let ours = logged.iter().filter_map(|id| self.run.call_number(id));
        let ours: BTreeSet<u64> = ours.collect();
        let api_calls = self.counted().api_calls;
        let duplicates = self.outside.duplicates() as u64;
        let tally = &self.tally;
        Ok(Report::new(tally, &ours, api_calls, duplicates, times))
    }

    /// What Salesforce has counted since the first call.
    fn counted(&self) -> Counted {
        let now = self.outside.counted();
        Counted {
            tasks: now.tasks.saturating_sub(self.before.tasks),
            api_calls: now.api_calls.saturating_sub(self.before.api_calls),
        }
    }

    fn show(&self, screen: &mut Screen, note: &str) -> std::io::Result<()> {
        screen.show(&View {
            tally: &self.tally,
            counted: self.counted(),
            elapsed: self.begun.elapsed(),
            note,
        })
    }
}

/// Links the accounts that have an org, as an operator would; then one of them breaks.
async fn link(house: &House, outside: &Outside, world: &World) -> anyhow::Result<()> {
    stream::iter(world.linked())
        .map(Ok)
        .try_for_each_concurrent(LINKING, async |account| {
            let token = outside.approve(account)?;
            let added = house.call(&["links", "add", &account.id], &token).await;
            added.map(drop)
        })
        .await?;
    for account in world.linked().filter(|a| a.link == Link::Broken) {
        outside.revoke(account)?;
    }
    Ok(())
}

/// Ports that systems give to nobody by themselves: what is free now is still free when vcc-link
/// takes it.
const PORTS: std::ops::Range<u16> = 20_000..30_000;

/// A port that nobody listens on; 0: any.
fn free_port(port: u16, flag: &str) -> anyhow::Result<u16> {
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).map(drop);
    if port != 0 {
        is_free(&port).with_context(|| {
            format!("port {port} cannot be used; choose another with {flag}, or any with {flag} 0")
        })?;
        return Ok(port);
    }
    let tried = (0..100).map(|_| rand::random_range(PORTS));
    let free = tried.into_iter().find(|port| is_free(port).is_ok());
    free.with_context(|| format!("no port is free between 20000 and 30000; choose one with {flag}"))
}

/// Where everything is.
fn opening(outside: &Outside, state: &State, ports: Ports, portal: &Portal) -> String {
    format!(
        "\
Salesforce  {salesforce}/__sim/tasks (simulated; /__sim/requests tells what was asked)
Kafka       kcat -b {kafka} -C -t {results}
Accounts    {portal} (as their admin: link the broken one, and its calls are logged)
vcc-link    http://127.0.0.1:{port}/metrics
            settings {settings}
            log {log}
",
        portal = portal.address(),
        port = ports.operations,
        salesforce = outside.salesforce(),
        kafka = outside.kafka,
        results = outside.topics.call_logs,
        settings = state.file(settings::FILE).display(),
        log = state.file("vcc-link.log").display(),
    )
}
