//! Which of many paths a leaf of the details lies at, or below.
//!
//! Paths are kept in an order in which all that lies below one stands right behind it. So the last one that is not behind
//! a leaf is the deepest that the leaf lies below, or lies itself below that one: a leaf costs a binary search, and not a
//! comparison with each of them.

use std::cmp::Ordering;

/// Paths without indexes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paths {
    /// In order, each once.
    all: Vec<Path>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Path {
    text: String,
    /// The deepest other one that it lies below.
    above: Option<usize>,
}

impl Paths {
    /// Of these; one may stand among them twice.
    pub fn of<'a>(paths: impl Iterator<Item = &'a str>) -> Self {
        let mut texts: Vec<&str> = paths.collect();
        texts.sort_unstable_by(|a, b| compare(a, b));
        texts.dedup();
        let mut paths = Self::default();
        for text in texts {
            let above = paths.covering(text).next();
            paths.all.push(Path {
                text: text.to_owned(),
                above,
            });
        }
        paths
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Which one it is.
    pub fn position(&self, path: &str) -> Option<usize> {
        self.all.binary_search_by(|known| compare(&known.text, path)).ok()
    }

    /// Those that a leaf lies at or below, the deepest first; its path has no indexes.
    pub fn covering(&self, leaf: &str) -> impl Iterator<Item = usize> {
        let behind = self
            .all
            .partition_point(|path| compare(&path.text, leaf) != Ordering::Greater);
        let up = |from: Option<usize>| {
            std::iter::successors(from, |at| self.all.get(*at).and_then(|path| path.above))
        };
        let first = up(behind.checked_sub(1)).find(|at| lies_in(leaf, &self.all[*at].text));
        up(first)
    }
}

/// By steps: `a` before `a.b` before `a-b`. Within a key bytes count, so that this is an order of any texts.
fn compare(a: &str, b: &str) -> Ordering {
    // What parts the steps comes before whatever a key may hold.
    let rank = |byte: u8| match byte {
        b'.' => 0,
        byte => u16::from(byte) + 1,
    };
    a.bytes().map(rank).cmp(b.bytes().map(rank))
}

/// Whether a leaf stands at a path or below it.
pub(super) fn lies_in(leaf: &str, path: &str) -> bool {
    let rest = leaf.strip_prefix(path);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_deepest_comes_first() {
        let paths = Paths::of(["a", "a.b.c", "a-b", "a", r"a\.b", "z"].into_iter());
        assert_eq!(paths.len(), 5);
        let covering = |leaf: &str| -> Vec<&str> {
            let found = paths.covering(leaf);
            found.map(|at| paths.all[at].text.as_str()).collect()
        };
        assert_eq!(covering("a.b.c.d"), ["a.b.c", "a"]);
        assert_eq!(covering("a.b"), ["a"]);
        assert_eq!(covering("a-b.c"), ["a-b"]);
        assert_eq!(covering(r"a\.b"), [r"a\.b"]);
        assert!(covering("ab").is_empty() && covering("").is_empty());
        assert_eq!(
            paths.position("a-b").map(|at| paths.all[at].text.as_str()),
            Some("a-b")
        );
        assert_eq!(paths.position("b"), None);
        assert!(Paths::default().covering("a").next().is_none());
    }

    proptest! {
        /// The same as comparing with each of them.
        #[test]
        fn a_search_finds_what_comparing_finds(
            wanted in prop::collection::vec(r"[a-b.\\\x00-]{0,5}", 0..12),
            leaves in prop::collection::vec(r"[a-b.\\\x00-]{0,7}", 1..20),
        ) {
            let paths = Paths::of(wanted.iter().map(String::as_str));
            for leaf in leaves {
                let mut naive: Vec<_> = wanted.iter().filter(|path| lies_in(&leaf, path)).collect();
                naive.sort_by_key(|path| std::cmp::Reverse(path.len()));
                naive.dedup();
                let found: Vec<_> = paths.covering(&leaf).map(|at| &paths.all[at].text).collect();
                prop_assert_eq!(found, naive, "{:?}", leaf);
            }
        }
    }
}
