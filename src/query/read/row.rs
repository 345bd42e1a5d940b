//! What reading makes of rows: keys, winning copies, and their order.

use std::collections::HashMap;

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

/// Of several copies the one with the highest version.
pub(super) fn winners(rows: Vec<(u64, Event)>) -> HashMap<Place, (u64, Event)> {
    let mut winners: HashMap<Place, (u64, Event)> = HashMap::with_capacity(rows.len());
    for (version, event) in rows {
        let place = (event.time, event.event_id);
        if winners.get(&place).is_none_or(|(held, _)| *held < version) {
            winners.insert(place, (version, event));
        }
    }
    winners
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
