//! A browser: it keeps its cookie, follows redirects within Salesforce, and stops at the app's door.

use reqwest::Response;
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use url::Url;

use crate::harness::Org;

/// The app's callback URL, as the seed registers it.
pub(crate) const CALLBACK: &str = "http://localhost/callback";

/// PKCE's example pair (RFC 7636, appendix B).
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// Where a browser has ended up.
#[derive(Debug)]
pub(crate) enum Place {
    /// On a page of Salesforce's: its text.
    Page(String),
    /// Back at the app.
    App(Url),
}

impl Place {
    /// The text of a page.
    pub(crate) fn page(&self) -> &str {
        match self {
            Self::Page(text) => text,
            Self::App(url) => panic!("the browser is back at the app: {url}"),
        }
    }

    /// A hidden field of the page's form.
    pub(crate) fn hidden(&self, name: &str) -> String {
        let marker = format!("name=\"{name}\" value=\"");
        let (_, rest) = self.page().split_once(&marker).unwrap();
        rest.split('"').next().unwrap().to_owned()
    }

    /// A parameter that the app got.
    pub(crate) fn answer(&self, name: &str) -> Option<String> {
        let Self::App(url) = self else {
            panic!("the browser is not back at the app: {self:?}");
        };
        let found = url.query_pairs().find(|(key, _)| key == name);
        found.map(|(_, value)| value.into_owned())
    }
}

/// One browser.
#[derive(Debug)]
pub(crate) struct Browser<'o> {
    org: &'o Org,
    cookie: Option<String>,
}

impl<'o> Browser<'o> {
    pub(crate) fn new(org: &'o Org) -> Self {
        Self { org, cookie: None }
    }

    /// Goes where an app sends people, with `more` parameters than usual, or others.
    pub(crate) async fn authorize(&mut self, more: &[(&str, &str)]) -> Place {
        let mut parameters = vec![
            ("response_type", "code"),
            ("client_id", "sim-client-id"),
            ("redirect_uri", CALLBACK),
            ("state", "a state & more"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        parameters.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
        // An empty value takes a parameter away.
        parameters.extend(more.iter().filter(|(_, value)| !value.is_empty()));
        let base = self.org.running.base_url();
        let url = format!("{base}/services/oauth2/authorize");
        let url = Url::parse_with_params(&url, &parameters).unwrap();
        self.open(url.as_str()).await
    }

    pub(crate) async fn open(&mut self, url: &str) -> Place {
        let request = self.org.client.get(url);
        let response = self.send(request).await;
        self.follow(response).await
    }

    /// Sends a form of a page.
    pub(crate) async fn submit(&mut self, path: &str, form: &[(&str, &str)]) -> Place {
        let url = format!("{}{path}", self.org.running.base_url());
        let request = self.org.client.post(url).form(form);
        let response = self.send(request).await;
        self.follow(response).await
    }

    /// Fills the login form in.
    pub(crate) async fn log_in(&mut self, page: &Place, username: &str, password: &str) -> Place {
        let source = page.hidden("source");
        let form = [("un", username), ("pw", password), ("source", &source)];
        self.submit("/", &form).await
    }

    /// Answers "Allow Access?".
    pub(crate) async fn decide(&mut self, page: &Place, decision: &str) -> Place {
        let source = page.hidden("source");
        let path = "/setup/secur/RemoteAccessAuthorizationPage.apexp";
        self.submit(path, &[("source", &source), ("decision", decision)])
            .await
    }

    async fn send(&mut self, mut request: reqwest::RequestBuilder) -> Response {
        if let Some(cookie) = &self.cookie {
            request = request.header(COOKIE, cookie);
        }
        let response = request.send().await.unwrap();
        if let Some(cookie) = response.headers().get(SET_COOKIE) {
            let cookie = cookie.to_str().unwrap().split(';').next();
            self.cookie = cookie.map(str::to_owned);
        }
        response
    }

    async fn follow(&mut self, mut response: Response) -> Place {
        while let Some(location) = response.headers().get(LOCATION) {
            let next = response.url().join(location.to_str().unwrap()).unwrap();
            if next.as_str().starts_with(CALLBACK) {
                return Place::App(next);
            }
            response = self.send(self.org.client.get(next)).await;
        }
        assert_eq!(response.status(), 200);
        Place::Page(response.text().await.unwrap())
    }
}
