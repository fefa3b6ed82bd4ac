//! `/services/Soap/u/XX.0` (partner) and `/c/XX.0` (enterprise): only the `login` call.

use askama::Template;
use roxmltree::{Document, Node};

use super::{Reply, Request};
use crate::clock::Timestamp;
use crate::world::World;
use crate::world::door::{Denied, Means};
use crate::world::tokens::{Caller, new_access_token};

/// The two bindings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wsdl {
    Partner,
    Enterprise,
}

impl Wsdl {
    /// The letter in the path.
    pub(crate) fn of(letter: &str) -> Option<Self> {
        match letter {
            "u" => Some(Self::Partner),
            "c" => Some(Self::Enterprise),
            _ => None,
        }
    }

    fn letter(self) -> char {
        match self {
            Self::Partner => 'u',
            Self::Enterprise => 'c',
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Partner => "partner",
            Self::Enterprise => "enterprise",
        }
    }
}

#[derive(Template)]
#[template(path = "soap_login.xml")]
struct LoginResult<'a> {
    namespace: String,
    metadata_url: String,
    server_url: String,
    sandbox: bool,
    session: &'a str,
    user: String,
    org: String,
    org_name: &'a str,
    profile: String,
    seconds: i64,
    email: &'a str,
    name: &'a str,
    username: &'a str,
}

#[derive(Template)]
#[template(path = "soap_fault.xml")]
struct Fault<'a> {
    namespace: String,
    /// The code with a prefix where it is SOAP's own.
    qualified: &'a str,
    kind: &'a str,
    code: &'a str,
    message: &'a str,
}

/// Answers a SOAP request.
pub(crate) fn call(
    world: &mut World,
    now: Timestamp,
    request: &Request,
    (wsdl, version): (Wsdl, &str),
) -> Reply {
    let text = String::from_utf8_lossy(&request.body);
    let Ok(document) = Document::parse(&text) else {
        let message = "The request is no XML document.";
        return fault(wsdl, "UnexpectedErrorFault", "soapenv:Client", message);
    };
    let Some(login) = document.descendants().find(|node| is(node, "login")) else {
        let message = "The simulator knows only the login call.";
        return fault(
            wsdl,
            "UnexpectedErrorFault",
            "UNSUPPORTED_API_VERSION",
            message,
        );
    };
    let field = |name| {
        let node = login.children().find(|node| is(node, name));
        node.and_then(|node| node.text()).unwrap_or_default()
    };
    let entered = world.log_in_by_password(
        now,
        (&request.base_url, request.address),
        (field("username"), field("password")),
        Means::Program,
    );
    let refused = match entered {
        Ok(caller) => match api_refusal(world, caller) {
            None => return logged_in(world, now, request, caller, (wsdl, version)),
            Some(refused) => refused,
        },
        Err(denied) => said_of(denied),
    };
    fault(wsdl, "LoginFault", refused.0, refused.1)
}

fn is(node: &Node<'_, '_>, name: &str) -> bool {
    node.is_element() && node.tag_name().name() == name
}

fn api_refusal(world: &World, caller: Caller) -> Option<(&'static str, &'static str)> {
    let (org, user) = world.named(caller)?;
    if org.switches.api_disabled {
        let text = "API is not enabled for this Organization or Partner";
        return Some(("API_DISABLED_FOR_ORG", text));
    }
    let text = "API is disabled for this User";
    (!user.settings.api_enabled).then_some(("API_CURRENTLY_DISABLED", text))
}

fn said_of(denied: Denied) -> (&'static str, &'static str) {
    match denied {
        Denied::Credentials => (
            "INVALID_LOGIN",
            "Invalid username, password, security token; or user locked out.",
        ),
        Denied::SecurityToken => (
            "LOGIN_MUST_USE_SECURITY_TOKEN",
            "Invalid username, password, security token; or user locked out. Are you at a new location? When accessing \
             Salesforce--either via a desktop client or the API--from outside of your company’s trusted networks, you \
             must add a security token to your password to log in. To get your new security token, log in to Salesforce. \
             From your personal settings, enter Reset My Security Token in the Quick Find box, then select Reset My \
             Security Token.",
        ),
        Denied::Address => (
            "LOGIN_DURING_RESTRICTED_DOMAIN",
            "cannot log in from current IP address",
        ),
        Denied::Hours => (
            "LOGIN_DURING_RESTRICTED_TIME",
            "cannot log in during restricted time",
        ),
    }
}

fn logged_in(
    world: &mut World,
    now: Timestamp,
    request: &Request,
    caller: Caller,
    (wsdl, version): (Wsdl, &str),
) -> Reply {
    let session = new_access_token(caller.org, &mut world.rng);
    world.open_session(caller, session.clone(), now);
    world.journal.counters_mut(caller.org).tokens_issued += 1;
    let Some((org, user)) = world.named(caller) else {
        return Reply::empty(500);
    };
    let base = format!(
        "{}/services/Soap",
        world.instance_url(org, &request.base_url)
    );
    let profile = org
        .record(user.id)
        .and_then(|record| record.reference("ProfileId"))
        .unwrap_or(user.id);
    let result = LoginResult {
        namespace: format!("urn:{}.soap.sforce.com", wsdl.name()),
        metadata_url: format!("{base}/m/{version}/{}", org.id),
        server_url: format!("{base}/{}/{version}/{}", wsdl.letter(), org.id),
        sandbox: org.switches.sandbox,
        session: &session,
        user: user.id.to_string(),
        org: org.id.to_string(),
        org_name: &org.name,
        profile: profile.to_string(),
        seconds: world.session_timeout.num_seconds(),
        email: &user.settings.email,
        name: &user.settings.name,
        username: &user.settings.username,
    };
    xml(200, &result)
}

/// A fault; SOAP 1.1 sends each with status 500.
fn fault(wsdl: Wsdl, kind: &str, code: &str, message: &str) -> Reply {
    let fault = Fault {
        namespace: format!("urn:fault.{}.soap.sforce.com", wsdl.name()),
        qualified: code,
        kind,
        code: code.rsplit(':').next().unwrap_or(code),
        message,
    };
    xml(500, &fault)
}

fn xml(status: u16, template: &impl Template) -> Reply {
    match template.render() {
        Ok(text) => Reply::text(status, "text/xml;charset=UTF-8", text),
        Err(_) => Reply::empty(500),
    }
}
