//! Adding a link with a refresh token that an operator has, where no browser is at hand.
//!
//! Redeeming the token uses it up, where the app rotates refresh tokens: from then on the next one
//! exists only here. So what can fail without it is tried before, and it is stored before anything
//! else is asked; what the org allows is asked afterwards, by the worker too.

use secrecy::SecretString;

use super::making::Made;
use super::sealed::{Tokens, kept};
use super::{Error, Linking};
use crate::domain::ids::AccountId;
use crate::domain::link::{Actor, App, Environment, LinkState, LinkStatus, LinkedOrg};
use crate::domain::outcome::Failure;
use crate::salesforce::SendBy;
use crate::salesforce::oauth::TokenSet;
use crate::store::links::LinkWrite;

/// What a link is made from when no browser is at hand.
pub struct Bootstrap {
    /// The account.
    pub account: AccountId,
    /// Where the API user logs in.
    pub environment: Environment,
    /// The address of that.
    pub login_url: String,
    /// A refresh token that the app was given; it is redeemed at once.
    pub refresh_token: SecretString,
    /// Which app that is.
    pub app: App,
    /// Linked, or Legacy for a link that the older method made.
    pub status: LinkStatus,
    /// Who does it.
    pub actor: Actor,
}

/// A link that was added.
#[derive(Debug)]
pub struct Added {
    /// The link.
    pub state: LinkState,
    /// Why the org could not be asked yet what it allows. The worker asks again by itself.
    pub unasked: Option<Failure>,
}

impl Linking {
    /// Links an account by a refresh token of the app's: redeems it once, stores the link with its
    /// event, and asks the org who the API user is and what it may do. An account that is linked
    /// already is relinked.
    pub async fn add(&self, bootstrap: Bootstrap) -> Result<Added, Error> {
        let account = &bootstrap.account;
        let state = self.link(account).await?;
        let send_by = SendBy::after(self.config.refresh_send_within);
        let (login_url, given) = (&bootstrap.login_url, &bootstrap.refresh_token);
        let redeemed = self
            .salesforce
            .refresh(bootstrap.app, login_url, given, send_by)
            .await;
        let redeemed =
            redeemed.map_err(|error| Error::Salesforce(Box::new(error.into_failure())))?;
        let tokens = Tokens::of(&redeemed, given);
        let state = self
            .store_link(&bootstrap, state, &redeemed, &tokens)
            .await?;
        match self.ask_profile(&state, None).await {
            Ok(state) => Ok(Added {
                state,
                unasked: None,
            }),
            Err(failure) => Ok(Added {
                state,
                unasked: Some(failure),
            }),
        }
    }

    /// Stores the new tokens with their link, however long the database is away.
    async fn store_link(
        &self,
        bootstrap: &Bootstrap,
        mut state: LinkState,
        redeemed: &TokenSet,
        tokens: &Tokens,
    ) -> Result<LinkState, Error> {
        loop {
            let made = Made {
                org: LinkedOrg::unasked(
                    (redeemed.org.clone(), redeemed.user.clone()),
                    bootstrap.environment,
                    redeemed.instance_url.clone(),
                ),
                status: bootstrap.status,
                login_url: bootstrap.login_url.clone(),
                app: bootstrap.app,
                tokens,
                actor: bootstrap.actor.clone(),
                authorization: None,
            };
            let link = self.new_link(&state, made).await;
            let most = self.config.accounts_per_api_user;
            match kept(|| self.store.save_link(&link, most)).await? {
                LinkWrite::Stored(state) => return Ok(state),
                // This token is the newest that anybody has: it stands.
                LinkWrite::Changed(now) => state = now,
                LinkWrite::Stale => return Err(Error::Changed),
                LinkWrite::ApiUserFull { accounts } => {
                    return Err(Error::ApiUserFull { accounts });
                }
            }
        }
    }
}
