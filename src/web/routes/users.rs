//! `GET, POST /api/v1/users`, `GET, PATCH, DELETE /api/v1/users/{id}`.
//!
//! A deleted user is a disabled one: its name stays taken, so that a name in an old event means one person.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::manage::precondition::Expected;
use super::manage::{
    Removable, Resource, answer, find, list, made, may_grant, one, remove, request_id, submit,
};
use super::whose::tenant_of;
use super::{
    Access::Needs,
    Budget::{Free, Managing},
    Route, delete, get, patch, post,
};
use crate::auth::{NewUser, Principal};
use crate::control::Permission::{self, Manage};
use crate::control::{self, Command, Patch, Roles, User};
use crate::event::TenantId;
use crate::event::draft::Problem;
use crate::web::doc::Doc;
use crate::web::extract::{Caller, Id};
use crate::web::object::{FromObject, JsonBody, Object, flag, limit, new_password, roles, tenant, user_name};
use crate::web::{ApiError, AppState};

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/api/v1/users", Needs(Manage, Free), list::<Users>)
            .doc(said("listUsers", "List users").lists("UserPage")),
        post("/api/v1/users", Needs(Manage, Managing), create).doc(
            said("createUser", "Make a user")
                .takes("UserToMake")
                .makes("User"),
        ),
        get("/api/v1/users/{id}", Needs(Manage, Free), one::<Users>)
            .doc(said("getUser", "Get a user").shows("User")),
        patch("/api/v1/users/{id}", Needs(Manage, Managing), change).doc(
            said("updateUser", "Change a user")
                .text("A new password ends all sessions of the user.")
                .takes("UserPatch")
                .changes("User"),
        ),
        delete("/api/v1/users/{id}", Needs(Manage, Managing), remove::<Users>).doc(
            said("disableUser", "Disable a user")
                .text("Its name stays taken, so that a name in an old event means one person.")
                .removes(),
        ),
    ]
}

fn said(id: &'static str, summary: &'static str) -> Doc {
    Doc::new(id, "Access", summary)
}

/// Users: an operator sees those of every tenant, an admin its own.
struct Users;

impl Resource for Users {
    type Entity = User;
    const NOUN: &'static str = "user";
    const SEEN_WITH: Permission = Manage;

    fn found<'a>(state: &'a control::State, id: &str) -> Option<&'a Arc<User>> {
        state.user(id)
    }

    fn of_tenant<'a>(state: &'a control::State, tenant: &TenantId) -> Vec<&'a Arc<User>> {
        state.users_of(tenant).collect()
    }

    fn tenant(user: &User) -> &TenantId {
        &user.tenant
    }

    fn version(user: &User) -> u64 {
        user.version
    }

    fn place(user: &User) -> String {
        user.name.to_string()
    }

    fn shown(user: &User) -> Value {
        json!({
            "id": &*user.id,
            "name": &*user.name,
            "tenant_id": user.tenant,
            "roles": user.roles,
            "limit": user.limit.as_deref(),
            "disabled": user.disabled,
            "has_password": user.password.is_some(),
            "version": user.version,
            "created_at": user.created_at,
        })
    }
}

impl Removable for Users {
    fn removal() -> Command {
        Command::UpdateUser {
            roles: None,
            limit: Patch::Keep,
            disabled: Some(true),
        }
    }
}

struct Wanted {
    name: String,
    password: Option<SecretString>,
    roles: Roles,
    limit: Option<String>,
    tenant_id: Option<TenantId>,
}

impl FromObject for Wanted {
    fn of(object: &mut Object<'_>) -> Option<Self> {
        let (name, password) = (
            object.needed("name", user_name),
            object.needed_or_null("password", new_password),
        );
        let roles = object.needed("roles", roles);
        let limit = object.optional("limit", limit);
        let tenant_id = object.optional("tenant_id", tenant);
        Some(Self {
            name: name?,
            password,
            roles: roles?,
            limit,
            tenant_id,
        })
    }
}

/// Without a password (`null`), it can only come by OIDC.
async fn create(
    State(state): State<AppState>,
    Caller(principal): Caller,
    headers: HeaderMap,
    JsonBody(wanted): JsonBody<Wanted>,
) -> Result<Response, ApiError> {
    may_grant(&principal)?;
    if wanted.password.is_none() && !state.auth.takes_oidc() {
        let detail = "is needed: nobody can come in by OIDC here (auth.oidc)";
        let problem = Problem::new("/password", detail);
        return Err(ApiError::invalid(StatusCode::UNPROCESSABLE_ENTITY, vec![problem]));
    }
    let new = NewUser {
        name: wanted.name,
        tenant: tenant_of(&state, &principal, Manage, wanted.tenant_id)?,
        roles: wanted.roles,
        limit: wanted.limit,
        password: wanted.password,
    };
    let request = request_id(&headers, &state, &principal, "POST /api/v1/users", &new.tenant)?;
    let id = state.auth.create_user(&principal, request, new).await?;
    made::<Users>(&state, &id)
}

struct Changes {
    roles: Option<Roles>,
    limit: Patch<String>,
    disabled: Option<bool>,
    password: Option<SecretString>,
}

impl FromObject for Changes {
    fn of(object: &mut Object<'_>) -> Option<Self> {
        Some(Self {
            roles: object.changed("roles", roles),
            limit: object.patched("limit", limit),
            disabled: object.changed("disabled", flag),
            password: object.changed("password", new_password),
        })
    }
}

async fn change(
    State(state): State<AppState>,
    Caller(principal): Caller,
    Id(id): Id,
    headers: HeaderMap,
    JsonBody(changes): JsonBody<Changes>,
) -> Result<Response, ApiError> {
    may_grant(&principal)?;
    let rest = Command::UpdateUser {
        roles: changes.roles,
        limit: changes.limit,
        disabled: changes.disabled,
    };
    match (changes.password, rest == untouched()) {
        (None, _) => drop(submit::<Users>(&state, &principal, &id, &headers, &rest).await?),
        (Some(password), true) => set_password(&state, &principal, &id, &headers, password).await?,
        // One command changes one or the other, and half a change would be none that was asked for.
        (Some(_), false) => {
            let problem = Problem::new("/password", "can only be changed alone: send the rest separately");
            return Err(ApiError::invalid(StatusCode::UNPROCESSABLE_ENTITY, vec![problem]));
        }
    }
    let user = find::<Users>(&state, &principal, &id)?;
    Ok(answer::<Users>(StatusCode::OK, &user))
}

fn untouched() -> Command {
    Command::UpdateUser {
        roles: None,
        limit: Patch::Keep,
        disabled: None,
    }
}

async fn set_password(
    state: &AppState,
    principal: &Principal,
    id: &str,
    headers: &HeaderMap,
    password: SecretString,
) -> Result<(), ApiError> {
    let user = find::<Users>(state, principal, id)?;
    Expected::of(headers)?.check(Some(&Users::tag(&user)))?;
    let request = state.clock.fresh_id();
    state
        .auth
        .set_password(principal, request, (id, user.version), password)
        .await?;
    Ok(())
}
