//! How many requests somebody may make: of one session or machine, and of one address; how many secrets
//! of invitations an address may try; and how often an account's org is asked.
//!
//! Each replica counts for itself, minute by minute. That keeps one browser or program from taking
//! all, and guesses from being many; it is no accounting.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use moka::sync::Cache;

use super::Sidecar;
use super::problem::Problem;
use crate::crypto;
use crate::domain::ids::AccountId;

/// What is counted together.
pub(super) const WINDOW: Duration = Duration::from_mins(1);

/// Who is counted at most; the least lately seen are forgotten first. Each takes about 100 bytes.
const COUNTED: u64 = 100_000;

/// An address may make so many times what a session may: people share addresses.
const SHARED: u32 = 4;

/// Secrets of invitations that one address may show.
const GUESSES: u32 = 20;

/// Who is counted.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Who {
    /// An address; of IPv6, the network of one customer.
    Address(IpAddr),
    /// A session or a machine: the hash of what it shows.
    Shown([u8; 32]),
    /// An account whose org is asked.
    Asks(AccountId),
    /// An address that shows secrets of invitations.
    Guesses(IpAddr),
}

/// The counts of this minute.
pub(super) struct Limits(Cache<Who, Arc<AtomicU32>>);

impl Limits {
    /// Nobody is counted yet.
    pub(super) fn new() -> Self {
        let counts = Cache::builder().max_capacity(COUNTED).time_to_live(WINDOW);
        Self(counts.build())
    }

    /// Counts a request; whether it is one of the first `most` within its minute.
    fn allow(&self, who: Who, most: u32) -> bool {
        let count = self.0.get_with(who, Arc::default);
        count.fetch_add(1, Ordering::Relaxed) < most
    }
}

impl Sidecar {
    /// Counts a question to an account's org; whether it may be asked.
    pub(super) fn may_ask(&self, account: &AccountId) -> bool {
        let most = self.config.questions_per_minute;
        self.limits.allow(Who::Asks(account.clone()), most)
    }
}

/// Refuses requests beyond the limits.
pub(super) async fn limit(
    State(sidecar): State<Arc<Sidecar>>,
    request: Request,
    next: Next,
) -> Response {
    let most = sidecar.config.requests_per_minute;
    let address = address(&sidecar, &request);
    let shown = [header::COOKIE, header::AUTHORIZATION];
    let shown = shown.iter().find_map(|name| request.headers().get(name));
    let shown = shown.map(|shown| Who::Shown(crypto::sha256(shown.as_bytes())));
    let by_address = address.map(|address| (Who::Address(address), most.saturating_mul(SHARED)));
    let counted = by_address.into_iter().chain(shown.map(|who| (who, most)));
    for (who, most) in counted {
        if !sidecar.limits.allow(who, most) {
            return Problem::too_many().into_response();
        }
    }
    next.run(request).await
}

/// Refuses to look at more secrets of invitations than anybody has who was invited.
pub(super) async fn limit_guesses(
    State(sidecar): State<Arc<Sidecar>>,
    request: Request,
    next: Next,
) -> Response {
    let address = address(&sidecar, &request);
    if address.is_some_and(|from| !sidecar.limits.allow(Who::Guesses(from), GUESSES)) {
        return Problem::too_many().into_response();
    }
    next.run(request).await
}

/// Who asks, by address.
fn address(sidecar: &Sidecar, request: &Request) -> Option<IpAddr> {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map(|ConnectInfo(peer)| peer.ip());
    client(peer, request.headers(), sidecar.config.proxies)
}

/// Who asks: behind so many proxies of ours, each of which appends whom it serves. What stands
/// further left, anybody may have written.
fn client(peer: Option<IpAddr>, headers: &HeaderMap, proxies: u8) -> Option<IpAddr> {
    let Some(hops) = usize::from(proxies).checked_sub(1) else {
        return peer.map(network);
    };
    let lines = headers.get_all("x-forwarded-for").iter();
    let lines = lines.filter_map(|line| line.to_str().ok());
    let hosts: Vec<&str> = lines.flat_map(|line| line.split(',')).collect();
    let host = hosts.iter().rev().nth(hops);
    let host = host.and_then(|host| host.trim().parse().ok());
    host.or(peer).map(network)
}

/// The part of an address that one customer has: of IPv6, 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_what_our_own_proxies_say_counts() {
        let peer = "10.0.0.1".parse().ok();
        let mut headers = HeaderMap::new();
        let line = HeaderValue::from_static("6.6.6.6, 203.0.113.7, 10.0.0.2");
        headers.insert("x-forwarded-for", line);
        let client = |proxies| client(peer, &headers, proxies).map(|ip| ip.to_string());
        assert_eq!(client(0).as_deref(), Some("10.0.0.1"));
        assert_eq!(client(1).as_deref(), Some("10.0.0.2"));
        assert_eq!(client(2).as_deref(), Some("203.0.113.7"));
        assert_eq!(
            client(9).as_deref(),
            Some("10.0.0.1"),
            "it came by none of ours"
        );
    }

    #[test]
    fn the_next_request_after_the_last_is_refused() {
        let limits = Limits::new();
        let who = || Who::Shown([1; 32]);
        assert!(limits.allow(who(), 2) && limits.allow(who(), 2));
        assert!(!limits.allow(who(), 2));
        assert!(limits.allow(Who::Shown([2; 32]), 2));
    }
}
