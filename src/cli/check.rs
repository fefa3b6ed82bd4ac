//! `vcc-link check`: are the settings right, and are the services as they must be?

use std::fmt::Write as _;

use anyhow::bail;
use serde_json::json;

use super::Global;
use super::output::{Output, print};
use crate::config::{Line, Settings};
use crate::preflight::{self, Finding};

/// Check the settings, and the services that they name.
///
/// Faults in the settings are told all at once, each with the setting's name and what to write;
/// then database, Kafka, Salesforce and the portal's keys are asked. Nothing is changed. Exits with 1 if anything
/// must be done, with 78 if it is the settings.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  vcc-link check --config vcc-link.toml
  vcc-link check --config vcc-link.toml --production && systemctl restart vcc-link
  vcc-link check --settings --json | jq -r '.settings[] | select(.origin) | .setting'")]
pub struct Args {
    /// How it is told.
    #[command(flatten)]
    pub output: Output,
    /// Also refuse what is fit for tests only, or for one machine alone.
    #[arg(long)]
    pub production: bool,
    /// Ask nobody: list the settings in effect, secrets as ***, and where each was set.
    #[arg(long, conflicts_with = "production")]
    pub settings: bool,
}

/// Runs it.
pub async fn run(args: &Args, global: &Global) -> anyhow::Result<()> {
    let settings = global.settings()?;
    if args.settings {
        return print(&listing(&settings, args.output.json)?);
    }
    let mut findings = vec![Finding {
        about: "settings".to_owned(),
        ok: true,
        says: "are valid".to_owned(),
    }];
    findings.extend(preflight::findings(&settings.config, args.production).await);
    print(&report(&findings, args.output.json)?)?;
    match findings.iter().filter(|finding| !finding.ok).count() {
        0 => Ok(()),
        bad => bail!("{bad} of {} checks want something done", findings.len()),
    }
}

/// What was found, as text or JSON.
fn report(findings: &[Finding], as_json: bool) -> anyhow::Result<String> {
    if as_json {
        let entry = |f: &Finding| json!({ "about": f.about, "ok": f.ok, "says": f.says });
        let checks: Vec<_> = findings.iter().map(entry).collect();
        let ok = findings.iter().all(|finding| finding.ok);
        return Ok(serde_json::to_string_pretty(&json!({ "ok": ok, "checks": checks }))? + "\n");
    }
    let mut text = String::new();
    for finding in findings {
        let mark = if finding.ok { "ok  " } else { "FAIL" };
        writeln!(text, "{mark} {}: {}", finding.about, finding.says)?;
    }
    Ok(text)
}

/// The settings in effect, as text or JSON.
fn listing(settings: &Settings, as_json: bool) -> anyhow::Result<String> {
    let lines = settings.lines();
    if as_json {
        let entry = |line: &Line| {
            json!({
                "setting": line.setting,
                "value": line.value,
                "variable": line.variable(),
                "origin": line.origin.as_ref().map(ToString::to_string),
            })
        };
        let entries: Vec<_> = lines.iter().map(entry).collect();
        return Ok(serde_json::to_string_pretty(&json!({ "settings": entries }))? + "\n");
    }
    let mut text = String::new();
    for line in lines {
        writeln!(text, "{line}")?;
    }
    Ok(text)
}
