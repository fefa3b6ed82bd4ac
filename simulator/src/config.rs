//! How a simulator is set up.

use std::net::{Ipv4Addr, SocketAddr};

use crate::seed::Seed;

/// What `instance_url` looks like in token answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum InstanceUrlStyle {
    /// The address that the client already used: the access token tells the org.
    #[default]
    Shared,
    /// `http://<my-domain>.localhost:<port>`, one host for each org.
    Subdomain,
}

/// The settings of one simulator.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where HTTP is served; port 0 takes a free one.
    pub http: SocketAddr,
    /// Where HTTPS is served, if at all.
    pub https: Option<SocketAddr>,
    /// The world at the start.
    pub seed: Seed,
    /// Seeds chance: tokens, and faults with a probability.
    pub random_seed: u64,
    /// How many times as fast as the wall clock time runs.
    pub time_scale: f64,
    /// What `instance_url` looks like.
    pub instance_url_style: InstanceUrlStyle,
}

impl Default for Config {
    fn default() -> Self {
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            http: free,
            https: Some(free),
            seed: Seed::demo(),
            random_seed: 0,
            time_scale: 1.0,
            instance_url_style: InstanceUrlStyle::default(),
        }
    }
}
