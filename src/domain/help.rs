//! The addresses of Salesforce's help pages that people are sent to.

/// Permissions of a profile or a permission set.
pub const PERMISSIONS: &str =
    "https://help.salesforce.com/s/articleView?id=platform.admin_userperms.htm&type=5";

/// What a user may do with each field.
pub const FIELD_SECURITY: &str =
    "https://help.salesforce.com/s/articleView?id=platform.admin_fls.htm&type=5";

/// Fields of one's own.
pub const CUSTOM_FIELDS: &str =
    "https://help.salesforce.com/s/articleView?id=platform.adding_fields.htm&type=5";

/// Users that use the API alone.
pub const INTEGRATION_USER: &str =
    "https://help.salesforce.com/s/articleView?id=platform.integration_user.htm&type=5";

/// How many API requests an org has.
pub const API_LIMITS: &str =
    "https://help.salesforce.com/s/articleView?id=platform.integrate_api_rate_limiting.htm&type=5";
