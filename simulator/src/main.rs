//! The simulator as a program.

#![forbid(unsafe_code)]

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use clap::Parser;
use salesforce_simulator::seed::Seed;
use salesforce_simulator::{Config, InstanceUrlStyle, Simulator};
use tracing_subscriber::EnvFilter;

/// A Salesforce that behaves, for tests on one machine.
///
/// One address plays the login host and every org: point your client's login URL at it. People log
/// in through its pages, programs by OAuth or SOAP, and the access token decides which org a data
/// call reaches. It prints its addresses, one to a line (`http=…`, `https=…`), and runs until it
/// is interrupted.
///
/// Without a seed file it plays the org Acme with the users api@acme.example and agent@acme.example
/// (password: password) and a small phone book.
#[derive(Debug, Parser)]
#[command(version, after_long_help = EXAMPLES)]
struct Arguments {
    /// Address to listen on
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,

    /// Port for HTTP; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    http_port: u16,

    /// Port for HTTPS; 0 takes a free one
    #[arg(long, default_value_t = 0)]
    https_port: u16,

    /// Serve HTTP only
    #[arg(long, conflicts_with = "https_port")]
    no_https: bool,

    /// Write the certificate that HTTPS clients must trust to this file
    #[arg(long, value_name = "FILE", conflicts_with = "no_https")]
    ca_out: Option<PathBuf>,

    /// JSON file with the orgs to play; without it one org "Acme" with a small phone book
    #[arg(long, value_name = "FILE")]
    seed_file: Option<PathBuf>,

    /// Seed of chance: tokens, and faults with a probability
    #[arg(long, default_value_t = 0)]
    seed: u64,

    /// How many times as fast as the wall clock time runs: 0.001 to 1000000
    #[arg(long, default_value_t = 1.0, value_parser = time_scale)]
    time_scale: f64,

    /// What `instance_url` in token answers looks like
    #[arg(long, value_enum, default_value_t)]
    instance_urls: InstanceUrlStyle,
}

fn time_scale(text: &str) -> Result<f64, String> {
    let scale: f64 = text.parse().map_err(|_| "this is no number".to_owned())?;
    if (0.001..=1_000_000.0).contains(&scale) {
        Ok(scale)
    } else {
        Err("it must be from 0.001 to 1000000".to_owned())
    }
}

const EXAMPLES: &str = "\
Try it (with the built-in seed):
  salesforce-simulator --http-port 8080 &
  curl -s localhost:8080/services/oauth2/token -d grant_type=refresh_token \\
       -d client_id=sim-client-id -d client_secret=sim-client-secret \\
       -d refresh_token=demo-refresh-token
  curl -s -H \"Authorization: Bearer $ACCESS_TOKEN\" \\
       'localhost:8080/services/data/v66.0/query?q=SELECT+Id,Name,Phone+FROM+Contact+LIMIT+3'

Log in in a browser: open this, and then see the code in the address of the page that cannot be opened
  curl -s localhost:8080/__sim/app --json '{\"pkce\": false}'
  http://localhost:8080/services/oauth2/authorize?response_type=code&client_id=sim-client-id&redirect_uri=http://localhost/callback

Start from a world of your own:
  echo '{\"orgs\": [{\"name\": \"Mine\", \"users\": [{\"username\": \"me@mine.example\"}],
        \"generate\": {\"contacts\": 1000}}]}' > seed.json
  salesforce-simulator --seed-file seed.json

Make something go wrong, and look at what really happened:
  curl -s localhost:8080/__sim/faults --json '{\"kind\": \"collections\", \"times\": 1,
       \"action\": {\"type\": \"commit_then_drop\"}}'
  curl -s localhost:8080/__sim/tasks
  curl -s localhost:8080/__sim/requests

The README has the seed's format, what is played and what is not, all faults and the whole control API.";

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let seed = match &arguments.seed_file {
        Some(path) => read_seed(path)?,
        None => Seed::demo(),
    };
    let running = Simulator::start(Config {
        http: SocketAddr::new(arguments.host, arguments.http_port),
        https: (!arguments.no_https)
            .then_some(SocketAddr::new(arguments.host, arguments.https_port)),
        seed,
        random_seed: arguments.seed,
        time_scale: arguments.time_scale,
        instance_url_style: arguments.instance_urls,
    })
    .await?;
    if let Some(path) = &arguments.ca_out {
        std::fs::write(path, running.ca_pem())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    print_addresses(&running.base_url(), running.https_url().as_deref())?;
    tokio::signal::ctrl_c().await?;
    running.stop().await;
    Ok(())
}

fn read_seed(path: &std::path::Path) -> anyhow::Result<Seed> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Seed::from_json(&text).map_err(|error| anyhow!("{} is no seed: {error}", path.display()))
}

/// Whoever starts the program reads these lines, so they must not wait in a buffer.
fn print_addresses(http: &str, https: Option<&str>) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "http={http}")?;
    if let Some(https) = https {
        writeln!(out, "https={https}")?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_arguments_fit_together() {
        super::Arguments::command().debug_assert();
    }
}
