//! `/composite/graph`: several composites in one request, each of which happens whole or not at all.

use std::collections::HashSet;

use http::Method;
use serde_json::{Value, json};

use super::composite::{Subrequest, all_or_nothing, shown, subrequest};
use super::data::Ask;
use super::resource::Target;
use super::{Answer, Reply};
use crate::world::refusal::Refusal;
use crate::world::transaction::Transaction;

/// Graphs of a request, and nodes of all of them together.
const MOST_GRAPHS: usize = 75;
const MOST_NODES: usize = 500;

/// `POST /composite/graph`. The outer answer is 200 even when graphs fail.
pub(crate) fn run(work: &mut Transaction<'_>, ask: &Ask) -> Answer {
    ask.only(&[Method::POST])?;
    let body = ask.object()?;
    let graphs = body
        .get("graphs")
        .and_then(Value::as_array)
        .ok_or_else(|| Refusal::json("The request body must have an array \"graphs\""))?;
    let graphs = graphs.iter().map(graph).collect::<Result<Vec<_>, _>>()?;
    check(&graphs)?;
    let mut rows = 0;
    let mut answers = Vec::new();
    for (id, requests) in graphs {
        let (results, failed) = all_or_nothing(work, requests, in_a_graph);
        rows += results.iter().map(|(_, reply)| reply.rows).sum::<usize>();
        let results = results
            .into_iter()
            .map(|(reference, reply)| shown(&reference, reply));
        answers.push(json!({
            "graphId": id,
            "graphResponse": { "compositeResponse": results.collect::<Vec<_>>() },
            "isSuccessful": !failed,
        }));
    }
    Ok(Reply::ok(json!({ "graphs": answers })).with_rows(rows))
}

/// A graph's name and its nodes.
fn graph(graph: &Value) -> Result<(String, Vec<Subrequest>), Refusal> {
    let id = graph["graphId"]
        .as_str()
        .ok_or_else(|| Refusal::json("A graph needs its \"graphId\""))?;
    let nodes = graph["compositeRequest"]
        .as_array()
        .ok_or_else(|| Refusal::json("A graph needs an array \"compositeRequest\""))?
        .iter()
        .enumerate()
        .map(|(place, request)| subrequest(place, request))
        .collect::<Result<_, _>>()?;
    Ok((id.to_owned(), nodes))
}

fn check(graphs: &[(String, Vec<Subrequest>)]) -> Result<(), Refusal> {
    let exceeded = |text: String| Err(Refusal::new(400, "LIMIT_EXCEEDED", text));
    if graphs.len() > MOST_GRAPHS {
        return exceeded(format!(
            "Limit of {MOST_GRAPHS} graphs exceeded: {}",
            graphs.len()
        ));
    }
    let nodes: usize = graphs.iter().map(|(_, nodes)| nodes.len()).sum();
    if nodes > MOST_NODES {
        return exceeded(format!("Limit of {MOST_NODES} nodes exceeded: {nodes}"));
    }
    let mut names = HashSet::new();
    match graphs.iter().find(|(id, _)| !names.insert(id)) {
        Some((id, _)) => {
            let text = format!("Duplicate graphId: {id}");
            Err(Refusal::new(400, "INVALID_INPUT", text))
        }
        None => Ok(()),
    }
}

/// Graphs reach records and nothing else.
fn in_a_graph(target: &Target) -> bool {
    matches!(
        target,
        Target::Object { .. } | Target::Row { .. } | Target::External(_)
    )
}
