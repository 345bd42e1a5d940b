//! One vocabulary of failure: RFC 9457 problem details, whatever went wrong.
//!
//! `type` names the kind of problem for programs, `detail` tells people what was wrong and what to do, `errors` names
//! the fields.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};

use super::Json;
use crate::auth::manage::ManageError;
use crate::auth::{AuthError, SessionError};
use crate::control::{ControlError, Refusal as ControlRefusal};
use crate::event::batch::BatchError;
use crate::event::draft::{Problem, Refusal};
use crate::ingest::ItemError;
use crate::limit::Limited;
use crate::log::LogError;
use crate::query::QueryError;
use crate::trail::NotRecorded;

/// A failure on its way to the client.
#[derive(Clone, Debug)]
pub struct ApiError {
    /// The HTTP status.
    pub status: StatusCode,
    /// The kind, as a word.
    pub kind: &'static str,
    /// One sentence for people.
    pub detail: String,
    /// What was wrong with which field.
    pub errors: Vec<Problem>,
    /// When it may work.
    pub retry_after: Option<Duration>,
    /// Further members.
    pub more: Map<String, Value>,
}

/// What goes over the wire.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [Problem],
    #[serde(flatten)]
    more: &'a Map<String, Value>,
}

impl ApiError {
    /// A failure without further ado.
    pub fn new(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
            more: Map::new(),
        }
    }

    /// Fields that don't hold what they must: 422 for a body, 400 for parameters.
    pub fn invalid(status: StatusCode, errors: Vec<Problem>) -> Self {
        let detail = match errors.as_slice() {
            [one] if one.field.is_empty() => one.detail.clone(),
            [one] => format!("{}: {}", one.field, one.detail),
            many => format!("{} fields don't hold what they must; see errors.", many.len()),
        };
        let kind = if status == StatusCode::BAD_REQUEST {
            "invalid_parameters"
        } else {
            "invalid"
        };
        Self {
            errors,
            ..Self::new(status, kind, detail)
        }
    }

    /// 409 because of what a field holds.
    pub fn conflict(field: &str, detail: impl Into<String>) -> Self {
        let problem = Problem::new(field, detail);
        Self {
            kind: "conflict",
            ..Self::invalid(StatusCode::CONFLICT, vec![problem])
        }
    }

    /// 503: it will work again.
    pub fn unavailable(kind: &'static str, detail: impl Into<String>, retry_after: Duration) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, kind, detail)
        }
    }

    /// 404.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    /// 403.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// The problem as JSON, for an item of a batch.
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self.body()).unwrap_or_default()
    }

    fn body(&self) -> Body<'_> {
        Body {
            kind: format!("urn:trailhouse:problem:{}", self.kind),
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            errors: &self.errors,
            more: &self.more,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(after) = self.retry_after {
            // Whole seconds, rounded up: half a second is not zero.
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        let detail = error.to_string();
        match error {
            AuthError::TooMany { retry_after } => Self {
                retry_after: Some(retry_after),
                ..Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_attempts", detail)
            },
            AuthError::Stale | AuthError::Unavailable | AuthError::NoKeys => {
                Self::unavailable("auth_unavailable", detail, Duration::from_secs(2))
            }
            AuthError::Expired => Self::new(StatusCode::UNAUTHORIZED, "token_expired", detail),
            AuthError::Missing | AuthError::Invalid | AuthError::WrongPassword | AuthError::Changed => {
                Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
            }
        }
    }
}

impl From<LogError> for ApiError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Refused(why) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "refused_by_log", why),
            LogError::Full => Self::unavailable("log_full", error.to_string(), Duration::from_secs(1)),
            LogError::Unavailable(_) | LogError::Misconfigured(_) => Self::unavailable(
                "log_unavailable",
                "The log did not confirm the event. Send it again, under the same id.",
                Duration::from_secs(2),
            ),
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            Refusal::Invalid(problems) => Self::invalid(StatusCode::UNPROCESSABLE_ENTITY, problems),
            Refusal::OtherTenant { field } => Self {
                errors: vec![Problem::new(field, "names another tenant")],
                ..Self::forbidden(detail)
            },
            Refusal::TooLarge { .. } => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "event_too_large", detail),
        }
    }
}

impl From<ItemError> for ApiError {
    fn from(error: ItemError) -> Self {
        match error {
            ItemError::Refused(refusal) => refusal.into(),
            ItemError::Log(error) => error.into(),
            ItemError::Busy(busy) => Self::unavailable("too_busy", busy.to_string(), Duration::from_secs(5)),
            ItemError::Conflict { event_id } => Self {
                more: Map::from_iter([("event_id".to_owned(), Value::String(event_id.to_string()))]),
                ..Self::new(
                    StatusCode::CONFLICT,
                    "id_conflict",
                    "An event with this id and other content is held; the first copy counts. Give the new event an id of its own.",
                )
            },
        }
    }
}

impl From<NotRecorded> for ApiError {
    fn from(error: NotRecorded) -> Self {
        Self::unavailable("reads_not_recorded", error.to_string(), Duration::from_secs(5))
    }
}

impl From<Limited> for ApiError {
    fn from(limited: Limited) -> Self {
        let (status, kind) = match limited {
            Limited::Full => (StatusCode::SERVICE_UNAVAILABLE, "too_busy"),
            Limited::Spent { .. } | Limited::Address { .. } => {
                (StatusCode::TOO_MANY_REQUESTS, "rate_limited")
            }
        };
        Self {
            retry_after: Some(limited.retry_after()),
            ..Self::new(status, kind, limited.to_string())
        }
    }
}

impl From<BatchError> for ApiError {
    fn from(error: BatchError) -> Self {
        let status = match error {
            BatchError::TooMany => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, "malformed_batch", error.to_string())
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Invalid(problems) => Self::invalid(StatusCode::BAD_REQUEST, problems),
            QueryError::Forbidden(why) => Self::forbidden(why),
            QueryError::TooCostly => Self::new(
                StatusCode::BAD_REQUEST,
                "too_costly",
                "The search was stopped: it would cost more time or memory than one may. Narrow it with from and to, or with a \
                 filter for equal values (user_id, event_type, details.x=…) or words (q), which the indexes answer; comparisons, \
                 prefixes, networks and negations are looked for row by row.",
            ),
            QueryError::Busy => Self::unavailable(
                "too_busy",
                "Too many searches are running, or too many that take as long as this one. Come back later, or narrow it with from \
                 and to.",
                Duration::from_secs(5),
            ),
            QueryError::Unavailable => Self::unavailable(
                "search_unavailable",
                "ClickHouse can't be reached. Events are still taken; searches work again when it is back.",
                Duration::from_secs(2),
            ),
            QueryError::Failed(why) => {
                tracing::error!(why, "a query failed");
                Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "internal",
                    "The query failed; the server's log says why.",
                )
            }
        }
    }
}

impl From<ManageError> for ApiError {
    fn from(error: ManageError) -> Self {
        match error {
            ManageError::Auth(error) => error.into(),
            ManageError::Refused(refusal) => refusal.into(),
            ManageError::Control(ControlError::Invalid(problems)) => {
                Self::invalid(StatusCode::UNPROCESSABLE_ENTITY, problems)
            }
            ManageError::Control(error) => {
                Self::unavailable("control_unavailable", error.to_string(), Duration::from_secs(2))
            }
        }
    }
}

impl From<SessionError> for ApiError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Manage(error) => error.into(),
            SessionError::NoSession => Self::forbidden(error.to_string()),
            SessionError::WrongPassword => Self::invalid(
                StatusCode::UNPROCESSABLE_ENTITY,
                vec![Problem::new("/old_password", "is not your password")],
            ),
        }
    }
}

impl From<ControlRefusal> for ApiError {
    fn from(refusal: ControlRefusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            ControlRefusal::NotFound | ControlRefusal::NoSuchTenant => Self::not_found(detail),
            ControlRefusal::OperatorsOnly => Self::forbidden(detail),
            ControlRefusal::OtherRequest => Self::conflict(
                "Idempotency-Key",
                "another request came with this key before: give each one a key of its own",
            ),
            ControlRefusal::Conflict { .. }
            | ControlRefusal::NameTaken
            | ControlRefusal::LastOperator
            | ControlRefusal::Revoked
            | ControlRefusal::TooMany { .. }
            | ControlRefusal::TooLong { .. } => Self::new(StatusCode::CONFLICT, "conflict", detail),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_whole_seconds_and_never_none() {
        for (wait, seconds) in [(1, "1"), (999, "1"), (1_000, "1"), (1_001, "2")] {
            let response = ApiError::unavailable("x", "y", Duration::from_millis(wait)).into_response();
            assert_eq!(response.headers()[header::RETRY_AFTER], seconds);
            assert_eq!(
                response.headers()[header::CONTENT_TYPE],
                "application/problem+json"
            );
        }
    }
}
