//! Which resource a path names.

use http::Method;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

use super::external::Name;
use super::soap::Wsdl;
use crate::world::id::Id;

/// The login page.
pub(crate) const LOGIN: &str = "/";
/// The page that asks for a verification code.
pub(crate) const VERIFY: &str = "/_ui/identity/verification/method/TotpVerificationFinishUi/e";
/// The page that asks "Allow Access?".
pub(crate) const CONSENT: &str = "/setup/secur/RemoteAccessAuthorizationPage.apexp";
/// The page of an authorization that never returns to the app.
pub(crate) const AUTHORIZATION_ERROR: &str = "/_ui/identity/oauth/ui/AuthorizationError";
/// The page of somebody who is logged in.
pub(crate) const HOME: &str = "/home/home.jsp";

/// The sort of a request, as faults and the request log name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// `POST /services/oauth2/token`
    Token,
    /// `POST /services/oauth2/revoke`
    Revoke,
    /// `POST /services/oauth2/introspect`
    Introspect,
    /// `GET /services/oauth2/userinfo`
    Userinfo,
    /// `GET /services/oauth2/authorize`
    Authorize,
    /// The login page and the page of the verification code
    Login,
    /// The page "Allow Access?"
    Consent,
    /// Other pages for people
    Page,
    /// `GET /.well-known/openid-configuration`
    Discovery,
    /// `POST /services/Soap/u/XX.0`
    Soap,
    /// `GET /id/<org>/<user>`
    Identity,
    /// `GET /services/data/`
    Versions,
    /// `GET /services/data/vXX.0/`
    Resources,
    /// `GET /limits`
    Limits,
    /// `GET /query`
    Query,
    /// `GET /queryAll`
    QueryAll,
    /// A following page of either.
    QueryMore,
    /// `GET /search`
    Search,
    /// `POST` or `GET /parameterizedSearch`
    ParameterizedSearch,
    /// `GET /sobjects`
    GlobalDescribe,
    /// `GET /sobjects/<object>/describe`
    Describe,
    /// `GET /sobjects/<object>`
    ObjectInfo,
    /// `GET /sobjects/<object>/updated`
    Updated,
    /// `GET /sobjects/<object>/deleted`
    Deleted,
    /// `POST /sobjects/<object>`
    Create,
    /// `GET /sobjects/<object>/<id>`
    Retrieve,
    /// `PATCH /sobjects/<object>/<id>`
    Update,
    /// `PATCH /sobjects/<object>/<field>/<value>`
    Upsert,
    /// `DELETE /sobjects/<object>/<id>`
    Delete,
    /// `POST /composite/sobjects`
    Collections,
    /// `PATCH /composite/sobjects`
    CollectionsUpdate,
    /// `PATCH /composite/sobjects/<object>/<field>`
    CollectionsUpsert,
    /// `DELETE /composite/sobjects?ids=…`
    CollectionsDelete,
    /// `GET` or `POST /composite/sobjects/<object>`
    CollectionsRetrieve,
    /// `POST /composite`
    Composite,
    /// `POST /composite/batch`
    Batch,
    /// `POST /composite/graph`
    Graph,
    /// `POST /composite/tree/<object>`
    Tree,
    /// `GET /recent`
    Recent,
    /// `/jobs/…` of Bulk API 2.0, and all of the first Bulk API
    Bulk,
    /// Anything else.
    Other,
}

/// A resource, with what its path says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Resource {
    Token,
    Revoke,
    Introspect,
    Userinfo,
    Authorize,
    Login,
    Verify,
    Consent,
    AuthorizationError,
    Home,
    Discovery,
    Soap { wsdl: Wsdl, version: String },
    Identity { org: Id, user: Id },
    Versions,
    Bulk,
    Data { version: String, target: Target },
    Unknown,
}

/// A resource of the data API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Resources,
    Limits,
    Query {
        all: bool,
    },
    QueryMore {
        locator: String,
    },
    Search,
    ParameterizedSearch,
    Objects,
    Object {
        object: String,
    },
    Describe {
        object: String,
    },
    Updated {
        object: String,
    },
    Deleted {
        object: String,
    },
    Row {
        object: String,
        id: String,
    },
    External(Name),
    Collections,
    CollectionsOf {
        object: String,
    },
    CollectionsBy {
        object: String,
        field: String,
    },
    Composite,
    Batch,
    Graph,
    Tree {
        object: String,
    },
    Recent,
    /// What follows `/jobs`.
    Jobs(Vec<String>),
    Unknown,
}

impl Resource {
    /// Reads a path. A trailing slash makes no difference.
    pub(crate) fn of(path: &str) -> Self {
        let decoded: Vec<String> = path
            .split('/')
            .filter(|part| !part.is_empty())
            .map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned())
            .collect();
        let parts: Vec<&str> = decoded.iter().map(String::as_str).collect();
        match parts.as_slice() {
            [] => Self::Login,
            ["services", "oauth2", "authorize"] => Self::Authorize,
            ["services", "oauth2", "token"] => Self::Token,
            ["services", "oauth2", "introspect"] => Self::Introspect,
            ["services", "oauth2", "revoke"] => Self::Revoke,
            [".well-known", "openid-configuration"] => Self::Discovery,
            ["services", "oauth2", "userinfo"] => Self::Userinfo,
            ["id", org, user] => match (Id::parse(org), Id::parse(user)) {
                (Some(org), Some(user)) => Self::Identity { org, user },
                _ => Self::Unknown,
            },
            ["services", "Soap", letter, version] => match Wsdl::of(letter) {
                Some(wsdl) => Self::Soap {
                    wsdl,
                    version: (*version).to_owned(),
                },
                None => Self::Unknown,
            },
            ["services", "async", ..] => Self::Bulk,
            ["services", "data"] => Self::Versions,
            ["services", "data", version, rest @ ..] => Self::Data {
                version: (*version).to_owned(),
                target: Target::of(rest),
            },
            _ => Self::page(path),
        }
    }

    fn page(path: &str) -> Self {
        match path {
            VERIFY => Self::Verify,
            CONSENT => Self::Consent,
            AUTHORIZATION_ERROR => Self::AuthorizationError,
            HOME => Self::Home,
            _ => Self::Unknown,
        }
    }

    /// The sort of a request to this resource.
    pub(crate) fn kind(&self, method: &Method) -> Kind {
        match self {
            Self::Token => Kind::Token,
            Self::Revoke => Kind::Revoke,
            Self::Introspect => Kind::Introspect,
            Self::Authorize => Kind::Authorize,
            Self::Login | Self::Verify => Kind::Login,
            Self::Consent => Kind::Consent,
            Self::AuthorizationError | Self::Home => Kind::Page,
            Self::Discovery => Kind::Discovery,
            Self::Soap { .. } => Kind::Soap,
            Self::Userinfo => Kind::Userinfo,
            Self::Identity { .. } => Kind::Identity,
            Self::Versions => Kind::Versions,
            Self::Bulk => Kind::Bulk,
            Self::Data { target, .. } => target.kind(method),
            Self::Unknown => Kind::Other,
        }
    }
}

impl Target {
    fn of(parts: &[&str]) -> Self {
        let owned = |text: &&str| (*text).to_owned();
        match parts {
            [] => Self::Resources,
            ["limits"] => Self::Limits,
            ["query"] => Self::Query { all: false },
            ["queryAll"] => Self::Query { all: true },
            ["query" | "queryAll", locator] => Self::QueryMore {
                locator: owned(locator),
            },
            ["search"] => Self::Search,
            ["parameterizedSearch"] => Self::ParameterizedSearch,
            ["sobjects"] => Self::Objects,
            ["sobjects", object] => Self::Object {
                object: owned(object),
            },
            ["sobjects", object, "describe"] => Self::Describe {
                object: owned(object),
            },
            ["sobjects", object, "updated"] => Self::Updated {
                object: owned(object),
            },
            ["sobjects", object, "deleted"] => Self::Deleted {
                object: owned(object),
            },
            ["sobjects", object, id] => Self::Row {
                object: owned(object),
                id: owned(id),
            },
            ["sobjects", object, field, value] => Self::External(Name {
                object: owned(object),
                field: owned(field),
                value: owned(value),
            }),
            ["composite"] => Self::Composite,
            ["composite", "batch"] => Self::Batch,
            ["composite", "graph"] => Self::Graph,
            ["composite", "tree", object] => Self::Tree {
                object: owned(object),
            },
            ["composite", "sobjects"] => Self::Collections,
            ["composite", "sobjects", object] => Self::CollectionsOf {
                object: owned(object),
            },
            ["composite", "sobjects", object, field] => Self::CollectionsBy {
                object: owned(object),
                field: owned(field),
            },
            ["recent"] => Self::Recent,
            ["jobs", rest @ ..] => Self::Jobs(rest.iter().map(owned).collect()),
            _ => Self::Unknown,
        }
    }

    pub(crate) fn kind(&self, method: &Method) -> Kind {
        match self {
            Self::Resources => Kind::Resources,
            Self::Limits => Kind::Limits,
            Self::Query { all: false } => Kind::Query,
            Self::Query { all: true } => Kind::QueryAll,
            Self::QueryMore { .. } => Kind::QueryMore,
            Self::Search => Kind::Search,
            Self::ParameterizedSearch => Kind::ParameterizedSearch,
            Self::Objects => Kind::GlobalDescribe,
            Self::Object { .. } if method == Method::POST => Kind::Create,
            Self::Object { .. } => Kind::ObjectInfo,
            Self::Describe { .. } => Kind::Describe,
            Self::Updated { .. } => Kind::Updated,
            Self::Deleted { .. } => Kind::Deleted,
            Self::Row { .. } if method == Method::PATCH => Kind::Update,
            Self::External(_) if method == Method::PATCH => Kind::Upsert,
            Self::Row { .. } | Self::External(_) if method == Method::DELETE => Kind::Delete,
            Self::Row { .. } | Self::External(_) => Kind::Retrieve,
            Self::Collections if method == Method::PATCH => Kind::CollectionsUpdate,
            Self::Collections if method == Method::DELETE => Kind::CollectionsDelete,
            Self::Collections => Kind::Collections,
            Self::CollectionsOf { .. } => Kind::CollectionsRetrieve,
            Self::CollectionsBy { .. } => Kind::CollectionsUpsert,
            Self::Composite => Kind::Composite,
            Self::Batch => Kind::Batch,
            Self::Graph => Kind::Graph,
            Self::Tree { .. } => Kind::Tree,
            Self::Recent => Kind::Recent,
            Self::Jobs(_) => Kind::Bulk,
            Self::Unknown => Kind::Other,
        }
    }
}
