//! Commands about tenants.

use std::sync::Arc;

use super::rules::{Decision, expect, inside, mismatch, operators_only};
use super::{Refusal, State};
use crate::clock::Timestamp;
use crate::control::command::{Command, Envelope};
use crate::control::entity::Tenant;
use crate::event::TenantId;

impl State {
    pub(super) fn decide_tenant(&mut self, envelope: &Envelope) -> Decision {
        operators_only(envelope)?;
        let id = TenantId::parse(&envelope.id).ok_or(Refusal::NotFound)?;
        let found = self.tenants.get(&id);
        expect(envelope, found.map_or(0, |tenant| tenant.version))?;
        let changed = match (&envelope.command, found) {
            (Command::CreateTenant { name, limits }, None) => Tenant {
                id: id.clone(),
                name: name.clone(),
                disabled: false,
                limits: *limits,
                visible_from: None,
                version: 1,
                created_at: envelope.at,
            },
            (
                Command::UpdateTenant {
                    name,
                    limits,
                    disabled,
                },
                Some(tenant),
            ) => Tenant {
                name: name.clone().unwrap_or_else(|| tenant.name.clone()),
                disabled: disabled.unwrap_or(tenant.disabled),
                limits: limits.onto(&tenant.limits),
                version: tenant.version + 1,
                ..Tenant::clone(tenant)
            },
            (_, found) => return Err(mismatch(envelope, found.map(|tenant| tenant.version))),
        };
        let shut = changed.disabled && found.is_some_and(|tenant| !tenant.disabled);
        if shut && self.locks_out(|user| user.tenant == id) {
            return Err(Refusal::LastOperator);
        }
        let version = changed.version;
        self.tenants.insert(id, Arc::new(changed));
        Ok(version)
    }

    /// Raises the tenant's `visible_from`, which nothing lowers again.
    pub(super) fn clean_up(&mut self, envelope: &Envelope, before: Timestamp) -> Decision {
        let id = TenantId::parse(&envelope.id).filter(|id| inside(&envelope.by, id));
        let id = id.ok_or(Refusal::NotFound)?;
        let tenant = self.tenants.get(&id).ok_or(Refusal::NotFound)?;
        expect(envelope, tenant.version)?;
        let changed = Tenant {
            visible_from: tenant.visible_from.max(Some(before)),
            version: tenant.version + 1,
            ..Tenant::clone(tenant)
        };
        let version = changed.version;
        self.tenants.insert(id, Arc::new(changed));
        Ok(version)
    }
}
