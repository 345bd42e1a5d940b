//! Copies further apart than the seen window: the table keeps one row of an event, and the first one counts.
//!
//! The window calls both of them first. The table's key (tenant, time, id) is the same, so a merge keeps the one at
//! the lower offset, whose version is higher.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::batch::Row;
use crate::event::TenantId;
use crate::store::held::Place;
use crate::store::row::version_at;
use crate::store::{Store, StoreError};

/// Events of a table by tenant and place, with the highest version of each.
type Held = BTreeMap<TenantId, HashMap<Place, u64>>;

/// The offsets of those rows of which `table` holds an earlier copy. They are of one partition, as copies are.
pub(super) async fn copied<'a>(
    store: &Store,
    table: &str,
    rows: impl Iterator<Item = &'a Row> + Clone,
) -> Result<HashSet<i64>, StoreError> {
    let mut keys: BTreeMap<TenantId, Vec<Place>> = BTreeMap::new();
    for row in rows.clone() {
        let tenant = row.event.tenant_id.clone();
        keys.entry(tenant).or_default().push(place(row));
    }
    let mut held = Held::new();
    for (tenant, keys) in keys {
        let versions = store.held_versions(table, &tenant, &keys).await?;
        held.insert(tenant, versions);
    }
    Ok(later_copies(rows, &held))
}

/// A row is a later copy where one with a higher version is held.
fn later_copies<'a>(rows: impl Iterator<Item = &'a Row>, held: &Held) -> HashSet<i64> {
    rows.filter(|row| {
        let held = held
            .get(&row.event.tenant_id)
            .and_then(|held| held.get(&place(row)));
        held.is_some_and(|highest| *highest > version_at(row.at.offset.max(0) as u64))
    })
    .map(|row| row.at.offset)
    .collect()
}

fn place(row: &Row) -> Place {
    (row.event.time, row.event.event_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projections::batch::samples::row;

    #[test]
    fn of_copies_the_one_at_the_lower_offset_counts() {
        // Event 1 is held from offset 7, event 2 as it stands, event 3 not at all.
        let mut rows = vec![row(1, 200_000), row(2, 200_001), row(3, 200_002)];
        let held = [
            (place(&rows[0]), version_at(7)),
            (place(&rows[1]), version_at(200_001)),
        ];
        let held = Held::from([(TenantId::default_tenant(), held.into())]);
        // With another time, or another tenant's, it is another event.
        rows.extend([row(1, 300_000), row(1, 300_001)]);
        rows[3].event.time = crate::clock::Timestamp::from_micros(1);
        rows[4].event.tenant_id = TenantId::parse("another").unwrap();
        assert_eq!(later_copies(rows.iter(), &held), HashSet::from([200_000]));
    }
}
