//! States for the tests of modules that only read them.

use std::num::NonZeroU32;

use super::*;
use crate::clock::Timestamp;
use crate::control::{Limits, Role, Roles};

/// A state with one tenant and its rate, and one ingest key of it with its own rate.
pub(crate) fn state_with(tenant: &str, rate: Option<u32>, key: Option<(&str, u32)>) -> State {
    let id = TenantId::parse(tenant).unwrap();
    let mut state = State::default();
    let made = Tenant {
        id: id.clone(),
        name: tenant.into(),
        disabled: false,
        limits: events(rate),
        visible_from: None,
        version: 1,
        created_at: Timestamp::default(),
    };
    state.tenants.insert(id.clone(), Arc::new(made));
    if let Some((key, rate)) = key {
        let made = ApiKey {
            id: key.into(),
            name: key.into(),
            tenant: id,
            roles: Roles::of(&[Role::Ingest]),
            sha256: [0; 32],
            expires_at: None,
            limit: None,
            limits: events(Some(rate)),
            revoked_at: None,
            created_by: "test".into(),
            version: 1,
            created_at: Timestamp::default(),
        };
        state.keys.put(made);
    }
    state
}

fn events(rate: Option<u32>) -> Limits {
    Limits {
        events_per_second: rate.and_then(NonZeroU32::new),
        ..Limits::default()
    }
}
