//! What Salesforce's refusals of a login mean for it.

use crate::domain::authorization::AuthorizationFault;
use crate::domain::link::LinkReason;
use crate::domain::outcome::{Failure, FailureScope};
use crate::salesforce::oauth::RefreshError;

/// What an error that comes back with the browser means: Salesforce writes some of them in capitals.
pub(super) fn of_error(error: &str) -> AuthorizationFault {
    match error.to_ascii_lowercase().replace('-', "_").as_str() {
        "access_denied" => AuthorizationFault::Denied,
        "oauth_app_access_denied"
        | "oauth_app_blocked"
        | "oauth_ec_app_not_found"
        | "oauth_approval_error_generic"
        | "invalid_app_access" => AuthorizationFault::AppNotApproved,
        "inactive_user" => AuthorizationFault::UserInactive,
        "invalid_client_id" | "invalid_client" | "redirect_uri_mismatch" | "invalid_scope" => {
            AuthorizationFault::OurCredentials
        }
        "server_error" | "temporarily_unavailable" => AuthorizationFault::Unavailable,
        _ => AuthorizationFault::Other {
            code: error
                .chars()
                .filter(|c| c.is_ascii_alphanumeric() || *c == '_')
                .take(64)
                .collect(),
        },
    }
}

/// What a refusal of the code means.
pub(super) fn of_refusal(error: RefreshError) -> AuthorizationFault {
    let of_failure = |failure: Failure| match failure.scope {
        FailureScope::Everyone => AuthorizationFault::OurCredentials,
        _ => AuthorizationFault::Unavailable,
    };
    match error {
        RefreshError::Ambiguous(failure) | RefreshError::Later(failure) => of_failure(failure),
        RefreshError::Refused(reason, failure) | RefreshError::Dead(reason, failure) => {
            match reason {
                LinkReason::TokenRevoked => AuthorizationFault::CodeRefused,
                LinkReason::AppNotApproved => AuthorizationFault::AppNotApproved,
                LinkReason::ApiUserInactive => AuthorizationFault::UserInactive,
                LinkReason::IpOrHoursRestricted => AuthorizationFault::IpOrHours,
                LinkReason::OurCredentials => AuthorizationFault::OurCredentials,
                _ => AuthorizationFault::Other { code: failure.code },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_known_in_any_spelling_and_none_is_quoted_unbounded() {
        for error in ["access_denied", "access-denied", "ACCESS_DENIED"] {
            assert_eq!(of_error(error), AuthorizationFault::Denied, "{error}");
        }
        let blocked = of_error("OAUTH_APP_BLOCKED");
        assert_eq!(blocked, AuthorizationFault::AppNotApproved);
        let hostile = of_error(&format!("<script>{}", "x".repeat(1000)));
        let AuthorizationFault::Other { code } = hostile else {
            panic!("{hostile:?}")
        };
        assert_eq!((code.len(), &code[..7]), (64, "scriptx"));
    }
}
