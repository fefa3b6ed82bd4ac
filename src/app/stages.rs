//! Stages that run until they are told to end, and the alarm when one ends by itself.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Who ended too soon; clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Alarm(watch::Sender<Option<&'static str>>);

impl Alarm {
    /// Runs a stage on the tracker. One that panics or returns before it is told to raises the
    /// alarm: without it the process would go on looking well, and do half its work.
    pub(super) fn watch(
        &self,
        tracker: &TaskTracker,
        name: &'static str,
        told: &CancellationToken,
        stage: impl Future<Output = ()> + Send + 'static,
    ) {
        let end = End {
            returned: false,
            name,
            told: told.clone(),
            alarm: self.clone(),
        };
        tracker.spawn(async move {
            let mut end = end;
            stage.await;
            end.returned = true;
            drop(end);
        });
    }

    /// Waits for the alarm, and tells the first stage that raised it.
    pub(super) async fn raised(&self) -> &'static str {
        let mut ended = self.0.subscribe();
        let first = ended.wait_for(Option::is_some).await;
        first
            .ok()
            .and_then(|name| *name)
            .expect("the sender lives in self, and something was waited for")
    }
}

/// Dropped when a stage ends, however it does.
struct End {
    /// It returned. One that is dropped before, without a panic, goes down with the process.
    returned: bool,
    /// The stage.
    name: &'static str,
    /// Whether it was told to.
    told: CancellationToken,
    /// Where it is said.
    alarm: Alarm,
}

impl Drop for End {
    fn drop(&mut self) {
        let (stage, panicked) = (self.name, std::thread::panicking());
        if self.told.is_cancelled() || !(self.returned || panicked) {
            return;
        }
        tracing::error!(
            stage,
            panicked,
            "a stage ended by itself; the process drains and ends, to be started again"
        );
        self.alarm.0.send_if_modified(|ended| {
            let first = ended.is_none();
            ended.get_or_insert(stage);
            first
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stage_that_panics_or_returns_raises_the_alarm() {
        let tracker = TaskTracker::new();
        let told = CancellationToken::new();
        for (name, panics) in [("panics", true), ("returns", false)] {
            let alarm = Alarm::default();
            alarm.watch(&tracker, name, &told, async move {
                assert!(!panics, "a broken invariant");
            });
            assert_eq!(alarm.raised().await, name);
        }
    }

    #[tokio::test]
    async fn a_stage_that_was_told_to_end_does_not() {
        let tracker = TaskTracker::new();
        let told = CancellationToken::new();
        let alarm = Alarm::default();
        alarm.watch(&tracker, "obeys", &told, told.clone().cancelled_owned());
        told.cancel();
        tracker.close();
        tracker.wait().await;
        assert_eq!(*alarm.0.borrow(), None);
    }
}
