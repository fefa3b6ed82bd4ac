//! What every database must do: one suite for each room of the store, written once against
//! `Arc<dyn Store>` and run on each database by [`conformance_tests!`].

pub(crate) mod fixture;
pub(crate) mod folding;
pub(crate) mod grants;
pub(crate) mod inbox;
pub(crate) mod journal;
pub(crate) mod leases;
pub(crate) mod links;
pub(crate) mod outbox;
pub(crate) mod reports;

use std::sync::Arc;

use async_trait::async_trait;
use vcc_link::store::Store;

/// An empty database of its own for one test: all in which databases differ.
///
/// The store is set up without a margin for late answers (`refresh_answer_timeout` is zero), so
/// that a claim expires when its time to send is over.
#[async_trait]
pub(crate) trait Harness: Send + Sync {
    /// The store.
    fn store(&self) -> Arc<dyn Store>;

    /// The same database again, as another process opens it.
    async fn other(&self) -> Arc<dyn Store>;
}

/// Makes a test of each conformance test; `$run` is an `async fn(name, test)` that makes the
/// harness, runs the test and cleans up.
macro_rules! conformance_tests {
    ($run:path; $($room:ident: $($test:ident),+ $(,)?;)+) => {
        $(mod $room {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                $run(|harness| Box::pin(async move {
                    $crate::store::conformance::$room::$test(harness).await;
                })).await;
            })+
        })+
    };
}
pub(crate) use conformance_tests;
