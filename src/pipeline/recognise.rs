//! Recognises the database, each time that its server was started or is another one: nothing is sent
//! before it is known that it did not go back in time (rule 15).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::kafka::{self, group};
use crate::readiness::Component;
use crate::store::Store;
use crate::store::inbox::Partition;
use crate::store::recovery::{RecoveryReason, Standing, Witness};
use crate::telemetry::Metrics;

/// How often it is looked at, and its mark moved on: after a restart of the server, sending waits for
/// so long.
const EVERY: Duration = Duration::from_secs(1);

/// Recognises the database.
pub struct Recogniser {
    /// The durable state.
    pub store: Arc<dyn Store>,
    /// Where the group's offsets are asked for.
    pub kafka: kafka::Config,
    /// The database's mark, for whoever notes it in Kafka.
    pub mark: watch::Sender<i64>,
    /// Where it is told.
    pub component: Component,
    /// Where it is counted.
    pub metrics: Metrics,
}

/// Why it is not known how it stands.
#[derive(Debug, thiserror::Error)]
enum Unknown {
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    #[error(transparent)]
    Kafka(#[from] kafka::Error),
}

impl Recogniser {
    /// Looks until cancelled.
    pub async fn run(self, cancel: CancellationToken) {
        let mut told = None;
        while !cancel.is_cancelled() {
            match self.step().await {
                Ok(standing) => self.tell(standing, &mut told),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(
                        error,
                        "the database could not be recognised; it is tried again"
                    );
                    self.component
                        .not_ready("the database or Kafka could not be asked");
                }
            }
            tokio::select! {
                () = cancel.cancelled() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// Looks once; asks Kafka where that is needed. Moves the mark on.
    async fn step(&self) -> Result<Standing, Unknown> {
        let mut standing = self.store.standing().await?;
        if standing == Standing::Unrecognised {
            standing = self.store.recognise(&witness(&self.kafka).await?).await?;
            if standing == Standing::Recognised {
                tracing::info!("the database is as workers left it");
            }
        }
        if standing == Standing::Recognised {
            self.mark.send_replace(self.store.advance_mark().await?);
        }
        Ok(standing)
    }

    /// Tells how it stands; a recovery once in the log.
    fn tell(&self, standing: Standing, told: &mut Option<RecoveryReason>) {
        let reason = match standing {
            Standing::Recovering { reason, .. } => Some(reason),
            Standing::Recognised | Standing::Unrecognised => None,
        };
        self.metrics.recovering(reason.is_some());
        match reason {
            None => self.component.ready(),
            Some(reason) => {
                let says = reason.says();
                self.component
                    .not_ready(format!("{says}; run `vcc-link recover`"));
                if told.is_none() {
                    tracing::error!(
                        ?reason,
                        "the database came back from the past: {says}. Calls are taken in, and nothing is sent; run `vcc-link recover`"
                    );
                }
            }
        }
        *told = reason;
    }
}

/// What the workers' group has committed, as the store takes it.
pub async fn witness(config: &kafka::Config) -> Result<Witness, kafka::Error> {
    let found = group::committed(config).await?;
    let of_store = |((topic, partition), offset)| (Partition { topic, partition }, offset);
    Ok(Witness {
        offsets: found.offsets.into_iter().map(of_store).collect(),
        mark: found.mark,
    })
}
