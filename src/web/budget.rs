//! What a request spends, and what its answer says of what is left.
//!
//! Each route declares its budget beside its permission, so that none can forget it. `RateLimit-Policy` and `RateLimit`
//! are structured fields as in draft-ietf-httpapi-ratelimit-headers-10.

use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use super::client::Client;
use super::{ApiError, AppState};
use crate::auth::{Principal, PrincipalKind};
use crate::control::{Control, Permission};
use crate::limit::{Budget, Limited, Limits, Permit, Spender, Standing};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The budgets of this instance.
pub struct Budgets {
    limits: Arc<Limits>,
    control: Control,
}

impl Budgets {
    /// Budgets as control state says.
    pub fn new(limits: Arc<Limits>, control: Control) -> Self {
        Self { limits, control }
    }

    /// One of the streams that the caller's tenant, and the caller, may have open at once: hold it while it is open.
    pub fn stream_permit(&self, principal: &Principal) -> Result<Permit, Limited> {
        self.limits.stream(&self.control.state(), spender(principal))
    }

    /// Spends what a request costs before it is looked at; what it writes is counted by the door for events.
    pub(super) fn spend(&self, principal: &Principal, budget: Budget) -> Result<Spent, Limited> {
        let (state, spender) = (self.control.state(), spender(principal));
        if budget != Budget::Writing {
            self.limits.spend(&state, spender, 1, budget)?;
        }
        let permit = self.limits.begin(&state, spender, budget)?;
        Ok(Spent {
            budget,
            principal: principal.clone(),
            permit,
        })
    }

    /// Says in an answer what is left.
    pub(super) fn note(&self, principal: &Principal, budget: Budget, headers: &mut HeaderMap) {
        let standing = self
            .limits
            .standing(&self.control.state(), spender(principal), budget);
        if let Some(standing) = standing {
            note(headers, budget.as_str(), standing);
        }
    }
}

fn spender(principal: &Principal) -> Spender<'_> {
    Spender {
        tenant: principal.tenant(),
        key: principal.key_id(),
        user: (principal.kind() == PrincipalKind::User).then(|| principal.id()),
        manages: principal.can(Permission::Manage),
    }
}

/// What a request has spent.
pub(super) struct Spent {
    budget: Budget,
    principal: Principal,
    permit: Option<Permit>,
}

impl Spent {
    /// The answer, with what is left; an export counts until the last byte of it is sent, or nobody takes it any more.
    pub(super) fn answered(self, budgets: &Budgets, mut response: Response) -> Response {
        budgets.note(&self.principal, self.budget, response.headers_mut());
        match self.permit {
            None => response,
            Some(permit) => response.map(|body| {
                let held = Held {
                    body,
                    _permit: permit,
                };
                Body::new(held)
            }),
        }
    }
}

/// A body that holds a permit.
struct Held {
    body: Body,
    _permit: Permit,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Counts a request by its caller's address, before anything is asked of it.
pub(super) async fn by_address(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let client = Client::of_request(&state, &request).filter(|client| !client.is_loopback());
    match client.map(|client| state.limits.limits.request(client.address)) {
        Some(Err(limited)) => ApiError::from(limited).into_response(),
        _ => next.run(request).await,
    }
}

/// `"searching";q=50;w=1` and `"searching";r=49;t=1`.
fn note(headers: &mut HeaderMap, name: &str, standing: Standing) {
    let (mut policy, mut limit) = (
        format!("\"{name}\";q={}", standing.quota),
        format!("\"{name}\";r={}", standing.left),
    );
    // Writing to a String can't fail.
    let _ = match standing.more_in {
        Some(more_in) => write!(limit, ";t={}", whole_seconds(more_in)).and_then(|()| {
            let window = whole_seconds(standing.window);
            write!(policy, ";w={window}")
        }),
        None => write!(policy, ";qu=\"concurrent-requests\""),
    };
    for (name, text) in [(POLICY, policy), (LIMIT, limit)] {
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(name, value);
        }
    }
}

fn whole_seconds(time: Duration) -> u64 {
    (time.as_secs() + u64::from(time.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn what_is_left_is_written_as_the_draft_has_it() {
        let standing = |left, more_in| Standing {
            quota: NonZeroU32::new(50).unwrap(),
            left,
            window: Duration::from_secs(1),
            more_in,
        };
        let mut headers = HeaderMap::new();
        note(
            &mut headers,
            "searching",
            standing(49, Some(Duration::from_millis(20))),
        );
        assert_eq!(headers[POLICY], "\"searching\";q=50;w=1");
        assert_eq!(headers[LIMIT], "\"searching\";r=49;t=1");
        note(&mut headers, "exporting", standing(0, None));
        assert_eq!(headers[POLICY], "\"exporting\";q=50;qu=\"concurrent-requests\"");
        assert_eq!(headers[LIMIT], "\"exporting\";r=0");
    }
}
