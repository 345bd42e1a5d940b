//! Commands about API keys.

use super::rules::{Decision, may_grant, seen};
use super::{KEYS_MAX, Refusal, State};
use crate::control::command::{Command, Envelope};
use crate::control::entity::ApiKey;
use crate::event::TenantId;

impl State {
    pub(super) fn create_key(&mut self, envelope: &Envelope) -> Decision {
        let Command::CreateKey {
            name,
            tenant,
            roles,
            limit,
            sha256,
            expires_at,
            limits,
        } = &envelope.command
        else {
            return Err(Refusal::NotFound);
        };
        may_grant(envelope, *roles)?;
        self.expect_room(envelope, tenant, &self.keys, self.keys_max(tenant))?;
        if let Some(spare) = self.spare(tenant) {
            self.keys.remove(&spare);
        }
        Ok(self.keys.put(ApiKey {
            id: envelope.id.as_str().into(),
            name: name.as_str().into(),
            tenant: tenant.clone(),
            roles: *roles,
            limit: limit.as_deref().map(Into::into),
            sha256: *sha256,
            expires_at: *expires_at,
            limits: *limits,
            revoked_at: None,
            created_by: envelope.by.who.as_str().into(),
            version: 1,
            created_at: envelope.at,
        }))
    }

    pub(super) fn change_key(&mut self, envelope: &Envelope) -> Decision {
        let key = seen(&self.keys, envelope)?;
        may_grant(envelope, key.roles)?;
        let mut changed = ApiKey {
            version: key.version + 1,
            ..ApiKey::clone(key)
        };
        match &envelope.command {
            Command::UpdateKey {
                name,
                limit,
                limits,
                expires_at,
            } => {
                if key.revoked_at.is_some() {
                    return Err(Refusal::Revoked);
                }
                changed.name = name.as_deref().map_or(changed.name, Into::into);
                changed.limit = limit.text_onto(&key.limit);
                changed.limits = limits.onto(&key.limits);
                changed.expires_at = expires_at.onto(&key.expires_at);
            }
            _ => changed.revoked_at = key.revoked_at.or(Some(envelope.at)),
        }
        Ok(self.keys.put(changed))
    }

    /// The key of a tenant that was revoked before its others.
    /// How many keys a tenant may have for one more to have room.
    pub(super) fn keys_max(&self, tenant: &TenantId) -> usize {
        KEYS_MAX + usize::from(self.spare(tenant).is_some())
    }

    /// The key that makes room for another one, where one has to.
    fn spare(&self, tenant: &TenantId) -> Option<std::sync::Arc<str>> {
        let is_full = self.keys.count(tenant) >= KEYS_MAX;
        is_full.then(|| self.first_revoked(tenant)).flatten()
    }

    fn first_revoked(&self, tenant: &TenantId) -> Option<std::sync::Arc<str>> {
        let revoked = self.keys.of(tenant).filter(|key| key.revoked_at.is_some());
        revoked.min_by_key(|key| key.revoked_at).map(|key| key.id.clone())
    }
}
