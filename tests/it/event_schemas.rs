//! Schemas of event types: registered, enforced at every door, changed only to be wider.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::shape::expect_shape;
use crate::support::{Answer, App, Caller, unique, until, until_some};

async fn put(caller: &Caller, path: &str, headers: &[(&str, &str)], schema: &Value) -> Answer {
    let headers = [&[("content-type", "application/schema+json")], headers].concat();
    caller.send(Method::PUT, path, &headers, schema.to_string()).await
}

fn needs_an_amount() -> Value {
    json!({"properties": {"details": {
        "required": ["amount"],
        "properties": {"amount": {"type": "integer"}, "note": {"type": "string", "maxLength": 10}}
    }}, "required": ["details"]})
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_a_type_satisfy_its_schema_from_then_on() {
    let app = App::shared().await;
    let (acme, other) = (app.tenant("schemas").await, app.tenant("no-schemas").await);
    let bad =
        json!({"event_type": "invoice.sent", "details": {"amount": "much", "note": "secret-and-too-long"}});
    acme.take(&bad).await;
    let path = "/api/v1/schemas/invoice.sent";
    let made = put(&acme, path, &[], &needs_an_amount()).await;
    let tag = made.header("etag").unwrap();
    assert!(tag.starts_with("\"1-"), "{tag}");
    let mut shown = made.expect(201);
    assert_eq!(shown["schema"], needs_an_amount());
    shown["schema"] = Value::Null;
    expect_shape(&shown, "getSchema");

    let refused = acme.post("/api/v1/logs", &bad).await;
    let mut fields = refused.fields(422);
    fields.sort();
    assert_eq!(fields, ["/details/amount", "/details/note"]);
    assert!(
        !refused.text().contains("secret-and"),
        "values are not repeated: {}",
        refused.text()
    );
    assert_eq!(
        acme.post("/api/v1/logs", &json!({"event_type": "invoice.sent"}))
            .await
            .fields(422),
        [""]
    );
    acme.take(&json!({"event_type": "invoice.sent", "details": {"amount": 7}}))
        .await;
    // The same by the form in which it comes: flat fields, CloudEvents, bulk.
    let flat = json!({"event_type": "invoice.sent", "user_id": "u", "metadata": {"amount": "x"}});
    assert_eq!(
        acme.post("/api/v1/logs", &flat).await.fields(422),
        ["/details/amount"]
    );
    let batch = json!([{"event_type": "invoice.sent", "details": {"amount": 1}}, bad, {"event_type": "invoice.paid"}]);
    let bulk = acme.post("/api/v1/logs/bulk", &batch).await.expect(207);
    let statuses: Vec<_> = bulk["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| &item["status"])
        .collect();
    assert_eq!(statuses, [201, 422, 201]);
    // Another type, and another tenant, are as free as before.
    acme.take(&json!({"event_type": "invoice.paid", "details": {"amount": "x"}}))
        .await;
    other.take(&bad).await;

    let parameters = acme.get(&format!("{path}?tenant_id={}", other.tenant)).await;
    parameters.problem(403);
    let theirs = other.get(path).await.problem(404);
    assert_eq!(theirs, other.get("/api/v1/schemas/nothing").await.problem(404));
    assert_eq!(other.send(Method::DELETE, path, &[], "").await.status, 404);
    assert_eq!(acme.send(Method::DELETE, path, &[], "").await.status, 204);
    acme.take(&bad).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_producers_write_is_held_to_it_as_well() {
    let app = App::shared().await;
    let inbox = app.named_tenant("inbox-b").await;
    let kind = unique("inbox.deed");
    let schema = json!({"properties": {"details": {"required": ["n"]}}, "required": ["details"]});
    put(&inbox, &format!("/api/v1/schemas/{kind}"), &[], &schema)
        .await
        .expect(201);
    let (good, bad) = (unique("good"), unique("bad"));
    for (id, details) in [(&bad, json!({"m": 1})), (&good, json!({"n": 1}))] {
        let record = json!({"event_id": id, "event_type": kind, "details": details}).to_string();
        app.produce(
            "audit.inbox",
            id.as_bytes(),
            record.as_bytes(),
            &[("tenant", "inbox-b")],
        )
        .await;
    }
    inbox.arrives(&good).await;
    let rejected = until_some("the other is kept with the reason", async || {
        let all = app.rejected("inbox-b").await;
        all.into_iter().find(|record| record.to_string().contains(&bad))
    })
    .await;
    assert_eq!(rejected["reason"], "invalid", "{rejected}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_next_version_takes_what_the_last_one_took_unless_it_is_forced() {
    let app = App::shared().await;
    let acme = app.tenant("versions").await;
    let path = "/api/v1/schemas/order.made";
    put(&acme, path, &[], &needs_an_amount()).await.expect(201);
    let same = put(&acme, path, &[], &needs_an_amount()).await.expect(200);
    assert_eq!(same["version"], 1, "nothing new is no version");

    let mut wider = needs_an_amount();
    wider["properties"]["details"]["properties"]["amount"]["type"] = json!(["integer", "null"]);
    let first = acme.get(path).await.header("etag").unwrap().to_owned();
    let wider_made = put(&acme, path, &[("if-match", &first)], &wider)
        .await
        .expect(200);
    assert_eq!(wider_made["version"], 2);
    let mut narrower = wider.clone();
    narrower["properties"]["details"]["required"] = json!(["amount", "currency"]);
    narrower["properties"]["details"]["additionalProperties"] = json!(false);
    let refused = put(&acme, path, &[], &narrower).await;
    assert_eq!(
        refused.fields(422),
        [
            "/properties/details/required",
            "/properties/details/additionalProperties"
        ]
    );
    let problem = refused.problem(422);
    assert!(problem["type"].as_str().unwrap().ends_with("incompatible_schema"));
    expect_shape(&problem, "incompatible-schema");
    // Who has seen an older version is told so first.
    put(&acme, path, &[("if-match", &first)], &narrower)
        .await
        .problem(412);
    put(&acme, path, &[("if-none-match", "*")], &wider)
        .await
        .problem(412);
    let forced = put(&acme, &format!("{path}?force=true"), &[], &narrower)
        .await
        .expect(200);
    assert_eq!(forced["version"], 3);
    let older = acme.get(&format!("{path}?version=1")).await.expect(200);
    assert_eq!(
        (&older["schema"], &older["newest_version"]),
        (&needs_an_amount(), &json!(3))
    );
    acme.get(&format!("{path}?version=9")).await.problem(404);
    until("the newest holds", async || {
        let event = json!({"event_type": "order.made", "details": {"amount": 1}});
        acme.post("/api/v1/logs", &event).await.status == 422
    })
    .await;
    let listed = acme.get("/api/v1/schemas").await.expect(200);
    expect_shape(&listed, "listSchemas");
    assert_eq!(listed["data"][0]["version"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_is_deleted_and_put_again_is_another_one() {
    let app = App::shared().await;
    let acme = app.tenant("schemas-again").await;
    let path = "/api/v1/schemas/order.made";
    let none = put(&acme, path, &[("if-match", "*")], &json!({"required": ["actor"]})).await;
    none.problem(412);
    acme.get(path).await.problem(404);
    let first = put(&acme, path, &[], &json!({"required": ["actor"]})).await;
    assert_eq!(first.expect(201)["version"], 1);
    assert_eq!(acme.send(Method::DELETE, path, &[], "").await.status, 204);
    let second = put(&acme, path, &[], &json!({"required": ["resource"]})).await;
    assert_eq!(second.expect(201)["version"], 1);
    let seen = first.header("etag").unwrap();
    put(
        &acme,
        path,
        &[("if-match", seen)],
        &json!({"required": ["actor"]}),
    )
    .await
    .problem(412);
    let not_this = [("if-none-match", seen)];
    let shown = acme.send(Method::GET, path, &not_this, "").await.expect(200);
    assert_eq!(shown["schema"], json!({"required": ["resource"]}));
    let stale = acme.send(Method::DELETE, path, &[("if-match", seen)], "").await;
    stale.problem(412);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_reaches_out_of_a_schema_or_goes_in_circles_is_refused_by_its_place() {
    let app = App::shared().await;
    let acme = app.tenant("bad-schemas").await;
    let path = "/api/v1/schemas/x";
    for (schema, field) in [
        (
            json!({"properties": {"a": {"$ref": "http://127.0.0.1:1/s.json"}}}),
            "/properties/a/$ref",
        ),
        (json!({"$ref": "file:///etc/passwd"}), "/$ref"),
        (json!({"properties": {"a": {"$ref": "#"}}}), ""),
        (json!({"type": "strin"}), "/type"),
        (
            json!({"properties": {"a": {"pattern": "(a+)+\\1$"}}}),
            "/properties/a/pattern",
        ),
        (json!([1]), ""),
        (json!({"$schema": "https://evil.example/meta"}), "/$schema"),
    ] {
        assert_eq!(
            put(&acme, path, &[], &schema).await.fields(422),
            [field],
            "{schema}"
        );
    }
    let long = json!({"description": "x".repeat(70_000)});
    assert_eq!(put(&acme, path, &[], &long).await.fields(422), [""]);
    let deep = (0..100).fold(json!(true), |inner, _| json!({"not": inner}));
    assert_eq!(put(&acme, path, &[], &deep).await.fields(422).len(), 1);
    let own = put(&acme, "/api/v1/schemas/trailhouse.search", &[], &json!({})).await;
    assert_eq!(own.fields(422), ["event_type"]);
    let of_none = put(&acme, "/api/v1/schemas/%00", &[], &json!({})).await;
    assert_eq!(of_none.fields(422), ["event_type"]);
    let form = [("content-type", "application/x-www-form-urlencoded")];
    acme.send(Method::PUT, path, &form, "{}").await.problem(415);
    assert_eq!(
        put(&acme, "/api/v1/schemas/x?forse=true", &[], &json!({}))
            .await
            .fields(400),
        ["forse"]
    );
    acme.get(path).await.problem(404);
    // A name with everything in it that a URL must escape.
    let odd = "/api/v1/schemas/a%2Fb%20%3F%C3%A4";
    put(&acme, odd, &[], &json!({"required": ["message"]}))
        .await
        .expect(201);
    assert_eq!(acme.get(odd).await.expect(200)["event_type"], "a/b ?ä");
    assert_eq!(
        acme.post("/api/v1/logs", &json!({"event_type": "a/b ?ä"}))
            .await
            .fields(422),
        [""]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_schema_that_would_be_a_large_one_is_refused_with_what_to_do() {
    let app = App::shared().await;
    let acme = app.tenant("heavy-schemas").await;
    let path = "/api/v1/schemas/heavy";
    let referred_to = json!({
        "$defs": {"ones": {"enum": vec![1; 18_000]}},
        "anyOf": vec![json!({"$ref": "#/$defs/ones"}); 990],
    });
    let below_a_name =
        json!({"properties": {"x".repeat(40_000): {"allOf": vec![json!({"type": "string"}); 1_000]}}});
    let mut looked_at_again = json!({"properties": {"a": {"anyOf": vec![json!({}); 500]}}});
    for _ in 0..20 {
        looked_at_again = json!({"allOf": [looked_at_again], "unevaluatedProperties": false});
    }
    let distinct: Vec<_> = (0..1_900).map(|n| json!({"pattern": n.to_string()})).collect();
    for (schema, next_step) in [
        (referred_to, "refer less often"),
        (below_a_name, "shorten the long names"),
        (looked_at_again, "refer less often"),
        (json!({"anyOf": distinct}), "have fewer"),
    ] {
        let refused = put(&acme, path, &[], &schema).await;
        assert_eq!(refused.fields(422), [""]);
        assert!(refused.text().contains(next_step), "{}", refused.text());
    }
    acme.get(path).await.problem(404);
}
