//! A sorted set of small values in little room.
//!
//! A B-tree of the standard library is half empty where its values come in order, as names and most deadlines do: a
//! deadline of 32 bytes takes 65. Here they lie in chunks, of which only the last one isn't full then. Where they come
//! in any order, chunks are three quarters full.

use std::ops::Bound;

/// The most values in a chunk: few enough to move them for each that comes or goes.
const CHUNK: usize = 256;

/// The set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortedSet<T> {
    /// None of them is empty.
    chunks: Vec<Vec<T>>,
}

impl<T> Default for SortedSet<T> {
    fn default() -> Self {
        Self { chunks: Vec::new() }
    }
}

impl<T: Ord> SortedSet<T> {
    /// Whether there is no value.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The smallest value.
    #[must_use]
    pub fn first(&self) -> Option<&T> {
        self.chunks.first()?.first()
    }

    /// The values, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    /// The values between these bounds, in order.
    pub fn range(&self, from: Bound<&T>, to: Bound<&T>) -> impl DoubleEndedIterator<Item = &T> {
        let from = match from {
            Bound::Included(value) => self.place(|it| it < value),
            Bound::Excluded(value) => self.place(|it| it <= value),
            Bound::Unbounded => (0, 0),
        };
        let to = match to {
            Bound::Included(value) => self.place(|it| it <= value),
            Bound::Excluded(value) => self.place(|it| it < value),
            Bound::Unbounded => (self.chunks.len(), 0),
        };
        (from.0..=to.0).flat_map(move |at| {
            let chunk = self.chunks.get(at).map_or(&[][..], Vec::as_slice);
            let start = if at == from.0 { from.1 } else { 0 };
            let end = if at == to.0 { to.1 } else { chunk.len() };
            chunk.get(start..end).unwrap_or_default()
        })
    }

    /// Adds a value. Says whether it is new.
    pub fn insert(&mut self, value: T) -> bool {
        let (mut at, mut place) = self.place(|it| *it < value);
        if at == self.chunks.len() {
            // Greater than all.
            match self.chunks.last_mut() {
                Some(last) if last.len() < CHUNK => last.push(value),
                _ => self.chunks.push(vec![value]),
            }
            return true;
        }
        if self.chunks[at][place] == value {
            return false;
        }
        if self.chunks[at].len() == CHUNK {
            let upper = self.chunks[at].split_off(CHUNK / 2);
            self.chunks.insert(at + 1, upper);
            if place > CHUNK / 2 {
                (at, place) = (at + 1, place - CHUNK / 2);
            }
        }
        self.chunks[at].insert(place, value);
        true
    }

    /// Takes a value out. Says whether it was there.
    pub fn remove(&mut self, value: &T) -> bool {
        let (at, place) = self.place(|it| it < value);
        let Some(chunk) = self.chunks.get_mut(at) else {
            return false;
        };
        if chunk[place] != *value {
            return false;
        }
        chunk.remove(place);
        let left = chunk.len();
        let next = self.chunks.get(at + 1).map_or(CHUNK, Vec::len);
        if left == 0 {
            self.chunks.remove(at);
        } else if left + next <= CHUNK / 2 {
            let next = self.chunks.remove(at + 1);
            self.chunks[at].extend(next);
        }
        true
    }

    /// The chunk and the place in it of the first value that isn't before; beyond the last chunk if all are.
    fn place(&self, is_before: impl Fn(&T) -> bool) -> (usize, usize) {
        let at = self
            .chunks
            .partition_point(|chunk| chunk.last().is_some_and(&is_before));
        let chunk = self.chunks.get(at);
        (
            at,
            chunk.map_or(0, |chunk| chunk.partition_point(&is_before)),
        )
    }
}

impl<T: Ord> Extend<T> for SortedSet<T> {
    /// Adds many at once, which is quicker than one by one and leaves the chunks full.
    fn extend<I: IntoIterator<Item = T>>(&mut self, values: I) {
        let old = std::mem::take(&mut self.chunks);
        let mut all: Vec<T> = old.into_iter().flatten().chain(values).collect();
        all.sort_unstable();
        all.dedup();
        let mut all = all.into_iter();
        self.chunks = std::iter::from_fn(|| {
            let chunk: Vec<T> = all.by_ref().take(CHUNK).collect();
            (!chunk.is_empty()).then_some(chunk)
        })
        .collect();
    }
}

impl<T: Ord> FromIterator<T> for SortedSet<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut set = Self::default();
        set.extend(values);
        set
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn bound<T>(kind: u8, at: T) -> Bound<T> {
        match kind {
            0 => Bound::Included(at),
            1 => Bound::Excluded(at),
            _ => Bound::Unbounded,
        }
    }

    fn same(set: &SortedSet<u32>, tree: &BTreeSet<u32>) {
        assert!(set.iter().eq(tree) && set.iter().rev().eq(tree.iter().rev()));
        assert_eq!(
            (set.first(), set.is_empty()),
            (tree.first(), tree.is_empty())
        );
        assert!(set.chunks.iter().all(|it| (1..=CHUNK).contains(&it.len())));
    }

    #[test]
    fn it_holds_what_a_tree_holds() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        for highest in [10, 700, 100_000] {
            let (mut set, mut tree) = (SortedSet::default(), BTreeSet::new());
            for phase in 0..6 {
                for _ in 0..3_000 {
                    let value = rng.random_range(0..highest);
                    if rng.random_range(0..10) < if phase % 2 == 0 { 8 } else { 1 } {
                        assert_eq!(set.insert(value), tree.insert(value));
                    } else {
                        let value = match tree.range(value..).next() {
                            Some(next) if value % 2 == 0 => *next,
                            _ => value,
                        };
                        assert_eq!(set.remove(&value), tree.remove(&value));
                    }
                }
                same(&set, &tree);
                let more: Vec<u32> = (0..50).map(|_| rng.random_range(0..highest)).collect();
                set.extend(more.iter().copied());
                tree.extend(more);
                same(&set, &tree);
                for _ in 0..200 {
                    let (a, b) = (rng.random_range(0..highest), rng.random_range(0..highest));
                    let (low, high) = (a.min(b), a.max(b) + 1);
                    let (from, to) = (rng.random_range(0..3), rng.random_range(0..3));
                    let found = set.range(bound(from, &low), bound(to, &high));
                    let expected = tree.range((bound(from, low), bound(to, high)));
                    assert!(found.eq(expected), "{low} {high}");
                    // Bounds the wrong way round have nothing between them.
                    let none = set.range(Bound::Included(&high), Bound::Excluded(&low));
                    assert_eq!(none.count(), 0);
                }
            }
            for value in tree.clone() {
                assert!(set.remove(&value) && tree.remove(&value));
            }
            same(&set, &tree);
        }
    }

    #[test]
    fn what_comes_in_order_is_packed() {
        let mut set = SortedSet::default();
        for value in 0..10_000_u32 {
            set.insert(value);
        }
        assert_eq!(set.chunks.len(), 10_000_usize.div_ceil(CHUNK));
    }
}
