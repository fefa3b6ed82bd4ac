//! Linking by an admin's login: the way to Salesforce. The way back is [`super::returning`], what comes
//! of it [`super::concluding`].
//!
//! What comes back with the browser is proven twice: its `state` is known to nobody but the session
//! that began, and the code is worth nothing without the verifier that stays here. The tokens are
//! durable before anything is asked with them. The link before stands untouched until the new one
//! takes its place, in one transaction.

use secrecy::ExposeSecret;
use url::Url;

use super::Linking;
use super::sealed::Secret;
use crate::clock;
use crate::crypto::authorization_id;
use crate::domain::authorization::{Authorization, Stage};
use crate::domain::ids::AccountId;
use crate::domain::invitation::Invitation;
use crate::domain::link::{Actor, Environment, LinkState};
use crate::sealing;
use crate::store;

/// Where an admin wants to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginChoice {
    /// `login.salesforce.com`.
    Production,
    /// `test.salesforce.com`.
    Sandbox,
    /// The org's own login page, as typed.
    MyDomain(String),
}

/// An admin presses Link or Relink.
pub struct Begin {
    /// The account.
    pub account: AccountId,
    /// Where to log in.
    pub choice: LoginChoice,
    /// Names the admin's session, or the program: only it may end what it begins.
    pub session: String,
    /// Who it is.
    pub actor: Actor,
    /// The admin agrees that the present link is given up first.
    pub give_up_first: bool,
}

/// Why an authorization does not begin, or go on. What Salesforce says of it is no such error: it
/// stands in the authorization.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings name no address to come back to.
    #[error("linking.callback_url is not set: accounts are linked by `vcc-link links add`")]
    NotConfigured,
    /// The address is no login page of Salesforce's.
    #[error("this is no My Domain of Salesforce's: write it as in acme.my.salesforce.com")]
    NoSuchDomain,
    /// The present link must be given up first, as Salesforce keeps five approvals for a user.
    #[error(
        "the API user serves as many accounts as Salesforce allows: relinking gives this account's own link up first"
    )]
    ConsentNeeded {
        /// The accounts that it serves.
        accounts: Vec<AccountId>,
    },
    /// So many invitations of the account are open.
    #[error("{most} invitations of this account are open, as many as may be: revoke one first")]
    TooManyInvitations {
        /// How many may be.
        most: u32,
    },
    /// The invitation was revoked, used, or is too old.
    #[error("this invitation is over: the admin who invited you can invite you again")]
    InvitationOver,
    /// Nobody began it, another session did, or it is too late.
    #[error("this login was not begun here, or it took too long: begin it again")]
    Unknown,
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The secrets cannot be opened.
    #[error(transparent)]
    Sealing(#[from] sealing::Error),
}

impl Linking {
    /// Begins an authorization; gives it, and the address that the browser is to be sent to.
    pub async fn begin(&self, begin: Begin) -> Result<(Authorization, Url), Error> {
        self.send_off(begin, None).await
    }

    /// Begins an authorization, by an invitation or not. By one, it ends no later than that.
    pub(super) async fn send_off(
        &self,
        begin: Begin,
        invitation: Option<Invitation>,
    ) -> Result<(Authorization, Url), Error> {
        let callback = &self.config.callback_url;
        if callback.is_empty() {
            return Err(Error::NotConfigured);
        }
        let (environment, login_url) = self.login_address(&begin.choice)?;
        let login = self.salesforce.login(&login_url, callback);
        let login = login.ok_or(Error::NoSuchDomain)?;
        let link = self.link(&begin.account).await?;
        if !begin.give_up_first {
            self.needs_no_consent(&link).await?;
        } else if self.needs_no_consent(&link).await.is_err() {
            self.give_up_own(&link).await?;
        }
        let at = clock::now();
        let until = at + self.config.authorize_within;
        let begun = Authorization {
            id: authorization_id(&login.state),
            account: begin.account,
            session: begin.session,
            stage: Stage::Begun,
            generation: link.generation,
            environment,
            login_url,
            actor: begin.actor,
            begun_at: at,
            expires_at: invitation
                .as_ref()
                .map_or(until, |invitation| until.min(invitation.expires_at)),
            invitation: invitation.map(|invitation| invitation.id),
            org: None,
            doubts: [].into(),
            fault: None,
        };
        let secret = Secret::Verifier(login.verifier.expose_secret().to_owned());
        let secret = self.seal_secret(&begun.id, &secret);
        self.store.begin_authorization(&begun, &secret).await?;
        Ok((begun, login.url))
    }

    /// Where a choice leads, and what it means.
    fn login_address(&self, choice: &LoginChoice) -> Result<(Environment, String), Error> {
        let environment = match choice {
            LoginChoice::Production => Environment::Production,
            LoginChoice::Sandbox => Environment::Sandbox,
            LoginChoice::MyDomain(typed) => {
                let address = self.salesforce.login_address(typed);
                return address.ok_or(Error::NoSuchDomain);
            }
        };
        Ok((environment, self.salesforce.login_url(environment)))
    }

    /// Whether a further approval of the present API user would displace nobody's.
    async fn needs_no_consent(&self, link: &LinkState) -> Result<(), Error> {
        let Some(org) = &link.org else {
            return Ok(());
        };
        let accounts = self.store.accounts_of_api_user(&org.org, &org.user).await?;
        let full = accounts.len() >= self.config.accounts_per_api_user as usize;
        if full {
            return Err(Error::ConsentNeeded { accounts });
        }
        Ok(())
    }
}
