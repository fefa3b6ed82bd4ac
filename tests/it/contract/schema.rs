//! The Protobuf schema → JSON Schema 2020-12. Comments become descriptions; "Required." at the end
//! of a field's comment makes it required.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};
use serde_json::{Map, Value, json};

use super::EventType;

/// A message with its comments.
struct Described {
    message: DescriptorProto,
    /// Of the message.
    comment: String,
    /// Of its fields, by their order.
    fields: Vec<String>,
    /// Of its enum's values, where it only wraps one.
    values: Vec<String>,
}

/// The messages of the contract, by their names.
fn messages() -> BTreeMap<String, Described> {
    let bytes = vcc_link::kafka::wire::DESCRIPTORS;
    let set = FileDescriptorSet::decode(bytes).expect("the descriptors are Protobuf");
    let ours = set
        .file
        .iter()
        .filter(|f| f.package() == "vcc.link.v1")
        .flat_map(|file| {
            let comments = comments(file);
            file.message_type
                .iter()
                .enumerate()
                .map(move |(index, message)| {
                    let index = i32::try_from(index).expect("few messages");
                    let comment = |rest: &[i32]| {
                        let path: Vec<i32> = [4, index].iter().chain(rest).copied().collect();
                        comments.get(&path).cloned().unwrap_or_default()
                    };
                    let of = |kind: &[i32], count: usize| {
                        let each = (0..i32::try_from(count).expect("few")).map(|n| {
                            let path: Vec<i32> = kind.iter().chain([&n]).copied().collect();
                            comment(&path)
                        });
                        each.collect()
                    };
                    let values = message.enum_type.first().map_or(0, |e| e.value.len());
                    let described = Described {
                        message: message.clone(),
                        comment: comment(&[]),
                        fields: of(&[2], message.field.len()),
                        values: of(&[4, 0, 2], values),
                    };
                    (message.name().to_owned(), described)
                })
                .collect::<Vec<_>>()
        });
    ours.collect()
}

/// The leading comments of a file, by path.
fn comments(file: &prost_types::FileDescriptorProto) -> BTreeMap<Vec<i32>, String> {
    let info = file.source_code_info.as_ref().expect("comments are kept");
    let each = info.location.iter().filter_map(|location| {
        let words: Vec<&str> = location.leading_comments().split_whitespace().collect();
        (!words.is_empty()).then(|| (location.path.clone(), words.join(" ")))
    });
    each.collect()
}

/// The schema of an event's data.
pub(crate) fn of(event: EventType) -> Value {
    let messages = messages();
    let mut needed = BTreeSet::new();
    let mut schema = Map::new();
    let dialect = "https://json-schema.org/draft/2020-12/schema";
    schema.insert("$schema".into(), dialect.into());
    schema.insert("$id".into(), format!("urn:vcc-link:{}", event.name).into());
    schema.insert("title".into(), event.name.into());
    schema.extend(object(&messages[event.message], &mut needed));
    let mut definitions = Map::new();
    while let Some(name) = needed.pop_first() {
        if !definitions.contains_key(&name) {
            let definition = object(&messages[&name], &mut needed);
            definitions.insert(name, definition.into());
        }
    }
    if !definitions.is_empty() {
        schema.insert("$defs".into(), definitions.into());
    }
    schema.into()
}

/// The first sentence of what a type's data is.
pub(crate) fn summary(event: EventType) -> String {
    let comment = messages()[event.message].comment.clone();
    let told = comment.split_once(": ").map_or(&*comment, |(_, rest)| rest);
    let told = told.split_once(". ").map_or(told, |(first, _)| first);
    let mut letters = told.trim_end_matches('.').chars();
    let first = letters.next().expect("each type has a comment");
    first.to_uppercase().chain(letters).collect()
}

/// A message as an object.
fn object(described: &Described, needed: &mut BTreeSet<String>) -> Map<String, Value> {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (field, comment) in described.message.field.iter().zip(&described.fields) {
        let name = field.json_name().to_owned();
        let description = match comment.strip_suffix("Required.") {
            Some(rest) => {
                required.push(Value::from(name.clone()));
                rest.trim_end()
            }
            None => comment,
        };
        let mut schema = property(field, &described.message, needed);
        if !description.is_empty() {
            schema.insert("description".into(), description.into());
        }
        properties.insert(name, schema.into());
    }
    let mut object = Map::new();
    object.insert("type".into(), "object".into());
    if !described.comment.is_empty() {
        object.insert("description".into(), described.comment.clone().into());
    }
    object.insert("properties".into(), properties.into());
    if !required.is_empty() {
        object.insert("required".into(), required.into());
    }
    object
}

/// A field.
fn property(
    field: &FieldDescriptorProto,
    message: &DescriptorProto,
    needed: &mut BTreeSet<String>,
) -> Map<String, Value> {
    let one = single(field, needed);
    if field.label() != Label::Repeated {
        return one;
    }
    let entry = field.type_name().rsplit('.').next().unwrap_or_default();
    let map = message.nested_type.iter().find(|n| n.name() == entry);
    let schema = if map.is_some() {
        needed.remove(entry);
        json!({ "type": "object", "additionalProperties": { "type": "string" } })
    } else {
        json!({ "type": "array", "items": one })
    };
    let Value::Object(schema) = schema else {
        unreachable!("an object");
    };
    schema
}

/// A field's one value.
fn single(field: &FieldDescriptorProto, needed: &mut BTreeSet<String>) -> Map<String, Value> {
    let schema = match field.r#type() {
        Type::String => json!({ "type": "string" }),
        Type::Bool => json!({ "type": "boolean" }),
        Type::Int32 => json!({ "type": "integer" }),
        Type::Uint32 => json!({ "type": "integer", "minimum": 0 }),
        // By Protobuf's canonical mapping: text, as many readers of JSON cannot hold 64 bits.
        Type::Int64 | Type::Uint64 => {
            json!({ "type": ["string", "integer"], "pattern": "^-?[0-9]+$" })
        }
        Type::Enum => return choice(field.type_name()),
        Type::Message if field.type_name() == ".google.protobuf.Timestamp" => {
            json!({ "type": "string", "format": "date-time" })
        }
        Type::Message => {
            let name = field.type_name().rsplit('.').next().expect("a name");
            needed.insert(name.to_owned());
            json!({ "$ref": format!("#/$defs/{name}") })
        }
        other => panic!("the contract has no fields of type {other:?} yet"),
    };
    let Value::Object(schema) = schema else {
        unreachable!("an object");
    };
    schema
}

/// An enum: a message of its name wraps it, so that its values are plain words.
fn choice(type_name: &str) -> Map<String, Value> {
    let name = type_name.rsplit('.').nth(1).expect("wrapped in a message");
    let described = &messages()[name];
    let values = &described.message.enum_type[0].value;
    let meanings = values
        .iter()
        .zip(&described.values)
        .filter(|(v, _)| v.number() != 0);
    let choices =
        meanings.map(|(value, meaning)| json!({ "const": value.name(), "description": meaning }));
    let mut schema = Map::new();
    schema.insert("type".into(), "string".into());
    schema.insert("oneOf".into(), choices.collect::<Vec<_>>().into());
    schema
}
