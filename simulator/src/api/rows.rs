//! One record at a time: create, retrieve, update, delete.

use http::Method;
use serde_json::json;

use super::data::Ask;
use super::resource::Kind;
use super::{Answer, Reply, describe};
use crate::soql::ast::Path;
use crate::soql::plan::Scope;
use crate::soql::run::Reader;
use crate::world::id::Id;
use crate::world::refusal::Refusal;
use crate::world::transaction::Transaction;

/// `/sobjects/<object>`.
pub(crate) fn object(work: &mut Transaction<'_>, ask: &Ask, name: &str) -> Answer {
    ask.only(&[Method::GET, Method::POST])?;
    if ask.method == Method::GET {
        return describe::info(work, name);
    }
    let schema = work.schema();
    let object = work.object(&schema, name)?;
    let id = work.create(object, Kind::Create, &ask.object()?)?;
    let location = format!(
        "/services/data/{}/sobjects/{}/{id}",
        work.version, object.name
    );
    let body = json!({ "id": id, "success": true, "errors": [] });
    Ok(Reply::json(201, body)
        .with_header("Location", location)
        .with_rows(1))
}

/// `/sobjects/<object>/<id>`.
pub(crate) fn row(work: &mut Transaction<'_>, ask: &Ask, name: &str, id: &str) -> Answer {
    ask.only(&[Method::GET, Method::PATCH, Method::DELETE])?;
    let schema = work.schema();
    let object = work.object(&schema, name)?;
    let id = Id::parse(id)
        .filter(|id| id.prefix() == object.prefix)
        .ok_or_else(|| {
            let text =
                format!("Provided external ID field does not exist or is not accessible: {id}");
            Refusal::new(404, "NOT_FOUND", text)
        })?;
    if ask.method == Method::GET {
        return retrieve(work, ask, name, id);
    }
    if ask.method == Method::PATCH {
        let body = ask.object()?;
        work.update(object, Kind::Update, id, &body)
            .map_err(unknown_row)?;
    } else {
        work.delete(object, id).map_err(unknown_row)?;
    }
    Ok(Reply::empty(204).with_rows(1))
}

/// A row that is not there is no bad reference here, but a resource that does not exist.
pub(super) fn unknown_row(refusal: Refusal) -> Refusal {
    match refusal.status {
        404 if refusal.code == "INVALID_CROSS_REFERENCE_KEY" => Refusal::not_found(),
        _ => refusal,
    }
}

pub(super) fn retrieve(work: &mut Transaction<'_>, ask: &Ask, name: &str, id: Id) -> Answer {
    let schema = work.schema();
    let object = work.object(&schema, name)?;
    let scope = Scope {
        org: work.org,
        user: &work.user,
        object,
        alias: None,
        text: "",
    };
    let names: Vec<String> = match ask.parameter("fields") {
        Some(fields) => fields
            .split(',')
            .map(|name| name.trim().to_owned())
            .collect(),
        None => object
            .fields()
            .iter()
            .filter(|field| !work.user.is_hidden(&object.name, &field.name))
            .map(|field| field.name.to_string())
            .collect(),
    };
    let columns = names
        .into_iter()
        .map(|text| scope.column(&Path { text, at: 0 }))
        .collect::<Result<Vec<_>, _>>()?;
    let record = work.find(object, id).ok_or_else(Refusal::not_found)?;
    let reader = Reader {
        org: work.org,
        user: &work.user,
        version: &work.version,
    };
    Ok(Reply::ok(reader.row(record, &columns)).with_rows(1))
}
