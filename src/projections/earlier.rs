//! What the table holds already of an event that is about to be written: copies further apart than the seen window, of
//! which the first one counts, and revisions, which count more than what they revise.
//!
//! The window calls both of them first. The table's key (tenant, time, id) is the same, so a merge keeps the one at
//! the lower offset, whose version is higher.

use std::collections::{BTreeMap, HashMap, HashSet};

use uuid::Uuid;

use super::batch::Row;
use super::reject::reject_row;
use super::writer::{Stopped, Writer, persist};
use crate::event::{TenantId, TimeFrom};
use crate::log::rejected::Reason;
use crate::log::{Log, Position};
use crate::meters;
use crate::store::held::{Place, Standing};
use crate::store::{Store, StoreError};

/// Events of a table by tenant and place, with the highest version of each.
type Held = BTreeMap<TenantId, HashMap<Place, u64>>;

/// Where those rows stand of which `table` holds one that counts more: an earlier copy, or a revision.
pub(super) async fn copied<'a>(
    store: &Store,
    table: &str,
    rows: impl Iterator<Item = &'a Row> + Clone,
) -> Result<HashSet<Position>, StoreError> {
    let mut keys: BTreeMap<TenantId, Vec<Place>> = BTreeMap::new();
    for row in rows.clone().filter(|row| !is_timeless(row)) {
        let tenant = row.event.tenant_id.clone();
        keys.entry(tenant).or_default().push(place(row));
    }
    let mut held = Held::new();
    for (tenant, keys) in keys {
        let versions = store.held_versions(table, &tenant, &keys).await?;
        held.insert(tenant, versions);
    }
    let mut copies = later_copies(rows.clone(), &held);
    let without_time = copied_without_time(store, table, rows).await?;
    copies.extend(without_time.into_keys());
    Ok(copies)
}

/// Leaves out, of what the projector is about to write, the copies that the door could not look up and no merge would
/// remove. One that says something else is kept in `audit.rejected`.
pub(super) async fn leave_out(writer: &Writer, log: &Log, rows: &mut Vec<Row>) -> Result<(), Stopped> {
    let unchecked = || rows.iter().filter(|row| row.unchecked);
    let (store, table) = (writer.store(), writer.table());
    let question = || copied_without_time(store, table, unchecked());
    let mut copies = persist(writer.stop(), "looking for earlier copies", question).await?;
    for row in unchecked() {
        let why = "the event is held with other content";
        let is_conflict = copies.get(&row.at) == Some(&false);
        if is_conflict && !reject_row(log, row, (Reason::IdConflict, why), writer.stop()).await {
            return Err(Stopped);
        }
    }
    metrics::counter!(meters::COPIES).increment(copies.len() as u64);
    let again = || rows.iter().filter(|row| row.again);
    if again().next().is_some() {
        let question = || copied(store, table, again());
        let superseded = persist(writer.stop(), "looking for what counts more", question).await?;
        copies.extend(superseded.into_iter().map(|at| (at, true)));
    }
    rows.retain(|row| !copies.contains_key(&row.at));
    Ok(())
}

/// Where those rows without a time stand of which `table` holds an earlier copy, and whether that one says the same.
/// Each was given the time of its receipt, so it lies elsewhere than its first copy, and no merge brings them together.
pub(super) async fn copied_without_time<'a>(
    store: &Store,
    table: &str,
    rows: impl Iterator<Item = &'a Row> + Clone,
) -> Result<HashMap<Position, bool>, StoreError> {
    let rows = rows.filter(|row| is_timeless(row));
    let mut ids: BTreeMap<TenantId, Vec<Uuid>> = BTreeMap::new();
    for row in rows.clone() {
        let tenant = row.event.tenant_id.clone();
        ids.entry(tenant).or_default().push(row.event.event_id);
    }
    let mut held = HashMap::new();
    for (tenant, ids) in ids {
        let standing = store.held_by_id(table, &tenant, &ids).await?;
        held.insert(tenant, standing);
    }
    Ok(rows.filter_map(|row| later_than(row, &held)).collect())
}

fn later_than(row: &Row, held: &HashMap<TenantId, HashMap<Uuid, Standing>>) -> Option<(Position, bool)> {
    let first = held.get(&row.event.tenant_id)?.get(&row.event.event_id)?;
    let is_earlier = first.version > row.version();
    is_earlier.then(|| (row.at, first.content.agrees_with(&row.event.content())))
}

fn is_timeless(row: &Row) -> bool {
    row.event.time_from == TimeFrom::Received
}

/// A row is a later copy where one with a higher version is held.
fn later_copies<'a>(rows: impl Iterator<Item = &'a Row>, held: &Held) -> HashSet<Position> {
    rows.filter(|row| {
        let held = held
            .get(&row.event.tenant_id)
            .and_then(|held| held.get(&place(row)));
        held.is_some_and(|highest| *highest > row.version())
    })
    .map(|row| row.at)
    .collect()
}

fn place(row: &Row) -> Place {
    (row.event.time, row.event.event_id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::revision::Rank;
    use crate::projections::batch::samples::row;
    use crate::store::row::{version_at, version_of};

    #[test]
    fn without_a_time_an_earlier_copy_is_found_by_its_id() {
        let mut rows = [row(1, 200_000), row(1, 3), row(2, 200_001)];
        let first = Standing {
            version: version_at(7),
            content: rows[0].event.content(),
        };
        let of_tenant = HashMap::from([(rows[0].event.event_id, first)]);
        let held = HashMap::from([(TenantId::default_tenant(), of_tenant)]);
        assert_eq!(later_than(&rows[0], &held), Some((rows[0].at, true)));
        assert_eq!(later_than(&rows[1], &held), None);
        assert_eq!(later_than(&rows[2], &held), None);
        rows[0].event.message = Some("other".into());
        assert_eq!(later_than(&rows[0], &held), Some((rows[0].at, false)));
    }

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
        assert_eq!(later_copies(rows.iter(), &held), HashSet::from([rows[0].at]));
        // A revision counts more than the event that it revises, and less than a later revision, or one that redacts.
        rows[0].rank.number = 2;
        assert_eq!(later_copies(rows.iter(), &held), HashSet::new());
        for (redacted, number) in [(false, 3), (true, 1)] {
            let revised = [(place(&rows[0]), version_of(Rank { redacted, number }, 7))];
            let held = Held::from([(TenantId::default_tenant(), revised.into())]);
            assert_eq!(later_copies(rows[..3].iter(), &held), HashSet::from([rows[0].at]));
        }
    }
}
