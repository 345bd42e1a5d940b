//! Commands about users.

use uuid::Uuid;

use super::rules::{Decision, may_grant, seen, within};
use super::{Refusal, State, USERS_MAX};
use crate::clock::Timestamp;
use crate::control::command::{Command, Envelope};
use crate::control::entity::User;
use crate::control::role::Role;
use crate::event::TenantId;

/// How many ended sessions of one user are kept in mind. Past it, all its sessions end, which is the safe side: a
/// program that logs in and out once a minute comes there in three days.
pub const REVOKED_SESSIONS_MAX: usize = 4_096;

impl State {
    pub(super) fn create_user(&mut self, envelope: &Envelope) -> Decision {
        let Command::CreateUser {
            name,
            tenant,
            roles,
            limit,
            password,
        } = &envelope.command
        else {
            return Err(Refusal::NotFound);
        };
        self.expect_room(envelope, tenant, &self.users, USERS_MAX)?;
        may_grant(envelope, *roles)?;
        if self.names.contains_key(&name.to_lowercase()) {
            return Err(Refusal::NameTaken);
        }
        let user = User {
            id: envelope.id.as_str().into(),
            name: name.as_str().into(),
            tenant: tenant.clone(),
            roles: *roles,
            limit: limit.as_deref().map(Into::into),
            password: password.clone().map(|sealed| (1, sealed)),
            epoch: 1,
            epoch_since: Timestamp::default(),
            revoked_sessions: Default::default(),
            disabled: false,
            version: 1,
            created_at: envelope.at,
        };
        self.names.insert(name.to_lowercase(), user.id.clone());
        Ok(self.users.put(user))
    }

    pub(super) fn change_user(&mut self, envelope: &Envelope) -> Decision {
        let user = seen(&self.users, envelope)?;
        may_grant(envelope, user.roles)?;
        let mut changed = User {
            version: user.version + 1,
            ..User::clone(user)
        };
        match &envelope.command {
            Command::UpdateUser {
                roles,
                limit,
                disabled,
            } => {
                changed.roles = roles.unwrap_or(user.roles);
                changed.limit = limit.text_onto(&user.limit);
                changed.disabled = disabled.unwrap_or(user.disabled);
                may_grant(envelope, changed.roles)?;
                if changed.disabled && !user.disabled {
                    end_sessions(&mut changed, envelope.at);
                }
            }
            Command::SetPassword { password } => {
                changed.password = Some((changed.version, password.clone()));
                end_sessions(&mut changed, envelope.at);
            }
            _ => end_sessions(&mut changed, envelope.at),
        }
        let steps_down = changed.disabled || !changed.roles.has(Role::Operator);
        if steps_down && self.locks_out(|other| other.id == changed.id) {
            return Err(Refusal::LastOperator);
        }
        Ok(self.users.put(changed))
    }

    pub(super) fn revoke_session(
        &mut self,
        envelope: &Envelope,
        session: Uuid,
        until: Timestamp,
    ) -> Decision {
        let user = within(&self.users, envelope)?;
        may_grant(envelope, user.roles)?;
        let mut changed = User::clone(user);
        changed.revoked_sessions.retain(|_, until| envelope.at < *until);
        if changed.revoked_sessions.len() < REVOKED_SESSIONS_MAX {
            let last = changed.revoked_sessions.entry(session).or_insert(until);
            *last = until.max(*last);
        } else {
            end_sessions(&mut changed, envelope.at);
        }
        Ok(self.users.put(changed))
    }

    /// Whether there are operators who can log in now, all of them among `leaving`.
    pub(super) fn locks_out(&self, leaving: impl Fn(&User) -> bool) -> bool {
        let open = |tenant: &TenantId| self.tenants.get(tenant).is_some_and(|tenant| !tenant.disabled);
        let can_log_in = |user: &User| !user.disabled && user.password.is_some() && open(&user.tenant);
        let mut able = self
            .users
            .all()
            .filter(|user| user.roles.has(Role::Operator) && can_log_in(user));
        let mut any = false;
        able.all(|user| {
            any = true;
            leaving(user)
        }) && any
    }
}

/// Ends all sessions there are, so that those which were ended before need not be kept in mind.
fn end_sessions(user: &mut User, at: Timestamp) {
    user.epoch += 1;
    user.epoch_since = user.epoch_since.max(at);
    user.revoked_sessions.clear();
}
