//! Telling the state of links again, as the new owner of their shard (rule 13).
//!
//! The owner before may have stood still with an event on its way, and sent it late: behind a newer
//! one, in a compacted topic, where the last event of an account is the one that stays. So each new
//! owner tells the states once, as they are now.

use std::collections::BTreeSet;

use tokio_util::sync::CancellationToken;

use super::{Linking, changed};
use crate::domain::event::Published;
use crate::domain::link::{Actor, LinkReason, LinkState};
use crate::store::links::Restated;
use crate::store::{self, Fence};

impl Linking {
    /// Tells the states of the links of each shard that becomes ours, until cancelled.
    pub async fn restate(&self, cancel: CancellationToken) {
        let mut owned = self.owned.clone();
        let mut told: BTreeSet<Fence> = BTreeSet::new();
        loop {
            let ours: BTreeSet<Fence> = owned.borrow_and_update().iter().copied().collect();
            told.retain(|fence| ours.contains(fence));
            for fence in ours {
                if told.contains(&fence) || cancel.is_cancelled() {
                    continue;
                }
                match self.restate_shard(fence).await {
                    Ok(()) => {
                        told.insert(fence);
                    }
                    Err(error) => {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(error, "the states of links could not be told again yet");
                        break;
                    }
                }
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                changed = owned.changed() => if changed.is_err() {
                    return;
                },
                // What failed is tried again.
                () = tokio::time::sleep(self.config.refresh_check) => {}
            }
        }
    }

    /// Tells the states of one shard's links. A shard that is not ours any more is its next owner's.
    async fn restate_shard(&self, fence: Fence) -> store::Result<()> {
        let mut links = Vec::new();
        for state in self.store.links_of_shard(fence.shard).await? {
            let parked = self.store.parked_calls(&state.account).await?;
            links.push(self.restated(&state, fence, parked));
        }
        if !links.is_empty() {
            self.store.restate_links(fence, &links).await?;
        }
        Ok(())
    }

    /// A link's state, as an event of its own.
    fn restated(&self, state: &LinkState, fence: Fence, parked: u64) -> Restated {
        let reason = state.reason.unwrap_or(LinkReason::Unknown);
        let mut event = changed(state, state, reason, Actor::System, (parked, None));
        if let Published::LinkStatusChanged(event) = &mut event {
            event.sequence = state.sequence;
            event.restated = Some(fence.epoch);
        }
        Restated {
            account: state.account.clone(),
            sequence: state.sequence,
            event: self.sealer.event(fence.shard, &event),
        }
    }
}
