//! What is managed, object by object: versions, two writers, pages, limits of grants.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::app::PASSWORD;
use crate::support::shape::expect_shape;
use crate::support::{Answer, App, Caller, unique};

async fn patch(caller: &Caller, path: &str, if_match: Option<&str>, body: Value) -> Answer {
    let mut headers = vec![("content-type", "application/merge-patch+json")];
    headers.extend(if_match.map(|tag| ("if-match", tag)));
    caller.send(Method::PATCH, path, &headers, body.to_string()).await
}

async fn delete(caller: &Caller, path: &str, if_match: Option<&str>) -> Answer {
    let headers: Vec<_> = if_match.map(|tag| ("if-match", tag)).into_iter().collect();
    caller.send(Method::DELETE, path, &headers, "").await
}

/// Makes something; gives its path.
async fn made(caller: &Caller, kind: &str, wanted: Value, example: &str) -> String {
    let path = format!("/api/v1/{kind}");
    let made = caller.post(&path, &wanted).await;
    assert_eq!(made.header("etag"), Some("\"1\""), "{path}");
    let made = made.expect(201);
    expect_shape(&made, example);
    format!("{path}/{}", made["id"].as_str().unwrap())
}

async fn one_of_each(acme: &Caller) -> [String; 3] {
    let user = json!({"name": unique("grace"), "roles": ["auditor"], "password": PASSWORD});
    let key = json!({"name": "billing", "roles": ["auditor"], "expires_at": "2100-01-01"});
    let search = json!({"name": "failures", "query": "outcome=failure&sort=time"});
    [
        made(acme, "users", user, "getUser").await,
        made(acme, "keys", key, "createKey").await,
        made(acme, "searches", search, "createSavedSearch").await,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_writers_the_second_is_told_and_without_a_version_the_last_one_wins() {
    let app = App::shared().await;
    let acme = app.tenant("writers").await;
    let operator = app.operator().await;
    let [user, key, search] = one_of_each(&acme).await;
    let tenant = format!("/api/v1/tenants/{}", acme.tenant);
    for (caller, path, example, one, two) in [
        (
            &acme,
            &user,
            "getUser",
            json!({"roles": ["admin"]}),
            json!({"limit": "action=VIEW"}),
        ),
        (
            &acme,
            &key,
            "getKey",
            json!({"name": "one"}),
            json!({"exports_at_once": 2}),
        ),
        (
            &acme,
            &search,
            "getSavedSearch",
            json!({"name": "one"}),
            json!({"query": "?tag=b"}),
        ),
        (
            &operator,
            &tenant,
            "getTenant",
            json!({"name": "One"}),
            json!({"searches_per_second": 9}),
        ),
    ] {
        let read = caller.get(path).await;
        let seen = read.header("etag").unwrap().to_owned();
        expect_shape(&read.expect(200), example);
        let unchanged = [("if-none-match", seen.as_str())];
        let again = caller.send(Method::GET, path, &unchanged, "").await;
        assert_eq!(
            (again.status.as_u16(), again.text().as_str()),
            (304, ""),
            "{path}"
        );

        let first = patch(caller, path, Some(&seen), one.clone()).await;
        let next = first.header("etag").unwrap().to_owned();
        let first = first.expect(200);
        assert_ne!(next, seen, "{path}");
        let refused = patch(caller, path, Some(&seen), two.clone()).await.problem(412);
        assert_eq!(refused["version"], first["version"], "{path}");
        expect_shape(&refused, "precondition-failed");
        assert_eq!(delete_of(caller, path, &seen).await, 412, "{path}");
        assert_eq!(
            caller.get(path).await.expect(200),
            first,
            "{path}: nothing was changed"
        );
        let last = patch(caller, path, None, two.clone()).await.expect(200);
        for (name, value) in one.as_object().unwrap() {
            assert_eq!(last[name], *value, "{path}: the rest stays");
        }
        assert_eq!(
            caller
                .send(Method::GET, path, &[("if-none-match", next.as_str())], "")
                .await
                .status,
            200
        );
    }
    // Many at once, who all mind: one of them is first.
    let seen = acme.get(&search).await.header("etag").unwrap().to_owned();
    let writers = (0..8).map(|n| patch(&acme, &search, Some(&seen), json!({"name": format!("by {n}")})));
    let mut outcomes: Vec<_> = futures_util::future::join_all(writers)
        .await
        .iter()
        .map(|answer| answer.status.as_u16())
        .collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes, [200, 412, 412, 412, 412, 412, 412, 412]);
    // And who don't: each of them counts.
    let writers = (0..4).map(|n| patch(&acme, &search, None, json!({"name": format!("last {n}")})));
    for answer in futures_util::future::join_all(writers).await {
        answer.expect(200);
    }
}

/// Tenants are not deleted.
async fn delete_of(caller: &Caller, path: &str, if_match: &str) -> u16 {
    match path.contains("/tenants/") {
        true => 412,
        false => delete(caller, path, Some(if_match)).await.status.as_u16(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_says_what_is_wrong_with_it_and_null_takes_away_what_may_be() {
    let app = App::shared().await;
    let acme = app.tenant("patches").await;
    let [user, key, search] = one_of_each(&acme).await;
    for (path, body, fields) in [
        (
            &user,
            json!({"roles": null, "limit": "usr_id=x", "name": "n"}),
            vec!["/roles", "/limit", "/name"],
        ),
        (&user, json!({"limit": "usr_id=x"}), vec!["/limit"]),
        (&user, json!({"limit": ""}), vec!["/limit"]),
        (&user, json!({"disabled": "yes"}), vec!["/disabled"]),
        (&user, json!({"roles": []}), vec!["/roles"]),
        (
            &user,
            json!({"password": "a-long-password", "disabled": false}),
            vec!["/password"],
        ),
        (&key, json!({"expires_at": "2020-01-01"}), vec!["/expires_at"]),
        (
            &key,
            json!({"exports_at_once": 0, "searches_per_second": "5"}),
            vec!["/searches_per_second", "/exports_at_once"],
        ),
        (&key, json!({"limit": "cursor=x"}), vec!["/limit"]),
        (&search, json!({"name": ""}), vec!["/name"]),
        (&search, json!({"query": "limit=0"}), vec!["/query"]),
        (&search, json!({"query": "cursor=abc"}), vec!["/query"]),
        (&search, json!({"query": "a=%ff"}), vec!["/query"]),
    ] {
        assert_eq!(
            patch(&acme, path, None, body.clone()).await.fields(422),
            fields,
            "{path} {body}"
        );
    }
    let limited = json!({"limit": "resource_type=invoice", "expires_at": null, "events_per_second": 7});
    let changed = patch(&acme, &key, None, limited).await.expect(200);
    assert_eq!(changed["limit"], "resource_type=invoice");
    assert_eq!(
        (&changed["expires_at"], &changed["events_per_second"]),
        (&Value::Null, &json!(7))
    );
    let open = json!({"limit": null, "events_per_second": null});
    let changed = patch(&acme, &key, None, open).await.expect(200);
    assert_eq!(
        (&changed["limit"], &changed["events_per_second"]),
        (&Value::Null, &Value::Null)
    );

    // What was deleted is gone, ended or disabled, as its kind has it.
    for path in [&user, &key, &search] {
        assert_eq!(delete(&acme, path, None).await.status, 204, "{path}");
    }
    acme.get(&search).await.problem(404);
    assert_ne!(acme.get(&key).await.expect(200)["revoked_at"], Value::Null);
    patch(&acme, &key, None, json!({"name": "again"}))
        .await
        .problem(409);
    let gone = acme.get(&user).await.expect(200);
    assert_eq!(gone["disabled"], true);
    let again = json!({"name": gone["name"], "roles": ["auditor"], "password": PASSWORD});
    acme.post("/api/v1/users", &again).await.problem(409);
    let back = patch(&acme, &user, None, json!({"disabled": false}))
        .await
        .expect(200);
    assert_eq!(back["disabled"], false);
    let parameters = acme.get(&format!("{user}?a=b")).await;
    assert_eq!(parameters.fields(400), ["a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_page_by_page_and_lead_back() {
    let app = App::shared().await;
    let acme = app.tenant("pages").await;
    for n in 0..7 {
        let wanted = json!({"name": format!("search {n}"), "query": ""});
        acme.post("/api/v1/searches", &wanted).await.expect(201);
    }
    for (path, example) in [
        ("searches", "listSavedSearches"),
        ("users", "listUsers"),
        ("keys", "listKeys"),
        ("tenants", "listTenants"),
        ("schemas", "listSchemas"),
    ] {
        expect_shape(&acme.get(&format!("/api/v1/{path}")).await.expect(200), example);
    }
    let page = async |cursor: &str| {
        acme.get(&format!("/api/v1/searches?limit=3{cursor}"))
            .await
            .expect(200)
    };
    let names = |page: &Value| -> Vec<String> {
        let data = page["data"].as_array().unwrap();
        data.iter()
            .map(|one| one["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = page("").await;
    let to = |page: &Value, which: &str| format!("&cursor={}", page[which].as_str().unwrap());
    // Something made in between moves nothing.
    acme.post("/api/v1/searches", &json!({"name": "a first one", "query": ""}))
        .await
        .expect(201);
    let second = page(&to(&first, "next_cursor")).await;
    assert_eq!(names(&second), ["search 3", "search 4", "search 5"]);
    assert_eq!(names(&page(&to(&second, "prev_cursor")).await), names(&first));
    let last = page(&to(&second, "next_cursor")).await;
    assert_eq!(
        (names(&last), &last["has_more"], &last["next_cursor"]),
        (vec!["search 6".into()], &json!(false), &Value::Null)
    );
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("cursor=!", "cursor"),
        ("page=2", "page"),
    ] {
        assert_eq!(
            acme.get(&format!("/api/v1/searches?{query}")).await.fields(400),
            [field]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_makes_one_thing() {
    let app = App::shared().await;
    let acme = app.tenant("repeated").await;
    let post = async |key: &str, body: Value| {
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        acme.send(Method::POST, "/api/v1/searches", &headers, body.to_string())
            .await
    };
    let wanted = json!({"name": "one", "query": "action=VIEW"});
    let first = post("k-1", wanted.clone()).await.expect(201);
    assert_eq!(post("k-1", wanted.clone()).await.expect(201), first);
    assert_eq!(
        post("k-1", json!({"name": "two", "query": ""})).await.fields(409),
        ["Idempotency-Key"]
    );
    assert_ne!(post("k-2", wanted.clone()).await.expect(201)["id"], first["id"]);
    let path = format!("/api/v1/searches/{}", first["id"].as_str().unwrap());
    assert_eq!(delete(&acme, &path, None).await.status, 204);
    let gone = post("k-1", wanted).await.problem(404);
    assert!(
        gone["detail"].as_str().unwrap().contains("deleted since"),
        "{gone}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_keep_searches_of_their_own_and_admins_all() {
    let app = App::shared().await;
    let acme = app.tenant("saved").await;
    let (ann, bob) = (
        app.user(&acme.tenant, &["auditor"]).await,
        app.user(&acme.tenant, &["user"]).await,
    );
    let mine = made(
        &ann,
        "searches",
        json!({"name": "ann's", "query": "tag=a"}),
        "getSavedSearch",
    )
    .await;
    assert_eq!(bob.get(&mine).await.expect(200)["name"], "ann's");
    patch(&bob, &mine, None, json!({"name": "bob's"}))
        .await
        .problem(403);
    delete(&bob, &mine, None).await.problem(403);
    patch(&ann, &mine, None, json!({"name": "still ann's"}))
        .await
        .expect(200);
    patch(&acme, &mine, None, json!({"name": "the admin's"}))
        .await
        .expect(200);
    assert_eq!(delete(&ann, &mine, None).await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_limited_grants_nothing() {
    let app = App::shared().await;
    let acme = app.tenant("granting").await;
    let wanted = json!({"name": "part", "roles": ["admin"], "limit": "resource_type=invoice"});
    let made = acme.post("/api/v1/keys", &wanted).await.expect(201);
    let part = acme.with(made["key"].as_str());
    let path = format!("/api/v1/keys/{}", made["id"].as_str().unwrap());
    let whole = json!({"name": "whole", "roles": ["admin"]});
    part.post("/api/v1/keys", &whole).await.problem(403);
    let user = json!({"name": unique("whole"), "roles": ["admin"], "password": PASSWORD});
    part.post("/api/v1/users", &user).await.problem(403);
    patch(&part, &path, None, json!({"limit": null}))
        .await
        .problem(403);
    let [user, _, _] = one_of_each(&acme).await;
    patch(&part, &user, None, json!({"password": "a-password-i-know"}))
        .await
        .problem(403);
    assert_eq!(
        part.get("/api/v1/auth/me").await.expect(200)["limit"],
        "resource_type=invoice"
    );
}
