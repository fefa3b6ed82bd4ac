//! Notices: an account's contacts are told when its link breaks, works again, or lacks something.
//!
//! - [`contacts`]: who is told, changed by admins; [`config`]: how;
//! - [`teller`]: the stage that decides what is told and sends it, in any number of sidecars;
//! - [`mail`], [`webhook`]: by what; [`public`]: where webhooks may go;
//! - [`texts`]: every word.
//!
//! The store keeps what is to be told with the change that it tells of, so nothing is forgotten by a
//! crash. A notice arrives at least once, each time with the same id.
//!
//! Architecture invariant: a notice holds no token, no number of a caller and nothing of a call, and
//! an address leaves this room only in the notice that goes there, and to the account's own admins.

mod config;
pub mod contacts;
mod mail;
mod public;
mod teller;
mod texts;
mod webhook;

pub use config::{Config, Smtp, Tls};
pub use contacts::{Book, Contact, Error, Notices};
pub use teller::Teller;
