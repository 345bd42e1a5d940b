//! Whose turn it is: of those who wait, the tenant that runs the fewest, and of these the one whose last turn is longest
//! ago. However many exports one tenant asks for, and however long they take, others' are begun.

use std::collections::HashMap;
use std::sync::Arc;

use crate::control::Export;
use crate::event::TenantId;

/// When each tenant had its last turn: kept while anybody waits, so that one that asks for its next export only while its
/// present one runs has had a turn all the same.
#[derive(Debug, Default)]
pub(super) struct Turns {
    last: HashMap<TenantId, u64>,
    count: u64,
}

impl Turns {
    /// The next to begin of those that wait, where so many may run at once and these do, by tenant.
    pub(super) fn next(
        &mut self,
        mut waiting: Vec<Arc<Export>>,
        mut running: Vec<TenantId>,
        at_once: usize,
    ) -> Vec<Arc<Export>> {
        if waiting.is_empty() {
            self.last.clear();
        }
        let mut begun = Vec::new();
        while running.len() < at_once {
            let ranked = waiting.iter().enumerate().filter_map(|(place, export)| {
                let tenant = &export.tenant;
                let runs = running.iter().filter(|running| *running == tenant).count();
                let rank = (runs, self.last.get(tenant).copied(), export.created_at);
                (runs < at_once.div_ceil(2)).then_some((rank, place))
            });
            let Some((_, next)) = ranked.min() else { break };
            let export = waiting.swap_remove(next);
            self.count += 1;
            self.last.insert(export.tenant.clone(), self.count);
            running.push(export.tenant.clone());
            begun.push(export);
        }
        begun
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::control::ExportState;

    fn export(tenant: &str, at: i64) -> Arc<Export> {
        Arc::new(Export {
            id: format!("{tenant}{at}").into(),
            tenant: self::tenant(tenant),
            query: "".into(),
            format: "csv".into(),
            compression: None,
            instance: "i".into(),
            state: ExportState::Queued,
            expires_at: Timestamp::default(),
            created_by: "ada".into(),
            version: 1,
            created_at: Timestamp::from_micros(at),
        })
    }

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    #[test]
    fn tenants_take_turns_and_one_has_no_more_than_half() {
        let mut turns = Turns::default();
        let all = || {
            vec![
                export("a", 3),
                export("a", 1),
                export("a", 2),
                export("b", 9),
                export("c", 8),
            ]
        };
        let mut next = |waiting, running: &[&str], at_once| -> Vec<String> {
            let running: Vec<_> = running.iter().map(|name| tenant(name)).collect();
            let begun = turns.next(waiting, running, at_once);
            begun.iter().map(|export| export.id.to_string()).collect()
        };
        assert_eq!(next(all(), &[], 2), ["a1", "c8"]);
        assert_eq!(next(all(), &["a"], 2), ["b9"], "it has none, and had none before");
        assert_eq!(next(all(), &["a", "b"], 2), Vec::<String>::new());
        assert_eq!(
            next(vec![export("a", 2)], &["a"], 2),
            Vec::<String>::new(),
            "half are others'"
        );
        assert_eq!(next(vec![export("a", 2), export("a", 3)], &["a"], 4), ["a2"]);
        assert_eq!(next(vec![export("a", 2)], &[], 1), ["a2"]);
        assert_eq!(
            next(vec![export("a", 3), export("d", 9)], &[], 1),
            ["d9"],
            "a had the last turn"
        );
    }

    #[test]
    fn who_asks_for_one_at_a_time_has_no_more_turns_than_who_has_a_line() {
        let (mut turns, mut begun) = (Turns::default(), String::new());
        let mut of_b: Vec<_> = (10..14).map(|at| export("b", at)).collect();
        for round in 0..4 {
            // The older one each time.
            let mut waiting = [vec![export("a", round)], of_b.clone()].concat();
            let next = turns.next(waiting.clone(), Vec::new(), 1);
            assert_eq!(next.len(), 1);
            begun.push_str(next[0].tenant.as_str());
            of_b.retain(|export| export.id != next[0].id);
            // While it runs, its tenant asks for nothing more, and others wait.
            waiting.retain(|export| export.tenant != next[0].tenant);
            assert!(turns.next(waiting, vec![next[0].tenant.clone()], 1).is_empty());
        }
        assert_eq!(begun, "abab");
        assert!(turns.next(Vec::new(), Vec::new(), 1).is_empty());
        assert!(turns.last.is_empty(), "nobody waits");
    }
}
