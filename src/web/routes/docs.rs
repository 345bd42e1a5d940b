//! What the server can do, told by itself: `/openapi.json`, `/openapi-3.0.json`, `/docs` (where `/` leads as well),
//! `/postman.json`.

use std::sync::LazyLock;

use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Redirect, Response};
use bytes::Bytes;
use serde_json::json;

use super::Access::Open;
use super::{Route, get, table};
use crate::web::doc::Doc;
use crate::web::openapi::{collection, document, page, to_3_0, written};

pub(super) fn routes() -> Vec<Route> {
    let any = || json!({"type": "object", "additionalProperties": true});
    let told = |id, summary| Doc::new(id, "Server", summary).answers_as(200, "The document.", JSON, any());
    let html = Doc::new("getDocs", "Server", "This API, for people");
    vec![
        get("/openapi.json", Open, openapi).doc(told("getOpenapi", "This API, in OpenAPI 3.1")),
        get("/openapi-3.0.json", Open, older).doc(told(
            "getOpenapi30",
            "This API, in OpenAPI 3.0, for tools that know no later one",
        )),
        get("/postman.json", Open, postman)
            .doc(told("getPostmanCollection", "This API, as a Postman collection")),
        get("/", Open, front),
        get("/docs", Open, docs).doc(html.answers_as(200, "The page.", HTML, json!({"type": "string"}))),
    ]
}

const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";
/// A page of words and style, and nothing else, whatever stands in it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";

/// All of it, made once.
static TOLD: LazyLock<Told> = LazyLock::new(|| {
    let openapi = document(&table());
    Told {
        older: written(&to_3_0(&openapi)).into(),
        postman: written(&collection(&openapi)).into(),
        page: page(&openapi).into(),
        openapi: written(&openapi).into(),
    }
});

struct Told {
    openapi: Bytes,
    older: Bytes,
    postman: Bytes,
    page: Bytes,
}

/// Who calls at the address alone is shown what there is.
async fn front() -> Redirect {
    Redirect::temporary("/docs")
}

async fn openapi() -> Response {
    answer(JSON, &TOLD.openapi)
}

async fn older() -> Response {
    answer(JSON, &TOLD.older)
}

async fn postman() -> Response {
    answer(JSON, &TOLD.postman)
}

async fn docs() -> Response {
    ([(CONTENT_SECURITY_POLICY, POLICY)], answer(HTML, &TOLD.page)).into_response()
}

fn answer(kind: &'static str, body: &Bytes) -> Response {
    (
        [(CONTENT_TYPE, kind), (CACHE_CONTROL, "max-age=3600")],
        body.clone(),
    )
        .into_response()
}
