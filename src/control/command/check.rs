//! What is wrong with a command itself, whatever the state is.

use super::{Command, Patch};
use crate::control::entity::parse_schema_id;
use crate::control::role::{Role, Roles};
use crate::event::TenantId;
use crate::event::draft::Problem;

/// The longest limit of a grant, in bytes.
pub const LIMIT_BYTES_MAX: usize = 4 * 1024;
/// The longest search that is kept, in bytes.
pub const QUERY_BYTES_MAX: usize = 8 * 1024;
/// The longest schema, in bytes.
pub const SCHEMA_BYTES_MAX: usize = 64 * 1024;
/// The longest event type that can have a schema, in bytes.
const EVENT_TYPE_BYTES_MAX: usize = 256;
const NO_ROLE: &str = "at least one role is needed";

impl Command {
    /// What is wrong with the command itself, whatever the state is; empty when nothing is.
    pub fn problems(&self, id: &str) -> Vec<Problem> {
        match self {
            Self::CreateTenant { name, .. } => [tenant_id(id), label(name)].into_iter().flatten().collect(),
            Self::UpdateTenant { name, .. } => name.as_deref().and_then(label).into_iter().collect(),
            Self::CreateUser {
                name, roles, limit, ..
            } => {
                let found = [
                    user_name(name),
                    some_role(*roles),
                    limit.as_deref().and_then(of_limit),
                ];
                found.into_iter().flatten().collect()
            }
            Self::UpdateUser { roles, limit, .. } => {
                let found = [roles.and_then(some_role), of_patch(limit)];
                found.into_iter().flatten().collect()
            }
            Self::CreateKey {
                name, roles, limit, ..
            } => {
                let limit = limit.as_deref().and_then(of_limit);
                let found = [label(name), some_role(*roles), key_roles(*roles), limit];
                found.into_iter().flatten().collect()
            }
            Self::UpdateKey { name, limit, .. } => {
                let found = [name.as_deref().and_then(label), of_patch(limit)];
                found.into_iter().flatten().collect()
            }
            Self::CreateSearch { name, query, .. } => {
                [label(name), of_query(query)].into_iter().flatten().collect()
            }
            Self::UpdateSearch { name, query } => {
                let found = [
                    name.as_deref().and_then(label),
                    query.as_deref().and_then(of_query),
                ];
                found.into_iter().flatten().collect()
            }
            Self::PutSchema { schema } => [event_type(id), text("/schema", schema, SCHEMA_BYTES_MAX)]
                .into_iter()
                .flatten()
                .collect(),
            Self::CreateExport { query, .. } => of_query(query).into_iter().collect(),
            _ => Vec::new(),
        }
    }
}

fn tenant_id(id: &str) -> Option<Problem> {
    let rule = "1 to 63 of a-z, 0-9, - and _, beginning with a letter or a digit";
    TenantId::parse(id).is_none().then(|| Problem::new("/id", rule))
}

/// A user name: visible characters, so that two names that look alike in a log are the same bytes more often.
pub fn user_name(name: &str) -> Option<Problem> {
    let fits = (1..=128).contains(&name.chars().count())
        && !name.chars().any(|c| c.is_whitespace() || c.is_control());
    (!fits).then(|| {
        Problem::new(
            "/name",
            "1 to 128 characters without spaces or control characters",
        )
    })
}

/// A name of something, for people.
pub fn label(name: &str) -> Option<Problem> {
    let fits = !name.trim().is_empty() && name.chars().count() <= 200 && !name.chars().any(char::is_control);
    (!fits).then(|| {
        Problem::new(
            "/name",
            "1 to 200 characters without control characters, and not only blanks",
        )
    })
}

/// Nobody has none.
pub fn some_role(roles: Roles) -> Option<Problem> {
    roles.is_empty().then(|| Problem::new("/roles", NO_ROLE))
}

/// A key spans no tenants, and is nobody whose own events it could read.
pub fn key_roles(roles: Roles) -> Option<Problem> {
    let cannot = roles.has(Role::Operator) || roles.has(Role::User);
    cannot.then(|| Problem::new("/roles", "a key may be admin, auditor or ingest"))
}

fn of_limit(limit: &str) -> Option<Problem> {
    text("/limit", limit, LIMIT_BYTES_MAX)
}

fn of_patch(limit: &Patch<String>) -> Option<Problem> {
    match limit {
        Patch::Set(limit) => of_limit(limit),
        Patch::Keep | Patch::Unset => None,
    }
}

/// An empty search finds everything, and may be kept.
fn of_query(query: &str) -> Option<Problem> {
    let too_long = || Problem::new("/query", format!("at most {QUERY_BYTES_MAX} bytes"));
    (query.len() > QUERY_BYTES_MAX).then(too_long)
}

fn event_type(id: &str) -> Option<Problem> {
    let fits = parse_schema_id(id).is_some_and(|(_, event_type)| event_type.len() <= EVENT_TYPE_BYTES_MAX);
    let rule = || format!("an event type of 1 to {EVENT_TYPE_BYTES_MAX} bytes");
    (!fits).then(|| Problem::new("/event_type", rule()))
}

fn text(field: &str, text: &str, max: usize) -> Option<Problem> {
    let fits = !text.is_empty() && text.len() <= max;
    (!fits).then(|| Problem::new(field, format!("1 to {max} bytes")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::entity::Limits;

    #[test]
    fn problems_name_their_fields() {
        let fields = |command: Command, id: &str| -> Vec<String> {
            command
                .problems(id)
                .into_iter()
                .map(|problem| problem.field)
                .collect()
        };
        let tenant = |name: &str| Command::CreateTenant {
            name: name.into(),
            limits: Limits::default(),
        };
        assert!(fields(tenant("Acme"), "acme").is_empty());
        assert_eq!(fields(tenant(""), "Acme!"), ["/id", "/name"]);
        let user = |name: &str, roles: &[Role]| Command::CreateUser {
            name: name.into(),
            tenant: TenantId::default_tenant(),
            roles: Roles::of(roles),
            limit: None,
            password: None,
        };
        assert!(fields(user("ann@example.org", &[Role::Admin]), "u").is_empty());
        assert_eq!(fields(user("a b", &[]), "u"), ["/name", "/roles"]);
        assert_eq!(fields(user("nul\0", &[Role::User]), "u"), ["/name"]);
    }

    #[test]
    fn a_key_spans_no_tenants_and_is_nobody() {
        for role in [Role::Operator, Role::User] {
            let command = Command::CreateKey {
                name: "k".into(),
                tenant: TenantId::default_tenant(),
                roles: Roles::of(&[Role::Ingest, role]),
                limit: None,
                sha256: [0; 32],
                expires_at: None,
                limits: Limits::default(),
            };
            assert_eq!(command.problems("k")[0].field, "/roles");
        }
    }

    #[test]
    fn what_is_kept_as_text_has_a_bound() {
        let long = "x".repeat(QUERY_BYTES_MAX + 1);
        let fields = |command: Command, id: &str| -> Vec<String> {
            let problems = command.problems(id).into_iter();
            problems.map(|problem| problem.field).collect()
        };
        let search = Command::CreateSearch {
            tenant: TenantId::default_tenant(),
            name: " ".into(),
            query: long.as_str().into(),
        };
        assert_eq!(fields(search, "s"), ["/name", "/query"]);
        let user = |limit: &str| Command::UpdateUser {
            roles: None,
            limit: Patch::Set(limit.into()),
            disabled: None,
        };
        assert_eq!(fields(user(""), "u"), ["/limit"]);
        assert_eq!(fields(user(&long), "u"), ["/limit"]);
        assert!(fields(user("a=b"), "u").is_empty());
        let schema = || Command::PutSchema { schema: "{}".into() };
        for (id, fits) in [
            ("acme/a/b", true),
            ("acme/", false),
            ("acme", false),
            ("A B/x", false),
        ] {
            assert_eq!(fields(schema(), id).is_empty(), fits, "{id}");
        }
    }
}
