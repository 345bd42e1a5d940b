//! The small JSON objects that log people in and make users, keys and tenants.
//!
//! They are read member by member, so that everything that is wrong is said at once, under its field, in the words in
//! which it is said of events.

use std::num::NonZeroU32;

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode};
use secrecy::SecretString;

use super::body::Body;
use super::extract::{media_type, unknown_parameter};
use super::{ApiError, AppState};
use crate::clock::Timestamp;
use crate::control::rules;
use crate::control::{Limits as Rates, LimitsPatch, Patch, Role, Roles};
use crate::crypto::password;
use crate::event::draft::Problem;
use crate::event::json::Value;
use crate::event::json::pointer::push_step;
use crate::event::json::scan::{self, Limits, Member, elements};
use crate::event::{TenantId, moment};

/// A body that is an object of a known shape.
pub struct JsonBody<T>(pub T);

/// What can be read from an object.
pub trait FromObject: Sized {
    /// Whether nothing at all is as good as an empty object.
    const MAY_BE_ABSENT: bool = false;

    /// Takes its members out of `object`, which keeps what is wrong with them; `None` when that is not enough.
    fn of(object: &mut Object<'_>) -> Option<Self>;
}

impl<T: FromObject> FromRequest<AppState> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        // All that these routes are told stands in the body: `?tenant_id=` would be taken for a wish that was granted.
        if let Some(query) = request.uri().query().filter(|query| !query.is_empty()) {
            let name = query.split(['=', '&']).next().unwrap_or_default();
            let problem = unknown_parameter(name);
            return Err(ApiError::invalid(StatusCode::BAD_REQUEST, vec![problem]));
        }
        let kind = is_json(request.headers());
        let Body(bytes) = Body::from_request(request, state).await?;
        if T::MAY_BE_ABSENT && bytes.is_empty() {
            return read(b"{}").map(Self);
        }
        kind?;
        read(&bytes).map(Self)
    }
}

/// 415 for a body that is said to be something else than JSON: a form, as curl has it where nothing is said.
pub fn is_json(headers: &HeaderMap) -> Result<(), ApiError> {
    match media_type(headers).as_deref() {
        None | Some("application/json" | "text/json") => Ok(()),
        Some(kind) if kind.ends_with("+json") => Ok(()),
        Some(kind) => Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            format!(
                "The body is said to be {kind}. Send it as JSON (curl: -H 'content-type: application/json')."
            ),
        )),
    }
}

fn read<T: FromObject>(body: &[u8]) -> Result<T, ApiError> {
    let invalid = |problems| ApiError::invalid(StatusCode::UNPROCESSABLE_ENTITY, problems);
    let text = std::str::from_utf8(body).map_err(|_| invalid(wrong("it is not UTF-8")))?;
    let (members, faults) = scan::outline(text, Limits::EVENT)
        .map_err(|fault| invalid(vec![Problem::from_fault(text, fault)]))?;
    let members = members.ok_or_else(|| invalid(wrong("expected a JSON object")))?;
    let faults = faults.into_iter().map(|fault| Problem::from_fault(text, fault));
    let mut object = Object {
        members,
        names: Vec::new(),
        problems: faults.collect(),
    };
    let found = T::of(&mut object);
    object.refuse_the_rest();
    match found {
        Some(found) if object.problems.is_empty() => Ok(found),
        _ => Err(invalid(object.problems)),
    }
}

/// An object whose members are taken out one by one.
pub struct Object<'a> {
    members: Vec<Member<'a>>,
    /// What was asked for.
    names: Vec<&'static str>,
    problems: Vec<Problem>,
}

/// Reads one member; the fields of what is wrong are within it.
type Read<T> = fn(&Value<'_>) -> Result<T, Vec<Problem>>;

impl Object<'_> {
    /// A member that must be there.
    pub fn needed<T>(&mut self, name: &'static str, read: Read<T>) -> Option<T> {
        let problems = self.problems.len();
        let found = self.optional(name, read);
        if found.is_none() && self.problems.len() == problems {
            self.problems
                .push(Problem::new(format!("/{name}"), "is missing, and needed"));
        }
        found
    }

    /// A member of a merge patch that may be taken away: absent it stays, null takes it away.
    pub fn patched<T>(&mut self, name: &'static str, read: Read<T>) -> Patch<T> {
        let is_null = self
            .members
            .iter()
            .any(|member| member.key.decode() == name && matches!(member.value, Value::Null));
        match (self.optional(name, read), is_null) {
            (Some(next), _) => Patch::Set(next),
            (None, true) => Patch::Unset,
            (None, false) => Patch::Keep,
        }
    }

    /// A member of a merge patch that is always there: absent it stays, and null is refused.
    pub fn changed<T>(&mut self, name: &'static str, read: Read<T>) -> Option<T> {
        match self.patched(name, read) {
            Patch::Set(next) => Some(next),
            Patch::Keep => None,
            Patch::Unset => {
                let detail = "can't be taken away: leave it out to keep it";
                self.problems.push(Problem::new(format!("/{name}"), detail));
                None
            }
        }
    }

    /// A member that must be there, and may say that there is nothing: null.
    pub fn needed_or_null<T>(&mut self, name: &'static str, read: Read<T>) -> Option<T> {
        let is_there = self.members.iter().any(|member| member.key.decode() == name);
        if !is_there {
            self.problems
                .push(Problem::new(format!("/{name}"), "is missing, and needed"));
        }
        self.optional(name, read)
    }

    /// A member that may be absent, or null.
    pub fn optional<T>(&mut self, name: &'static str, read: Read<T>) -> Option<T> {
        self.names.push(name);
        let at = self
            .members
            .iter()
            .position(|member| member.key.decode() == name)?;
        let value = match self.members.remove(at).value {
            Value::Null => return None,
            value => value,
        };
        let within = |problem: Problem| Problem::new(format!("/{name}{}", problem.field), problem.detail);
        read(&value)
            .map_err(|problems| self.problems.extend(problems.into_iter().map(within)))
            .ok()
    }

    /// A field that nobody knows is a typo, or a wish that nobody would grant. One that came twice was named already.
    fn refuse_the_rest(&mut self) {
        for member in &self.members {
            let name: String = member.key.decode().chars().take(NAME_SHOWN).collect();
            if !self.names.contains(&name.as_str()) {
                let mut field = String::new();
                push_step(&mut field, &name);
                let detail = format!("there is no such field; there are {}", self.names.join(", "));
                self.problems.push(Problem::new(field, detail));
            }
        }
    }
}

/// How much of a name that we don't know is repeated.
const NAME_SHOWN: usize = 100;

fn wrong(detail: impl Into<String>) -> Vec<Problem> {
    vec![Problem::new("", detail)]
}

fn expected(what: &str, found: &Value<'_>) -> Vec<Problem> {
    wrong(format!("expected {what}, found {}", found.kind()))
}

/// A string.
pub fn text(value: &Value<'_>) -> Result<String, Vec<Problem>> {
    match value {
        Value::Text(text) => Ok(text.decode().into_owned()),
        other => Err(expected("a string", other)),
    }
}

/// A text that keeps a rule; the rule says what is wrong.
fn ruled<T>(found: T, rule: impl FnOnce(&T) -> Option<String>) -> Result<T, Vec<Problem>> {
    match rule(&found) {
        Some(detail) => Err(wrong(detail)),
        None => Ok(found),
    }
}

/// What something is called.
pub fn label(value: &Value<'_>) -> Result<String, Vec<Problem>> {
    ruled(text(value)?, |name| {
        rules::label(name).map(|problem| problem.detail)
    })
}

/// What a user is called.
pub fn user_name(value: &Value<'_>) -> Result<String, Vec<Problem>> {
    ruled(text(value)?, |name| {
        rules::user_name(name).map(|problem| problem.detail)
    })
}

/// A password to be set.
pub fn new_password(value: &Value<'_>) -> Result<SecretString, Vec<Problem>> {
    ruled(secret(value)?, |password| {
        password::problem(password).map(str::to_owned)
    })
}

/// The limit of a grant: filters of a search, and nothing else.
pub fn limit(value: &Value<'_>) -> Result<String, Vec<Problem>> {
    let limit = text(value)?;
    let said = |problem: Problem| match problem.field.as_str() {
        "" => Problem::new("", problem.detail),
        name => Problem::new("", format!("{name}: {}", problem.detail)),
    };
    match crate::query::limit::filter(&limit) {
        Ok(_) => Ok(limit),
        Err(problems) => Err(problems.into_iter().map(said).collect()),
    }
}

/// A password or a token, as it was given out or set.
pub fn secret(value: &Value<'_>) -> Result<SecretString, Vec<Problem>> {
    text(value).map(Into::into)
}

/// The name of a tenant.
pub fn tenant(value: &Value<'_>) -> Result<TenantId, Vec<Problem>> {
    let rule = "must be 1 to 63 of a-z, 0-9, - and _, and begin with a letter or a digit";
    TenantId::parse(&text(value)?).ok_or_else(|| wrong(rule))
}

/// Events a second.
pub fn rate(value: &Value<'_>) -> Result<NonZeroU32, Vec<Problem>> {
    let rule = format!("a whole number from 1 to {}", u32::MAX);
    match value {
        // 500.0 and 5e2 are whole as well, to whoever writes numbers so.
        Value::Number(text) => text
            .parse()
            .ok()
            .or_else(|| whole(text))
            .ok_or_else(|| wrong(format!("expected {rule}"))),
        other => Err(expected(&rule, other)),
    }
}

fn whole(text: &str) -> Option<NonZeroU32> {
    let number: f64 = text.parse().ok()?;
    let fits = number.fract() == 0.0 && (1.0..=f64::from(u32::MAX)).contains(&number);
    NonZeroU32::new(if fits { number as u32 } else { 0 })
}

/// True or false.
pub fn flag(value: &Value<'_>) -> Result<bool, Vec<Problem>> {
    match value {
        Value::Bool(flag) => Ok(*flag),
        other => Err(expected("true or false", other)),
    }
}

/// How much somebody may do: three members of a tenant, or of a key.
pub fn rates(object: &mut Object<'_>) -> Rates {
    Rates {
        events_per_second: object.optional("events_per_second", rate),
        searches_per_second: object.optional("searches_per_second", rate),
        exports_at_once: object.optional("exports_at_once", rate),
    }
}

/// Changes of them.
pub fn rates_patch(object: &mut Object<'_>) -> LimitsPatch {
    LimitsPatch {
        events_per_second: object.patched("events_per_second", rate),
        searches_per_second: object.patched("searches_per_second", rate),
        exports_at_once: object.patched("exports_at_once", rate),
    }
}

/// A moment, as events have them.
pub fn date(value: &Value<'_>) -> Result<Timestamp, Vec<Problem>> {
    let rule = "a date such as 2027-01-01 or 2027-01-01T09:00:00Z";
    let at = match value {
        Value::Text(text) => moment::parse(&text.decode()).map(|moment| moment.at),
        Value::Number(text) => moment::number(text),
        other => return Err(expected(rule, other)),
    };
    // Behind the year 9999 nobody can write it down again.
    at.filter(|at| Timestamp::parse_rfc3339(&at.to_string()).is_some())
        .ok_or_else(|| wrong(format!("expected {rule}")))
}

/// An array of roles.
pub fn roles(value: &Value<'_>) -> Result<Roles, Vec<Problem>> {
    let Value::Array(span) = value else {
        return Err(expected("an array of roles", value));
    };
    let (mut roles, mut problems) = (Vec::new(), Vec::new());
    for (index, element) in elements(*span).iter().enumerate() {
        match role(element) {
            Ok(role) => roles.push(role),
            Err(detail) => problems.push(Problem::new(format!("/{index}"), detail)),
        }
    }
    match problems.is_empty() {
        true => ruled(roles.into_iter().collect(), |roles| {
            rules::some_role(*roles).map(|problem| problem.detail)
        }),
        false => Err(problems),
    }
}

/// An array of roles that a key may have.
pub fn key_roles(value: &Value<'_>) -> Result<Roles, Vec<Problem>> {
    ruled(roles(value)?, |roles| {
        rules::key_roles(*roles).map(|problem| problem.detail)
    })
}

fn role(value: &Value<'_>) -> Result<Role, String> {
    match value {
        Value::Text(text) => Role::parse(&text.decode()).ok_or_else(|| {
            let roles = Role::ALL.map(Role::as_str).join(", ");
            format!("there is no such role; there are {roles}")
        }),
        other => Err(format!("expected a role, found {}", other.kind())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Key {
        name: String,
        roles: Roles,
        expires_at: Option<Timestamp>,
        rate: Option<NonZeroU32>,
    }

    impl FromObject for Key {
        fn of(object: &mut Object<'_>) -> Option<Self> {
            let (name, roles) = (object.needed("name", text), object.needed("roles", roles));
            let expires_at = object.optional("expires_at", date);
            let rate = object.optional("events_per_second", rate);
            Some(Self {
                name: name?,
                roles: roles?,
                expires_at,
                rate,
            })
        }
    }

    /// The status, and each problem as `field: detail`.
    fn refused(body: &str) -> (u16, Vec<String>) {
        let refused = read::<Key>(body.as_bytes()).unwrap_err();
        let said = |problem: Problem| format!("{}: {}", problem.field, problem.detail);
        (
            refused.status.as_u16(),
            refused.errors.into_iter().map(said).collect(),
        )
    }

    #[test]
    fn members_come_in_any_order_and_null_is_as_absent() {
        let body = r#" {"roles": ["ingest", "admin"], "expires_at": "2027-01-01", "name": "sh\u006fp", "events_per_second": 5} "#;
        let key: Key = read(body.as_bytes()).unwrap();
        assert_eq!(key.name, "shop");
        assert_eq!(key.roles, Roles::of(&[Role::Admin, Role::Ingest]));
        assert_eq!(key.expires_at.unwrap().to_string(), "2027-01-01T00:00:00Z");
        assert_eq!(key.rate, NonZeroU32::new(5));
        let key: Key = read(br#"{"name": "", "roles": ["user"], "expires_at": null}"#).unwrap();
        assert_eq!((key.expires_at, key.rate), (None, None));
    }

    #[test]
    fn everything_that_is_wrong_is_said_under_its_field() {
        let body = r#"{"roles": ["king", null, "admin"], "expires_at": "soon", "events_per_second": 0, "rôle/s": 1}"#;
        let (status, said) = refused(body);
        assert_eq!(status, 422);
        assert_eq!(
            said,
            [
                "/name: is missing, and needed",
                "/roles/0: there is no such role; there are operator, admin, auditor, user, ingest",
                "/roles/1: expected a role, found null",
                "/expires_at: expected a date such as 2027-01-01 or 2027-01-01T09:00:00Z",
                "/events_per_second: expected a whole number from 1 to 4294967295",
                "/rôle~1s: there is no such field; there are name, roles, expires_at, events_per_second",
            ]
        );
        let (_, said) = refused(r#"{"name": 1, "roles": "admin", "events_per_second": "5"}"#);
        assert_eq!(
            said,
            [
                "/name: expected a string, found a number",
                "/roles: expected an array of roles, found a string",
                "/events_per_second: expected a whole number from 1 to 4294967295, found a string",
            ]
        );
        let (_, said) = refused(r#"{"name": "a", "name": "b", "roles": ["user"]}"#);
        assert_eq!(said, ["/name: this key stands twice in its object"]);
    }

    #[test]
    fn numbers_that_are_no_rates_and_dates_that_nobody_can_write_are_refused() {
        for rate in ["1e3", "1000.0"] {
            let body = format!(r#"{{"name": "a", "roles": ["user"], "events_per_second": {rate}}}"#);
            assert_eq!(
                read::<Key>(body.as_bytes()).unwrap().rate,
                NonZeroU32::new(1_000),
                "{rate}"
            );
        }
        for rate in ["-1", "1.5", "1e10", "1e400", "4294967296"] {
            let (_, said) = refused(&format!(
                r#"{{"name": "a", "roles": ["user"], "events_per_second": {rate}}}"#
            ));
            assert!(said[0].starts_with("/events_per_second: "), "{said:?}");
        }
        let (_, said) =
            refused(r#"{"name": "a", "roles": ["user"], "expires_at": "9999-12-31T23:59:59-10:00"}"#);
        assert!(said[0].starts_with("/expires_at: "), "{said:?}");
    }

    #[test]
    fn what_is_no_object_is_none_of_its_members_in_a_row() {
        for body in [r#"["shop", ["admin"]]"#, "1", r#""name""#, "null"] {
            assert_eq!(
                refused(body),
                (422, vec![": expected a JSON object".to_owned()]),
                "{body}"
            );
        }
        for body in ["", "{", r#"{"name": tru}"#, "{} {}"] {
            let (status, said) = refused(body);
            assert_eq!((status, said.len()), (422, 1), "{body}: {said:?}");
        }
        assert_eq!(read::<Key>(b"{\"name\": \"\xff\"}").unwrap_err().kind, "invalid");
    }
}
