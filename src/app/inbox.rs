//! Whose the inbox is said to be, held against who there is.

use crate::control::State;
use crate::event::TenantId;
use crate::gate;

/// Says which tenants of the configuration do not exist: a typo, or one that is yet to be made.
pub(super) fn warn_of_unknown_tenants(config: &gate::Config, state: &State) {
    for (setting, name) in unknown(config, state) {
        tracing::warn!(
            "{setting} names {name}, and there is no such tenant: until it is made, nobody can read what is taken for it"
        );
    }
}

/// Settings and the tenants that they name in vain.
fn unknown<'a>(config: &'a gate::Config, state: &State) -> Vec<(&'static str, &'a str)> {
    let allowed = config
        .allow_tenants
        .iter()
        .map(|name| ("gate.allow_tenants", name));
    let named = std::iter::once(("gate.tenant", &config.tenant)).chain(allowed);
    let known = |name: &str| TenantId::parse(name).is_some_and(|id| state.tenant(&id).is_some());
    named
        .filter(|(_, name)| !known(name))
        .map(|(setting, name)| (setting, name.as_str()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::state::fixture;

    #[test]
    fn only_tenants_that_are_not_there_are_named() {
        let state = fixture::state_with("acme", None, None);
        let config = |tenant: &str, allowed: &[&str]| gate::Config {
            tenant: tenant.to_owned(),
            allow_tenants: allowed.iter().map(|name| (*name).to_owned()).collect(),
        };
        assert_eq!(unknown(&config("acme", &["acme"]), &state), []);
        assert_eq!(
            unknown(&config("acne", &["acme", "later"]), &state),
            [("gate.tenant", "acne"), ("gate.allow_tenants", "later")]
        );
    }
}
