//! `vcc-link topics`: what the topics should be, how they are, and creating the missing.

use std::fmt::Write as _;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use serde_json::json;

use super::Global;
use super::output::{Output, print};
use crate::kafka::Config;
use crate::kafka::topics::{self, Planned};

/// Show the Kafka topics, or create those that are missing.
///
/// A topic that exists is never changed; what differs from the settings is told, with what it
/// means.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vcc-link topics plan
  vcc-link topics apply --config vcc-link.toml")]
pub struct Args {
    /// How it is told.
    #[command(flatten)]
    pub output: Output,
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What to do about the topics.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Action {
    /// Show what is missing and what differs; fails if anything does.
    #[command(after_help = "\
Examples:
  vcc-link topics plan
  vcc-link topics plan --json | jq -r '.topics[] | select(.exists | not) | .name'")]
    Plan,
    /// Create what is missing, as the settings under `kafka.create` say.
    #[command(after_help = "\
Example:
  vcc-link topics apply && vcc-link topics plan")]
    Apply,
}

/// Runs it.
pub async fn run(args: Args, global: &Global) -> anyhow::Result<()> {
    let config = &global.sections(&["kafka"])?.config.kafka;
    let as_json = args.output.json;
    let plan = topics::plan(config).await.context("kafka.brokers")?;
    match args.action {
        Action::Plan => show(&plan, as_json),
        Action::Apply => create(&plan, config, as_json).await,
    }
}

/// Shows the plan.
fn show(plan: &[Planned], as_json: bool) -> anyhow::Result<()> {
    let missing = plan.iter().filter(|p| !p.exists).count();
    let differ = plan.iter().filter(|p| !p.differences.is_empty()).count();
    if as_json {
        print(&(serde_json::to_string_pretty(&json!({ "topics": plan }))? + "\n"))?;
    } else {
        print(&listing(plan, |p| {
            if p.exists { "exists" } else { "missing" }.into()
        }))?;
    }
    if missing > 0 {
        bail!("{missing} topics are missing: `vcc-link topics apply` creates them");
    }
    if differ > 0 {
        bail!("{differ} topics differ; vcc-link changes no topic that exists");
    }
    Ok(())
}

/// Creates what is missing.
async fn create(plan: &[Planned], config: &Config, as_json: bool) -> anyhow::Result<()> {
    let results = topics::apply(config, plan).await.context("kafka.brokers")?;
    let failed = results.iter().filter(|(_, result)| result.is_err()).count();
    let outcome = |topic: &Planned| {
        let result = results.iter().find(|(name, _)| *name == topic.wanted.name);
        match result {
            None => "exists".to_owned(),
            Some((_, Ok(()))) => "created".to_owned(),
            Some((_, Err(error))) => format!("not created: {}", chain(error)),
        }
    };
    if as_json {
        let topics = plan.iter().map(|topic| {
            json!({
                "name": topic.wanted.name,
                "outcome": outcome(topic),
                "differences": topic.differences,
            })
        });
        let document = json!({ "topics": topics.collect::<Vec<_>>() });
        print(&(serde_json::to_string_pretty(&document)? + "\n"))?;
    } else {
        print(&listing(plan, outcome))?;
    }
    if failed > 0 {
        bail!("{failed} topics were not created");
    }
    Ok(())
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Each topic, and what differs.
fn listing(plan: &[Planned], outcome: impl Fn(&Planned) -> String) -> String {
    let mut text = String::new();
    for topic in plan {
        // Writing to a string cannot fail.
        let _ = write_topic(&mut text, topic, &outcome(topic));
    }
    text
}

/// One topic and what differs.
fn write_topic(text: &mut String, topic: &Planned, outcome: &str) -> std::fmt::Result {
    let wanted = &topic.wanted;
    writeln!(text, "{} ({}): {outcome}", wanted.name, wanted.carries)?;
    if !topic.exists {
        writeln!(text, "  partitions={}", wanted.partitions)?;
        writeln!(text, "  replication.factor={}", wanted.replication_factor)?;
        for (name, value) in &wanted.settings {
            writeln!(text, "  {name}={value}")?;
        }
    }
    for difference in &topic.differences {
        let (what, is, meaning) = (&difference.what, &difference.is, difference.meaning);
        let wanted = &difference.wanted;
        writeln!(text, "  {what} is {is}, should be {wanted}: {meaning}")?;
    }
    Ok(())
}
