//! `GET, POST /api/v1/searches`, `GET, PATCH, DELETE /api/v1/searches/{id}`: searches under a name.
//!
//! Who reads events may save searches, and sees all of its tenant. One changes one's own; an admin changes any.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};
use uuid::Uuid;

use super::manage::{Changeable, Removable, Resource, list, made, one, remove, request_id, update};
use super::whose::tenant_of;
use super::{
    Access::Needs,
    Budget::{Free, Managing},
    Route, delete, get, patch, post,
};
use crate::auth::Principal;
use crate::clock::Timestamp;
use crate::control::Permission::{self, Manage, Read};
use crate::control::{self, Command, SavedSearch};
use crate::event::TenantId;
use crate::event::draft::Problem;
use crate::query::{self, params};
use crate::web::doc::Doc;
use crate::web::extract::Caller;
use crate::web::object::{FromObject, JsonBody, Object, label, tenant, text};
use crate::web::{ApiError, AppState};

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/api/v1/searches", Needs(Read, Free), list::<Searches>)
            .doc(said("listSavedSearches", "List saved searches").lists("SavedSearchPage")),
        post("/api/v1/searches", Needs(Read, Managing), create).doc(
            said("createSavedSearch", "Save a search")
                .takes("SearchToSave")
                .makes("SavedSearch"),
        ),
        get("/api/v1/searches/{id}", Needs(Read, Free), one::<Searches>)
            .doc(said("getSavedSearch", "Get a saved search").shows("SavedSearch")),
        patch("/api/v1/searches/{id}", Needs(Read, Managing), update::<Searches>).doc(
            said("updateSavedSearch", "Change a saved search")
                .text("One's own; an admin changes any.")
                .takes("SavedSearchPatch")
                .changes("SavedSearch"),
        ),
        delete("/api/v1/searches/{id}", Needs(Read, Managing), remove::<Searches>).doc(
            said("deleteSavedSearch", "Remove a saved search")
                .text("One's own; an admin removes any.")
                .removes(),
        ),
    ]
}

fn said(id: &'static str, summary: &'static str) -> Doc {
    Doc::new(id, "Searches", summary)
}

struct Searches;

impl Resource for Searches {
    type Entity = SavedSearch;
    const NOUN: &'static str = "search";
    const SEEN_WITH: Permission = Read;

    fn found<'a>(state: &'a control::State, id: &str) -> Option<&'a Arc<SavedSearch>> {
        state.search(id)
    }

    fn of_tenant<'a>(state: &'a control::State, tenant: &TenantId) -> Vec<&'a Arc<SavedSearch>> {
        state.searches_of(tenant).collect()
    }

    fn tenant(search: &SavedSearch) -> &TenantId {
        &search.tenant
    }

    fn version(search: &SavedSearch) -> u64 {
        search.version
    }

    fn place(search: &SavedSearch) -> String {
        format!("{}\0{}", search.name, search.id)
    }

    fn shown(search: &SavedSearch) -> Value {
        json!({
            "id": &*search.id,
            "name": &*search.name,
            "tenant_id": search.tenant,
            "query": &*search.query,
            "created_by": &*search.created_by,
            "version": search.version,
            "created_at": search.created_at,
        })
    }

    fn may_change(by: &Principal, search: &SavedSearch) -> Result<(), ApiError> {
        match *search.created_by == *by.who() || by.can_in(&search.tenant, Manage) {
            true => Ok(()),
            false => Err(ApiError::forbidden(
                "This search was saved by somebody else: save one of your own, or ask an admin.",
            )),
        }
    }
}

impl Removable for Searches {
    fn removal() -> Command {
        Command::DeleteSearch
    }
}

struct Changes {
    name: Option<String>,
    query: Option<String>,
}

impl FromObject for Changes {
    fn of(object: &mut Object<'_>) -> Option<Self> {
        Some(Self {
            name: object.changed("name", label),
            query: object.changed("query", text),
        })
    }
}

impl Changeable for Searches {
    type Patch = Changes;

    fn change(_: &Principal, changes: Changes, _: Timestamp) -> Result<Command, ApiError> {
        let query = changes.query.map(checked).transpose()?;
        Ok(Command::UpdateSearch {
            name: changes.name,
            query,
        })
    }
}

struct Wanted {
    name: String,
    query: String,
    tenant_id: Option<TenantId>,
}

impl FromObject for Wanted {
    fn of(object: &mut Object<'_>) -> Option<Self> {
        let (name, query) = (object.needed("name", label), object.needed("query", text));
        let tenant_id = object.optional("tenant_id", tenant);
        Some(Self {
            name: name?,
            query: query?,
            tenant_id,
        })
    }
}

async fn create(
    State(state): State<AppState>,
    Caller(principal): Caller,
    headers: HeaderMap,
    JsonBody(wanted): JsonBody<Wanted>,
) -> Result<Response, ApiError> {
    let tenant = tenant_of(&state, &principal, Read, wanted.tenant_id)?;
    let request = request_id(&headers, &state, &principal, "POST /api/v1/searches", &tenant)?;
    let id = Uuid::new_v5(&request, b"search").to_string();
    let command = Command::CreateSearch {
        tenant,
        name: wanted.name,
        query: checked(wanted.query)?,
    };
    state.auth.change(&principal, request, 0, &id, command).await?;
    made::<Searches>(&state, &id)
}

/// The query of a URL that a search would take. A place in its pages, or another tenant's events, can't be saved.
fn checked(query: String) -> Result<String, ApiError> {
    let query = query.strip_prefix('?').unwrap_or(&query);
    let params = params::pairs(query).map_err(|problem| invalid(vec![problem]))?;
    query::parse(&params).map_err(invalid)?;
    let unsaved = params
        .iter()
        .find(|(name, _)| name == "cursor" || name == "tenant_id");
    match unsaved {
        Some((name, _)) => Err(invalid(vec![Problem::new(name, "can't be saved")])),
        None => Ok(query.to_owned()),
    }
}

fn invalid(problems: Vec<Problem>) -> ApiError {
    let within = |problem: Problem| Problem::new("/query", format!("{}: {}", problem.field, problem.detail));
    let problems = problems.into_iter().map(within).collect();
    ApiError::invalid(StatusCode::UNPROCESSABLE_ENTITY, problems)
}
