//! The shape of objects and their fields: what describe tells and what every write is checked against.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

/// The type of a field, with what only that type has.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// The record's own id.
    Id,
    /// The id of a record of one of these objects.
    Reference(&'static [&'static str]),
    Text,
    /// Long text: it cannot be filtered, grouped or sorted on.
    LongText,
    Phone,
    Email,
    Url,
    /// One of these values; any other is refused only where the picklist is restricted.
    Picklist(&'static [&'static str]),
    /// A picklist that also takes free text.
    Combobox,
    Boolean,
    Int,
    Double,
    Date,
    DateTime,
}

/// One field of an object.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent properties, as describe lists them"
)]
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) name: Arc<str>,
    pub(crate) label: String,
    pub(crate) kind: Kind,
    pub(crate) length: usize,
    /// The name that reaches through a reference, such as `Owner` for `OwnerId`.
    pub(crate) relationship: Option<Arc<str>>,
    pub(crate) createable: bool,
    pub(crate) updateable: bool,
    /// A record cannot be without it, and nothing fills it in.
    pub(crate) required: bool,
    pub(crate) restricted: bool,
    pub(crate) external_id: bool,
    pub(crate) unique: bool,
    pub(crate) default: Option<Value>,
}

impl Field {
    /// A field that can be created, updated and left empty.
    pub(crate) fn new(name: &str, kind: Kind, length: usize) -> Self {
        Self {
            name: name.into(),
            label: label(name),
            kind,
            length,
            relationship: None,
            createable: true,
            updateable: true,
            required: false,
            restricted: false,
            external_id: false,
            unique: false,
            default: None,
        }
    }

    pub(crate) fn text(name: &str, length: usize) -> Self {
        Self::new(name, Kind::Text, length)
    }

    pub(crate) fn long_text(name: &str, length: usize) -> Self {
        Self::new(name, Kind::LongText, length)
    }

    pub(crate) fn phone(name: &str) -> Self {
        Self::new(name, Kind::Phone, 40)
    }

    pub(crate) fn email(name: &str) -> Self {
        Self::new(name, Kind::Email, 80)
    }

    pub(crate) fn boolean(name: &str) -> Self {
        Self::new(name, Kind::Boolean, 0).default_to(false)
    }

    pub(crate) fn int(name: &str) -> Self {
        Self::new(name, Kind::Int, 0)
    }

    pub(crate) fn picklist(name: &str, values: &'static [&'static str]) -> Self {
        Self::new(name, Kind::Picklist(values), 255)
    }

    pub(crate) fn date_time(name: &str) -> Self {
        Self::new(name, Kind::DateTime, 0)
    }

    /// A reference named `…Id`, reached through as `…`.
    pub(crate) fn reference(name: &str, to: &'static [&'static str]) -> Self {
        let relationship = name.strip_suffix("Id").unwrap_or(name);
        Self {
            relationship: Some(relationship.into()),
            ..Self::new(name, Kind::Reference(to), 18)
        }
    }

    pub(crate) fn labelled(mut self, label: &str) -> Self {
        label.clone_into(&mut self.label);
        self
    }

    pub(crate) fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub(crate) fn restricted(mut self) -> Self {
        self.restricted = true;
        self
    }

    pub(crate) fn read_only(mut self) -> Self {
        self.createable = false;
        self.updateable = false;
        self
    }

    pub(crate) fn create_only(mut self) -> Self {
        self.updateable = false;
        self
    }

    pub(crate) fn default_to(mut self, value: impl Into<Value>) -> Self {
        self.default = Some(value.into());
        self
    }

    /// An External ID whose values are unique in the org, whatever their case.
    pub(crate) fn unique_external_id(mut self) -> Self {
        self.external_id = true;
        self.unique = true;
        self
    }

    pub(crate) fn is_custom(&self) -> bool {
        self.name.ends_with("__c")
    }

    /// Whether SOQL may filter, sort and group by it.
    pub(crate) fn is_filterable(&self) -> bool {
        self.kind != Kind::LongText
    }

    pub(crate) fn is_phone(&self) -> bool {
        self.kind == Kind::Phone
    }

    /// Whether the search index reads it.
    pub(crate) fn is_searched(&self) -> bool {
        matches!(
            self.kind,
            Kind::Text | Kind::LongText | Kind::Phone | Kind::Email | Kind::Combobox | Kind::Url
        )
    }
}

/// `CallDurationInSeconds` as "Call Duration In Seconds".
fn label(name: &str) -> String {
    let name = name.strip_suffix("__c").unwrap_or(name);
    let mut label = String::new();
    let mut previous = ' ';
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && previous.is_ascii_lowercase() {
            label.push(' ');
        }
        let letter = if letter == '_' { ' ' } else { letter };
        label.push(letter);
        previous = letter;
    }
    label
}

/// One object, such as `Task`.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) name: Arc<str>,
    pub(crate) prefix: [u8; 3],
    pub(crate) searchable: bool,
    pub(crate) writable: bool,
    fields: Vec<Field>,
}

impl Object {
    pub(crate) fn new(name: &str, prefix: [u8; 3], fields: Vec<Field>) -> Self {
        Self {
            name: name.into(),
            prefix,
            searchable: false,
            writable: false,
            fields,
        }
    }

    pub(crate) fn writable(mut self) -> Self {
        self.writable = true;
        self
    }

    pub(crate) fn searchable(mut self) -> Self {
        self.searchable = true;
        self
    }

    pub(crate) fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Finds a field; names are not case-sensitive.
    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        self.fields
            .iter()
            .find(|field| field.name.eq_ignore_ascii_case(name))
    }

    /// Finds the reference that is reached through as `relationship`.
    pub(crate) fn relationship(&self, relationship: &str) -> Option<&Field> {
        self.fields.iter().find(|field| {
            field
                .relationship
                .as_deref()
                .is_some_and(|name| name.eq_ignore_ascii_case(relationship))
        })
    }

    /// Adds a custom field, or replaces the field of that name.
    pub(crate) fn set_field(&mut self, field: Field) {
        self.remove_field(&field.name);
        self.fields.push(field);
    }

    pub(crate) fn remove_field(&mut self, name: &str) {
        self.fields
            .retain(|field| !field.name.eq_ignore_ascii_case(name));
    }
}

/// Records that point to a parent.
#[derive(Debug, Clone)]
pub(crate) struct Child<'s> {
    pub(crate) object: &'s str,
    /// The child's reference field.
    pub(crate) field: &'s str,
    /// What the parent calls them; nothing for owners and authors.
    pub(crate) relationship: Option<String>,
}

/// What a parent calls the records that point to it through a field.
fn child_relationship(object: &Object, field: &Field) -> Option<String> {
    match (&*object.name, &*field.name) {
        ("Task", "WhoId" | "WhatId") => Some("Tasks".to_owned()),
        ("Opportunity", "AccountId") => Some("Opportunities".to_owned()),
        ("Contact" | "Case", "AccountId" | "ContactId") => Some(format!("{}s", object.name)),
        _ => None,
    }
}

/// The objects of one org.
#[derive(Debug, Clone, Default)]
pub(crate) struct Schema {
    objects: BTreeMap<String, Object>,
}

impl Schema {
    pub(crate) fn new(objects: Vec<Object>) -> Self {
        let objects = objects
            .into_iter()
            .map(|object| (object.name.to_ascii_lowercase(), object))
            .collect();
        Self { objects }
    }

    /// Finds an object; names are not case-sensitive.
    pub(crate) fn object(&self, name: &str) -> Option<&Object> {
        self.objects.get(&name.to_ascii_lowercase())
    }

    pub(crate) fn object_mut(&mut self, name: &str) -> Option<&mut Object> {
        self.objects.get_mut(&name.to_ascii_lowercase())
    }

    /// Finds the object that an id belongs to.
    pub(crate) fn object_with_prefix(&self, prefix: [u8; 3]) -> Option<&Object> {
        self.objects.values().find(|object| object.prefix == prefix)
    }

    /// The children that a record of `parent` can have, as describe lists them.
    pub(crate) fn children<'s>(&'s self, parent: &'s str) -> impl Iterator<Item = Child<'s>> {
        self.objects.values().flat_map(move |object| {
            object.fields.iter().filter_map(move |field| {
                let Kind::Reference(to) = field.kind else {
                    return None;
                };
                to.contains(&parent).then(|| Child {
                    object: &object.name,
                    field: &field.name,
                    relationship: child_relationship(object, field),
                })
            })
        })
    }

    /// The children that a parent has under a name, such as `Contacts`.
    pub(crate) fn child<'s>(&'s self, parent: &'s str, relationship: &str) -> Option<Child<'s>> {
        self.children(parent).find(|child| {
            child
                .relationship
                .as_deref()
                .is_some_and(|name| name.eq_ignore_ascii_case(relationship))
        })
    }

    pub(crate) fn objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.values()
    }
}
