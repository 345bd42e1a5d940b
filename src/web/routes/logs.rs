//! `POST /api/v1/logs` = `POST /events`, and `POST /api/v1/logs/bulk`.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::{Access::Needs, Budget, Route, post};
use crate::auth::Principal;
use crate::connectors::aws_cloudtrail;
use crate::control::Permission;
use crate::event::batch::{BatchForm, split};
use crate::ingest::{Form, Item, ItemError, Origin, Receipt};
use crate::web::body::Body;
use crate::web::doc::{self, Doc, Param, query};
use crate::web::extract::{Caller, Params, idempotency_key, media_type};
use crate::web::given::Given;
use crate::web::{ApiError, AppState, Json};

pub(super) fn routes() -> Vec<Route> {
    vec![
        post("/api/v1/logs", Needs(Permission::Write, Budget::Writing), one).doc(said_of_one()),
        post("/events", Needs(Permission::Write, Budget::Writing), one),
        post(
            "/api/v1/logs/bulk",
            Needs(Permission::Write, Budget::Writing),
            many,
        )
        .doc(said_of_many()),
    ]
}

fn said_of_one() -> Doc {
    Doc::new("writeEvent", "Events", "Write an event")
        .text("Also at `/events`. It is answered once the log has the event on every replica: what was acknowledged is kept, whatever is killed afterwards.\n\nSent again under the same id, it is the same event. Give it an `event_id` of your own, or an `Idempotency-Key`.\n\nAn event has other names, too (`user_id`, `timestamp`, …), and null says nothing. NDJSON and batches of CloudEvents are taken as well, and answered as by `POST /api/v1/logs/bulk`.")
        .param(wait_parameter())
        .param(doc::idempotency_key())
        .takes("EventToWrite")
        .takes_as("application/cloudevents+json", "CloudEvent")
        .answers(201, "The log has it.", "Receipt")
        .answers(200, "It was held already, and nothing was written.", "Receipt")
        .answers(202, "The log has it, and it was not searchable in time (`wait=indexed`).", "Receipt")
        .problem(409, "An event of this id and other content is held; the first one counts.")
}

fn said_of_many() -> Doc {
    Doc::new("writeEvents", "Events", "Write many events")
        .text("A JSON array, `{\"logs\": […]}`, NDJSON, or a batch of CloudEvents: up to 100,000 events in 10 MiB. Each is taken or refused by itself.")
        .param(wait_parameter())
        .param(query(
            "source",
            "`aws_cloudtrail`: the items are records of CloudTrail, as `trailhouse import` sends them. For admins.",
            json!({"type": "string", "enum": [aws_cloudtrail::KIND]}),
        ))
        .param(doc::idempotency_key())
        .takes("EventsToWrite")
        .takes_as("application/x-ndjson", "Ndjson")
        // Without a schema: generators of clients for Python can't tell one kind of list from another.
        .takes_also("application/cloudevents-batch+json")
        .answers(200, "All were taken.", "BulkReceipt")
        .answers(202, "All were taken, and were not searchable in time (`wait=indexed`).", "BulkReceipt")
        .answers(207, "Some were refused: look at each item.", "BulkReceipt")
}

fn wait_parameter() -> Param {
    query(
        "wait",
        "`indexed`: answer when it can be searched.",
        json!({"type": "string", "enum": ["indexed"]}),
    )
}

const HTTP: Origin<'static> = Origin {
    kind: "http",
    id: None,
};

/// What the parameters of a post say.
struct Options {
    wait_indexed: bool,
    cloudtrail: bool,
}

pub(super) async fn one(
    State(state): State<AppState>,
    Caller(principal): Caller,
    Params(params): Params,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, ApiError> {
    state.admit_write()?;
    let options = options(&params, false)?;
    let kind = Kind::of(&headers)?;
    if kind == Kind::Batch {
        return many_events(&state, &principal, &options, &headers, &body).await;
    }
    let key = idempotency_key(&headers)?;
    let attributes = attributes(&headers);
    let form = match kind {
        Kind::Binary => Form::CloudEvent {
            headers: &attributes,
            content_type: headers.get("content-type").and_then(|value| value.to_str().ok()),
            body: &body,
        },
        _ => Form::Event(&body),
    };
    let item = Item {
        form,
        client_id: key.as_deref(),
        place: None,
    };
    state.ingest.admit(&principal, 1)?;
    let outcome = state.ingest.take(&principal, HTTP, &[item]).await.pop();
    let receipt = outcome.unwrap_or(Err(ItemError::Log(crate::log::LogError::Full)))?;
    let indexed = !options.wait_indexed || wait(&state, &principal, std::slice::from_ref(&receipt)).await;
    let status = match (receipt.duplicate, indexed) {
        (_, false) => StatusCode::ACCEPTED,
        (true, true) => StatusCode::OK,
        (false, true) => StatusCode::CREATED,
    };
    Ok((status, Json(taken(&receipt))).into_response())
}

pub(super) async fn many(
    State(state): State<AppState>,
    Caller(principal): Caller,
    Params(params): Params,
    headers: HeaderMap,
    Body(body): Body,
) -> Result<Response, ApiError> {
    state.admit_write()?;
    let options = options(&params, true)?;
    Kind::of(&headers)?;
    many_events(&state, &principal, &options, &headers, &body).await
}

async fn many_events(
    state: &AppState,
    principal: &Principal,
    options: &Options,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, ApiError> {
    if options.cloudtrail && !principal.can(Permission::Manage) {
        return Err(ApiError::forbidden(
            "Only an admin may import the records of an outside source.",
        ));
    }
    let lines = media_type(headers).is_some_and(|kind| kind.ends_with("ndjson") || kind.ends_with("jsonl"));
    let records = split(
        body,
        if lines {
            BatchForm::Lines
        } else {
            BatchForm::Posted
        },
    )?;
    let keys = item_keys(idempotency_key(headers)?, records.len());
    let items: Vec<Item<'_>> = records
        .iter()
        .enumerate()
        .map(|(index, record)| Item {
            form: match options.cloudtrail {
                true => Form::Mapped {
                    record,
                    map: aws_cloudtrail::map,
                },
                false => Form::Event(record),
            },
            client_id: keys.get(index).map(String::as_str),
            place: None,
        })
        .collect();
    let origin = if options.cloudtrail {
        Origin {
            kind: aws_cloudtrail::KIND,
            id: None,
        }
    } else {
        HTTP
    };
    state.ingest.admit(principal, items.len())?;
    let outcomes = state.ingest.take(principal, origin, &items).await;
    let indexed = !options.wait_indexed || {
        let receipts: Vec<Receipt> = outcomes.iter().flatten().cloned().collect();
        wait(state, principal, &receipts).await
    };
    Ok(bulk_answer(outcomes, indexed))
}

fn bulk_answer(outcomes: Vec<Result<Receipt, ItemError>>, indexed: bool) -> Response {
    let accepted = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let rejected = outcomes.len() - accepted;
    if let (0, Some(Err(error @ (ItemError::Log(_) | ItemError::Busy(_))))) = (accepted, outcomes.first()) {
        // Nothing got through, and not for what was sent: one answer for all, with a time to come back.
        return ApiError::from(error.clone()).into_response();
    }
    let items: Vec<Value> = outcomes
        .into_iter()
        .enumerate()
        .map(|(index, outcome)| match outcome {
            Ok(receipt) => {
                let mut item = taken(&receipt);
                item.insert("index".into(), index.into());
                item.insert("status".into(), if receipt.duplicate { 200 } else { 201 }.into());
                Value::Object(item)
            }
            Err(error) => {
                let problem = ApiError::from(error);
                json!({"index": index, "status": problem.status.as_u16(), "problem": problem.to_value()})
            }
        })
        .collect();
    let status = match (rejected, indexed) {
        (0, true) => StatusCode::OK,
        (0, false) => StatusCode::ACCEPTED,
        _ => StatusCode::MULTI_STATUS,
    };
    (
        status,
        Json(json!({"accepted": accepted, "rejected": rejected, "items": items})),
    )
        .into_response()
}

fn taken(receipt: &Receipt) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("event_id".into(), receipt.event_id.to_string().into());
    if receipt.duplicate {
        body.insert("duplicate".into(), true.into());
    }
    if !receipt.warnings.is_empty() {
        body.insert("warnings".into(), json!(receipt.warnings));
    }
    body
}

/// Waits until all are searchable; false when that takes too long.
async fn wait(state: &AppState, principal: &Principal, receipts: &[Receipt]) -> bool {
    let within = Duration::from_secs(state.config.wait_indexed_seconds);
    let deadline = tokio::time::Instant::now() + within;
    let newest = receipts.iter().filter_map(|receipt| receipt.position).fold(
        std::collections::BTreeMap::<i32, i64>::new(),
        |mut newest, at| {
            let offset = newest.entry(at.partition).or_default();
            *offset = (*offset).max(at.offset);
            newest
        },
    );
    for (partition, offset) in newest {
        let at = crate::log::Position { partition, offset };
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        match state.ingest.progress().wait(at, left).await {
            Some(true) => {}
            Some(false) => return false,
            None => return state.queries.wait_for(principal, receipts, deadline).await,
        }
    }
    true
}

/// What a body is, by its headers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    Batch,
    Binary,
}

impl Kind {
    fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        if headers.contains_key("ce-specversion") {
            return Ok(Self::Binary);
        }
        match media_type(headers).as_deref() {
            Some("application/cloudevents-batch+json") => Ok(Self::Batch),
            Some("application/x-ndjson" | "application/ndjson" | "application/jsonl") => Ok(Self::Batch),
            None => Ok(Self::Json),
            Some(kind) if kind == "application/json" || kind.ends_with("+json") || kind == "text/json" => {
                Ok(Self::Json)
            }
            Some(kind) => Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                format!(
                    "The body is said to be {kind}. Send events as application/json, application/x-ndjson, or as CloudEvents (curl: -H 'content-type: application/json')."
                ),
            )),
        }
    }
}

fn options(params: &[(String, String)], bulk: bool) -> Result<Options, ApiError> {
    let mut given = Given::of(params);
    let wait = |value: &str| match value {
        "indexed" => Ok(()),
        _ => Err("the only thing to wait for is `indexed`"),
    };
    let source = |value: &str| match value {
        aws_cloudtrail::KIND => Ok(()),
        _ => Err(format!(
            "the only source whose records can be posted is `{}`",
            aws_cloudtrail::KIND
        )),
    };
    let options = Options {
        wait_indexed: given.one("wait", wait).is_some(),
        cloudtrail: bulk && given.one("source", source).is_some(),
    };
    given.finish()?;
    Ok(options)
}

/// In a bulk request each item's id is the key and its index.
fn item_keys(key: Option<String>, items: usize) -> Vec<String> {
    key.map_or_else(Vec::new, |key| {
        (0..items).map(|index| format!("{key}/{index}")).collect()
    })
}

/// The headers of a CloudEvent in binary mode.
fn attributes(headers: &HeaderMap) -> Vec<(&str, &[u8])> {
    headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("ce-"))
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect()
}
