//! `vcc-link topics`: what the topics should be, how they are, creating the missing, and going on
//! where Kafka no longer has what comes next.

use std::fmt::Write as _;
use std::str::FromStr;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use serde_json::json;

use super::output::{Output, print};
use super::{Global, open_store};
use crate::kafka::Config;
use crate::kafka::topics::{self, Planned};
use crate::store::Written;
use crate::store::inbox::Partition;

/// Show the Kafka topics, create those that are missing, or go on where events are lost.
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
#[derive(Clone, Debug, Subcommand)]
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
    /// Go on with a partition that stands, because Kafka no longer has the offset that comes next.
    ///
    /// The workers' logs name it. Events between the two offsets were deleted unread, or the topic
    /// was made anew: they are lost, and this says so on purpose. The worker that has the partition
    /// goes on within seconds. A partition whose next offset Kafka has is left alone.
    #[command(after_help = "\
Examples:
  vcc-link topics skip vcc.calls 3 --to earliest
  vcc-link topics skip vcc.calls 3 --to 120544")]
    Skip {
        /// The topic.
        topic: String,
        /// The partition's number.
        partition: i32,
        /// Where to go on: `earliest`, `latest`, or an offset.
        #[arg(long, value_name = "OFFSET")]
        to: To,
    },
}

/// Where to go on in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// At the first offset that Kafka has.
    Earliest,
    /// At the next that it will have.
    Latest,
    /// At this one.
    Offset(i64),
}

impl FromStr for To {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            offset => offset
                .parse()
                .map(Self::Offset)
                .map_err(|_| "write earliest, latest, or an offset"),
        }
    }
}

/// Runs it.
pub async fn run(args: Args, global: &Global) -> anyhow::Result<()> {
    let sections = match args.action {
        Action::Skip { .. } => &["kafka", "store"][..],
        Action::Plan | Action::Apply => &["kafka"],
    };
    let config = global.sections(sections)?.config;
    let as_json = args.output.json;
    let plan = async || topics::plan(&config.kafka).await.context("kafka.brokers");
    match args.action {
        Action::Plan => show(&plan().await?, as_json),
        Action::Apply => create(&plan().await?, &config.kafka, as_json).await,
        Action::Skip {
            topic,
            partition,
            to,
        } => skip(&config, Partition { topic, partition }, to, as_json).await,
    }
}

/// Moves the store's offset of a partition that stands.
async fn skip(
    config: &crate::config::Config,
    partition: Partition,
    to: To,
    as_json: bool,
) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    let offsets = store.offsets(std::slice::from_ref(&partition)).await?;
    let (topic, number) = (&partition.topic, partition.partition);
    let Some(Some(now)) = offsets.first().copied() else {
        bail!("nothing of {topic} {number} was ever read: a worker begins at its earliest offset");
    };
    let found = topics::offsets(&config.kafka, topic, number).await;
    let (low, high) = found.context("kafka.brokers")?;
    if (low..=high).contains(&now) {
        bail!(
            "{topic} {number} goes on at {now}, which Kafka has ({low} to {high}): nothing is to be skipped"
        );
    }
    let next = match to {
        To::Earliest => low,
        To::Latest => high,
        To::Offset(offset) => offset,
    };
    if !(low..=high).contains(&next) {
        bail!("--to {next}: Kafka has {low} to {high} of {topic} {number}");
    }
    if store.move_offset(&partition, now, next).await? == Written::Stale {
        bail!("{topic} {number} was moved by somebody else meanwhile: look again");
    }
    print(&if as_json {
        json!({ "topic": topic, "partition": number, "from": now, "to": next }).to_string() + "\n"
    } else {
        format!("{topic} {number} goes on at {next} instead of {now}\n")
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_to_go_on_is_a_word_or_an_offset() {
        assert_eq!("earliest".parse(), Ok(To::Earliest));
        assert_eq!("latest".parse(), Ok(To::Latest));
        assert_eq!("120544".parse(), Ok(To::Offset(120_544)));
        assert!("soon".parse::<To>().is_err());
    }
}
