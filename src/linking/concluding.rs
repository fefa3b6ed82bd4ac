//! The end of a login: the link that it makes, or what it came to instead.

use super::Linking;
use super::authorizing::Error;
use super::making::Made;
use super::sealed::Secret;
use crate::clock;
use crate::domain::authorization::{Authorization, AuthorizationFault, Stage};
use crate::domain::ids::AuthorizationId;
use crate::store::links::LinkWrite;

impl Linking {
    /// Makes the link, as the admin of this session confirms what looked wrong.
    pub async fn confirm(
        &self,
        id: &AuthorizationId,
        session: &str,
    ) -> Result<Authorization, Error> {
        let known = self.of_session(id, session).await?;
        match known.stage {
            Stage::Redeemed if known.expires_at > clock::now() => self.complete(known).await,
            Stage::Redeemed => Err(Error::Unknown),
            _ => Ok(known),
        }
    }

    /// Gives an authorization up, as its session wishes. Tokens that came are revoked.
    pub async fn cancel(
        &self,
        id: &AuthorizationId,
        session: &str,
    ) -> Result<Authorization, Error> {
        let known = self.of_session(id, session).await?;
        match known.stage {
            stage @ (Stage::Begun | Stage::Redeemed) => {
                self.fail(known, stage, AuthorizationFault::Cancelled).await
            }
            _ => Ok(known),
        }
    }

    /// An authorization of this session, as it is.
    pub async fn of_session(
        &self,
        id: &AuthorizationId,
        session: &str,
    ) -> Result<Authorization, Error> {
        let known = self.store.authorization(id).await?;
        known
            .filter(|known| known.session == session)
            .ok_or(Error::Unknown)
    }

    /// Makes the link of an authorization whose tokens are here.
    pub(super) async fn complete(&self, known: Authorization) -> Result<Authorization, Error> {
        let secret = self.store.authorization_secret(&known.id).await?;
        let secret = secret.ok_or(Error::Unknown)?;
        let Secret::Tokens(tokens) = self.open_secret(&known.id, &secret)? else {
            return Err(Error::Unknown);
        };
        loop {
            let before = self.link(&known.account).await?;
            if before.generation != known.generation {
                let fault = AuthorizationFault::LinkChanged;
                return self.fail(known, Stage::Redeemed, fault).await;
            }
            let Some(org) = known.org.clone() else {
                return Err(Error::Unknown);
            };
            let made = Made {
                org,
                login_url: known.login_url.clone(),
                tokens: &tokens,
                actor: known.actor.clone(),
                authorization: Some(known.id.clone()),
            };
            let link = self.new_link(&before, made).await;
            let most = self.config.accounts_per_api_user;
            match self.store.save_link(&link, most).await? {
                LinkWrite::Stored(_) => {
                    self.announce(&link.event);
                    tracing::info!(account = %known.account, "linked by an admin");
                    let now = self.store.authorization(&known.id).await?;
                    return now.ok_or(Error::Unknown);
                }
                LinkWrite::ApiUserFull { accounts } => {
                    let fault = AuthorizationFault::ApiUserFull { accounts };
                    return self.fail(known, Stage::Redeemed, fault).await;
                }
                // Its health changed meanwhile; or this authorization is over already.
                LinkWrite::Changed(_) | LinkWrite::Stale => {
                    let now = self.store.authorization(&known.id).await?;
                    match now.filter(|now| now.stage != Stage::Redeemed) {
                        Some(now) => return Ok(now),
                        None => tokio::task::yield_now().await,
                    }
                }
            }
        }
    }

    /// Ends an authorization that came to nothing, unless it has gone on meanwhile.
    pub(super) async fn fail(
        &self,
        known: Authorization,
        from: Stage,
        fault: AuthorizationFault,
    ) -> Result<Authorization, Error> {
        tracing::info!(account = %known.account, ?fault, "a login came to nothing");
        let id = known.id.clone();
        let failed = known.failed(fault);
        self.store.move_authorization(from, &failed, None).await?;
        let now = self.store.authorization(&id).await?;
        now.ok_or(Error::Unknown)
    }
}
