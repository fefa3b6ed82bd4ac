//! The way back from Salesforce: a browser's code becomes tokens, once.

use secrecy::SecretString;

use super::Linking;
use super::authorizing::Error;
use super::faults::{of_error, of_refusal};
use super::sealed::{Secret, Tokens, kept};
use crate::clock;
use crate::crypto::authorization_id;
use crate::domain::authorization::{Authorization, Doubt, Login, Stage};
use crate::domain::link::{Actor, Environment, LinkedOrg};
use crate::salesforce::oauth::{Code, TokenSet};
use crate::salesforce::{ApiUser, SendBy, Session};
use crate::store::authorizations::RedeemClaim;
use crate::telemetry::names::field;

/// What a browser brings back from Salesforce.
#[derive(Clone)]
pub enum Back {
    /// A code.
    Code(SecretString),
    /// A refusal: Salesforce's error code.
    Refused(String),
}

impl Linking {
    /// Takes in what a browser brings back. A callback that comes again shows what became of it.
    pub async fn returned(
        &self,
        state: &SecretString,
        session: &str,
        back: Back,
    ) -> Result<Authorization, Error> {
        let id = authorization_id(state);
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
        let secret = Secret::Tokens(Tokens::of(tokens, &SecretString::default()));
        let secret = self.seal_secret(&redeemed.id, &secret);
        let store = &self.store;
        kept(|| store.move_authorization(Stage::Redeeming, &redeemed, Some(&secret))).await?;
        crate::crash_point("authorization.redeemed");
        let next = self.with_answers(redeemed, org, tokens).await?;
        if next.invitation.is_some() {
            return self.submit(next).await;
        }
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
                tracing::warn!({ field::ACCOUNT } = %redeemed.account, code, "what the org allows could not be asked yet");
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
        let mut doubts = login.doubts(redeemed.environment, before.as_ref(), parked);
        // By an invitation, it is to be confirmed anyway.
        if redeemed.invitation.is_none() && matches!(redeemed.actor, Actor::Machine(_)) {
            doubts.insert(Doubt::BegunByProgram);
        }
        Ok(Authorization {
            doubts,
            org: Some(LinkedOrg {
                environment: is_sandbox.map_or(org.environment, Environment::of),
                ..org
            }),
            ..redeemed
        })
    }
}
