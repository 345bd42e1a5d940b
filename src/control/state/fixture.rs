//! States for the tests of modules that only read them.

use std::num::NonZeroU32;

use super::*;
use crate::clock::Timestamp;

/// A state with one tenant and its rate, and one ingest key of it with its own rate.
pub(crate) fn state_with(tenant: &str, rate: Option<u32>, key: Option<(&str, u32)>) -> State {
    let id = TenantId::parse(tenant).unwrap();
    let mut state = State::default();
    let made = Tenant {
        id: id.clone(),
        name: tenant.into(),
        disabled: false,
        events_per_second: rate.and_then(NonZeroU32::new),
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
            events_per_second: NonZeroU32::new(rate),
            revoked_at: None,
            created_by: "test".into(),
            version: 1,
            created_at: Timestamp::default(),
        };
        state.keys.insert(made.id.clone(), Arc::new(made));
    }
    state
}
