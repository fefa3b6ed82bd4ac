//! Where others explain what an admin has to do: every address that the pages link to, but those of
//! the admin's own org.

/// A page elsewhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    /// What it is, as the link says it.
    pub(super) title: &'static str,
    /// Where it is.
    pub(super) address: &'static str,
}

/// VCC: linking an account.
pub(super) const LINKING: Page = Page {
    title: "Vonage Contact Center: linking your account with Salesforce",
    address: "https://docs-vcc.atlassian.net/wiki/spaces/DP/pages/51250010",
};

/// VCC: the API user's permissions.
pub(super) const PERMISSIONS: Page = Page {
    title: "Vonage Contact Center: permissions of the API user",
    address: "https://docs-vcc.atlassian.net/wiki/x/rIVXNg",
};

/// Salesforce: users for integrations.
pub(super) const INTEGRATION_USER: Page = Page {
    title: "Salesforce: give integration users API only access",
    address: "https://help.salesforce.com/s/articleView?id=platform.integration_user.htm&type=5",
};

/// Salesforce: apps that are not installed.
pub(super) const UNINSTALLED_APPS: Page = Page {
    title: "Salesforce: usage restrictions of connected apps",
    address: "https://help.salesforce.com/s/articleView?id=005132365&type=1",
};

/// Salesforce: refresh tokens that nobody uses.
pub(super) const IDLE_TOKENS: Page = Page {
    title: "Salesforce: how long a connection may stay unused",
    address: "https://help.salesforce.com/s/articleView?id=xcloud.connected_app_limit_idle_ttl.htm&type=5",
};

/// Salesforce: the approvals of a user.
pub(super) const APPROVALS: Page = Page {
    title: "Salesforce: approvals of a connected app",
    address: "https://help.salesforce.com/s/articleView?id=platform.remoteaccess_request_approve.htm&type=5",
};

/// Salesforce: multi-factor authentication.
pub(super) const MFA: Page = Page {
    title: "Salesforce: multi-factor authentication for logins",
    address: "https://help.salesforce.com/s/articleView?id=005317465&type=1",
};
