//! `GET /api/v1/schemas`, `GET, PUT, DELETE /api/v1/schemas/{event_type}`: what events of a type must satisfy.
//!
//! A `PUT` adds a version, which holds from then on. It must take all that the version before it took, so that no sender
//! breaks unseen; `?force=true` says that this is meant.

mod put;

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::manage::precondition::{Tag, is_known};
use super::manage::{Removable, Resource, etag, find, list, shown, submit};
use super::whose::tenant_of;
use super::{
    Access::Needs,
    Budget::{Free, Managing},
    Route, delete, get, put,
};
use crate::control::Permission::{self, Manage};
use crate::control::{self, Command, EventSchema, schema_id};
use crate::event::TenantId;
use crate::web::doc::{self, Doc, Param, query};
use crate::web::extract::{Caller, Id, Params};
use crate::web::given::Given;
use crate::web::{ApiError, AppState, Json};

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/api/v1/schemas", Needs(Manage, Free), list::<Schemas>).doc(
            said("listSchemas", "List schemas")
                .text("Without the schemas themselves.")
                .lists("EventSchemaPage"),
        ),
        get("/api/v1/schemas/{event_type}", Needs(Manage, Free), one).doc(said_of_one()),
        put("/api/v1/schemas/{event_type}", Needs(Manage, Managing), put::add).doc(said_of_adding()),
        delete("/api/v1/schemas/{event_type}", Needs(Manage, Managing), remove).doc(said_of_removing()),
    ]
}

fn said(id: &'static str, summary: &'static str) -> Doc {
    Doc::new(id, "Schemas", summary)
}

fn event_type() -> Param {
    let schema = json!({"type": "string", "minLength": 1, "maxLength": 256, "example": "invoice.sent"});
    doc::path("event_type", "The event type.", schema)
}

fn said_of_one() -> Doc {
    said("getSchema", "Get a schema")
        .param(event_type())
        .param(doc::tenant_id())
        .param(query(
            "version",
            "As it was then. Default: the newest one.",
            json!({"type": "integer", "minimum": 1}),
        ))
        .param(doc::if_none_match())
        .answers(200, "The schema.", "EventSchema")
        .header("ETag", "Its version, and when it was put.")
        .answers_nothing(304, "It stands as the caller has it.")
}

fn said_of_adding() -> Doc {
    said("putSchema", "Set a schema")
        .text("What events of this type must satisfy from now on, in JSON Schema (2020-12). A later version must take all that the one before it took.")
        .param(event_type())
        .param(doc::tenant_id())
        .param(query("force", "Set it although it may refuse what the version before it took.", json!({"type": "boolean", "default": false})))
        .param(doc::if_match())
        .param(doc::if_none_match())
        .takes("JsonSchema")
        .answers(200, "It has this version by now, or had it already.", "EventSchema")
        .header("ETag", "Its version, and when it was put.")
        .answers(201, "The first version.", "EventSchema")
        .header("ETag", "Its version, and when it was put.")
        .problem(409, "It keeps being changed by others, or there are too many schemas.")
        .problem(412, "It was changed since the version that `If-Match` names, or there is one, which `If-None-Match: *` rules out.")
}

fn said_of_removing() -> Doc {
    said("deleteSchema", "Remove a schema")
        .param(event_type())
        .param(doc::tenant_id())
        .param(doc::if_match())
        .answers_nothing(204, "Events of this type are held to nothing from now on.")
        .problem(409, "It keeps being changed by others: read it and try again.")
        .problem(412, "It was changed since the version that `If-Match` names.")
}

struct Schemas;

impl Resource for Schemas {
    type Entity = EventSchema;
    const NOUN: &'static str = "schema";
    const SEEN_WITH: Permission = Manage;

    fn found<'a>(state: &'a control::State, id: &str) -> Option<&'a Arc<EventSchema>> {
        let (tenant, event_type) = control::parse_schema_id(id)?;
        state.schema(&tenant, event_type)
    }

    fn of_tenant<'a>(state: &'a control::State, tenant: &TenantId) -> Vec<&'a Arc<EventSchema>> {
        state.schemas_of(tenant).collect()
    }

    fn tenant(schema: &EventSchema) -> &TenantId {
        &schema.tenant
    }

    fn version(schema: &EventSchema) -> u64 {
        schema.version
    }

    fn tag(schema: &EventSchema) -> Tag {
        Tag::put_at(schema.version, schema.created_at)
    }

    fn place(schema: &EventSchema) -> String {
        format!("{}\0{}", schema.event_type, schema.tenant)
    }

    fn shown(schema: &EventSchema) -> Value {
        with_text(schema, schema.version).unwrap_or_default()
    }

    /// Without the schemas themselves, which are large.
    fn listed(schema: &EventSchema) -> Value {
        json!({
            "event_type": &*schema.event_type,
            "tenant_id": schema.tenant,
            "version": schema.version,
            "created_by": &*schema.created_by,
            "created_at": schema.created_at,
        })
    }
}

impl Removable for Schemas {
    fn removal() -> Command {
        Command::DeleteSchema
    }
}

/// The schema as it was in a version that is still kept.
fn with_text(schema: &EventSchema, version: u64) -> Option<Value> {
    let back = usize::try_from(schema.version.checked_sub(version)?).ok()?;
    let text = schema.versions.iter().rev().nth(back)?;
    let mut body = Schemas::listed(schema);
    body["version"] = version.into();
    body["newest_version"] = schema.version.into();
    body["schema"] = serde_json::from_str(text).unwrap_or_default();
    Some(body)
}

async fn one(
    State(state): State<AppState>,
    Caller(principal): Caller,
    Id(event_type): Id,
    Params(params): Params,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let mut given = Given::of(&params);
    let version = given.one("version", |value| {
        value.parse::<u64>().map_err(|_| "a whole number")
    });
    let named = given.tenant();
    given.finish()?;
    let tenant = tenant_of(&state, &principal, Manage, named)?;
    let schema = find::<Schemas>(&state, &principal, &schema_id(&tenant, &event_type))?;
    let Some(version) = version else {
        return Ok(shown::<Schemas>(&schema, &headers));
    };
    let newest = Schemas::tag(&schema);
    let tag = match version == schema.version {
        true => newest,
        false => newest.as_of(version),
    };
    if is_known(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, [etag(&tag)]).into_response());
    }
    let body = with_text(&schema, version)
        .ok_or_else(|| ApiError::not_found("There is no such version, or it is no longer kept."))?;
    Ok(([etag(&tag)], Json(body)).into_response())
}

async fn remove(
    State(state): State<AppState>,
    Caller(principal): Caller,
    Id(event_type): Id,
    Params(params): Params,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let mut given = Given::of(&params);
    let named = given.tenant();
    given.finish()?;
    let tenant = tenant_of(&state, &principal, Manage, named)?;
    let id = schema_id(&tenant, &event_type);
    submit::<Schemas>(&state, &principal, &id, &headers, &Schemas::removal()).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
