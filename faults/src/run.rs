//! Rows, one after the other, each in as many worlds as it takes.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::signal::unix::{SignalKind, signal};

use crate::arguments::Arguments;
use crate::report::{self, Line, Report};
use crate::row::{Row, Trial};
use crate::rows;
use crate::services::Services;
use crate::world::{Verdict, World};

/// Trials in one world: so many that its start does not matter, so few that its calls are quickly
/// looked through.
const IN_ONE_WORLD: u32 = 20;

/// How often a row that takes long tells how far it is.
const TELL_EVERY: Duration = Duration::from_secs(15);

/// Runs what the arguments ask for.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let rows = chosen(&arguments)?;
    if arguments.list {
        print!("{}", report::list(&rows));
        return Ok(ExitCode::SUCCESS);
    }
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // What runs is dropped, and with it every process that was started.
    let report = tokio::select! {
        report = try_all(&arguments, &rows) => report?,
        _ = interrupt.recv() => return Ok(ExitCode::from(130)),
        _ = terminate.recv() => return Ok(ExitCode::from(143)),
    };
    if arguments.output.json {
        println!("{}", report.as_json());
    } else if arguments.output.markdown {
        print!("{}", report.as_markdown());
    } else {
        print!("{}", report.as_text());
    }
    Ok(if report.holds() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The rows that were asked for.
fn chosen(arguments: &Arguments) -> anyhow::Result<Vec<Row>> {
    let all = rows::all();
    for name in &arguments.rows {
        ensure!(
            all.iter().any(|row| row.name == name),
            "there is no row '{name}'; --list shows those that there are"
        );
    }
    let wanted = |row: &Row| {
        let named = arguments.rows.is_empty() || arguments.rows.iter().any(|n| n == row.name);
        named && (row.short || !arguments.short)
    };
    Ok(all.into_iter().filter(wanted).collect())
}

async fn try_all(arguments: &Arguments, rows: &[Row]) -> anyhow::Result<Report> {
    let program = arguments.program()?;
    eprintln!("starting Kafka and PostgreSQL");
    let services = Arc::new(Services::start().await?);
    let began = Instant::now();
    let mut report = Report::new(arguments.seed, &program);
    let (services, program) = (&services, program.as_path());
    let run = |row| async move {
        let runner = Runner::new(services, program, arguments, row);
        let line = runner.run().await?;
        eprintln!("{}", line.as_text());
        anyhow::Ok(line)
    };
    let (alone, together): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| row.alone);
    let together = stream::iter(together.into_iter().map(run));
    let together = together.buffer_unordered(usize::from(arguments.jobs));
    let mut lines: Vec<Line> = together.try_collect().await?;
    for row in alone {
        lines.push(run(row).await?);
    }
    let place = |line: &Line| rows.iter().position(|row| row.name == line.name);
    lines.sort_by_key(place);
    report.lines = lines;
    report.took = began.elapsed();
    Ok(report)
}

/// One row's run.
struct Runner<'a> {
    services: &'a Arc<Services>,
    program: &'a Path,
    arguments: &'a Arguments,
    row: &'a Row,
    world: Option<World>,
    line: Line,
    told: Instant,
}

impl<'a> Runner<'a> {
    fn new(
        services: &'a Arc<Services>,
        program: &'a Path,
        arguments: &'a Arguments,
        row: &'a Row,
    ) -> Self {
        Self {
            services,
            program,
            arguments,
            row,
            world: None,
            line: Line::of(row, arguments.trials_of(row), arguments.calls_of(row)),
            told: Instant::now(),
        }
    }

    async fn run(mut self) -> anyhow::Result<Line> {
        if self.line.is_impossible() {
            return Ok(self.line);
        }
        let began = Instant::now();
        let first = self.arguments.first;
        for number in first..first + self.line.wanted {
            if (number - first).is_multiple_of(IN_ONE_WORLD) {
                self.end_world(number).await?;
            }
            let calls = self.arguments.calls_of(self.row).unwrap_or_default();
            let mut trial = Trial::new(self.row, self.arguments.seed, number, calls);
            // A world that does not start is a failed trial as well: what is broken may be ours.
            match self.trial(&mut trial).await {
                Ok((struck, verdict)) => {
                    self.line.count(struck, &verdict);
                    self.line.measure(trial.measured);
                    if !verdict.holds() {
                        self.keep(number, verdict.faults().collect());
                    }
                }
                Err(error) => self.keep(number, vec![format!("{error:#}")]),
            }
            let is_last = number + 1 == first + self.line.wanted;
            if self.told.elapsed() > TELL_EVERY && !is_last {
                self.told = Instant::now();
                eprintln!("{}", self.line.progress());
            }
        }
        self.end_world(first + self.line.wanted).await?;
        self.line.took = began.elapsed();
        Ok(self.line)
    }

    /// One trial: the fault strikes, and every call comes to its end.
    async fn trial(&mut self, trial: &mut Trial) -> anyhow::Result<(u64, Verdict)> {
        if self.world.is_none() {
            let folder = self.folder(trial.number);
            let setup = self.row.setup;
            let seed = self.arguments.seed.wrapping_add(u64::from(trial.number));
            let world = World::start(self.services, setup, self.program, folder, seed);
            self.world = Some(world.await.context("the world does not start")?);
        }
        let world = self.world.as_mut().context("there is a world")?;
        world.staffed().await?;
        let struck = (self.row.strike)(world, trial).await?;
        world.settled(self.row.patience).await?;
        Ok((struck, world.judge()))
    }

    fn folder(&self, number: u32) -> PathBuf {
        let name = format!("{}-{}-{number}", self.row.name, self.arguments.seed);
        self.arguments.keep.join(name)
    }

    /// Drains the workers of a world in which all went well, judges it once more, and removes it.
    async fn end_world(&mut self, next: u32) -> anyhow::Result<()> {
        let Some(mut world) = self.world.take() else {
            return Ok(());
        };
        let drained = world.drained().await?;
        let verdict = world.judge();
        let mut faults: Vec<String> = verdict.faults().collect();
        if !drained {
            faults.push("a worker does not end when it is told to".to_owned());
        }
        self.line.count_rest(&verdict);
        if !faults.is_empty() {
            self.world = Some(world);
            self.keep(next - 1, faults);
            return Ok(());
        }
        let folder = world.folder().to_owned();
        world.remove().await?;
        std::fs::remove_dir_all(&folder)
            .with_context(|| format!("{} cannot be removed", folder.display()))
    }

    /// Keeps the logs of a world in which something went wrong, and says how to see it again.
    fn keep(&mut self, number: u32, faults: Vec<String>) {
        let folder = self.world.take().map(|world| world.folder().to_owned());
        let folder = folder.unwrap_or_else(|| self.folder(number));
        let again = format!(
            "make faults ROWS={} SEED={} ARGS='--first {number} --trials 1'",
            self.row.name, self.arguments.seed
        );
        let text = faults.join("\n");
        // The folder is missing where not even the world could start.
        let _ = std::fs::create_dir_all(&folder);
        let _ = std::fs::write(folder.join("faults.txt"), format!("{text}\n\n{again}\n"));
        eprintln!(
            "{} trial {number} FAILED: {} ({} in all)\n  logs: {}\n  again: {again}",
            self.row.name,
            faults.first().map_or("", String::as_str),
            faults.len(),
            folder.display(),
        );
        self.line.failed.push(number);
    }
}
