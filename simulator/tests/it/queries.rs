//! SOQL over the wire: shapes, pages, permissions and refusals.

use serde_json::json;

use crate::harness::{API_USER, Org, object, read};

#[tokio::test]
async fn rows_come_with_attributes_parents_and_nulls() {
    let org = Org::start(json!({"records": [
        {"type": "Account", "Id": "001000000000001", "Name": "Big"},
        {"type": "Contact", "FirstName": "Ada", "LastName": "Lovelace", "AccountId": "001000000000001AAA"},
        {"type": "Contact", "LastName": "Alone"},
    ]}))
    .await;
    let rows = org
        .rows("SELECT Id, Name, Account.Name, Phone, CreatedDate FROM Contact ORDER BY Name")
        .await;
    let keys: Vec<&String> = rows[0].as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "attributes",
            "Id",
            "Name",
            "Account",
            "Phone",
            "CreatedDate"
        ]
    );
    assert_eq!(rows[0]["Name"], "Ada Lovelace");
    assert_eq!(rows[0]["Account"]["Name"], "Big");
    assert_eq!(rows[0]["Phone"], json!(null));
    assert_eq!(rows[1]["Account"], json!(null));
    assert!(
        rows[0]["CreatedDate"]
            .as_str()
            .unwrap()
            .ends_with(".000+0000")
    );
}

#[tokio::test]
async fn seeded_values_are_stored_as_written_ones_are() {
    let org = Org::start(json!({"records": [
        {"type": "Account", "Id": "001000000000001", "Name": "Big"},
        {"type": "Contact", "LastName": "Ada", "AccountId": "001000000000001",
         "LastModifiedDate": "2026-11-23T21:10:00Z"},
    ]}))
    .await;
    let rows = org
        .rows("SELECT AccountId, LastModifiedDate FROM Contact WHERE AccountId = '001000000000001AAA'")
        .await;
    assert_eq!(rows[0]["AccountId"], "001000000000001AAA");
    assert_eq!(rows[0]["LastModifiedDate"], "2026-11-23T21:10:00.000+0000");
    let wrong = vec![object(
        json!({"type": "Contact", "LastName": "Bo", "AccountId": "nobody"}),
    )];
    let error = org.control().add_records("Acme", wrong).unwrap_err();
    assert!(
        error.to_string().starts_with("Contact.AccountId: "),
        "{error}"
    );
}

#[tokio::test]
async fn an_object_may_have_another_name() {
    let org = Org::start(json!({"records": [
        {"type": "Account", "Id": "001000000000001", "Name": "Big"},
        {"type": "Contact", "LastName": "Ada", "AccountId": "001000000000001"},
    ]}))
    .await;
    for from in ["Contact c", "Contact AS c"] {
        let rows = org
            .rows(&format!(
                "SELECT c.Name, c.Account.Name FROM {from} WHERE c.LastName = 'Ada' ORDER BY c.Name"
            ))
            .await;
        assert_eq!(rows[0]["Name"], "Ada");
        assert_eq!(rows[0]["Account"]["Name"], "Big");
    }
}

#[tokio::test]
async fn answers_are_compressed_for_those_who_can_read_it() {
    let org = Org::start(json!({})).await;
    let plain = reqwest::Client::builder().no_gzip().build().unwrap();
    let url = format!("{}/services/data/", org.running.base_url());
    for (accepts, coding) in [
        ("gzip, deflate", Some("gzip")),
        ("gzip;q=0", None),
        ("br", None),
    ] {
        let request = plain.get(&url).header("accept-encoding", accepts);
        let response = request.send().await.unwrap();
        let told = response.headers().get("content-encoding").cloned();
        assert_eq!(told.as_ref().map(|told| told.to_str().unwrap()), coding);
        let is_zipped = response.bytes().await.unwrap().starts_with(&[0x1f, 0x8b]);
        assert_eq!(is_zipped, coding.is_some(), "{accepts}");
    }
    let (status, body) = read(org.client.get(&url).send().await.unwrap()).await;
    assert_eq!((status, body.is_array()), (200, true));
}

#[tokio::test]
async fn conditions_select_what_they_say() {
    let tasks: Vec<_> = (0..6)
        .map(|n| json!({"type": "Task", "CallObject": format!("call-{}", n / 2), "CallDurationInSeconds": n,
            "Status": if n == 0 { "Deferred" } else { "Completed" }}))
        .collect();
    let org = Org::start(json!({ "records": tasks })).await;
    for (condition, expected) in [
        ("CallObject = 'CALL-1'", 2),
        ("CallObject IN ('call-0', 'call-2')", 4),
        ("CallObject NOT IN ('call-0')", 4),
        ("CallObject LIKE 'call-_' AND CallDurationInSeconds >= 4", 2),
        ("NOT (CallObject LIKE '%1' OR CallObject LIKE '%2')", 2),
        ("IsClosed = false", 1),
        ("WhoId = null", 6),
        ("WhoId != null", 0),
        (
            "CreatedDate > 2020-01-01T00:00:00Z AND CreatedDate < 2020-01-02T00:00:00.000+0000",
            0,
        ),
        ("Owner.Name LIKE 'api %'", 6),
    ] {
        let rows = org
            .rows(&format!("SELECT Id FROM Task WHERE {condition}"))
            .await;
        assert_eq!(rows.len(), expected, "{condition}");
    }
    let (_, body) = org
        .query("SELECT COUNT() FROM Task WHERE CallObject = 'call-1'")
        .await;
    assert_eq!(body, json!({"totalSize": 2, "done": true, "records": []}));
    let groups = org
        .rows("SELECT CallObject, COUNT(Id) FROM Task GROUP BY CallObject HAVING COUNT(Id) > 1")
        .await;
    assert_eq!(
        groups[0],
        json!({"attributes": {"type": "AggregateResult"}, "CallObject": "call-0", "expr0": 2})
    );
    assert_eq!(groups.len(), 3);
}

#[tokio::test]
async fn refusals_name_place_and_reason() {
    let org = Org::start(json!({})).await;
    for (soql, code, end) in [
        (
            "SELECT Foo FROM Task",
            "INVALID_FIELD",
            "ERROR at Row:1:Column:8\nNo such column 'Foo' on entity 'Task'. If you are attempting to use a custom field, be sure to append the '__c' after the custom field name. Please reference your WSDL or the describe call for the appropriate names.",
        ),
        (
            "SELECT Id FROM Bar",
            "INVALID_TYPE",
            "sObject type 'Bar' is not supported. If you are attempting to use a custom object, be sure to append the '__c' after the entity name. Please reference your WSDL or the describe call for the appropriate names.",
        ),
        (
            "SELECT Id FROM Task WHERE",
            "MALFORMED_QUERY",
            "unexpected token: '<EOF>'",
        ),
        (
            "SELECT Id FROM Task WHERE Description = 'x'",
            "INVALID_FIELD",
            "field 'Description' can not be filtered in a query call",
        ),
        (
            "SELECT Id FROM Task WHERE CreatedDate > '2026-01-01T00:00:00Z'",
            "INVALID_FIELD",
            "must be of type dateTime and should not be enclosed in quotes",
        ),
        (
            "SELECT Id FROM Task WHERE Id = 'nonsense'",
            "INVALID_QUERY_FILTER_OPERATOR",
            "invalid ID field: nonsense",
        ),
        (
            "SELECT Id FROM PermissionSetAssignment",
            "INVALID_TYPE",
            "for the appropriate names.",
        ),
    ] {
        let (status, body) = org.query(soql).await;
        assert_eq!(
            (status, &body[0]["errorCode"]),
            (400, &json!(code)),
            "{soql}"
        );
        let message = body[0]["message"].as_str().unwrap();
        assert!(message.ends_with(end), "{soql}: {message}");
    }
}

#[tokio::test]
async fn large_results_come_in_pages() {
    let org = Org::start(json!({"generate": {"contacts": 4_500}})).await;
    let (_, mut body) = org.query("SELECT Id FROM Contact").await;
    let mut sizes = vec![];
    loop {
        assert_eq!(body["totalSize"], 4_500);
        sizes.push(body["records"].as_array().unwrap().len());
        let Some(next) = body["nextRecordsUrl"].as_str() else {
            break;
        };
        let url = format!("{}{next}", org.running.base_url());
        let request = org.client.get(url).bearer_auth(&org.token);
        body = read(request.send().await.unwrap()).await.1;
    }
    assert_eq!(sizes, [2_000, 2_000, 500]);
    let (status, body) = org.get("query/01g000000000001AAA-2000").await;
    assert_eq!(
        (status, &body[0]["errorCode"]),
        (400, &json!("INVALID_QUERY_LOCATOR"))
    );
}

#[tokio::test]
async fn only_query_all_shows_what_was_deleted() {
    let org = Org::start(json!({})).await;
    let id = org.create(json!({"CallObject": "call"})).await;
    org.control().delete_task(&id).unwrap();
    let soql = "SELECT Id, IsDeleted FROM Task WHERE CallObject = 'call'";
    assert_eq!(org.rows(soql).await.len(), 0);
    let (_, body) = org.ask("queryAll", soql).await;
    assert_eq!(body["records"][0]["IsDeleted"], true);
    assert_eq!(org.control().tasks(None).unwrap().len(), 1);
}

#[tokio::test]
async fn describe_shows_what_the_user_may() {
    let org = Org::start(json!({"task_external_id_field": "VCC_Call_Key__c"})).await;
    let (_, task) = org.get("sobjects/Task/describe").await;
    let field = |task: &serde_json::Value, name: &str| {
        let fields = task["fields"].as_array().unwrap().iter();
        fields.clone().find(|field| field["name"] == name).cloned()
    };
    assert_eq!(task["createable"], true);
    let key = field(&task, "VCC_Call_Key__c").unwrap();
    assert_eq!(
        (&key["externalId"], &key["unique"], &key["length"]),
        (&json!(true), &json!(true), &json!(255))
    );
    assert_eq!(
        field(&task, "CallType").unwrap()["restrictedPicklist"],
        true
    );

    let less = json!({"edit_tasks": false, "hidden_fields": ["Task.CallDisposition"], "hidden_objects": ["Lead"]});
    org.control().patch_user(API_USER, object(less)).unwrap();
    let (_, task) = org.get("sobjects/Task/describe").await;
    assert_eq!(task["createable"], false);
    assert_eq!(field(&task, "CallDisposition"), None);
    let (status, body) = org.get("sobjects/Lead/describe").await;
    assert_eq!((status, &body[0]["errorCode"]), (404, &json!("NOT_FOUND")));
    let rows = org
        .rows("SELECT Profile.PermissionsApiUserOnly, Profile.PermissionsEditTask FROM User WHERE Username = 'api@acme.example'")
        .await;
    assert_eq!(rows[0]["Profile"]["PermissionsApiUserOnly"], true);
    assert_eq!(rows[0]["Profile"]["PermissionsEditTask"], false);
}
