//! Whose turn it is: of those who wait, the tenant that runs the fewest, and of these the one whose last turn is longest
//! ago. However many exports one tenant asks for, and however long they take, others' are begun.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use crate::control::Export;
use crate::event::TenantId;

/// When each tenant had its last turn. Those that wait for none are forgotten.
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
        running: &[TenantId],
        at_once: usize,
    ) -> Vec<Arc<Export>> {
        // The oldest at the end, where they are taken.
        waiting.sort_by_key(|export| Reverse(export.created_at));
        let mut lines: HashMap<TenantId, Vec<Arc<Export>>> = HashMap::new();
        for export in waiting {
            lines.entry(export.tenant.clone()).or_default().push(export);
        }
        self.last.retain(|tenant, _| lines.contains_key(tenant));
        let mut runs: HashMap<TenantId, usize> = HashMap::new();
        for tenant in running {
            *runs.entry(tenant.clone()).or_default() += 1;
        }
        let mut begun = Vec::new();
        while running.len() + begun.len() < at_once {
            let rank = |tenant: &TenantId| {
                let runs = runs.get(tenant).copied().unwrap_or(0);
                (runs, self.last.get(tenant).copied().unwrap_or(0))
            };
            let ready = lines.iter().filter(|(tenant, line)| {
                let first = line.last().map(|export| export.created_at);
                first.is_some() && rank(tenant).0 < at_once.div_ceil(2)
            });
            let next = ready.min_by_key(|(tenant, line)| {
                let first = line.last().map(|export| export.created_at);
                (rank(tenant), first)
            });
            let Some(tenant) = next.map(|(tenant, _)| tenant.clone()) else {
                break;
            };
            begun.extend(lines.get_mut(&tenant).and_then(Vec::pop));
            self.count += 1;
            self.last.insert(tenant.clone(), self.count);
            *runs.entry(tenant).or_default() += 1;
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
            let begun = turns.next(waiting, &running, at_once);
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
}
