//! Who is told of a link.

use std::sync::Arc;

use vcc_link::domain::ids::ContactId;
use vcc_link::domain::link::Actor;
use vcc_link::domain::notice::Channel;
use vcc_link::store::contacts::{
    ContactChange, ContactEvent, ContactRow, ContactsChange, ContactsWrite, Version,
};
use vcc_link::store::{Sealed, Store};

use super::Harness;
use super::fixture::*;

/// A contact.
pub(crate) fn contact(id: &str) -> ContactRow {
    ContactRow {
        id: contact_id(id),
        channel: Channel::Mail,
        target: Sealed(format!("sealed {id}").into_bytes()),
        shown: format!("{id}***@acme.example"),
        added_at: at(0),
    }
}

pub(crate) fn contact_id(id: &str) -> ContactId {
    id.parse().expect("an id")
}

fn change(account: &str, expected: Version, what: ContactChange) -> ContactsChange {
    ContactsChange {
        account: account_id(account),
        expected,
        actor: Actor::Admin("ann".to_owned()),
        at: at(expected),
        what,
    }
}

/// Adds a contact to an account that has so many changes behind it.
pub(crate) async fn add(store: &dyn Store, account: &str, id: &str, expected: Version) {
    add_sealed(store, account, (id, contact(id).target), expected).await;
}

/// The same with a target of one's own.
pub(crate) async fn add_sealed(
    store: &dyn Store,
    account: &str,
    (id, target): (&str, Sealed),
    expected: Version,
) {
    let row = ContactRow {
        target,
        ..contact(id)
    };
    let change = change(account, expected, ContactChange::Add(row));
    let written = store.change_contacts(&change).await.expect("written");
    assert_eq!(written, ContactsWrite::Stored);
}

/// Of two changes of one state the second is refused, also at the same moment; each account has its
/// own.
pub(crate) async fn contacts_are_changed_one_by_one(harness: Arc<dyn Harness>) {
    let (store, other) = (harness.store(), harness.other().await);
    let account = account_id("acme");
    let none = store.contacts(&account).await.expect("read");
    assert_eq!((none.version, none.contacts.len()), (0, 0));
    let adds = ["one", "two"].map(|id| change("acme", 0, ContactChange::Add(contact(id))));
    let (here, there) = tokio::join!(
        store.change_contacts(&adds[0]),
        other.change_contacts(&adds[1])
    );
    let written = [here.expect("written"), there.expect("written")];
    assert!(written.contains(&ContactsWrite::Stored), "{written:?}");
    assert!(written.contains(&ContactsWrite::Changed), "{written:?}");
    add(&*store, "beta", "three", 0).await;
    let ahead = change("acme", 5, ContactChange::Add(contact("four")));
    let ahead = store.change_contacts(&ahead).await.expect("written");
    assert_eq!(ahead, ContactsWrite::Changed);
    let found = store.contacts(&account).await.expect("read");
    let [(row, last)] = found.contacts.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!((found.version, last), (1, &None));
    assert_eq!(*row, contact(row.id.as_str()));
}

/// What is removed is gone, but for its masked line of the history.
pub(crate) async fn a_removed_contact_leaves_a_line_only(harness: Arc<dyn Harness>) {
    let store = harness.store();
    add(&*store, "acme", "ops", 0).await;
    let remove = |expected, id| change("acme", expected, ContactChange::Remove(contact_id(id)));
    let write = async |change: ContactsChange| store.change_contacts(&change).await.expect("ok");
    assert_eq!(write(remove(1, "nobody")).await, ContactsWrite::Unknown);
    assert_eq!(write(remove(0, "ops")).await, ContactsWrite::Changed);
    assert_eq!(write(remove(1, "ops")).await, ContactsWrite::Stored);
    let account = account_id("acme");
    let left = store.contacts(&account).await.expect("read");
    assert_eq!((left.version, left.contacts.len()), (2, 0));
    let history = store.contact_history(&account, 9).await.expect("read");
    let told: Vec<_> = history.iter().map(|line| (line.event, line.at)).collect();
    let expected = [(ContactEvent::Removed, at(1)), (ContactEvent::Added, at(0))];
    assert_eq!(told, expected);
    assert_eq!(history[0].shown, "ops***@acme.example");
}
