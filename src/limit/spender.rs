//! Who spends, and whose budgets that are.

use std::borrow::Cow;

use super::Budget;
use crate::event::TenantId;

/// Whose budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The tenant's.
    Tenant,
    /// The API key's.
    Key,
    /// The user's.
    User,
}

impl std::fmt::Display for Whose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tenant => "tenant",
            Self::Key => "key",
            Self::User => "user",
        })
    }
}

/// Who spends: a tenant, by one of its keys or not.
#[derive(Clone, Copy, Debug)]
pub struct Spender<'a> {
    /// The tenant.
    pub tenant: &'a TenantId,
    /// The API key it comes with.
    pub key: Option<&'a str>,
    /// The user it is.
    pub user: Option<&'a str>,
    /// Whether it manages its tenant.
    pub manages: bool,
}

impl Spender<'_> {
    /// The names of its buckets. Of those who make changes, users have one each as well as keys, and those who manage the
    /// tenant have another one together than all others: nobody is kept from revoking the key that makes too many.
    pub(super) fn names(&self, budget: Budget) -> (Option<Cow<'_, str>>, Cow<'_, str>) {
        let tenant = self.tenant.as_str();
        let user = || self.user.map(|id| format!("user/{id}").into());
        let key = self.key.map(Cow::from);
        match budget {
            Budget::Managing => {
                // No tenant's name has a slash.
                let tenant = match self.manages {
                    true => format!("{tenant}/admins").into(),
                    false => tenant.into(),
                };
                (key.or_else(user), tenant)
            }
            Budget::Streaming => (key.or_else(user), tenant.into()),
            _ => (key, tenant.into()),
        }
    }

    /// Whose the bucket of the caller alone is.
    pub(super) fn caller(&self) -> Whose {
        match self.key {
            Some(_) => Whose::Key,
            None => Whose::User,
        }
    }
}
