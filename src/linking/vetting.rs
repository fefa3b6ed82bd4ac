//! Whether a stored access token still works, after the database came back from the past. No refresh
//! token is spent on it: one that was stored may have been used since, and using it again kills the
//! link.

use super::Linking;
use crate::domain::link::LinkState;
use crate::domain::outcome::FailureClass;

/// What Salesforce says of a link's access token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vetted {
    /// It is taken.
    Works,
    /// It is refused: only the refresh token is left.
    Refused,
    /// Salesforce did not say. The code of what it said instead.
    Unknown(String),
}

impl Linking {
    /// Asks with the access token that is stored, by one request that changes nothing.
    pub async fn vet(&self, link: &LinkState) -> Vetted {
        let session = self.session(&link.account, link.generation).await;
        let asked = match session {
            Ok(session) => {
                let profile = self.salesforce.profile(&session).await;
                profile.map(drop).map_err(|error| error.failure)
            }
            Err(failure) => Err(failure),
        };
        match asked {
            Ok(()) => Vetted::Works,
            Err(failure) if matches!(failure.class, FailureClass::Session | FailureClass::Link) => {
                Vetted::Refused
            }
            // Whoever is refused something, or counted, was let in.
            Err(failure)
                if matches!(
                    failure.class,
                    FailureClass::Admin | FailureClass::Quota | FailureClass::Throttled
                ) =>
            {
                Vetted::Works
            }
            Err(failure) => Vetted::Unknown(failure.code),
        }
    }
}
