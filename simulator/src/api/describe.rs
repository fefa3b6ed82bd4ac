//! What the caller may see and do: global describe, describe.

use serde_json::{Value, json};

use super::{Answer, Reply};
use crate::world::access;
use crate::world::org::User;
use crate::world::schema::{Field, Kind, Object, Schema};
use crate::world::transaction::Transaction;

/// `GET /sobjects`.
pub(crate) fn global(work: &Transaction<'_>) -> Reply {
    let objects: Vec<Value> = work
        .org
        .schema
        .objects()
        .filter(|object| work.user.has_object(&object.name))
        .map(|object| summary(work, object))
        .collect();
    Reply::ok(json!({ "encoding": "UTF-8", "maxBatchSize": 200, "sobjects": objects }))
}

/// `GET /sobjects/<object>`.
pub(crate) fn info(work: &Transaction<'_>, name: &str) -> Answer {
    let schema = work.schema();
    let object = work.object(&schema, name)?;
    Ok(Reply::ok(
        json!({ "objectDescribe": summary(work, object), "recentItems": [] }),
    ))
}

/// `GET /sobjects/<object>/describe`: 404 for an object that the user does not have.
pub(crate) fn object(work: &Transaction<'_>, name: &str) -> Answer {
    let schema = work.schema();
    let object = work.object(&schema, name)?;
    let mut body = summary(work, object);
    let fields: Vec<Value> = object
        .fields()
        .iter()
        .filter(|field| !work.user.is_hidden(&object.name, &field.name))
        .map(|field| field_as_json(&work.user, object, field))
        .collect();
    body["fields"] = Value::Array(fields);
    body["childRelationships"] = children(work, &schema, object);
    body["recordTypeInfos"] = json!([{
        "active": true,
        "available": true,
        "defaultRecordTypeMapping": true,
        "developerName": "Master",
        "master": true,
        "name": "Master",
        "recordTypeId": "012000000000000AAA",
    }]);
    Ok(Reply::ok(body))
}

/// The objects that point here; those that the user does not have are left out.
fn children(work: &Transaction<'_>, schema: &Schema, object: &Object) -> Value {
    schema
        .children(&object.name)
        .filter(|child| work.user.has_object(child.object))
        .filter(|child| !work.user.is_hidden(child.object, child.field))
        .map(|child| {
            json!({
                "cascadeDelete": false,
                "childSObject": child.object,
                "deprecatedAndHidden": false,
                "field": child.field,
                "junctionIdListNames": [],
                "junctionReferenceTo": [],
                "relationshipName": child.relationship,
                "restrictedDelete": false,
            })
        })
        .collect()
}

fn summary(work: &Transaction<'_>, object: &Object) -> Value {
    let writable = access::is_createable(&work.user, object);
    let base = format!("/services/data/{}/sobjects/{}", work.version, object.name);
    json!({
        "activateable": false,
        "createable": writable,
        "custom": object.name.ends_with("__c"),
        "customSetting": false,
        "deletable": writable,
        "deprecatedAndHidden": false,
        "feedEnabled": false,
        "hasSubtypes": false,
        "isSubtype": false,
        "keyPrefix": String::from_utf8_lossy(&object.prefix),
        "label": &*object.name,
        "labelPlural": format!("{}s", object.name),
        "layoutable": true,
        "mergeable": matches!(&*object.name, "Account" | "Contact" | "Lead"),
        "mruEnabled": writable,
        "name": &*object.name,
        "queryable": true,
        "replicateable": true,
        "retrieveable": true,
        "searchable": object.searchable,
        "triggerable": writable,
        "undeletable": writable,
        "updateable": writable,
        "urls": {
            "sobject": base,
            "describe": format!("{base}/describe"),
            "rowTemplate": format!("{base}/{{ID}}"),
        },
    })
}

fn field_as_json(user: &User, object: &Object, field: &Field) -> Value {
    let writable = access::is_createable(user, object);
    let filterable = field.is_filterable();
    let (to, relationship) = match field.kind {
        Kind::Reference(to) => (to, field.relationship.as_deref()),
        _ => (&[] as &[&str], None),
    };
    json!({
        "aggregatable": filterable,
        "autoNumber": false,
        "byteLength": field.length * 3,
        "calculated": false,
        "caseSensitive": false,
        "createable": writable && field.createable && !user.is_read_only(&object.name, &field.name),
        "custom": field.is_custom(),
        "defaultValue": field.default,
        "compoundFieldName": null,
        "controllerName": null,
        "defaultValueFormula": null,
        "dependentPicklist": false,
        "deprecatedAndHidden": false,
        "defaultedOnCreate": field.default.is_some() || &*field.name == "OwnerId",
        "digits": if field.kind == Kind::Int { 8 } else { 0 },
        "externalId": field.external_id,
        "filterable": filterable,
        "groupable": filterable,
        "htmlFormatted": false,
        "idLookup": field.external_id || field.kind == Kind::Id,
        "label": field.label,
        "length": field.length,
        "name": &*field.name,
        "namePointing": to.len() > 1,
        "nameField": &*field.name == "Name",
        "nillable": !field.required && field.default.is_none() && field.kind != Kind::Id,
        "permissionable": field.createable,
        "picklistValues": picklist(field),
        "precision": if field.kind == Kind::Double { 18 } else { 0 },
        "polymorphicForeignKey": to.len() > 1,
        "referenceTo": to,
        "relationshipName": relationship,
        "restrictedPicklist": field.restricted,
        "scale": if field.kind == Kind::Double { 2 } else { 0 },
        "soapType": soap_type(&field.kind),
        "sortable": filterable,
        "type": type_name(&field.kind),
        "unique": field.unique,
        "updateable": writable && field.updateable && !user.is_read_only(&object.name, &field.name),
    })
}

fn picklist(field: &Field) -> Vec<Value> {
    let Kind::Picklist(values) = field.kind else {
        return Vec::new();
    };
    let entry = |value: &&str| {
        json!({
            "active": true,
            "defaultValue": field.default.as_ref().and_then(Value::as_str) == Some(value),
            "label": value,
            "validFor": null,
            "value": value,
        })
    };
    values.iter().map(entry).collect()
}

fn type_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Id => "id",
        Kind::Reference(_) => "reference",
        Kind::Text => "string",
        Kind::LongText => "textarea",
        Kind::Phone => "phone",
        Kind::Email => "email",
        Kind::Url => "url",
        Kind::Picklist(_) => "picklist",
        Kind::Combobox => "combobox",
        Kind::Boolean => "boolean",
        Kind::Int => "int",
        Kind::Double => "double",
        Kind::Date => "date",
        Kind::DateTime => "datetime",
    }
}

fn soap_type(kind: &Kind) -> &'static str {
    match kind {
        Kind::Id | Kind::Reference(_) => "tns:ID",
        Kind::Boolean => "xsd:boolean",
        Kind::Int => "xsd:int",
        Kind::Double => "xsd:double",
        Kind::Date => "xsd:date",
        Kind::DateTime => "xsd:dateTime",
        _ => "xsd:string",
    }
}
