//! An authorization: an admin's way to Salesforce and back, from pressing Link to the link that
//! stands. The link before stays as it is until then.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ids::{AccountId, AuthorizationId, Generation, InvitationId, OrgId};
use super::link::{Actor, Environment, LinkedOrg};

/// How far an authorization is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The admin was sent to Salesforce.
    Begun,
    /// The admin came back, and the code is being redeemed: nobody else may.
    Redeeming,
    /// The tokens are here; what Salesforce says of the API user is asked, or the admin is.
    Redeemed,
    /// Somebody who was invited has logged in, and the account's admin is to confirm it.
    ToConfirm,
    /// The link stands. Over.
    Linked,
    /// It came to nothing. Over.
    Failed,
}

impl Stage {
    /// Whether nothing more happens to it.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Linked | Self::Failed)
    }
}

/// What looks wrong about a login, so that the admin is asked before the link counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doubt {
    /// The user may log in to Salesforce's pages: perhaps it is a person's own.
    NotApiOnly,
    /// Production was chosen and a sandbox came, or the reverse.
    OtherEnvironment,
    /// The account was linked to another org, and calls wait for that one.
    OtherOrg,
    /// A program began it, so that nothing binds it to the browser that came back: the program must
    /// say whether it is the right user.
    BegunByProgram,
}

/// Why an authorization came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum AuthorizationFault {
    /// The admin pressed Deny.
    Denied,
    /// The admin gave it up, or did not recognise the org.
    Cancelled,
    /// The account's admin did not confirm what somebody who was invited logged in to.
    Discarded,
    /// The account's admin did not confirm it in time.
    Unconfirmed,
    /// Its invitation was revoked or used up meanwhile.
    InvitationOver,
    /// Nobody came back in time: a closed window, or a page of Salesforce's that leads nowhere.
    Expired,
    /// The app is not installed, blocked, or not approved for the user.
    AppNotApproved,
    /// The user is inactive or frozen.
    UserInactive,
    /// Login hours or IP ranges forbid it.
    IpOrHours,
    /// The code was refused: too old, used before, or not for us.
    CodeRefused,
    /// Salesforce refuses our own app: support must look.
    OurCredentials,
    /// Salesforce did not answer, or not as it should: try again.
    Unavailable,
    /// The API user serves as many accounts as Salesforce keeps approvals.
    ApiUserFull {
        /// Those accounts.
        accounts: Vec<AccountId>,
    },
    /// Somebody else changed the link meanwhile.
    LinkChanged,
    /// Anything else that Salesforce says.
    Other {
        /// Its code, never its text.
        code: String,
    },
}

/// An authorization, without its secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorization {
    /// Names it: the hash of the `state` that travels, which only the browser and Salesforce hold.
    pub id: AuthorizationId,
    /// The account.
    pub account: AccountId,
    /// Whose session began it, or which program: only that one may end it.
    pub session: String,
    /// How far it is.
    pub stage: Stage,
    /// The link's generation when it began: once it is another, this comes too late.
    pub generation: Generation,
    /// What the admin chose.
    pub environment: Environment,
    /// Where the admin was sent.
    pub login_url: String,
    /// Who began it, or invited whoever did.
    pub actor: Actor,
    /// The invitation that it was begun by: an admin of the account has the last word then.
    #[serde(default)]
    pub invitation: Option<InvitationId>,
    /// When.
    pub begun_at: DateTime<Utc>,
    /// Until when the admin may come back, and then confirm.
    pub expires_at: DateTime<Utc>,
    /// Who it turned out to be.
    pub org: Option<LinkedOrg>,
    /// What looks wrong.
    pub doubts: BTreeSet<Doubt>,
    /// Why it came to nothing.
    pub fault: Option<AuthorizationFault>,
}

impl Authorization {
    /// As it is once it came to nothing.
    #[must_use]
    pub fn failed(self, fault: AuthorizationFault) -> Self {
        Self {
            stage: Stage::Failed,
            fault: Some(fault),
            ..self
        }
    }
}

/// What is known of a user that came back from a login.
#[derive(Clone, Copy, Debug)]
pub struct Login<'a> {
    /// The org and the user.
    pub org: &'a LinkedOrg,
    /// Whether the org is a sandbox, where that is told.
    pub is_sandbox: Option<bool>,
    /// Whether the user may use the API alone, where that is told.
    pub api_only: Option<bool>,
}

impl Login<'_> {
    /// What looks wrong about it, where the account was linked to the org `before`, and so many calls
    /// wait.
    pub fn doubts(
        &self,
        chosen: Environment,
        before: Option<&OrgId>,
        parked: u64,
    ) -> BTreeSet<Doubt> {
        let wanted = chosen == Environment::Sandbox;
        let elsewhere = before.is_some_and(|old| *old != self.org.org);
        let signs = [
            (self.api_only == Some(false), Doubt::NotApiOnly),
            (
                self.is_sandbox.is_some_and(|is| is != wanted),
                Doubt::OtherEnvironment,
            ),
            (elsewhere && parked > 0, Doubt::OtherOrg),
        ];
        let seen = signs.into_iter().filter(|(seen, _)| *seen);
        seen.map(|(_, doubt)| doubt).collect()
    }
}
