//! Every route, as the admin of another tenant, tried with what is really there: nothing of it is shown, counted or
//! changed. A route that is added without saying here what such an admin gets fails this story.

use reqwest::Method;
use serde_json::{Value, json};
use trailhouse::web::routes::table;

use crate::strangers::call;
use crate::support::app::PASSWORD;
use crate::support::{Answer, App, Caller, unique, until};

/// What another tenant's admin gets.
enum Verdict {
    /// It is about no tenant, or about the caller's own alone.
    Own,
    /// With `tenant_id` and these parameters 403; without a tenant it is about the caller's own.
    Named(&'static str),
    /// 404, in the words of what nobody has.
    Hidden,
    /// With these parameters 404, and with `tenant_id` as well 403.
    HiddenOrNamed(&'static str),
    /// 403 where the body names a tenant: one that is right otherwise.
    InBody(fn(&str) -> Value),
    /// 207 and the same for each item.
    InItems(fn(&str) -> Value),
    /// 403, whatever is asked.
    Operators,
}

fn verdict(method: &Method, path: &str) -> Verdict {
    use Verdict::{Hidden, HiddenOrNamed, InBody, InItems, Named, Operators, Own};
    match (method.as_str(), path) {
        ("POST", "/login" | "/api/v1/auth/login" | "/api/v1/auth/refresh") => Own,
        ("POST", "/api/v1/auth/logout" | "/api/v1/auth/password") | ("GET", "/api/v1/auth/me") => Own,
        ("GET", "/healthz" | "/readyz" | "/metrics") => Own,
        ("GET", "/" | "/openapi.json" | "/openapi-3.0.json" | "/postman.json" | "/docs") => Own,
        // It stands for who asked for it.
        ("POST", "/api/v1/logs/stream/ticket") => Own,
        ("POST", "/api/v1/logs" | "/events") => {
            InBody(|tenant| json!({"action": "VIEW", "tenant_id": tenant}))
        }
        ("POST", "/api/v1/logs/bulk") => InItems(|tenant| json!([{"action": "VIEW", "tenant_id": tenant}])),
        ("GET", "/api/v1/logs" | "/events") => Named("count=true&include=system"),
        ("GET", "/api/v1/logs/stats") => Named("group_by=actor.id"),
        ("GET", "/api/v1/logs/correlate") => Named("request_id=shared"),
        ("GET", "/api/v1/logs/export") => Named("include=system"),
        ("GET", "/api/v1/logs/stream") => Named("since=2026-01-01"),
        ("DELETE", "/api/v1/logs/cleanup") => Named("before=2026-01-01"),
        ("GET", "/api/v1/logs/{id}") => HiddenOrNamed(""),
        ("PATCH" | "DELETE", "/api/v1/logs/{id}") => HiddenOrNamed("reason=x"),
        ("GET", "/api/v1/exports" | "/api/v1/tenants" | "/api/v1/users") => Named(""),
        ("GET", "/api/v1/keys" | "/api/v1/searches" | "/api/v1/schemas") => Named(""),
        ("POST", "/api/v1/exports") => InBody(|tenant| json!({"tenant_id": tenant})),
        ("POST", "/api/v1/searches") => {
            InBody(|tenant| json!({"name": "x", "query": "", "tenant_id": tenant}))
        }
        ("POST", "/api/v1/keys") => {
            InBody(|tenant| json!({"name": "x", "roles": ["admin"], "tenant_id": tenant}))
        }
        ("POST", "/api/v1/users") => InBody(
            |tenant| json!({"name": unique("mallory"), "roles": ["admin"], "password": PASSWORD, "tenant_id": tenant}),
        ),
        ("POST", "/api/v1/tenants") | ("PATCH", "/api/v1/tenants/{id}") => Operators,
        ("GET", "/api/v1/tenants/{id}" | "/api/v1/exports/{id}" | "/api/v1/exports/{id}/file") => Hidden,
        ("DELETE", "/api/v1/exports/{id}") => Hidden,
        ("GET" | "PATCH" | "DELETE", "/api/v1/users/{id}" | "/api/v1/keys/{id}") => Hidden,
        ("GET" | "PATCH" | "DELETE", "/api/v1/searches/{id}") => Hidden,
        ("GET" | "DELETE", "/api/v1/schemas/{event_type}") => HiddenOrNamed(""),
        ("PUT", "/api/v1/schemas/{event_type}") => Named("force=true"),
        _ => panic!("{method} {path} is new: say here what another tenant's admin gets"),
    }
}

/// What a tenant has, each under the path of its kind; the secret stands in all of it.
async fn filled(acme: &Caller, operator: &Caller, secret: &str) -> Vec<(&'static str, String)> {
    let event =
        json!({"message": secret, "user_id": secret, "request_id": "shared", "details": {"k": secret}});
    let event = acme.take(&event).await;
    let made = async |path: &str, wanted: Value| {
        let made = acme.post(path, &wanted).await.json();
        made["id"]
            .as_str()
            .unwrap_or_else(|| panic!("{path}: {made}"))
            .to_owned()
    };
    let (query, roles) = (format!("user_id={secret}"), ["auditor"]);
    let user = json!({"name": secret, "roles": roles, "password": PASSWORD});
    let user = made("/api/v1/users", user).await;
    let key = made("/api/v1/keys", json!({"name": secret, "roles": roles})).await;
    let search = made("/api/v1/searches", json!({"name": secret, "query": query})).await;
    let export = made("/api/v1/exports", json!({"query": query})).await;
    until("the export is finished", async || {
        acme.get(&format!("/api/v1/exports/{export}")).await.expect(200)["state"] == "done"
    })
    .await;
    let (json, schema) = (
        [("content-type", "application/json")],
        json!({"title": secret}).to_string(),
    );
    acme.send(Method::PUT, "/api/v1/schemas/ours", &json, schema)
        .await
        .expect(201);
    let (tenant, named) = (acme.tenant.clone(), json!({"name": secret}).to_string());
    operator
        .send(Method::PATCH, &format!("/api/v1/tenants/{tenant}"), &json, named)
        .await
        .expect(200);
    vec![
        ("/api/v1/logs/", event),
        ("/api/v1/users/", user),
        ("/api/v1/keys/", key),
        ("/api/v1/searches/", search),
        ("/api/v1/exports/", export),
        ("/api/v1/schemas/", "ours".to_owned()),
        ("/api/v1/tenants/", tenant),
    ]
}

async fn ask(eve: &Caller, method: &Method, path: &str, body: Option<&Value>) -> Answer {
    let body = match (body, method.as_str()) {
        (Some(body), _) => body.to_string(),
        (None, "PATCH" | "PUT" | "POST") => "{}".to_owned(),
        (None, _) => String::new(),
    };
    let json = [("content-type", "application/json")];
    let headers = if body.is_empty() { &[][..] } else { &json[..] };
    eve.send(method.clone(), path, headers, body).await
}

/// Asks as the verdict says, and gives all answers.
async fn judged(eve: &Caller, tenant: &str, method: &Method, path: &str, real: &str) -> Vec<Answer> {
    let with = |path: &str, parameters: &[&str]| {
        let parameters: Vec<&str> = parameters.iter().copied().filter(|one| !one.is_empty()).collect();
        match parameters.is_empty() {
            true => path.to_owned(),
            false => format!("{path}?{}", parameters.join("&")),
        }
    };
    let named = format!("tenant_id={tenant}");
    let nobodys = path.replace("{id}", "nobodys").replace("{event_type}", "nobodys");
    match verdict(method, path) {
        Verdict::Own => vec![call(eve, method, path, real).await],
        Verdict::Named(more) => {
            let refused = ask(eve, method, &with(real, &[more, &named]), None).await;
            refused.problem(403);
            // A stream would have no end, and a schema of one's own would be in the way of the routes that follow.
            if path == "/api/v1/logs/stream" || *method == Method::PUT {
                return vec![refused];
            }
            let own = ask(eve, method, &with(real, &[more]), None).await;
            assert!(own.status.is_success(), "{method} {path}: {}", own.text());
            vec![refused, own]
        }
        Verdict::Hidden => {
            let hidden = ask(eve, method, real, None).await;
            let nothing = ask(eve, method, &nobodys, None).await;
            assert_eq!(hidden.problem(404), nothing.problem(404), "{method} {path}");
            vec![hidden]
        }
        Verdict::HiddenOrNamed(more) => {
            let hidden = ask(eve, method, &with(real, &[more]), None).await;
            let nothing = ask(eve, method, &with(&nobodys, &[more]), None).await;
            assert_eq!(hidden.problem(404), nothing.problem(404), "{method} {path}");
            let refused = ask(eve, method, &with(real, &[more, &named]), None).await;
            refused.problem(403);
            vec![hidden, refused]
        }
        Verdict::InBody(body) => {
            let refused = ask(eve, method, real, Some(&body(tenant))).await;
            refused.problem(403);
            vec![refused]
        }
        Verdict::InItems(body) => {
            let refused = ask(eve, method, real, Some(&body(tenant))).await;
            assert_eq!(refused.expect(207)["items"][0]["status"], 403);
            vec![refused]
        }
        Verdict::Operators => {
            let refused = ask(eve, method, real, None).await;
            refused.problem(403);
            vec![refused]
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_admin_gets_nothing_by_any_route() {
    let app = App::shared().await;
    let (acme, eve) = (app.tenant("walled-in").await, app.tenant("without").await);
    let (operator, secret) = (app.operator().await, unique("secret"));
    let all = filled(&acme, &operator, &secret).await;
    let stand = async || {
        let mut stand = Vec::new();
        for (kind, id) in &all {
            stand.push(acme.get(&format!("{kind}{id}")).await.expect(200));
        }
        stand
    };
    let before = stand().await;
    assert!(before.iter().all(|one| one.to_string().contains(&secret)));
    for route in table() {
        let mine = all.iter().find(|(kind, _)| route.path.starts_with(kind));
        let id = mine.map_or("", |(_, id)| id);
        let real = route.path.replace("{id}", id).replace("{event_type}", id);
        for answer in judged(&eve, &acme.tenant, &route.method, route.path, &real).await {
            let text = answer.text();
            assert!(!text.contains(&secret), "{} {real}: {text}", route.method);
        }
    }
    assert_eq!(stand().await, before, "and nothing was changed");
}
