//! `PUT /api/v1/schemas/{event_type}`: what is put must be usable, and take all that was taken before.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::Value;

use super::super::manage::precondition::{Expected, is_known};
use super::super::manage::{Resource, answer, find};
use super::super::whose::tenant_of;
use super::Schemas;
use crate::auth::Principal;
use crate::auth::manage::ManageError;
use crate::control::Permission::Manage;
use crate::control::{Command, EventSchema, Refusal, schema_id};
use crate::event::TenantId;
use crate::event::draft::Problem;
use crate::schemas::{check, compatible};
use crate::web::aside::in_turn;
use crate::web::body::Body;
use crate::web::extract::{Caller, Id, Params};
use crate::web::given::Given;
use crate::web::object::is_json;
use crate::web::{ApiError, AppState};

/// How often a version is added anew when somebody else was faster, where the caller does not mind.
const TRIES: usize = 5;
/// What reading, compiling and comparing one takes at most, about.
const WORK_BYTES: usize = 16 << 20;
/// The server's own events are not held to anybody's schema.
const OWN: &str = "trailhouse.";

/// 201 with the first version, 200 with a later one, or with the present one where it is the same.
pub(super) async fn add(
    State(state): State<AppState>,
    Caller(principal): Caller,
    Id(event_type): Id,
    Params(params): Params,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, ApiError> {
    let mut given = Given::of(&params);
    let (named, force) = (given.tenant(), given.flag("force"));
    given.finish()?;
    let tenant = tenant_of(&state, &principal, Manage, named)?;
    let invalid = |problems| ApiError::invalid(StatusCode::UNPROCESSABLE_ENTITY, problems);
    if event_type.starts_with(OWN) {
        let detail = format!("types that begin with {OWN} are the server's own");
        return Err(invalid(vec![Problem::new("event_type", detail)]));
    }
    if event_type.contains('\0') {
        let detail = "no event has such a type: a NUL character is refused in events";
        return Err(invalid(vec![Problem::new("event_type", detail)]));
    }
    is_json(&headers)?;
    let text =
        String::from_utf8(body.to_vec()).map_err(|_| invalid(vec![Problem::new("", "it is not UTF-8")]))?;
    let (text, schema) = in_turn(&tenant, WORK_BYTES, move || {
        let schema = check::read(&text);
        let usable = schema.and_then(|schema| check::compile(&schema).map(|_| schema));
        (text, usable)
    })
    .await?;
    let put = Put {
        event_type: &event_type,
        id: schema_id(&tenant, &event_type),
        tenant,
        schema: Arc::new(schema.map_err(invalid)?),
        text,
        force,
    };
    for _ in 0..TRIES {
        if let Some(answer) = put.once(&state, &principal, &headers).await? {
            return Ok(answer);
        }
    }
    Err(ApiError::conflict(
        "",
        "it keeps being changed by others: read it and try again",
    ))
}

/// A schema on its way.
struct Put<'a> {
    tenant: TenantId,
    event_type: &'a str,
    id: String,
    text: String,
    schema: Arc<Value>,
    force: bool,
}

impl Put<'_> {
    /// Adds it behind the version that there is now; `None` when somebody else was faster.
    async fn once(
        &self,
        state: &AppState,
        principal: &Principal,
        headers: &HeaderMap,
    ) -> Result<Option<Response>, ApiError> {
        let present = state
            .control
            .state()
            .schema(&self.tenant, self.event_type)
            .cloned();
        let version = expected(headers, present.as_deref())?;
        if let Some(present) = &present
            && self.is_there(present).await?
        {
            return Ok(Some(answer::<Schemas>(StatusCode::OK, present)));
        }
        let command = Command::PutSchema {
            schema: self.text.clone(),
        };
        let request = state.clock.fresh_id();
        let changed = state.auth.change(principal, request, version, &self.id, command);
        let status = match changed.await {
            Err(ManageError::Refused(Refusal::Conflict { .. })) => return Ok(None),
            Err(error) => return Err(error.into()),
            Ok(1) => StatusCode::CREATED,
            Ok(_) => StatusCode::OK,
        };
        let made = find::<Schemas>(state, principal, &self.id)?;
        Ok(Some(answer::<Schemas>(status, &made)))
    }

    /// Whether it is what stands there already. Where it is another, it must be wider, or be forced.
    async fn is_there(&self, present: &EventSchema) -> Result<bool, ApiError> {
        let text = present.versions.last().cloned().unwrap_or_default();
        let (schema, force) = (self.schema.clone(), self.force);
        let narrowed = in_turn(&self.tenant, WORK_BYTES, move || {
            let before: Value = serde_json::from_str(&text).unwrap_or_default();
            let narrowed = || match force {
                true => Vec::new(),
                false => compatible::narrowings(&before, &schema),
            };
            (before != *schema).then(narrowed)
        });
        match narrowed.await? {
            None => Ok(true),
            Some(narrowed) if narrowed.is_empty() => Ok(false),
            Some(narrowed) => Err(incompatible(narrowed)),
        }
    }
}

/// The version that the caller means to follow.
fn expected(headers: &HeaderMap, present: Option<&EventSchema>) -> Result<u64, ApiError> {
    let version = present.map_or(0, |present| present.version);
    let tag = present.map(Schemas::tag);
    Expected::of(headers)?.check(tag.as_ref())?;
    match tag {
        Some(tag) if is_known(headers, &tag) => Err(ApiError::new(
            StatusCode::PRECONDITION_FAILED,
            "precondition_failed",
            "There is a schema for this event type already, which If-None-Match rules out.",
        )),
        _ => Ok(version),
    }
}

fn incompatible(narrowed: Vec<Problem>) -> ApiError {
    let detail = format!(
        "{} of the schema may refuse what the version before it took. Widen it, or say ?force=true where events from before need not fit it.",
        match narrowed.len() {
            1 => "One place".to_owned(),
            many if many < check::PROBLEMS_MAX => format!("{many} places"),
            many => format!("{many} places or more"),
        }
    );
    ApiError {
        detail,
        kind: "incompatible_schema",
        ..ApiError::invalid(StatusCode::UNPROCESSABLE_ENTITY, narrowed)
    }
}
