//! What reading makes of rows: keys, winning copies, and their order.

use std::collections::HashMap;
use std::time::Duration;

use clickhouse::Row;
use serde::Deserialize;
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::event::Event;
use crate::query::filter::Range;
use crate::store::held::Place;
use crate::store::{Statement, Value};

/// How far from the time in its id an event is sought first: few granules, however long the history.
const ID_WINDOW_MICROS: i64 = 3_600_000_000;

/// Bytes of events after which a page ends early: a thousand of the largest would be 256 MiB.
const PAGE_BYTES: usize = 16 << 20;

/// A page as far as it may go, and whether events were left out.
pub(super) struct Filling {
    events: Vec<Event>,
    bytes: usize,
    limit: usize,
}

impl Filling {
    /// A page of at most `limit` events.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            events: Vec::new(),
            bytes: 0,
            limit,
        }
    }

    /// Takes the next events of the page in; `false` when one did not fit, so that the page ends before it.
    pub(super) fn take(&mut self, events: Vec<Event>) -> bool {
        for event in events {
            self.bytes += size(&event);
            let is_first = self.events.is_empty();
            if self.events.len() == self.limit || (self.bytes > PAGE_BYTES && !is_first) {
                return false;
            }
            self.events.push(event);
        }
        true
    }

    /// The page, where `end` was the last place that was looked at; `None` where an event did not fit, so that the page
    /// ends with the one before it.
    pub(super) fn found(self, end: Option<&Place>, has_more: bool) -> Found {
        let last = self.events.last().map(place);
        Found {
            end: end.copied().or(last),
            has_more: has_more || end.is_none() && last.is_some(),
            events: self.events,
        }
    }
}

/// What was found, in the order of reading.
pub(super) struct Found {
    /// The events.
    pub(super) events: Vec<Event>,
    /// The last place that was looked at. A page may hold no event and yet have looked at places: those of copies that
    /// don't count.
    pub(super) end: Option<Place>,
    /// Whether there may be more behind it.
    pub(super) has_more: bool,
}

/// Where an event lies.
pub(super) fn place(event: &Event) -> Place {
    (event.time, event.event_id)
}

/// One key of each place, that with the highest version. Copies stand side by side.
pub(super) fn merge(keys: &mut Vec<KeyRow>) {
    keys.dedup_by(|next, kept| {
        let is_copy = next.place() == kept.place();
        if is_copy {
            kept.version = kept.version.max(next.version);
        }
        is_copy
    });
}

/// About as many bytes as an event takes: of what has no close bound of its own.
fn size(event: &Event) -> usize {
    let json = [
        &event.before,
        &event.after,
        &event.details,
        &event.source.provenance,
    ];
    let json: usize = json.into_iter().flatten().map(|json| json.as_str().len()).sum();
    1_024 + json + event.message.as_ref().map_or(0, String::len)
}

/// Of several copies the one with the highest version.
pub(super) fn winners(rows: Vec<(u64, Event)>) -> HashMap<Place, (u64, Event)> {
    let mut winners: HashMap<Place, (u64, Event)> = HashMap::with_capacity(rows.len());
    for (version, event) in rows {
        let place = place(&event);
        if winners.get(&place).is_none_or(|(held, _)| *held < version) {
            winners.insert(place, (version, event));
        }
    }
    winners
}

/// Which of the events of one id is shown, with its version. An event id is that of one event: the one that wins,
/// whatever time a later copy states. A source's own id may serve several events: the latest.
pub(super) fn shown(rows: Vec<(u64, Event)>) -> Option<(u64, Event)> {
    let mut firsts: HashMap<Uuid, (u64, Event)> = HashMap::new();
    for (version, event) in rows {
        if firsts
            .get(&event.event_id)
            .is_none_or(|(held, _)| *held < version)
        {
            firsts.insert(event.event_id, (version, event));
        }
    }
    firsts
        .into_values()
        .max_by_key(|(_, event)| (event.time, event.event_id))
}

/// How far the clocks of instances may differ: what one that is ahead took is not later than the page that shows it.
const CLOCKS_DIFFER_BY: Duration = Duration::from_secs(60);

/// The moment of a first page that was read at `now`: none of its events was received later.
pub(super) fn moment_of_page(now: Timestamp, events: &[Event]) -> Timestamp {
    let newest = events.iter().map(|event| event.received_at).max();
    let latest = now.plus(CLOCKS_DIFFER_BY);
    newest.map_or(now, |newest| newest.clamp(now, latest))
}

/// The events of these places, each once.
pub(super) fn in_order(places: &[Place], mut events: HashMap<Place, (u64, Event)>) -> Vec<Event> {
    places
        .iter()
        .filter_map(|place| events.remove(place))
        .map(|(_, event)| event)
        .collect()
}

/// Narrows to one id.
pub(super) fn push_id(sql: &mut Statement, id: Uuid) {
    sql.push(" AND event_id = ")
        .bind("UUID", Value::text(id.to_string()));
}

/// Around the time that an id tells of itself.
pub(super) fn near(id: Uuid) -> Option<Range> {
    let (seconds, nanos) = (id.get_version_num() == 7)
        .then(|| id.get_timestamp())??
        .to_unix();
    let micros = i64::try_from(seconds).ok()?.checked_mul(1_000_000)? + i64::from(nanos / 1_000);
    Some(Range {
        from: Some(Timestamp::from_micros(micros.saturating_sub(ID_WINDOW_MICROS))),
        to: Some(Timestamp::from_micros(micros.saturating_add(ID_WINDOW_MICROS))),
    })
}

/// Where an event lies, and which copy of it.
#[derive(Row, Deserialize)]
pub(super) struct KeyRow {
    time: i64,
    #[serde(with = "clickhouse::serde::uuid")]
    pub(super) event_id: Uuid,
    pub(super) version: u64,
}

impl KeyRow {
    /// Its place in the order of events.
    pub(super) fn place(&self) -> Place {
        (Timestamp::from_micros(self.time), self.event_id)
    }
}

/// A number of events.
#[derive(Row, Deserialize)]
pub(super) struct CountRow {
    pub(super) events: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_of_a_key_are_one_key() {
        let key = |id: u128, version| KeyRow {
            time: 7,
            event_id: Uuid::from_u128(id),
            version,
        };
        let mut keys = vec![key(1, 5), key(1, 9), key(2, 4), key(3, 8), key(3, 1), key(3, 2)];
        merge(&mut keys);
        let merged: Vec<_> = keys
            .iter()
            .map(|key| (key.event_id.as_u128(), key.version))
            .collect();
        assert_eq!(merged, [(1, 9), (2, 4), (3, 8)]);
    }

    #[test]
    fn a_page_without_events_still_ends_somewhere() {
        let end = (Timestamp::from_micros(7), Uuid::from_u128(1));
        let found = Filling::new(10).found(Some(&end), true);
        assert_eq!(
            (found.end, found.has_more, found.events.len()),
            (Some(end), true, 0)
        );
        // Nothing at all is the end.
        let found = Filling::new(10).found(None, false);
        assert_eq!((found.end, found.has_more), (None, false));
        // One that did not fit is looked at again.
        let mut page = Filling::new(1);
        assert!(!page.take(vec![Event::sample(1), Event::sample(2)]));
        let found = page.found(None, false);
        let first = Event::sample(1);
        assert_eq!((found.end, found.has_more), (Some(place(&first)), true));
    }

    #[test]
    fn of_one_event_id_the_first_is_shown_and_of_a_sources_id_the_latest() {
        let event = |id: u128, micros: i64| Event {
            time: Timestamp::from_micros(micros),
            ..Event::sample(id)
        };
        // A later copy of the same event, which states a later time.
        let rows = vec![(7, event(1, 10)), (3, event(1, 99)), (7, event(1, 10))];
        assert_eq!(shown(rows), Some((7, event(1, 10))));
        let rows = vec![(7, event(1, 10)), (3, event(1, 99)), (5, event(2, 20))];
        assert_eq!(shown(rows), Some((5, event(2, 20))));
        assert_eq!(shown(Vec::new()), None);
    }

    #[test]
    fn a_page_ends_before_it_is_too_large_but_never_empty() {
        let event = |bytes: usize| Event {
            message: Some("x".repeat(bytes)),
            ..Event::sample(1)
        };
        let mut page = Filling::new(10);
        assert!(page.take(vec![event(PAGE_BYTES + 1)]));
        assert!(!page.take(vec![event(1)]));
        assert_eq!(page.events.len(), 1);

        let mut page = Filling::new(2);
        assert!(page.take(vec![event(1), event(1)]));
        assert!(!page.take(vec![event(1)]));
        assert_eq!(page.events.len(), 2);
    }

    #[test]
    fn nothing_that_a_first_page_shows_was_received_after_its_moment() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let taken = |seconds| Event {
            received_at: at(seconds),
            ..Event::sample(1)
        };
        for (received, moment) in [
            (vec![], 100),
            (vec![3, 99], 100),
            (vec![3, 102, 101], 102),
            (vec![9_000], 160),
        ] {
            let events: Vec<Event> = received.into_iter().map(taken).collect();
            assert_eq!(moment_of_page(at(100), &events), at(moment));
        }
    }
}
