//! `GET /api/v1/logs` = `GET /events`, and `GET /api/v1/logs/{id}`.

use axum::extract::{OriginalUri, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::manage::etag;
use super::manage::precondition::Tag;
use super::whose::existing;
use super::{Access::Needs, Budget, Route, get};
use crate::auth::Principal;
use crate::control::Permission::Read;
use crate::event::TenantId;
use crate::event::draft::Problem;
use crate::event::view::{self, View};
use crate::query::fields::Fields;
use crate::query::standing::Stands;
use crate::query::{self, Page, QueryError, params, show};
use crate::trail::read::Kind;
use crate::trail::{Occasion, Reading};
use crate::web::aside::aside;
use crate::web::doc::{self, Doc, query as parameter};
use crate::web::extract::{Caller, Id, Params};
use crate::web::given::Given;
use crate::web::{ApiError, AppState, Json};

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/api/v1/logs", Needs(Read, Budget::Searching), page).doc(said_of_page()),
        get("/events", Needs(Read, Budget::Searching), page),
        get("/api/v1/logs/{id}", Needs(Read, Budget::Searching), by_id).doc(said_of_one()),
    ]
}

fn said_of_page() -> Doc {
    Doc::new("searchEvents", "Events", "Search events")
        .text("Also at `/events`. Different names must all hold; the same name again means \"or\". Pages are stable while events arrive: later pages leave out what was received after the first.")
        .params(doc::filters())
        .param(parameter("sort", "`-time`: newest first; `time`: oldest first.", json!({"type": "string", "enum": ["-time", "time"], "default": "-time"})))
        .param(doc::limit())
        .param(doc::cursor())
        .param(parameter("count", "Say how many there are altogether, up to a million.", json!({"type": "boolean", "default": false})))
        .param(doc::fields())
        .param(doc::saved())
        .answers(200, "A page of what was found.", "Page")
        .header("Link", "The next page and the one before (RFC 8288).")
}

fn said_of_one() -> Doc {
    Doc::new("getEvent", "Events", "Get an event")
        .text("By its id, or by the sender's own. With what it changed, and with its original where it came from an outside system.")
        .param(doc::event_id())
        .param(doc::tenant_id())
        .answers(200, "The event.", "Event")
}

/// A page of events.
#[derive(Serialize)]
pub(super) struct Body<'a> {
    data: Vec<Shown<'a>>,
    next_cursor: Option<&'a str>,
    prev_cursor: Option<&'a str>,
    has_more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count_is_exact: Option<bool>,
}

/// An event, or what was chosen of it.
#[derive(Serialize)]
#[serde(untagged)]
enum Shown<'a> {
    Whole(Box<View<'a>>),
    Chosen(Box<RawValue>),
}

impl<'a> Body<'a> {
    pub(super) fn of(page: &'a Page, fields: Option<&Fields>) -> Result<Self, ApiError> {
        let chosen = |event, fields| {
            let text = show::to_json(event, fields).map_err(|row| row.to_string());
            let raw = text.and_then(|text| RawValue::from_string(text).map_err(|error| error.to_string()));
            raw.map(Shown::Chosen)
                .map_err(|why| QueryError::Failed(why).into())
        };
        let data = page.events.iter().map(|event| match fields {
            None => Ok(Shown::Whole(Box::new(view::to_json(event)))),
            Some(fields) => chosen(event, fields),
        });
        Ok(Self {
            data: data.collect::<Result<_, ApiError>>()?,
            has_more: page.next_cursor.is_some(),
            next_cursor: page.next_cursor.as_deref(),
            prev_cursor: page.prev_cursor.as_deref(),
            count: page.count.as_ref().map(|count| count.events),
            count_is_exact: page.count.as_ref().map(|count| count.is_exact),
        })
    }
}

pub(super) async fn page(
    State(state): State<AppState>,
    Caller(principal): Caller,
    occasion: Occasion,
    OriginalUri(uri): OriginalUri,
    Params(params): Params,
) -> Result<Response, ApiError> {
    let asked = with_saved(&state, &principal, &params, &[])?;
    let search = query::parse(&asked).map_err(wrong)?;
    existing(&state, &principal, search.tenant_id.as_ref())?;
    let answer = state.queries.page(&principal, &search);
    let page = match search.cursor {
        // A search is recorded once, with its first page.
        Some(_) => answer.await?,
        None => {
            let read = Reading::of(Kind::Search, search.tenant_id.as_ref(), &asked);
            state.recorded(&principal, &occasion, read, answer).await?
        }
    };
    let bytes = show::bytes(&page.events);
    let written = move || {
        let mut response = Json(Body::of(&page, search.fields.as_ref())?).into_response();
        if let Some(link) = link(uri.path(), &params, &page) {
            response.headers_mut().insert(header::LINK, link);
        }
        Ok(response)
    };
    aside(principal.tenant(), bytes, written).await?
}

/// What is wrong with the parameters of a question.
pub(super) fn wrong(problems: Vec<Problem>) -> ApiError {
    ApiError::invalid(StatusCode::BAD_REQUEST, problems)
}

/// The parameters, with those of the search that `saved` names. Filters of both would be hard to tell apart, so they may
/// not clash; what steers the answer (`sort`, `limit`, `fields`, …) may be overridden, and where this question has none of
/// it, is left `without`.
pub(super) fn with_saved(
    state: &AppState,
    principal: &Principal,
    params: &[(String, String)],
    without: &[&str],
) -> Result<Vec<(String, String)>, ApiError> {
    // An operator who names a tenant means that tenant's searches.
    let tenant = params.iter().find(|(name, _)| name == "tenant_id");
    let tenant = tenant.and_then(|(_, tenant)| TenantId::parse(tenant));
    let tenant = tenant.as_ref().filter(|_| principal.is_operator());
    let tenant = tenant.unwrap_or_else(|| principal.tenant());
    with_saved_of(state, tenant, params, without).map_err(|problem| wrong(vec![problem]))
}

/// The same with the searches of a tenant that is known.
pub(super) fn with_saved_of(
    state: &AppState,
    tenant: &TenantId,
    params: &[(String, String)],
    without: &[&str],
) -> Result<Vec<(String, String)>, Problem> {
    let problem = |name: &str, detail: String| Problem::new(name, detail);
    let mut named = params.iter().filter(|(name, _)| name == "saved");
    let Some((_, id)) = named.next() else {
        return Ok(params.to_vec());
    };
    if named.next().is_some() {
        return Err(problem("saved", "given more than once".to_owned()));
    }
    let control = state.control.state();
    let saved = control.search(id).filter(|saved| saved.tenant == *tenant);
    let saved = saved.ok_or_else(|| problem("saved", "there is no saved search with this id".to_owned()))?;
    let saved = params::pairs(&saved.query).map_err(|found| {
        problem(
            "saved",
            format!(
                "the saved search can't be read: {}: {}",
                found.field, found.detail
            ),
        )
    })?;
    let saved: Vec<_> = saved
        .into_iter()
        .filter(|(name, _)| !without.contains(&name.as_str()))
        .collect();
    merged(&saved, params).map_err(|name| {
        problem(
            &name,
            format!("the saved search says something of `{name}` already: leave one of them out"),
        )
    })
}

/// Both; the name of the first filter that both have where there is one.
fn merged(saved: &[(String, String)], params: &[(String, String)]) -> Result<Vec<(String, String)>, String> {
    let asked = || params.iter().filter(|(name, _)| name != "saved");
    let is_asked = |name: &str| asked().any(|(other, _)| other == name);
    if let Some((name, _)) = saved
        .iter()
        .find(|(name, _)| is_asked(name) && !query::names::steers(name))
    {
        return Err(name.clone());
    }
    let kept = saved.iter().filter(|(name, _)| !is_asked(name));
    Ok(kept.chain(asked()).cloned().collect())
}

pub(super) async fn by_id(
    State(state): State<AppState>,
    Caller(principal): Caller,
    occasion: Occasion,
    Id(id): Id,
    Params(params): Params,
) -> Result<Response, ApiError> {
    let mut given = Given::of(&params);
    let tenant = given.tenant();
    given.finish()?;
    existing(&state, &principal, tenant.as_ref())?;
    let named = tenant.as_ref().map(TenantId::as_str);
    let answer = state.queries.standing(&principal, named, &id);
    let read = Reading::get(tenant.as_ref(), &id);
    match state.recorded(&principal, &occasion, read, answer).await? {
        Some(Stands { event, history, .. }) => {
            let shown = view::to_json_with_changes(&event).with_history(history.as_ref());
            Ok(([etag(&Tag::of(event.revision.into()))], Json(shown)).into_response())
        }
        None => Err(ApiError::not_found(
            "There is no event with this id, or it is not yet searchable.",
        )),
    }
}

/// RFC 8288: the same search with another cursor.
pub(super) fn link(path: &str, params: &[(String, String)], page: &Page) -> Option<HeaderValue> {
    let with = |cursor: &String, relation: &str| {
        let others = params.iter().filter(|(name, _)| name != "cursor");
        let others = others.map(|(name, value)| (name.as_str(), value.as_str()));
        let query = params::query_of(others.chain([("cursor", cursor.as_str())]));
        format!("<{path}?{query}>; rel=\"{relation}\"")
    };
    let next = page.next_cursor.as_ref().map(|cursor| with(cursor, "next"));
    let prev = page.prev_cursor.as_ref().map(|cursor| with(cursor, "prev"));
    let links: Vec<String> = next.into_iter().chain(prev).collect();
    (!links.is_empty()).then(|| HeaderValue::from_str(&links.join(", ")).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_joins_what_is_saved_and_steers_it() {
        let pairs = |query| params::pairs(query).unwrap();
        let saved = pairs("user_id=a&user_id=b&sort=time");
        assert_eq!(
            merged(&saved, &pairs("saved=x&sort=-time&tag=t")).unwrap(),
            pairs("user_id=a&user_id=b&sort=-time&tag=t")
        );
        assert_eq!(
            merged(&saved, &pairs("saved=x&user_id=c")),
            Err("user_id".to_owned())
        );
        assert!(merged(&saved, &pairs("saved=x&user_id!=b")).is_ok());
    }
}
