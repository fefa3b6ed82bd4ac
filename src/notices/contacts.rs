//! Who is told of an account's link: added, removed and tested by its admins.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::{Config, mail, webhook};
use crate::clock;
use crate::crypto::{self, Context};
use crate::domain::ids::{AccountId, ContactId};
use crate::domain::link::{Actor, Username};
use crate::domain::notice::{Channel, Notice, NoticeKind};
use crate::domain::private::Private;
use crate::sealing::{self, Sealer};
use crate::store::contacts::{
    ContactChange, ContactLine, ContactRow, ContactsChange, ContactsWrite, LastNotice, Version,
};
use crate::store::notices::NewNotice;
use crate::store::{self, Store, Written};

/// Mail contacts that an account may have.
pub const MAILS: usize = 5;

/// Webhooks that an account may have.
pub const WEBHOOKS: usize = 2;

/// How long after a test notice the next may follow.
const BETWEEN_TESTS: Duration = Duration::from_mins(1);

/// Why the contacts of an account were not changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no address.
    #[error("This is no mail address. Write one like ada@acme.example.")]
    NoMailAddress,
    /// It is no address that webhooks may go to.
    #[error(
        "Webhooks go to public addresses by https alone. Write one like https://hooks.acme.example/vcc."
    )]
    NoWebhookAddress,
    /// There is no mail server.
    #[error("No mails are sent from here: no mail server is set up. Add a webhook instead.")]
    NoMail,
    /// The account has as many as it may have.
    #[error("The account has {most} of these already. Remove one first.")]
    TooMany {
        /// How many it may have.
        most: usize,
    },
    /// It is a contact already.
    #[error("This is a contact already.")]
    Known,
    /// A test was sent a moment ago.
    #[error("A test notice is on its way or was sent a moment ago. Look for it, then try again.")]
    TooSoon,
    /// Somebody else changed the contacts meanwhile.
    #[error("Somebody else changed the contacts meanwhile. Look at them, then try again.")]
    Changed,
    /// There is no such contact.
    #[error("There is no such contact any more.")]
    Unknown,
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A contact cannot be opened.
    #[error(transparent)]
    Sealing(#[from] sealing::Error),
}

/// Where a contact is told, as it is sealed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Target {
    /// An address of mail, or of the web.
    pub(super) address: Private<String>,
    /// What webhooks are signed with.
    pub(super) key: Option<Private<String>>,
}

/// The contacts of an account.
#[derive(Clone, Debug)]
pub struct Book {
    /// Which state this is.
    pub version: Version,
    /// The contacts in the order in which they were added.
    pub contacts: Vec<Contact>,
}

/// A contact of an account.
#[derive(Clone, Debug)]
pub struct Contact {
    /// Names it.
    pub id: ContactId,
    /// By what it is told.
    pub channel: Channel,
    /// Where, for the account's own admins.
    pub address: Private<String>,
    /// Where, masked.
    pub shown: String,
    /// What became of the last notice to it.
    pub last: Option<LastNotice>,
}

/// A contact that was added.
#[derive(Debug)]
pub struct Added {
    /// Names it.
    pub id: ContactId,
    /// What its webhooks are signed with: shown this once.
    pub key: Option<SecretString>,
}

/// Whose contacts are changed, by whom, and from which state on.
#[derive(Clone, Debug)]
pub struct Change {
    /// The account.
    pub account: AccountId,
    /// The state that was seen.
    pub seen: Version,
    /// Who changes it.
    pub actor: Actor,
}

/// The contacts of accounts, as admins change them.
pub struct Notices {
    store: Arc<dyn Store>,
    sealer: Sealer,
    config: Config,
}

impl Notices {
    /// The contacts in this store.
    pub const fn new(store: Arc<dyn Store>, sealer: Sealer, config: Config) -> Self {
        Self {
            store,
            sealer,
            config,
        }
    }

    /// Whether mails are sent.
    pub const fn can_mail(&self) -> bool {
        self.config.smtp.is_on()
    }

    /// The contacts of an account.
    pub async fn contacts(&self, account: &AccountId) -> Result<Book, Error> {
        let stored = self.store.contacts(account).await?;
        let mut contacts = Vec::with_capacity(stored.contacts.len());
        for (row, last) in stored.contacts {
            let target = open(&self.sealer, account, &row.id, &row.target)?;
            contacts.push(Contact {
                id: row.id,
                channel: row.channel,
                address: target.address,
                shown: row.shown,
                last,
            });
        }
        Ok(Book {
            version: stored.version,
            contacts,
        })
    }

    /// The latest changes of an account's contacts.
    pub async fn history(
        &self,
        account: &AccountId,
        limit: u32,
    ) -> store::Result<Vec<ContactLine>> {
        self.store.contact_history(account, limit).await
    }

    /// Adds a contact.
    pub async fn add(
        &self,
        change: Change,
        channel: Channel,
        address: &str,
    ) -> Result<Added, Error> {
        let (address, shown) = self.checked(channel, address.trim())?;
        let book = self.contacts(&change.account).await?;
        if book.version != change.seen {
            return Err(Error::Changed);
        }
        let same = |c: &&Contact| c.channel == channel;
        if book.contacts.iter().any(|c| *c.address.expose() == address) {
            return Err(Error::Known);
        }
        let most = match channel {
            Channel::Mail => MAILS,
            Channel::Webhook => WEBHOOKS,
        };
        if book.contacts.iter().filter(same).count() >= most {
            return Err(Error::TooMany { most });
        }
        let id: ContactId = new_id();
        let key = (channel == Channel::Webhook).then(webhook::new_key);
        let target = Target {
            address: Private::new(address),
            key: key.as_ref().map(|k| k.expose_secret().to_owned().into()),
        };
        let row = ContactRow {
            target: self.sealer.seal(&context(&change.account, &id), &target),
            id: id.clone(),
            channel,
            shown,
            added_at: clock::now(),
        };
        self.write(change, ContactChange::Add(row)).await?;
        Ok(Added { id, key })
    }

    /// Removes a contact; what waits to be told to it is dropped.
    pub async fn remove(&self, change: Change, id: ContactId) -> Result<(), Error> {
        self.write(change, ContactChange::Remove(id)).await
    }

    /// Sends a test notice to a contact.
    pub async fn test(&self, account: &AccountId, contact: &ContactId) -> Result<(), Error> {
        let now = clock::now();
        let links = self.store.links(std::slice::from_ref(account)).await?;
        let link = links.into_iter().next().ok_or(Error::Unknown)?;
        let notice = Notice {
            kind: NoticeKind::Test,
            reason: None,
            missing: Vec::new(),
            waiting: self.store.parked_calls(account).await?,
            since: link.since,
        };
        let new = NewNotice {
            id: new_id(),
            contact: contact.clone(),
            notice,
        };
        let since = now - BETWEEN_TESTS;
        match self.store.add_notice(account, &new, since, now).await? {
            Written::Yes => Ok(()),
            Written::Already => Err(Error::TooSoon),
            Written::Stale => Err(Error::Unknown),
        }
    }

    /// An address as it is kept, and as it is shown masked.
    fn checked(&self, channel: Channel, text: &str) -> Result<(String, String), Error> {
        match channel {
            Channel::Mail if !self.can_mail() => Err(Error::NoMail),
            Channel::Mail => {
                let address = mail::address(text).ok_or(Error::NoMailAddress)?.to_string();
                // Users' names are addresses mostly, and are masked in the same way.
                let shown = Username::new(address.clone()).to_string();
                Ok((address, shown))
            }
            Channel::Webhook => {
                let url = webhook::address(text, &self.config.trusted_hosts);
                let url = url.ok_or(Error::NoWebhookAddress)?;
                let shown = format!("{}/…", url.origin().ascii_serialization());
                Ok((url.into(), shown))
            }
        }
    }

    /// Writes a change.
    async fn write(&self, change: Change, what: ContactChange) -> Result<(), Error> {
        let change = ContactsChange {
            account: change.account,
            expected: change.seen,
            actor: change.actor,
            at: clock::now(),
            what,
        };
        match self.store.change_contacts(&change).await? {
            ContactsWrite::Stored => Ok(()),
            ContactsWrite::Changed => Err(Error::Changed),
            ContactsWrite::Unknown => Err(Error::Unknown),
        }
    }
}

/// Opens where a contact is told.
pub(super) fn open(
    sealer: &Sealer,
    account: &AccountId,
    id: &ContactId,
    target: &store::Sealed,
) -> Result<Target, sealing::Error> {
    sealer.open(&context(account, id), target, "contact")
}

/// A new id.
pub(super) fn new_id<T: std::str::FromStr<Err: std::fmt::Debug>>() -> T {
    let id = crypto::random_text();
    id.parse().expect("43 characters of base64url")
}

/// What binds a contact to its place.
fn context(account: &AccountId, id: &ContactId) -> Context {
    Context::Contact {
        account: account.clone(),
        id: id.clone(),
    }
}
