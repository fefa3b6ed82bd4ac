//! The end of a login: the link that it makes, or what it came to instead.

use super::Linking;
use super::authorizing::Error;
use super::making::Made;
use super::sealed::Secret;
use crate::clock;
use crate::domain::authorization::{Authorization, AuthorizationFault, Stage};
use crate::domain::ids::{AccountId, AuthorizationId};
use crate::domain::link::{Actor, App, LinkStatus};
use crate::store::links::LinkWrite;
use crate::telemetry::names::field;

/// Who looks at a login, and may end it.
#[derive(Clone)]
pub struct Onlooker {
    /// Names their session: what it began is theirs.
    pub session: String,
    /// The account that they belong to, and who they are there: they also see what was begun by its
    /// invitations, and an admin has the last word about it. Of somebody who was invited: none.
    pub member: Option<(AccountId, Actor)>,
}

impl Onlooker {
    /// Whether they see a login.
    fn sees(&self, login: &Authorization) -> bool {
        let own = login.session == self.session;
        own || login.invitation.is_some() && self.of_account(login).is_some()
    }

    /// Who they are in the account of a login, if they belong to it.
    fn of_account(&self, login: &Authorization) -> Option<&Actor> {
        let (account, actor) = self.member.as_ref()?;
        (*account == login.account).then_some(actor)
    }
}

impl Linking {
    /// Makes the link, as an admin confirms what looked wrong, or what somebody logged in to who was
    /// invited.
    pub async fn confirm(
        &self,
        id: &AuthorizationId,
        by: &Onlooker,
    ) -> Result<Authorization, Error> {
        let known = self.seen_by(id, by).await?;
        let in_time = known.expires_at > clock::now();
        match known.stage {
            Stage::Redeemed if in_time && known.invitation.is_none() => self.complete(known).await,
            Stage::ToConfirm if in_time => {
                let admin = by.of_account(&known).ok_or(Error::Unknown)?.clone();
                let confirmed = Authorization {
                    actor: admin,
                    ..known
                };
                self.complete(confirmed).await
            }
            Stage::Redeemed | Stage::ToConfirm => Err(Error::Unknown),
            _ => Ok(known),
        }
    }

    /// Gives an authorization up: as its session wishes, or, once somebody who was invited has
    /// logged in, as an admin does. Tokens that came are revoked.
    pub async fn cancel(
        &self,
        id: &AuthorizationId,
        by: &Onlooker,
    ) -> Result<Authorization, Error> {
        let known = self.seen_by(id, by).await?;
        match known.stage {
            stage @ (Stage::Begun | Stage::Redeemed) if known.session == by.session => {
                self.fail(known, stage, AuthorizationFault::Cancelled).await
            }
            Stage::ToConfirm => {
                let admin = by.of_account(&known).ok_or(Error::Unknown)?;
                let discarded = known.failed(AuthorizationFault::Discarded);
                let at = clock::now();
                self.store.discard_login(&discarded, admin, at).await?;
                self.seen_by(id, by).await
            }
            _ => Ok(known),
        }
    }

    /// An authorization as it is, for those who may see it.
    pub async fn seen_by(
        &self,
        id: &AuthorizationId,
        by: &Onlooker,
    ) -> Result<Authorization, Error> {
        let known = self.store.authorization(id).await?;
        known.filter(|known| by.sees(known)).ok_or(Error::Unknown)
    }

    /// Makes the link of an authorization whose tokens are here.
    pub(super) async fn complete(&self, known: Authorization) -> Result<Authorization, Error> {
        let from = known.stage;
        let secret = self.store.authorization_secret(&known.id).await?;
        let secret = secret.ok_or(Error::Unknown)?;
        let Secret::Tokens(tokens) = self.open_secret(&known.id, &secret)? else {
            return Err(Error::Unknown);
        };
        loop {
            let before = self.link(&known.account).await?;
            if before.generation != known.generation {
                let fault = AuthorizationFault::LinkChanged;
                return self.fail(known, from, fault).await;
            }
            let Some(org) = known.org.clone() else {
                return Err(Error::Unknown);
            };
            let made = Made {
                org,
                status: LinkStatus::Linked,
                login_url: known.login_url.clone(),
                app: App::Own,
                tokens: &tokens,
                actor: known.actor.clone(),
                authorization: Some(known.id.clone()),
            };
            let link = self.new_link(&before, made).await;
            let most = self.config.accounts_per_api_user;
            match self.store.save_link(&link, most).await? {
                LinkWrite::Stored(_) => {
                    self.announce(&link.event);
                    tracing::info!({ field::ACCOUNT } = %known.account, "linked by an admin");
                    let now = self.store.authorization(&known.id).await?;
                    return now.ok_or(Error::Unknown);
                }
                LinkWrite::ApiUserFull { accounts } => {
                    let fault = AuthorizationFault::ApiUserFull { accounts };
                    return self.fail(known, from, fault).await;
                }
                // Its health changed meanwhile; or this authorization is over already.
                LinkWrite::Changed(_) | LinkWrite::Stale => {
                    let now = self.store.authorization(&known.id).await?;
                    match now.filter(|now| now.stage != from) {
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
        tracing::info!({ field::ACCOUNT } = %known.account, ?fault, "a login came to nothing");
        let id = known.id.clone();
        let failed = known.failed(fault);
        self.store.move_authorization(from, &failed, None).await?;
        let now = self.store.authorization(&id).await?;
        now.ok_or(Error::Unknown)
    }
}
