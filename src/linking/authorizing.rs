//! Linking by an admin's login: the way to Salesforce, the way back, and the link.
//!
//! What comes back with the browser is proven twice: its `state` is known to nobody but the session
//! that began, and the code is worth nothing without the verifier that stays here. The tokens are
//! durable before anything is asked with them. The link before stands untouched until the new one
//! takes its place, in one transaction.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::Linking;
use super::faults::{of_error, of_refusal};
use super::making::Made;
use super::sealed::{Secret, Tokens};
use crate::clock;
use crate::crypto::hash;
use crate::domain::authorization::{Authorization, AuthorizationFault, Login, Stage};
use crate::domain::ids::{AccountId, AuthorizationId};
use crate::domain::link::{Actor, App, Environment, LinkState, LinkStatus, LinkedOrg};
use crate::salesforce::oauth::{Code, TokenSet};
use crate::salesforce::{ApiUser, SendBy, Session};
use crate::sealing;
use crate::store;
use crate::store::authorizations::RedeemClaim;
use crate::store::links::LinkWrite;

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
    /// Names the admin's session: only it may end what it begins.
    pub session: String,
    /// Who it is.
    pub actor: Actor,
    /// The admin agrees that the present link is given up first.
    pub give_up_first: bool,
}

/// What a browser brings back from Salesforce.
pub enum Back {
    /// A code.
    Code(SecretString),
    /// A refusal: Salesforce's error code.
    Refused(String),
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
        let begun = Authorization {
            id: id_of(&login.state),
            account: begin.account,
            session: begin.session,
            stage: Stage::Begun,
            generation: link.generation,
            environment,
            login_url,
            actor: begin.actor,
            begun_at: at,
            expires_at: at + self.config.authorize_within,
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

    /// Takes in what a browser brings back. A callback that comes again shows what became of it.
    pub async fn returned(
        &self,
        state: &SecretString,
        session: &str,
        back: Back,
    ) -> Result<Authorization, Error> {
        let id = id_of(state);
        let claim = self.store.claim_redeem(&id, session, clock::now()).await?;
        let (claimed, secret) = match claim {
            RedeemClaim::Granted(claimed, secret) => (*claimed, secret),
            RedeemClaim::Used(known) => return Ok(*known),
            RedeemClaim::Unknown => return Err(Error::Unknown),
        };
        let verifier = match self.open_secret(&id, &secret)? {
            Secret::Verifier(verifier) => SecretString::from(verifier),
            Secret::Tokens(_) => return Err(Error::Unknown),
        };
        let code = match back {
            Back::Code(code) => code,
            Back::Refused(error) => {
                return self.fail(claimed, Stage::Redeeming, of_error(&error)).await;
            }
        };
        crate::crash_point("authorization.claimed");
        let code = Code {
            code: &code,
            verifier: &verifier,
            callback_url: &self.config.callback_url,
        };
        let send_by = SendBy::after(self.config.refresh_send_within);
        match self
            .salesforce
            .redeem(&claimed.login_url, code, send_by)
            .await
        {
            Ok(tokens) => self.redeemed(claimed, &tokens).await,
            Err(error) => {
                self.fail(claimed, Stage::Redeeming, of_refusal(error))
                    .await
            }
        }
    }

    /// Makes the tokens durable, asks who it is, and makes the link unless something looks wrong.
    async fn redeemed(
        &self,
        claimed: Authorization,
        tokens: &TokenSet,
    ) -> Result<Authorization, Error> {
        let org = LinkedOrg::unasked(
            (tokens.org.clone(), tokens.user.clone()),
            claimed.environment,
            tokens.instance_url.clone(),
        );
        let redeemed = Authorization {
            stage: Stage::Redeemed,
            org: Some(org.clone()),
            ..claimed
        };
        let kept = Secret::Tokens(Tokens::of(tokens, &SecretString::default()));
        let kept = self.seal_secret(&redeemed.id, &kept);
        // These tokens exist only here until they are stored: never given up on.
        let mut wait = Duration::from_millis(50);
        let store = &self.store;
        while let Err(error) = store
            .move_authorization(Stage::Redeeming, &redeemed, Some(&kept))
            .await
        {
            let error = &error as &dyn std::error::Error;
            tracing::error!(account = %redeemed.account, error, "the new tokens are not stored yet, trying again");
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(2));
        }
        crate::crash_point("authorization.redeemed");
        let next = self.with_answers(redeemed, org, tokens).await?;
        store
            .move_authorization(Stage::Redeemed, &next, None)
            .await?;
        if next.doubts.is_empty() {
            return self.complete(next).await;
        }
        Ok(next)
    }

    /// What the org says of itself, and what looks wrong about it. What cannot be asked now is asked
    /// by the worker, once the link stands.
    async fn with_answers(
        &self,
        redeemed: Authorization,
        org: LinkedOrg,
        tokens: &TokenSet,
    ) -> Result<Authorization, Error> {
        let link = self.link(&redeemed.account).await?;
        let parked = self.store.parked_calls(&redeemed.account).await?;
        let api_user = ApiUser {
            org: org.org.clone(),
            user: org.user.clone(),
        };
        let session = Session::new(org.instance_url.clone(), tokens.access.clone(), api_user);
        let (org, is_sandbox, api_only) = match self.salesforce.profile(&session).await {
            Ok(profile) => {
                let profile = profile.value;
                let (is_sandbox, api_only) = (profile.is_sandbox, profile.api_only);
                (self.with_profile(&org, profile), is_sandbox, api_only)
            }
            Err(error) => {
                let code = error.failure.code;
                tracing::warn!(account = %redeemed.account, code, "what the org allows could not be asked yet");
                (org, None, None)
            }
        };
        let login = Login {
            org: &org,
            is_sandbox,
            api_only,
        };
        let before = match link.org {
            Some(old) => Some(old.org),
            None => self.store.left_org(&redeemed.account).await?,
        };
        let doubts = login.doubts(redeemed.environment, before.as_ref(), parked);
        Ok(Authorization {
            doubts,
            org: Some(LinkedOrg {
                environment: is_sandbox.map_or(org.environment, Environment::of),
                ..org
            }),
            ..redeemed
        })
    }

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
    async fn complete(&self, known: Authorization) -> Result<Authorization, Error> {
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
    async fn fail(
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

/// What the `state` that travels is stored as.
fn id_of(state: &SecretString) -> AuthorizationId {
    let id = hash(state.expose_secret());
    id.parse().expect("43 characters of base64url")
}
