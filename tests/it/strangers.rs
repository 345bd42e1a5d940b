//! Every route, as everybody: strangers and each role; as the admin of another tenant in `walls`.
//!
//! A route that is added without saying here who may use it fails these tests.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use trailhouse::web::routes::table;

use crate::support::wait::PATIENCE;
use crate::support::{Answer, App, Caller, unique};

/// Who may use a route.
#[derive(Clone, Copy, PartialEq)]
enum Who {
    Everybody,
    /// By the name of the role, apart from operators, who may do everything.
    Roles(&'static [&'static str]),
}

/// What is expected of each route, written down beside the table and not derived from it.
fn expected(method: &Method, path: &str) -> Who {
    use Who::{Everybody, Roles};
    match (method.as_str(), path) {
        ("POST", "/login" | "/api/v1/auth/login" | "/api/v1/auth/refresh") => Everybody,
        // On loopback only, which is where the stories are.
        ("GET", "/healthz" | "/readyz" | "/metrics") => Everybody,
        ("GET", "/" | "/openapi.json" | "/openapi-3.0.json" | "/postman.json" | "/docs") => Everybody,
        ("POST", "/api/v1/logs" | "/events" | "/api/v1/logs/bulk") => Roles(&["admin", "user", "ingest"]),
        ("GET", "/api/v1/logs" | "/events" | "/api/v1/logs/{id}") => Roles(&["admin", "auditor", "user"]),
        ("PATCH" | "DELETE", "/api/v1/logs/{id}") => Roles(&["admin"]),
        ("DELETE", "/api/v1/logs/cleanup") => Roles(&["admin"]),
        ("GET", "/api/v1/logs/stream") | ("POST", "/api/v1/logs/stream/ticket") => {
            Roles(&["admin", "auditor", "user"])
        }
        ("GET", "/api/v1/logs/stats" | "/api/v1/logs/correlate") => Roles(&["admin", "auditor", "user"]),
        ("GET", "/api/v1/logs/export")
        | ("GET" | "POST", "/api/v1/exports")
        | ("GET" | "DELETE", "/api/v1/exports/{id}")
        | ("GET", "/api/v1/exports/{id}/file") => Roles(&["admin", "auditor"]),
        ("GET", "/api/v1/tenants") => Roles(&["admin"]),
        ("POST", "/api/v1/tenants") => Roles(&[]),
        ("POST", "/api/v1/auth/logout" | "/api/v1/auth/password") | ("GET", "/api/v1/auth/me") => {
            Roles(&["admin", "auditor", "user", "ingest"])
        }
        ("GET", "/api/v1/tenants/{id}") => Roles(&["admin"]),
        ("PATCH", "/api/v1/tenants/{id}") => Roles(&[]),
        ("GET" | "POST", "/api/v1/users" | "/api/v1/keys") => Roles(&["admin"]),
        ("GET" | "PATCH" | "DELETE", "/api/v1/users/{id}" | "/api/v1/keys/{id}") => Roles(&["admin"]),
        ("GET", "/api/v1/schemas") => Roles(&["admin"]),
        ("GET" | "PUT" | "DELETE", "/api/v1/schemas/{event_type}") => Roles(&["admin"]),
        ("GET" | "POST", "/api/v1/searches") => Roles(&["admin", "auditor", "user"]),
        ("GET" | "PATCH" | "DELETE", "/api/v1/searches/{id}") => Roles(&["admin", "auditor", "user"]),
        _ => panic!(
            "{method} {path} is new: say here who may use it, and in `walls` what another tenant's admin gets"
        ),
    }
}

/// Calls a route with something it can't be hurt by.
pub async fn call(caller: &Caller, method: &Method, path: &str, id: &str) -> Answer {
    let body = match (method.as_str(), path) {
        ("POST", "/api/v1/logs" | "/events") => json!({"action": "VIEW"}).to_string(),
        ("POST", "/api/v1/logs/bulk") => json!([{"action": "VIEW"}]).to_string(),
        // A wish that is refused, so that the caller's session goes on.
        ("POST", "/api/v1/auth/logout") => json!({"everywhere": "no"}).to_string(),
        ("PUT", _) => "[]".to_owned(),
        ("POST" | "PATCH", _) => "{}".to_owned(),
        _ => String::new(),
    };
    // A stream would have no end: half a handshake is refused, once its sender may.
    let headers: &[_] = if path == "/api/v1/logs/stream" {
        &[("upgrade", "websocket")]
    } else if body.is_empty() {
        &[]
    } else {
        &[("content-type", "application/json")]
    };
    caller
        .send(
            method.clone(),
            &path.replace("{id}", id).replace("{event_type}", "no.schema"),
            headers,
            body,
        )
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_knows_whom_to_let_in() {
    let app = App::shared().await;
    let acme = app.tenant("walls").await;
    let operator = app.operator().await;
    let mut callers = vec![("operator", operator.clone())];
    for role in ["admin", "auditor", "user", "ingest"] {
        callers.push((role, app.user(&acme.tenant, &[role]).await));
    }
    let genuine = operator.credential.clone().unwrap();
    let (head, signature) = genuine.rsplit_once('.').unwrap();
    let forged = format!("{head}.{}", signature.chars().rev().collect::<String>());
    // {"alg":"none"}
    let unsigned = format!(
        "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.",
        head.split_once('.').unwrap().1
    );
    let refresh = app.login("admin", crate::support::app::PASSWORD).await["refresh_token"]
        .as_str()
        .unwrap()
        .to_owned();
    let key = acme.credential.clone().unwrap();
    let last = if key.ends_with('x') { 'y' } else { 'x' };
    let other_key = format!("{}{last}", &key[..key.len() - 1]);
    let strangers = [
        None,
        Some(forged),
        Some(unsigned),
        Some(refresh),
        Some(other_key),
        Some("thk_".into()),
        Some(String::new()),
    ];

    for route in table() {
        let (method, path) = (&route.method, route.path);
        let who = expected(method, path);
        let of_nobody = "00000000-0000-4000-8000-000000000000";
        for credential in &strangers {
            let answer = call(&operator.with(credential.as_deref()), method, path, of_nobody).await;
            if who != Who::Everybody {
                answer.problem(401);
                assert!(answer.header("www-authenticate").is_some(), "{method} {path}");
            }
        }
        for (role, caller) in &callers {
            let answer = call(caller, method, path, of_nobody).await;
            let allowed = match who {
                Who::Everybody => true,
                Who::Roles(roles) => *role == "operator" || roles.contains(role),
            };
            match allowed {
                false => drop(answer.problem(403)),
                true => assert!(
                    !matches!(answer.status.as_u16(), 403 | 500..),
                    "{role}: {method} {path}: {}",
                    answer.text()
                ),
            }
        }
    }
    // And nothing else is there, in the same words.
    acme.get("/api/v1/nothing").await.problem(404);
    acme.send(Method::PUT, "/api/v1/logs", &[], "").await.problem(405);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_admin_sees_and_changes_nothing() {
    let app = App::shared().await;
    let (acme, eve) = (app.tenant("ours").await, app.tenant("theirs").await);
    let secret = unique("secret");
    let id = acme
        .take(&json!({"event_id": "deed-1", "message": secret, "user_id": secret, "details": {"k": secret}}))
        .await;

    let nothing = eve.get(&format!("/api/v1/logs/{id}")).await;
    let as_for_nobody = eve.get("/api/v1/logs/00000000-0000-4000-8000-000000000000").await;
    assert_eq!(nothing.problem(404), as_for_nobody.problem(404));
    eve.get("/api/v1/logs/deed-1").await.problem(404);
    eve.get(&format!("/api/v1/logs/{id}?tenant_id={}", acme.tenant))
        .await
        .problem(403);
    for parameters in [
        &[("q", secret.as_str())][..],
        &[("user_id", &secret)],
        &[("details.k", &secret)],
        &[("event_id", &id)],
    ] {
        let page = eve
            .search(&[parameters, &[("count", "true")]].concat())
            .await
            .expect(200);
        assert_eq!((&page["data"], &page["count"]), (&json!([]), &json!(0)));
    }
    eve.search(&[("tenant_id", &acme.tenant)]).await.problem(403);
    // A cursor is good for whoever got it.
    for n in 0..3 {
        acme.take(&json!({"n": n})).await;
    }
    let page = acme.search(&[("limit", "2")]).await.expect(200);
    let cursor = page["next_cursor"].as_str().unwrap();
    eve.search(&[("limit", "2"), ("cursor", cursor)])
        .await
        .problem(400);

    eve.post(
        "/api/v1/logs",
        &json!({"tenant_id": acme.tenant, "action": "VIEW"}),
    )
    .await
    .problem(403);
    let bulk = eve
        .post("/api/v1/logs/bulk", &json!([{"tenant_id": acme.tenant}]))
        .await
        .expect(207);
    assert_eq!(bulk["items"][0]["status"], 403);

    let ours = json!({"name": "x", "tenant_id": acme.tenant, "roles": ["admin"]});
    eve.post("/api/v1/keys", &ours).await.problem(403);
    let user = json!({"name": unique("mallory"), "tenant_id": acme.tenant, "roles": ["admin"], "password": "long-enough-password"});
    eve.post("/api/v1/users", &user).await.problem(403);
    for path in ["/api/v1/keys", "/api/v1/users"] {
        let wanted =
            json!({"name": unique("mallory"), "roles": ["operator"], "password": "long-enough-password"});
        let refused = eve.post(path, &wanted).await;
        assert!(matches!(refused.status.as_u16(), 403 | 422), "{}", refused.text());
    }
    let made = acme
        .post("/api/v1/keys", &json!({"name": "ours", "roles": ["ingest"]}))
        .await
        .expect(201);
    let path = format!("/api/v1/keys/{}", made["id"].as_str().unwrap());
    eve.send(Method::DELETE, &path, &[], "").await.problem(404);
    let search = json!({"name": secret, "query": "tag=x"});
    let search = acme.post("/api/v1/searches", &search).await.expect(201);
    let user = json!({"name": unique("ours"), "roles": ["auditor"], "password": "long-enough-password"});
    let user = acme.post("/api/v1/users", &user).await.expect(201);
    acme.send(
        Method::PUT,
        "/api/v1/schemas/ours",
        &[],
        json!({"title": secret}).to_string(),
    )
    .await
    .expect(201);
    let of = |kind: &str, made: &Value| format!("/api/v1/{kind}/{}", made["id"].as_str().unwrap());
    for path in [
        of("keys", &made),
        of("searches", &search),
        of("users", &user),
        format!("/api/v1/tenants/{}", acme.tenant),
        "/api/v1/schemas/ours".to_owned(),
    ] {
        let nothing = eve.get(&path).await.problem(404);
        let (parent, _) = path.rsplit_once('/').unwrap();
        assert_eq!(
            nothing,
            eve.get(&format!("{parent}/nobodys")).await.problem(404),
            "{path}"
        );
        for method in [Method::PATCH, Method::DELETE] {
            let body = if method == Method::PATCH { "{}" } else { "" };
            let refused = eve.send(method.clone(), &path, &[], body).await;
            let status = refused.status.as_u16();
            // Tenants are operators' to change; a schema is put.
            assert!(matches!(status, 403..=405), "{method} {path}: {}", refused.text());
        }
        acme.get(&path).await.expect(200);
    }
    assert!(!eve.get("/api/v1/searches").await.text().contains(&secret));
    assert!(!eve.get("/api/v1/schemas").await.text().contains("ours"));
    for (path, body) in [
        (
            "/api/v1/searches",
            json!({"name": "x", "query": "", "tenant_id": acme.tenant}),
        ),
        (
            "/api/v1/keys",
            json!({"name": "x", "roles": ["ingest"], "tenant_id": acme.tenant}),
        ),
    ] {
        eve.post(path, &body).await.problem(403);
    }
    for path in ["/api/v1/keys", "/api/v1/users", "/api/v1/tenants"] {
        let listed = eve.get(path).await.expect(200);
        let all: &Vec<Value> = listed["data"].as_array().unwrap();
        assert!(!listed.to_string().contains(&acme.tenant), "{path}: {listed}");
        assert!(
            all.iter()
                .all(|one| one.get("key").is_none() && one.get("password").is_none()),
            "{path}: {listed}"
        );
    }
    // An operator may name whose it means; others have only their own, and a wish that is not understood is no list.
    let operator = app.operator().await;
    app.user(&acme.tenant, &["auditor"]).await;
    for path in ["/api/v1/keys", "/api/v1/users", "/api/v1/tenants"] {
        let of =
            async |caller: &Caller, tenant: &str| caller.get(&format!("{path}?tenant_id={tenant}")).await;
        let listed = of(&operator, &acme.tenant).await.expect(200);
        let tenants: Vec<_> = listed["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one.get("tenant_id").unwrap_or(&one["id"]))
            .collect();
        assert!(
            !tenants.is_empty() && tenants.iter().all(|tenant| **tenant == acme.tenant.as_str()),
            "{path}: {listed}"
        );
        assert_eq!(of(&acme, &acme.tenant).await.expect(200), listed);
        let own = operator.get(path).await.expect(200).to_string();
        assert_eq!(
            own.contains(&acme.tenant),
            path == "/api/v1/tenants",
            "an operator names the tenant it means: {own}"
        );
        of(&operator, "nosuch").await.problem(404);
        of(&eve, &acme.tenant).await.problem(403);
        of(&eve, "nosuch").await.problem(403);
        assert_eq!(of(&eve, "A%20B").await.fields(400), ["tenant_id"]);
        assert_eq!(eve.get(&format!("{path}?tenant=x")).await.fields(400), ["tenant"]);
    }
    // What is ours still works, until we end it; then within two seconds no more.
    let ingest = acme.with(made["key"].as_str());
    ingest
        .post("/api/v1/logs", &json!({"action": "VIEW"}))
        .await
        .expect(201);
    assert_eq!(acme.send(Method::DELETE, &path, &[], "").await.status, 204);
    ingest
        .post("/api/v1/logs", &json!({"action": "VIEW"}))
        .await
        .problem(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_writes_as_itself_and_reads_its_own() {
    let app = App::shared().await;
    let acme = app.tenant("own").await;
    let name = unique("ursula");
    let wanted = json!({"name": name, "roles": ["user"], "password": "long-enough-password"});
    acme.post("/api/v1/users", &wanted).await.expect(201);
    let token = app.login(&name, "long-enough-password").await;
    let user = acme.with(token["token"].as_str());
    acme.take(&json!({"user_id": "somebody", "message": "theirs"}))
        .await;
    let own = user.take(&json!({"message": "mine"})).await;
    let found = user.found(&[]).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["event_id"], own.as_str());
    assert_eq!(acme.found(&[]).await.len(), 2);
    let refused = user.post("/api/v1/logs", &json!({"user_id": "somebody"})).await;
    assert!(matches!(refused.status.as_u16(), 403 | 422), "{}", refused.text());
    // A refreshed token is as good; the old refresh token's words are no access token.
    let again = user
        .post(
            "/api/v1/auth/refresh",
            &json!({"refresh_token": token["refresh_token"]}),
        )
        .await
        .expect(200);
    assert_eq!(acme.with(again["token"].as_str()).found(&[]).await.len(), 1);
    user.post("/login", &json!({"username": name, "password": "wrong"}))
        .await
        .problem(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_with_bodies_take_no_room_from_those_who_may_post() {
    let app = App::shared().await;
    let acme = app.tenant("room").await;
    // The largest that strangers may send, and none of it ever comes.
    let mut waiting = Vec::new();
    for path in ["/login", "/api/v1/auth/refresh"].repeat(8) {
        let (stream, answered) = announced(app, path, 16 << 10).await;
        assert!(
            answered.starts_with("HTTP/1.1 100"),
            "{path} is being read: {answered}"
        );
        waiting.push(stream);
    }
    acme.take(&json!({"action": "VIEW"})).await;
    // What is too large is refused before any of it comes, and where a credential is asked for, nothing is waited for.
    for (path, status) in [("/login", "413"), ("/api/v1/logs/bulk", "401")] {
        let (_, answered) = announced(app, path, 10 << 20).await;
        assert_eq!(answered, format!("HTTP/1.1 {status}"), "{path}");
    }

    let long = json!({"username": "admin", "password": "x".repeat(16 << 10)});
    let refused = app.stranger().post("/login", &long).await.problem(413);
    assert!(
        refused["detail"].as_str().unwrap().contains("16 KiB"),
        "{refused}"
    );
}

/// Says that so many bytes will follow, and asks whether they may; gives the beginning of the answer.
async fn announced(app: &App, path: &str, bytes: usize) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(app.at().web).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {bytes}\r\nexpect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answered = [0; 12];
    let read = tokio::time::timeout(PATIENCE, stream.read_exact(&mut answered)).await;
    read.expect("it is answered").unwrap();
    (stream, String::from_utf8_lossy(&answered).into_owned())
}
