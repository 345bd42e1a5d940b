//! The bodies of requests.

use std::ops::Range;
use std::sync::Arc;

/// A request stays under this, so that a server's memory is shared fairly and a retry costs little.
const BYTES_MAX: usize = 2 * 1024 * 1024;
const ITEMS_MAX: usize = 2_000;

/// What the items of a request are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// Events.
    Events,
    /// Records of CloudTrail, which the server maps.
    CloudTrail,
}

impl Door {
    /// The route that takes them. It answers when they can be searched (or after 10 s): so an import that has ended is
    /// seen, one that is repeated at once finds what it holds, and none runs far ahead of the projector.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Events => "/api/v1/logs/bulk?wait=indexed",
            Self::CloudTrail => "/api/v1/logs/bulk?source=aws_cloudtrail&wait=indexed",
        }
    }
}

/// Where an item came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// Its file.
    pub(super) file: Arc<str>,
    /// Which item of it, from 1.
    pub(super) number: u64,
}

/// Items on their way.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) door: Door,
    body: Vec<u8>,
    items: Vec<(Origin, Range<usize>)>,
}

impl Batch {
    pub(super) fn new(door: Door) -> Self {
        Self {
            door,
            body: Vec::new(),
            items: Vec::new(),
        }
    }

    /// Whether the item still fits. The first always does.
    pub(super) fn has_room(&self, item: &str) -> bool {
        self.items.is_empty() || (self.items.len() < ITEMS_MAX && self.body.len() + item.len() < BYTES_MAX)
    }

    /// Adds an item as it is, byte for byte.
    pub(super) fn push(&mut self, origin: Origin, item: &str) {
        self.body.push(if self.items.is_empty() { b'[' } else { b',' });
        let start = self.body.len();
        self.body.extend_from_slice(item.as_bytes());
        self.items.push((origin, start..self.body.len()));
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// Where an item came from.
    pub(super) fn origin(&self, index: usize) -> Option<&Origin> {
        self.items.get(index).map(|(origin, _)| origin)
    }

    /// The request's body: a JSON array.
    pub(super) fn body(&self) -> Vec<u8> {
        let mut body = self.body.clone();
        body.push(b']');
        body
    }

    /// A batch of some of these items.
    pub(super) fn only(&self, indexes: &[usize]) -> Self {
        let mut batch = Self::new(self.door);
        for (origin, range) in indexes.iter().filter_map(|index| self.items.get(*index)) {
            let item = self.body.get(range.clone()).unwrap_or_default();
            batch.push(origin.clone(), std::str::from_utf8(item).unwrap_or_default());
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(number: u64) -> Origin {
        Origin {
            file: "f".into(),
            number,
        }
    }

    #[test]
    fn a_body_is_an_array_of_the_items_as_they_were() {
        let mut batch = Batch::new(Door::Events);
        for (number, item) in [r#"{ "a":1}"#, "{\"b\":\n2}", "{}"].into_iter().enumerate() {
            batch.push(origin(number as u64 + 1), item);
        }
        assert_eq!(batch.body(), b"[{ \"a\":1},{\"b\":\n2},{}]");
        let rest = batch.only(&[1, 2]);
        assert_eq!(rest.body(), b"[{\"b\":\n2},{}]");
        assert_eq!((rest.len(), rest.origin(1)), (2, Some(&origin(3))));
    }

    #[test]
    fn a_batch_is_bounded_by_bytes_and_by_items() {
        let mut batch = Batch::new(Door::Events);
        let large = "x".repeat(BYTES_MAX);
        assert!(batch.has_room(&large));
        batch.push(origin(1), "{}");
        assert!(!batch.has_room(&large) && batch.has_room("{}"));
        (1..ITEMS_MAX).for_each(|number| batch.push(origin(number as u64), "{}"));
        assert!(!batch.has_room("{}"));
    }
}
