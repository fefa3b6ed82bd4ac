//! Sharing and field-level security: what a user sees.

use super::org::{Org, User};
use super::schema::{Field, Object};
use super::table::Record;

/// Whether sharing shows a record to a user.
///
/// With private sharing a user sees what they own; View All Data sees all. There is no role
/// hierarchy and no sharing rule here.
pub(crate) fn is_visible(org: &Org, user: &User, object: &Object, record: &Record) -> bool {
    let private = match &*object.name {
        "Task" => org.switches.private_tasks,
        "Account" | "Contact" | "Lead" => org.switches.private_records,
        _ => false,
    };
    !private || user.settings.view_all_data || record.reference("OwnerId") == Some(user.id)
}

/// An object, if the user has it.
pub(crate) fn object<'o>(org: &'o Org, user: &User, name: &str) -> Option<&'o Object> {
    org.schema
        .object(name)
        .filter(|object| user.has_object(&object.name))
}

/// A field, if the object has it and field-level security does not hide it.
pub(crate) fn field<'o>(user: &User, object: &'o Object, name: &str) -> Option<&'o Field> {
    object
        .field(name)
        .filter(|field| !user.is_hidden(&object.name, &field.name))
}

/// Whether the user may create records of an object.
pub(crate) fn is_createable(user: &User, object: &Object) -> bool {
    object.writable
        && user.writes_object(&object.name)
        && (&*object.name != "Task" || user.settings.edit_tasks)
}
