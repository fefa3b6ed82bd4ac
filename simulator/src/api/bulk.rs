//! The Bulk APIs, which are not played: what an org says in which they are switched off.

use serde_json::json;

use super::{Reply, Request};
use crate::world::refusal::Refusal;

const TEXT: &str = "Bulk API is not enabled: the simulator does not play it";

/// `/services/async/…`, the first Bulk API.
pub(crate) fn off(request: &Request) -> Reply {
    let json = request
        .header("content-type")
        .is_some_and(|content_type| content_type.contains("json"));
    if json {
        let body = json!({ "exceptionCode": "FeatureNotEnabled", "exceptionMessage": TEXT });
        return Reply::json(400, body);
    }
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><error xmlns=\"http://www.force.com/2009/06/asyncapi/dataload\">\
         <exceptionCode>FeatureNotEnabled</exceptionCode><exceptionMessage>{TEXT}</exceptionMessage></error>"
    );
    Reply::text(400, "application/xml", body)
}

/// `/jobs/…`, Bulk API 2.0.
pub(crate) fn off_2() -> Refusal {
    Refusal::new(400, "FEATURENOTENABLED", TEXT)
}
