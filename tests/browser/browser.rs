//! A headless Chromium, and what an admin does with it.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand, WindowHandle};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

use crate::world::{PATIENCE, World};

/// The width of a phone.
const PHONE: u64 = 360;

/// A browser with one session at the sidecar.
pub(crate) struct Browser {
    client: Client,
    address: String,
    _driver: Driver,
}

/// A running chromedriver.
struct Driver(Child);

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A command of the `DevTools` protocol, as chromedriver takes it.
#[derive(Debug)]
struct DevTools(&'static str, Value);

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(
        &self,
        base: &url::Url,
        session: Option<&str>,
    ) -> Result<url::Url, url::ParseError> {
        let session = session.unwrap_or_default();
        base.join(&format!("session/{session}/goog/cdp/execute"))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        let body = json!({"cmd": self.0, "params": self.1});
        (http::Method::POST, Some(body.to_string()))
    }
}

impl Browser {
    /// A browser whose user came from the portal.
    pub(crate) async fn enter(world: &World, account: &str, role: &str) -> Self {
        let browser = Self::start(world).await;
        let (name, value) = world.enter(account, role).await;
        let cookie = json!({"name": name, "value": value, "url": world.address,
            "httpOnly": true, "sameSite": "Lax"});
        browser.devtools("Network.setCookie", cookie).await;
        browser.open("/").await;
        browser
    }

    /// A browser without a session.
    pub(crate) async fn start(world: &World) -> Self {
        let port = free_port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver: scripts/requirements.sh test installs it");
        let driver = Driver(driver);
        let mut capabilities = Capabilities::new();
        let args = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--window-size=1100,900",
            "--lang=en",
        ];
        capabilities.insert("goog:chromeOptions".to_owned(), json!({ "args": args }));
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities);
        let deadline = Instant::now() + PATIENCE;
        let client = loop {
            match builder.connect(&format!("http://127.0.0.1:{port}")).await {
                Ok(client) => break client,
                Err(error) => assert!(Instant::now() < deadline, "no browser: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        Self {
            client,
            address: world.address.clone(),
            _driver: driver,
        }
    }

    /// Opens a page of the sidecar's.
    pub(crate) async fn open(&self, path: &str) {
        let address = format!("{}{path}", self.address);
        self.client.goto(&address).await.expect("opened");
    }

    /// Opens an address as it was sent.
    pub(crate) async fn goto(&self, address: &str) {
        self.client.goto(address).await.expect("opened");
    }

    /// What a field holds.
    pub(crate) async fn value(&self, css: &str) -> String {
        let found = self.client.find(Locator::Css(css)).await.expect("found");
        let value = found.prop("value").await.expect("a value");
        value.unwrap_or_default()
    }

    /// Where it is.
    pub(crate) async fn address(&self) -> String {
        self.client.current_url().await.expect("an address").into()
    }

    /// Looks into the frame of the portal's page, which it opens.
    pub(crate) async fn open_framed(&self, world: &World) {
        self.client.goto(&world.portal).await.expect("opened");
        self.look_into_frame().await;
    }

    /// Looks into the frame of the page.
    pub(crate) async fn look_into_frame(&self) {
        self.client.enter_frame(0).await.expect("a frame");
    }

    /// Forgets who it is.
    pub(crate) async fn forget(&self) {
        let none = json!({});
        self.devtools("Network.clearBrowserCookies", none).await;
    }

    /// Presses the browser's Back.
    pub(crate) async fn back(&self) {
        self.client.back().await.expect("back");
    }

    /// Lets no script run from now on.
    pub(crate) async fn without_scripts(&self) {
        let params = json!({"value": true});
        self.devtools("Emulation.setScriptExecutionDisabled", params)
            .await;
    }

    /// Opens no windows, as a browser that blocks them.
    pub(crate) async fn block_windows(&self) {
        let script = "window.open = () => null";
        self.client.execute(script, vec![]).await.expect("done");
    }

    /// Waits until what is found says this.
    pub(crate) async fn says(&self, css: &str, words: &str) {
        let deadline = Instant::now() + PATIENCE;
        let mut last = String::new();
        loop {
            if let Ok(found) = self.client.find(Locator::Css(css)).await {
                last = found.text().await.unwrap_or_default();
            }
            if last.contains(words) {
                return;
            }
            if Instant::now() >= deadline {
                let page = self.text().await;
                panic!("{css} says {last:?}, not {words:?}. The page: {page}");
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// What an attribute of what is found holds.
    pub(crate) async fn attribute(&self, css: &str, name: &str) -> String {
        let found = self.client.find(Locator::Css(css)).await.expect("found");
        let value = found.attr(name).await.expect("an answer");
        value.unwrap_or_default()
    }

    /// Waits until an attribute is another, without a new page.
    pub(crate) async fn changes(&self, css: &str, name: &str, from: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // What is just being replaced may be gone.
            if let Ok(found) = self.client.find(Locator::Css(css)).await
                && let Ok(Some(value)) = found.attr(name).await
                && value != from
            {
                return;
            }
            assert!(Instant::now() < deadline, "{name} of {css} stays {from}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Loads the page anew; a form that led to it is sent again.
    pub(crate) async fn reload(&self) {
        self.client.refresh().await.expect("loaded");
    }

    /// All that the page says.
    pub(crate) async fn text(&self) -> String {
        let Ok(body) = self.client.find(Locator::Css("body")).await else {
            return String::new();
        };
        body.text().await.unwrap_or_default()
    }

    /// How many there are.
    pub(crate) async fn count(&self, css: &str) -> usize {
        let found = self.client.find_all(Locator::Css(css)).await;
        found.expect("an answer").len()
    }

    /// Whether something is there.
    pub(crate) async fn has(&self, css: &str) -> bool {
        self.client.find(Locator::Css(css)).await.is_ok()
    }

    /// Presses something, once it is there.
    pub(crate) async fn press(&self, css: &str) {
        let found = self.client.wait().at_most(PATIENCE);
        let found = found.for_element(Locator::Css(css)).await;
        let found = found.unwrap_or_else(|error| panic!("{css}: {error}"));
        found
            .click()
            .await
            .unwrap_or_else(|error| panic!("{css}: {error}"));
    }

    /// Presses keys, wherever the focus is.
    pub(crate) async fn keys(&self, keys: &str) {
        let focused = self.client.active_element().await.expect("a focus");
        focused.send_keys(keys).await.expect("typed");
    }

    /// What has the focus, by its text or name.
    pub(crate) async fn focused(&self) -> String {
        let script = "const e = document.activeElement; return e.textContent.trim() || e.name || e.id || e.tagName";
        let value = self.client.execute(script, vec![]).await.expect("a value");
        value.as_str().unwrap_or_default().to_owned()
    }

    /// Types into a field.
    pub(crate) async fn fill(&self, css: &str, text: &str) {
        let found = self.client.wait().at_most(PATIENCE);
        let found = found.for_element(Locator::Css(css)).await;
        let found = found.unwrap_or_else(|error| panic!("{css}: {error}"));
        found.clear().await.expect("cleared");
        found.send_keys(text).await.expect("typed");
    }

    /// Chooses from a drop-down.
    pub(crate) async fn choose(&self, css: &str, value: &str) {
        let found = self.client.find(Locator::Css(css)).await.expect("found");
        found.select_by_value(value).await.expect("chosen");
    }

    /// The window that it looks at.
    pub(crate) async fn window(&self) -> WindowHandle {
        self.client.window().await.expect("a window")
    }

    /// Waits for so many windows; gives them.
    pub(crate) async fn windows(&self, number: usize) -> Vec<WindowHandle> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let windows = self.client.windows().await.expect("windows");
            if windows.len() == number {
                return windows;
            }
            assert!(Instant::now() < deadline, "{} windows", windows.len());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Looks at a window.
    pub(crate) async fn look_at(&self, window: &WindowHandle) {
        let window = window.clone();
        self.client.switch_to_window(window).await.expect("there");
    }

    /// Looks at the window that opened beside this one.
    pub(crate) async fn look_at_other(&self, known: &WindowHandle) {
        let windows = self.windows(2).await;
        let other = windows.iter().find(|window| *window != known);
        self.look_at(other.expect("another window")).await;
    }

    /// Closes the window that it looks at.
    pub(crate) async fn close_window(&self) {
        self.client.close_window().await.expect("closed");
    }

    /// Opens a further tab, and looks at it.
    pub(crate) async fn new_tab(&self) {
        let tab = self.client.new_window(true).await.expect("a tab");
        self.look_at(&tab.handle).await;
    }

    /// Logs in at Salesforce as this user, up to "Allow Access?".
    pub(crate) async fn log_in(&self, user: &str) {
        self.fill("#username", user).await;
        self.fill("#password", "password").await;
        self.press("button[type=submit]").await;
    }

    /// Presses Allow.
    pub(crate) async fn allow(&self) {
        self.press("button[value=allow]").await;
    }

    /// Presses Link or Relink, logs in in the window that opens, and allows.
    pub(crate) async fn link_as(&self, user: &str) {
        let page = self.window().await;
        self.press("form.link button.first").await;
        self.look_at_other(&page).await;
        self.log_in(user).await;
        self.allow().await;
        self.look_at(&page).await;
    }

    /// Photographs the page, wide and narrow, light and dark. Nothing may stick out.
    pub(crate) async fn photograph(&self, name: &str) {
        for (size, width) in [("desktop", 1100), ("phone", PHONE)] {
            self.size(width, 800).await;
            let script =
                "const e = document.documentElement; return [e.scrollWidth, e.scrollHeight]";
            let needed = self.client.execute(script, vec![]).await.expect("a size");
            let needed = needed.as_array().expect("two numbers");
            let (wide, high) = (needed[0].as_u64(), needed[1].as_u64().expect("a height"));
            assert!(wide <= Some(width), "{name} is {wide:?} wide on a {size}");
            self.size(width, high).await;
            for scheme in ["light", "dark"] {
                let media =
                    json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
                self.devtools("Emulation.setEmulatedMedia", media).await;
                let format = json!({"format": "png"});
                let taken = self.devtools("Page.captureScreenshot", format).await;
                let picture = taken["data"].as_str().expect("a picture");
                let picture = STANDARD.decode(picture).expect("base64");
                let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("../screenshots");
                std::fs::create_dir_all(&folder).expect("a folder");
                let path = folder.join(format!("{name}-{size}-{scheme}.png"));
                std::fs::write(path, picture).expect("written");
            }
        }
        let none = json!({});
        self.devtools("Emulation.clearDeviceMetricsOverride", none)
            .await;
        let none = json!({"features": []});
        self.devtools("Emulation.setEmulatedMedia", none).await;
    }

    /// Lets the page be so large.
    async fn size(&self, width: u64, height: u64) {
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", metrics)
            .await;
    }

    async fn devtools(&self, command: &'static str, params: Value) -> Value {
        let done = self.client.issue_cmd(DevTools(command, params)).await;
        done.unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// Closes it.
    pub(crate) async fn close(self) {
        let _ = self.client.clone().close().await;
    }
}

/// A port that nobody uses now.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}
