//! Invitations: a link lets somebody whom the portal does not know log in for one account. Their
//! login counts once an admin of the account confirms it.

use secrecy::SecretString;
use url::Url;

use super::Linking;
use super::authorizing::{Begin, Error, LoginChoice};
use crate::clock;
use crate::crypto::{invitation_id, random_text};
use crate::domain::authorization::Authorization;
use crate::domain::ids::{AccountId, InvitationId};
use crate::domain::invitation::{Invitation, MOST_OPEN};
use crate::domain::link::Actor;
use crate::store;
use crate::store::invitations::InviteWrite;
use crate::telemetry::names::field;

/// How long a secret is: 32 bytes in base64url. What is not, is not even looked for.
const SECRET: usize = 43;

impl Linking {
    /// Invites somebody to link an account; gives the invitation, and the secret that its link holds
    /// and nothing here keeps.
    pub async fn invite(
        &self,
        account: AccountId,
        by: Actor,
    ) -> Result<(Invitation, SecretString), Error> {
        if self.config.callback_url.is_empty() {
            return Err(Error::NotConfigured);
        }
        let secret = SecretString::from(random_text());
        let (id, lasts) = (invitation_id(&secret), self.config.invited_for);
        let new = Invitation::new(id, (account, by), clock::now(), lasts);
        match self.store.invite(&new, MOST_OPEN).await? {
            InviteWrite::Stored => {
                tracing::info!({ field::ACCOUNT } = %new.account, "somebody was invited to link the account");
                Ok((new, secret))
            }
            InviteWrite::TooMany => Err(Error::TooManyInvitations { most: MOST_OPEN }),
        }
    }

    /// The open invitation of a secret. One that is over is as one that never was.
    pub async fn invited(&self, secret: &str) -> store::Result<Option<Invitation>> {
        if secret.len() != SECRET {
            return Ok(None);
        }
        let id = invitation_id(&SecretString::from(secret.to_owned()));
        self.open_invitation(&id).await
    }

    /// An invitation, while somebody may log in by it.
    pub async fn open_invitation(&self, id: &InvitationId) -> store::Result<Option<Invitation>> {
        let known = self.store.invitation(id).await?;
        Ok(known.filter(|known| known.is_open(clock::now())))
    }

    /// Takes an invitation of this account back. Returns it as it is then.
    pub async fn revoke_invitation(
        &self,
        account: &AccountId,
        id: &InvitationId,
        by: &Actor,
    ) -> store::Result<Option<Invitation>> {
        let at = clock::now();
        self.store.revoke_invitation(account, id, by, at).await
    }

    /// Begins an authorization by an open invitation, in the session of whoever was invited.
    pub async fn begin_invited(
        &self,
        id: &InvitationId,
        choice: LoginChoice,
        session: String,
    ) -> Result<(Authorization, Url), Error> {
        let invitation = self.open_invitation(id).await?;
        let invitation = invitation.ok_or(Error::InvitationOver)?;
        let begin = Begin {
            account: invitation.account.clone(),
            choice,
            session,
            actor: invitation.by.clone(),
            // That is the account's admin to decide.
            give_up_first: false,
        };
        self.send_off(begin, Some(invitation)).await
    }

    /// Leaves a login by invitation to the account's admin, unless its invitation is over.
    pub(super) async fn submit(&self, complete: Authorization) -> Result<Authorization, Error> {
        let at = clock::now();
        let submitted = Authorization {
            expires_at: at + self.config.invited_for,
            ..complete
        };
        let now = self.store.use_invitation(&submitted, at).await?;
        let now = now.ok_or(Error::Unknown)?;
        tracing::info!({ field::ACCOUNT } = %now.account, stage = ?now.stage, "somebody who was invited has logged in");
        Ok(now)
    }
}
