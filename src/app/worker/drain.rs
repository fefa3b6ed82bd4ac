//! The end of a worker, in order.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::Worker;

/// How long what is in flight may take to end in a drain, its events to be published, and the
/// stages to stop. With all that follows it stays below the 30 s after which Kubernetes kills.
const GRACE: Duration = Duration::from_secs(20);

/// How long giving the shards up may take. Behind it they are free when their leases end.
const LEAVE: Duration = Duration::from_secs(2);

/// How long a drain waits until the others know that this worker takes no shards any more, so
/// that what it gives up is taken at once. Without it their next heartbeats find out.
const STRIKE: Duration = Duration::from_millis(500);

impl Worker {
    /// Waits until a stage ends that was not told to, and tells which.
    pub(in crate::app) async fn broken(&self) -> &'static str {
        self.alarm.raised().await
    }

    /// Stops reading and taking shards, gives up each shard as soon as nothing of it is in flight,
    /// and publishes what came of the last. After the grace time all shards are given up at any
    /// rate: what is left is found in the journal by their next owners.
    pub(in crate::app) async fn drain(mut self) {
        let begun = Instant::now();
        if timeout(GRACE, self.finish()).await.is_err() {
            tracing::warn!("the drain did not end in time; the next owner takes over what is left");
        }
        self.leave().await;
        self.background.cancel();
        self.commands.close();
        let stopped = async {
            self.commands.wait().await;
            self.working.wait().await;
            self.stages.wait().await;
            self.reading.wait().await;
        };
        let rest = GRACE.saturating_sub(begun.elapsed());
        if timeout(rest.max(Duration::from_secs(1)), stopped)
            .await
            .is_err()
        {
            tracing::warn!("some stages did not stop in time; they end with the process");
        }
    }

    /// Lets what is in flight end, and publishes what came of it.
    async fn finish(&mut self) {
        self.ingest.cancel();
        self.leaving.cancel();
        let mut counts_no_more = self.counts_no_more.subscribe();
        let _ = timeout(STRIKE, counts_no_more.wait_for(|done| *done)).await;
        self.driver.cancel();
        // A driver that broke off has dropped its end.
        let _ = self.driven.wait_for(|done| *done).await;
        self.relay.cancel();
        self.working.wait().await;
    }

    /// Gives all shards up that are still ours.
    async fn leave(&self) {
        match timeout(LEAVE, self.store.leave(&self.replica)).await {
            Ok(Ok(())) => tracing::info!("the shards are given up"),
            Ok(Err(error)) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(
                    error,
                    "the shards were not given up; they are free when their leases end"
                );
            }
            Err(_) => tracing::warn!(
                "the database does not answer; the shards are free when their leases end"
            ),
        }
    }
}
