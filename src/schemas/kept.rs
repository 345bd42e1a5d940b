//! Compiled schemas that are kept, and the slots of those that are being compiled: whoever asks for the same one waits
//! for the same work.
//!
//! Where they take more memory than they may, the tenant that has the most of it loses what it used longest ago. So who
//! needs much goes round within what nobody else wants, and costs others nothing.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::OnceCell;

use super::check::Compiled;
use crate::event::TenantId;

/// What one takes beside what it weighs, its text among it; also one that is not compiled yet.
const SLOT: usize = 1_024;

/// A schema, or its place until it is compiled; `None` in it where it can't be.
pub(super) type Slot = Arc<OnceCell<Option<Arc<Compiled>>>>;

/// The compiled schemas of all tenants.
pub(super) struct Kept {
    tenants: HashMap<TenantId, Shelf>,
    bytes: usize,
    bytes_max: usize,
    /// How often anything was asked for.
    asked: u64,
}

/// Those of one.
#[derive(Default)]
struct Shelf {
    by_type: HashMap<Arc<str>, Entry>,
    bytes: usize,
}

struct Entry {
    text: Arc<str>,
    slot: Slot,
    bytes: usize,
    asked: u64,
}

impl Kept {
    pub(super) fn of(bytes_max: usize) -> Self {
        Self {
            tenants: HashMap::new(),
            bytes: 0,
            bytes_max,
            asked: 0,
        }
    }

    /// The slot of a schema: of this text, and no earlier one of its type.
    pub(super) fn slot(&mut self, tenant: &TenantId, event_type: &Arc<str>, text: &Arc<str>) -> Slot {
        self.asked += 1;
        let asked = self.asked;
        let known = self.tenants.get_mut(tenant);
        let known = known.and_then(|shelf| shelf.by_type.get_mut(event_type));
        if let Some(entry) = known.filter(|entry| Arc::ptr_eq(&entry.text, text) || entry.text == *text) {
            entry.asked = asked;
            return entry.slot.clone();
        }
        let slot = Slot::default();
        let entry = Entry {
            text: text.clone(),
            slot: slot.clone(),
            bytes: 0,
            asked,
        };
        let shelf = self.tenants.entry(tenant.clone()).or_default();
        let before = shelf.by_type.insert(event_type.clone(), entry);
        let before = before.map_or(0, |entry| entry.bytes);
        shelf.bytes -= before;
        self.bytes -= before;
        self.weigh(tenant, event_type, &slot, text.len());
        slot
    }

    /// Notes what it takes, where it is still wanted; others make room for it.
    pub(super) fn weigh(&mut self, tenant: &TenantId, event_type: &str, slot: &Slot, bytes: usize) {
        let Some(shelf) = self.tenants.get_mut(tenant) else {
            return;
        };
        let entry = shelf.by_type.get_mut(event_type);
        let Some(entry) = entry.filter(|entry| Arc::ptr_eq(&entry.slot, slot)) else {
            return;
        };
        let before = std::mem::replace(&mut entry.bytes, SLOT + bytes);
        shelf.bytes = shelf.bytes + entry.bytes - before;
        self.bytes = self.bytes + SLOT + bytes - before;
        while self.bytes > self.bytes_max && self.let_go() {}
    }

    /// Lets go of what the tenant that has the most used longest ago; `false` where there is nothing.
    fn let_go(&mut self) -> bool {
        let most = self.tenants.iter_mut().max_by_key(|(_, shelf)| shelf.bytes);
        let Some((tenant, shelf)) = most.map(|(tenant, shelf)| (tenant.clone(), shelf)) else {
            return false;
        };
        let oldest = shelf.by_type.iter().min_by_key(|(_, entry)| entry.asked);
        let oldest = oldest.map(|(event_type, _)| event_type.clone());
        let gone = oldest.and_then(|oldest| shelf.by_type.remove(&oldest));
        let bytes = gone.map_or(0, |entry| entry.bytes);
        shelf.bytes -= bytes;
        self.bytes -= bytes;
        if shelf.by_type.is_empty() {
            self.tenants.remove(&tenant);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    /// Asks for a schema that takes so much; whether it was kept before.
    fn ask(kept: &mut Kept, of: &str, event_type: &str, text: &str, bytes: usize) -> bool {
        let (of, event_type) = (tenant(of), Arc::from(event_type));
        let slot = kept.slot(&of, &event_type, &Arc::from(text));
        let was_kept = slot.initialized();
        if !was_kept {
            assert!(slot.set(None).is_ok());
            kept.weigh(&of, &event_type, &slot, bytes - SLOT);
        }
        was_kept
    }

    #[test]
    fn who_takes_much_loses_its_own_that_it_used_longest_ago() {
        let mut kept = Kept::of(100_000);
        assert!(!ask(&mut kept, "small", "login", "{}", 20_000));
        for n in 0..4 {
            assert!(!ask(&mut kept, "large", &n.to_string(), "{}", 20_000));
        }
        assert!(ask(&mut kept, "large", "0", "{}", 20_000));
        assert!(!ask(&mut kept, "large", "4", "{}", 20_000));
        assert!(ask(&mut kept, "large", "0", "{}", 20_000), "it was used since");
        assert!(!ask(&mut kept, "large", "1", "{}", 20_000));
        for n in 5..1_000 {
            ask(&mut kept, "large", &n.to_string(), "{}", 20_000);
        }
        assert!(ask(&mut kept, "small", "login", "{}", 20_000), "it has the least");
        assert!(!ask(&mut kept, "other", "login", "{}", 60_000));
        assert!(ask(&mut kept, "small", "login", "{}", 20_000), "still");
    }

    #[test]
    fn a_new_text_takes_the_place_of_the_old_one_and_late_work_on_that_is_not_kept() {
        let mut kept = Kept::of(100_000);
        let (a, login) = (tenant("a"), Arc::from("login"));
        let old = kept.slot(&a, &login, &Arc::from("{}"));
        assert!(
            Arc::ptr_eq(&old, &kept.slot(&a, &login, &Arc::from("{}"))),
            "one for all"
        );
        let new = kept.slot(&a, &login, &Arc::from("true"));
        assert!(!Arc::ptr_eq(&old, &new));
        let bytes = kept.bytes;
        kept.weigh(&a, &login, &old, 50_000);
        assert_eq!(kept.bytes, bytes);
        kept.weigh(&a, &login, &new, 50_000);
        assert_eq!(kept.bytes, 50_000 + SLOT);
        kept.weigh(&a, &login, &new, 200_000);
        assert!(
            (kept.bytes, kept.tenants.len()) == (0, 0),
            "more than there is room for"
        );
    }

    proptest! {
        #[test]
        fn it_is_never_more_than_it_may_be_and_the_sums_are_right(
            asked in prop::collection::vec((0..4u8, 0..9u8, 0..2u8, SLOT..40_000usize), 1..200),
        ) {
            let mut kept = Kept::of(100_000);
            for (of, event_type, text, bytes) in asked {
                ask(&mut kept, &of.to_string(), &event_type.to_string(), &text.to_string(), bytes);
                let sums: Vec<usize> = kept.tenants.values().map(|shelf| shelf.bytes).collect();
                for shelf in kept.tenants.values() {
                    prop_assert_eq!(shelf.bytes, shelf.by_type.values().map(|entry| entry.bytes).sum::<usize>());
                    prop_assert!(!shelf.by_type.is_empty());
                }
                prop_assert_eq!(kept.bytes, sums.into_iter().sum::<usize>());
                prop_assert!(kept.bytes <= 100_000);
            }
        }
    }
}
