//! What everything that is managed has in common: lists page by page, one object with its ETag, changes and removals
//! that say which version they mean.
//!
//! A [`Resource`] says what it is called, where it stands in control state and how it is shown; the handlers here are the
//! same for all. A change or a removal of what somebody else has changed meanwhile is refused with 412 where the caller
//! says which version it saw (`If-Match`); where it says nothing, the last one wins.

pub(super) mod page;
pub(super) mod precondition;

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use uuid::Uuid;

use super::whose::tenant_of;
use crate::auth::Principal;
use crate::auth::manage::ManageError;
use crate::control::{self, Command, Permission, Refusal};
use crate::event::TenantId;
use crate::web::extract::{Caller, Id, Params, idempotency_key};
use crate::web::given::Given;
use crate::web::object::{FromObject, JsonBody};
use crate::web::{ApiError, AppState, Json};

use page::{Listing, Paging};
use precondition::{Expected, Tag, is_known};

/// How often a change is tried anew when somebody else was faster, where the caller does not mind.
const TRIES: usize = 5;

/// A kind of thing that is managed.
pub(super) trait Resource: 'static {
    /// As control state has it.
    type Entity: Send + Sync + 'static;
    /// In sentences: "There is no such user."
    const NOUN: &'static str;
    /// What one must be allowed in a tenant to see those of it.
    const SEEN_WITH: Permission;
    /// Whether an operator who names no tenant lists those of all, and not its own tenant's.
    const LISTS_ALL: bool = false;

    /// The one of this id.
    fn found<'a>(state: &'a control::State, id: &str) -> Option<&'a Arc<Self::Entity>>;
    /// All of a tenant.
    fn of_tenant<'a>(state: &'a control::State, tenant: &TenantId) -> Vec<&'a Arc<Self::Entity>>;
    /// Whose it is.
    fn tenant(entity: &Self::Entity) -> &TenantId;
    /// Which version of it this is.
    fn version(entity: &Self::Entity) -> u64;
    /// What its `ETag` says.
    fn tag(entity: &Self::Entity) -> Tag {
        Tag::of(Self::version(entity))
    }
    /// Where it stands in lists: its name, and what tells it from others of that name.
    fn place(entity: &Self::Entity) -> String;
    /// As its answers show it.
    fn shown(entity: &Self::Entity) -> Value;

    /// As lists show it.
    fn listed(entity: &Self::Entity) -> Value {
        Self::shown(entity)
    }

    /// That somebody who sees it may change it.
    fn may_change(_by: &Principal, _entity: &Self::Entity) -> Result<(), ApiError> {
        Ok(())
    }
}

/// What can be changed in part, by a merge patch.
pub(super) trait Changeable: Resource {
    /// The members of the patch.
    type Patch: FromObject + Send + Sync;
    /// The command that makes the change.
    fn change(by: &Principal, patch: Self::Patch, now: crate::clock::Timestamp) -> Result<Command, ApiError>;
}

/// What can be taken away, or ended.
pub(super) trait Removable: Resource {
    /// The command that does so.
    fn removal() -> Command;
}

/// `GET` of all that the caller sees, page by page.
pub(super) async fn list<R: Resource>(
    State(state): State<AppState>,
    Caller(principal): Caller,
    Params(params): Params,
) -> Result<Response, ApiError> {
    let Listing { tenant, paging } = Listing::of(&params)?;
    let is_all = tenant.is_none() && R::LISTS_ALL && principal.is_operator();
    let tenant = tenant_of(&state, &principal, R::SEEN_WITH, tenant)?;
    let control = state.control.state();
    let found: Vec<_> = match is_all {
        false => R::of_tenant(&control, &tenant),
        true => {
            let tenants = control.tenants();
            tenants
                .flat_map(|tenant| R::of_tenant(&control, &tenant.id))
                .collect()
        }
    };
    let placed = found
        .into_iter()
        .map(|entity| (R::place(entity), entity))
        .collect();
    Ok(Paging::answer(&paging, placed, |entity| R::listed(entity)))
}

/// `GET` of one, 304 when the caller has it in this version.
pub(super) async fn one<R: Resource>(
    State(state): State<AppState>,
    Caller(principal): Caller,
    Id(id): Id,
    Params(params): Params,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    refuse_parameters(&params)?;
    let entity = find::<R>(&state, &principal, &id)?;
    Ok(shown::<R>(&entity, &headers))
}

/// `PATCH` of one.
pub(super) async fn update<R: Changeable>(
    State(state): State<AppState>,
    Caller(principal): Caller,
    Id(id): Id,
    headers: HeaderMap,
    JsonBody(patch): JsonBody<R::Patch>,
) -> Result<Response, ApiError> {
    let command = R::change(&principal, patch, state.clock.now())?;
    submit::<R>(&state, &principal, &id, &headers, &command).await?;
    let entity = find::<R>(&state, &principal, &id)?;
    Ok(answer::<R>(StatusCode::OK, &entity))
}

/// `DELETE` of one.
pub(super) async fn remove<R: Removable>(
    State(state): State<AppState>,
    Caller(principal): Caller,
    Id(id): Id,
    Params(params): Params,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    refuse_parameters(&params)?;
    submit::<R>(&state, &principal, &id, &headers, &R::removal()).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The one that the caller means; 404 where it is not the caller's to see.
pub(super) fn find<R: Resource>(
    state: &AppState,
    principal: &Principal,
    id: &str,
) -> Result<Arc<R::Entity>, ApiError> {
    let control = state.control.state();
    let found = R::found(&control, id);
    found
        .filter(|entity| principal.can_in(R::tenant(entity), R::SEEN_WITH))
        .cloned()
        .ok_or_else(|| ApiError::not_found(format!("There is no such {}.", R::NOUN)))
}

/// Sends a command about what is there, in the version that the caller means.
pub(super) async fn submit<R: Resource>(
    state: &AppState,
    principal: &Principal,
    id: &str,
    headers: &HeaderMap,
    command: &Command,
) -> Result<u64, ApiError> {
    let expected = Expected::of(headers)?;
    for _ in 1..TRIES {
        match attempt::<R>(state, principal, id, &expected, command).await? {
            Err(ManageError::Refused(Refusal::Conflict { .. })) => {}
            decided => return Ok(decided?),
        }
    }
    Ok(attempt::<R>(state, principal, id, &expected, command).await??)
}

async fn attempt<R: Resource>(
    state: &AppState,
    principal: &Principal,
    id: &str,
    expected: &Expected,
    command: &Command,
) -> Result<Result<u64, ManageError>, ApiError> {
    let entity = find::<R>(state, principal, id)?;
    R::may_change(principal, &entity)?;
    let version = R::version(&entity);
    expected.check(Some(&R::tag(&entity)))?;
    let request = state.clock.fresh_id();
    Ok(state
        .auth
        .change(principal, request, version, id, command.clone())
        .await)
}

/// 200 with one object, or 304.
pub(super) fn shown<R: Resource>(entity: &R::Entity, headers: &HeaderMap) -> Response {
    let tag = R::tag(entity);
    if is_known(headers, &tag) {
        return (StatusCode::NOT_MODIFIED, [etag(&tag)]).into_response();
    }
    answer::<R>(StatusCode::OK, entity)
}

/// One object with its ETag.
pub(super) fn answer<R: Resource>(status: StatusCode, entity: &R::Entity) -> Response {
    (status, [etag(&R::tag(entity))], Json(R::shown(entity))).into_response()
}

/// 201 with what was made, by its id. A request that comes again after what it made was deleted is told so.
pub(super) fn made<R: Resource>(state: &AppState, id: &str) -> Result<Response, ApiError> {
    let control = state.control.state();
    let gone = || {
        let detail = format!("This request made a {}, which has been deleted since.", R::NOUN);
        ApiError::not_found(detail)
    };
    let entity = R::found(&control, id).ok_or_else(gone)?;
    Ok(answer::<R>(StatusCode::CREATED, entity))
}

pub(super) fn etag(tag: &Tag) -> (header::HeaderName, HeaderValue) {
    // Digits in quotes are always a header's value.
    let value = HeaderValue::try_from(tag.to_string());
    (
        header::ETAG,
        value.unwrap_or_else(|_| HeaderValue::from_static("\"0\"")),
    )
}

pub(super) fn refuse_parameters(params: &[(String, String)]) -> Result<(), ApiError> {
    Given::of(params).finish()
}

/// That the caller may grant rights: who reads only part of the events itself could give somebody all of them.
pub(super) fn may_grant(principal: &Principal) -> Result<(), ApiError> {
    match principal.limit() {
        None => Ok(()),
        Some(_) => Err(ApiError::forbidden(
            "Your own grant has a limit, so you can't make or change those of others.",
        )),
    }
}

/// The same `Idempotency-Key` of the same caller, on the same route (as `POST /path`) and for the same tenant, is the
/// same request: it gets the first answer.
pub(super) fn request_id(
    headers: &HeaderMap,
    state: &AppState,
    principal: &Principal,
    route: &str,
    tenant: &TenantId,
) -> Result<Uuid, ApiError> {
    Ok(match idempotency_key(headers)? {
        None => state.clock.fresh_id(),
        Some(key) => {
            let parts = [
                principal.id().as_bytes(),
                route.as_bytes(),
                tenant.as_str().as_bytes(),
                key.as_bytes(),
            ];
            let name = parts.join(&0);
            Uuid::new_v5(&Uuid::NAMESPACE_OID, &name)
        }
    })
}
