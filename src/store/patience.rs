//! Patience with a database that is away.

use std::future::Future;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio_util::sync::CancellationToken;

use super::{Error, Result};

/// Repeats a store method until it answers, or until told to stop (`None`).
///
/// Every store method may be called again with the same arguments, so this is always safe. The
/// wait grows from 50 ms to 2 s, with jitter. A refused row is given back: repeating cannot help.
pub async fn until_stored<T, F>(
    cancel: &CancellationToken,
    what: &'static str,
    mut method: impl FnMut() -> F,
) -> Option<Result<T>>
where
    F: Future<Output = Result<T>>,
{
    let mut waits = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(Duration::from_secs(2))
        .with_jitter()
        .without_max_times()
        .build();
    loop {
        match method().await {
            Err(error @ (Error::Unavailable(_) | Error::KeyShut { .. } | Error::Other(_))) => {
                tracing::warn!(
                    what,
                    error = &error as &dyn std::error::Error,
                    "the store did not answer, trying again"
                );
            }
            answer => return Some(answer),
        }
        let wait = waits.next().unwrap_or(Duration::from_secs(2));
        tokio::select! {
            () = cancel.cancelled() => return None,
            () = tokio::time::sleep(wait) => {}
        }
    }
}
