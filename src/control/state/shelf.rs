//! Where things of one kind stand: found by id, and by the tenant they belong to.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::control::entity::Owned;
use crate::event::TenantId;

/// Entities of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shelf<T> {
    by_id: HashMap<Arc<str>, Arc<T>>,
    /// Ids, in order; a tenant that has none is not in it.
    by_tenant: BTreeMap<TenantId, BTreeSet<Arc<str>>>,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self {
            by_id: HashMap::new(),
            by_tenant: BTreeMap::new(),
        }
    }
}

impl<T: Owned> Shelf<T> {
    pub(super) fn get(&self, id: &str) -> Option<&Arc<T>> {
        self.by_id.get(id)
    }

    /// In no order.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<T>> {
        self.by_id.values()
    }

    /// By id.
    pub(super) fn of(&self, tenant: &TenantId) -> impl Iterator<Item = &Arc<T>> {
        let ids = self.by_tenant.get(tenant).into_iter().flatten();
        ids.filter_map(|id| self.by_id.get(id))
    }

    pub(super) fn count(&self, tenant: &TenantId) -> usize {
        self.by_tenant.get(tenant).map_or(0, BTreeSet::len)
    }

    /// Puts it in the place of what has its id; gives its version.
    pub(super) fn put(&mut self, entity: T) -> u64 {
        let (id, version) = (entity.id().clone(), entity.version());
        let ids = self.by_tenant.entry(entity.tenant().clone()).or_default();
        ids.insert(id.clone());
        self.by_id.insert(id, Arc::new(entity));
        version
    }

    pub(super) fn remove(&mut self, id: &str) {
        let Some(gone) = self.by_id.remove(id) else {
            return;
        };
        if let Some(ids) = self.by_tenant.get_mut(gone.tenant()) {
            ids.remove(id);
            if ids.is_empty() {
                self.by_tenant.remove(gone.tenant());
            }
        }
    }
}
