//! The admin's pages in a real browser: headless Chromium, driven by `WebDriver`, before two
//! replicas of the sidecar on one PostgreSQL, with a Salesforce that behaves.
//!
//! Each state is photographed into `target/screenshots`, wide and narrow, light and dark, and the
//! narrow ones must not scroll sideways.

mod browser;
mod checking;
mod contacts;
mod inviting;
mod linking;
mod trouble;
mod world;
