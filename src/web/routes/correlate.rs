//! `GET /api/v1/logs/correlate`

use axum::extract::{OriginalUri, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::search::{Body, link, with_saved, wrong};
use super::whose::existing;
use super::{Access::Needs, Budget, Route, get};
use crate::control::Permission::Read;
use crate::query::correlate::{self, Summary};
use crate::query::show;
use crate::trail::read::Kind;
use crate::trail::{Occasion, Reading};
use crate::web::aside::aside;
use crate::web::doc::{self, Doc, Param};
use crate::web::extract::{Caller, Params};
use crate::web::{ApiError, AppState, Json};

pub(super) fn routes() -> Vec<Route> {
    vec![get("/api/v1/logs/correlate", Needs(Read, Budget::Searching), story).doc(said())]
}

fn said() -> Doc {
    Doc::new("correlateEvents", "Events", "Tell a story")
        .text("Everything that shares a request, a trace or a session, oldest first: at least one of `request_id`, `trace_id` and `session_id` is named, and one of them is enough to belong to it. Other filters narrow it.")
        .params(doc::filters().into_iter().map(holding_together))
        .param(doc::limit())
        .param(doc::cursor())
        .param(doc::fields())
        .param(doc::saved())
        .answers(200, "A page of it.", "Story")
        .header("Link", "The next page and the one before (RFC 8288).")
}

/// What holds a story together is not empty: that would be everything that has none.
fn holding_together(mut filter: Param) -> Param {
    if matches!(filter.name.as_str(), "request_id" | "trace_id" | "session_id") {
        filter.schema["items"]["minLength"] = 1.into();
    }
    filter
}

/// A page of a story, and what all of it is.
#[derive(Serialize)]
struct Story<'a> {
    #[serde(flatten)]
    page: Body<'a>,
    summary: Summary,
}

pub(super) async fn story(
    State(state): State<AppState>,
    Caller(principal): Caller,
    occasion: Occasion,
    OriginalUri(uri): OriginalUri,
    Params(params): Params,
) -> Result<Response, ApiError> {
    let asked = with_saved(&state, &principal, &params, &["sort", "count"])?;
    let search = correlate::parse(&asked).map_err(wrong)?;
    existing(&state, &principal, search.tenant_id.as_ref())?;
    let answer = async {
        tokio::try_join!(
            state.queries.page(&principal, &search),
            state.queries.summary(&principal, &search)
        )
    };
    let (page, summary) = match search.cursor {
        // A story is recorded once, with its first page.
        Some(_) => answer.await?,
        None => {
            let read = Reading::of(Kind::Correlate, search.tenant_id.as_ref(), &asked);
            state.recorded(&principal, &occasion, read, answer).await?
        }
    };
    let bytes = show::bytes(&page.events);
    let written = move || {
        let story = Story {
            page: Body::of(&page, search.fields.as_ref())?,
            summary,
        };
        let mut response = Json(story).into_response();
        if let Some(link) = link(uri.path(), &params, &page) {
            response.headers_mut().insert(header::LINK, link);
        }
        Ok(response)
    };
    aside(principal.tenant(), bytes, written).await?
}
