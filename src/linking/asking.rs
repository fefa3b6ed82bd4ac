//! Reading from an org on a person's behalf, where no shard is ours: with the access token that is
//! stored. One that has run out is not refreshed here; its owner is asked to.

use super::Linking;
use crate::domain::ids::{AccountId, Generation};
use crate::domain::outcome::{Failure, FailureClass};
use crate::salesforce::{Error, Session};
use crate::telemetry::names::field;

impl Linking {
    /// Reads from the org of an account. Where the access token has run out, the newer one is used
    /// that somebody has stored meanwhile; without one, the owner of the account's shard is asked to
    /// renew it, which takes about `linking.refresh_check`, and this fails with
    /// [`FailureClass::Session`]. Reads alone: it may ask twice.
    pub async fn asking<T, F>(
        &self,
        account: &AccountId,
        generation: Generation,
        ask: impl Fn(Session) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let session = self.session(account, generation).await?;
        let failure = match ask(session).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error.failure,
        };
        if failure.class != FailureClass::Session {
            return Err(failure);
        }
        let key = (account.clone(), generation);
        let used = self.sessions.get(&key).map(|cached| cached.sequence);
        self.sessions.invalidate(&key);
        let session = self.session(account, generation).await?;
        let stored = self.sessions.get(&key).map(|cached| cached.sequence);
        if used != stored {
            return ask(session).await.map_err(|error| error.failure);
        }
        if let Some(seen) = stored
            && let Err(error) = self.store.want_refresh(account, generation, seen).await
        {
            let error = &error as &dyn std::error::Error;
            tracing::warn!({ field::ACCOUNT } = %account, error, "nobody could be asked to renew a token");
        }
        Err(failure)
    }
}
