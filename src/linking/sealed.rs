//! The stored form of a link's tokens, and of a login's secrets: in the clear only between opening
//! and use.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::Linking;
use crate::crypto::Context;
use crate::domain::ids::{AccountId, AuthorizationId, Generation, TokenSequence};
use crate::salesforce::oauth::TokenSet;
use crate::salesforce::{ApiUser, Session};
use crate::sealing;
use crate::store::links::Grant;
use crate::store::{self, Sealed, until_stored};

/// The stored form of a link's tokens. It exists in the clear only between opening and use.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Tokens {
    /// The access token.
    access: String,
    /// The refresh token.
    pub(super) refresh: String,
}

/// What an authorization holds that nobody may see.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Secret {
    /// What proves that the code is ours.
    Verifier(String),
    /// The tokens of a link that does not stand yet.
    Tokens(Tokens),
}

/// A session with the tokens' place in their sequence.
#[derive(Clone)]
pub(super) struct Cached {
    /// What requests are made with.
    pub(super) session: Session,
    /// Which tokens these are.
    pub(super) sequence: TokenSequence,
}

impl Tokens {
    /// What redeeming the token that a link was made from brought; it stays the refresh token
    /// where no next one came.
    pub(super) fn of(new: &TokenSet, given: &SecretString) -> Self {
        let before = Self {
            access: String::new(),
            refresh: given.expose_secret().to_owned(),
        };
        before.followed_by(new)
    }

    /// What a refresh brought.
    pub(super) fn followed_by(&self, new: &TokenSet) -> Self {
        let refresh = new.refresh.as_ref().map(ExposeSecret::expose_secret);
        Self {
            access: new.access.expose_secret().to_owned(),
            refresh: refresh.unwrap_or(&self.refresh).to_owned(),
        }
    }
}

impl Linking {
    /// Opens a grant's tokens for use.
    pub(super) fn open(&self, grant: &Grant) -> Result<Cached, sealing::Error> {
        let tokens = self.tokens(grant)?;
        let access = SecretString::from(tokens.access);
        let api_user = ApiUser {
            org: grant.org.clone(),
            user: grant.user.clone(),
        };
        let session = Session::new(grant.instance_url.clone(), access, api_user);
        Ok(Cached {
            session,
            sequence: grant.token_sequence,
        })
    }

    /// Opens a grant's tokens.
    pub(super) fn tokens(&self, grant: &Grant) -> Result<Tokens, sealing::Error> {
        let context = context(&grant.account, grant.generation, grant.token_sequence);
        self.sealer.open(&context, &grant.tokens, "token pair")
    }

    /// Seals tokens in their place.
    pub(super) fn seal(
        &self,
        account: &AccountId,
        generation: Generation,
        sequence: TokenSequence,
        tokens: &Tokens,
    ) -> Sealed {
        self.sealer
            .seal(&context(account, generation, sequence), tokens)
    }

    /// Seals an authorization's secret.
    pub(super) fn seal_secret(&self, id: &AuthorizationId, secret: &Secret) -> Sealed {
        self.sealer
            .seal(&Context::Authorization { id: id.clone() }, secret)
    }

    /// Opens an authorization's secret.
    pub(super) fn open_secret(
        &self,
        id: &AuthorizationId,
        secret: &Sealed,
    ) -> Result<Secret, sealing::Error> {
        let context = Context::Authorization { id: id.clone() };
        self.sealer.open(&context, secret, "login")
    }
}

/// Stores tokens that exist nowhere else yet: however long the database is away.
pub(super) async fn kept<T, F>(method: impl FnMut() -> F) -> store::Result<T>
where
    F: Future<Output = store::Result<T>>,
{
    let never = CancellationToken::new();
    let kept = until_stored(&never, "new tokens", method).await;
    kept.expect("nobody cancels it")
}

/// What binds tokens to their place.
fn context(account: &AccountId, generation: Generation, sequence: TokenSequence) -> Context {
    Context::Tokens {
        account: account.clone(),
        generation,
        token_sequence: sequence,
    }
}
