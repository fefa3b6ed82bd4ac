//! Giving up the tokens of links that were replaced or ended (rule 8), and of logins that made no
//! link: revoked at Salesforce, and then dropped. A grant is a durable row until both are done, so a crash repeats and never
//! forgets.

use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use super::Linking;
use super::authorizing::Error;
use super::sealed::{Secret, Tokens};
use crate::clock;
use crate::domain::authorization::{Authorization, AuthorizationFault, Stage};
use crate::domain::ids::ShardId;
use crate::domain::link::LinkState;
use crate::domain::outcome::FailureClass;
use crate::store;
use crate::store::links::Grant;
use crate::telemetry::names::field;

/// Grants or logins given up in one step.
const PAGE: u32 = 50;

impl Linking {
    /// Revokes and drops grants of generations that are over. One whose revocation fails stays,
    /// and is tried again with the next step. Told to stop, it begins with no other.
    pub async fn give_up_retired(
        &self,
        shards: &[ShardId],
        cancel: &CancellationToken,
    ) -> store::Result<()> {
        if shards.is_empty() {
            return Ok(());
        }
        for grant in self.store.retired_grants(shards, PAGE).await? {
            if cancel.is_cancelled() {
                break;
            }
            if self.revoke(&grant).await {
                self.store
                    .give_up_grant(&grant.account, grant.generation)
                    .await?;
                tracing::info!({ field::ACCOUNT } = %grant.account, { field::GENERATION } = grant.generation.0, "the tokens of a replaced link are given up");
            }
        }
        Ok(())
    }

    /// Revokes a grant's refresh token, unless the link that replaced it goes on with the same.
    /// Whether it is over.
    async fn revoke(&self, grant: &Grant) -> bool {
        let Ok(tokens) = self.tokens(grant) else {
            tracing::warn!({ field::ACCOUNT } = %grant.account, "a retired token cannot be opened, and stays");
            return false;
        };
        match self.is_in_use(grant, &tokens.refresh).await {
            Ok(true) => return true,
            Ok(false) => {}
            Err(_) => return false,
        }
        let token = SecretString::from(tokens.refresh);
        match self.salesforce.revoke(&grant.login_url, &token).await {
            Ok(()) => true,
            Err(error) => {
                let code = error.failure.code;
                tracing::warn!({ field::ACCOUNT } = %grant.account, code, "a retired token is not revoked yet");
                // Refused for good: there is nothing left that could be revoked.
                error.failure.class == FailureClass::Link
            }
        }
    }

    /// Revokes the account's own refresh token, so that its next approval displaces nobody's. The
    /// link is found broken by that, and its calls wait.
    pub(super) async fn give_up_own(&self, link: &LinkState) -> Result<(), Error> {
        let grant = self.store.grant(&link.account, link.generation).await?;
        let Some(grant) = grant else {
            return Ok(());
        };
        let tokens = self.tokens(&grant)?;
        let token = SecretString::from(tokens.refresh);
        if let Err(error) = self.salesforce.revoke(&grant.login_url, &token).await {
            let code = error.failure.code;
            tracing::warn!({ field::ACCOUNT } = %link.account, code, "the own approval could not be given up before relinking");
        }
        Ok(())
    }

    /// Ends authorizations that were left lying: nobody came back, or tokens came that no link uses.
    /// Those tokens are revoked first; one whose revocation fails is tried again later.
    pub async fn end_loose(&self) -> store::Result<()> {
        let now = clock::now();
        for (found, secret) in self.store.loose_authorizations(now, PAGE).await? {
            let secret = secret.map(|secret| self.open_secret(&found.id, &secret));
            if let Some(Ok(Secret::Tokens(tokens))) = secret
                && !self.revoked(&found, tokens).await
            {
                continue;
            }
            let last = match found.stage {
                stage if stage.is_over() => found,
                Stage::ToConfirm => found.failed(AuthorizationFault::Unconfirmed),
                _ => found.failed(AuthorizationFault::Expired),
            };
            self.store.close_authorization(&last).await?;
        }
        Ok(())
    }

    /// Revokes the tokens of a link that was never made.
    async fn revoked(&self, found: &Authorization, tokens: Tokens) -> bool {
        let token = SecretString::from(tokens.refresh);
        match self.salesforce.revoke(&found.login_url, &token).await {
            Ok(()) => true,
            Err(error) => {
                let code = error.failure.code;
                tracing::warn!({ field::ACCOUNT } = %found.account, code, "the tokens of a login that came to nothing are not revoked yet");
                false
            }
        }
    }

    /// Whether the account's link now uses this refresh token too.
    async fn is_in_use(&self, retired: &Grant, refresh: &str) -> store::Result<bool> {
        let account = &retired.account;
        let states = self.store.links(std::slice::from_ref(account)).await?;
        let Some(state) = states.first() else {
            return Ok(false);
        };
        let current = self.store.grant(account, state.generation).await?;
        let current = current.filter(|grant| grant.generation != retired.generation);
        let tokens = current.map(|grant| self.tokens(&grant));
        Ok(tokens.is_some_and(|tokens| tokens.is_ok_and(|tokens| tokens.refresh == refresh)))
    }
}
