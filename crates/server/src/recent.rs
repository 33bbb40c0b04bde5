//! A map of bounded size, which forgets its oldest entry for the next one.

use std::collections::VecDeque;
use std::collections::hash_map::Entry;
use std::hash::Hash;

use abide_engine::hash::FastMap;

/// The entries that were added last, at most a given number.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    entries: FastMap<K, V>,
    /// The keys of all entries, the oldest first.
    order: VecDeque<K>,
    max: usize,
}

impl<K: Copy + Eq + Hash, V: Default> Recent<K, V> {
    /// No entries; `max` is the most that it will hold.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            entries: FastMap::default(),
            order: VecDeque::new(),
            max,
        }
    }

    /// The value of that key, added if it isn't there, and whether it was added.
    pub(crate) fn get_or_add(&mut self, key: K) -> (&mut V, bool) {
        if self.order.len() >= self.max
            && !self.entries.contains_key(&key)
            && let Some(oldest) = self.order.pop_front()
        {
            self.entries.remove(&oldest);
        }
        match self.entries.entry(key) {
            Entry::Occupied(entry) => (entry.into_mut(), false),
            Entry::Vacant(entry) => {
                self.order.push_back(key);
                (entry.insert(V::default()), true)
            }
        }
    }

    /// The value of that key.
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key)
    }

    /// The value of that key, to be changed.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key)
    }

    /// The keys, the oldest first.
    pub(crate) fn keys(&self) -> impl ExactSizeIterator<Item = &K> {
        self.order.iter()
    }

    /// Forgets the entries whose keys `keep` refuses.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&K) -> bool) {
        self.entries.retain(|key, _| keep(key));
        let entries = &self.entries;
        self.order.retain(|key| entries.contains_key(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_entry_is_forgotten_for_the_next() {
        let mut recent = Recent::<u32, u32>::new(2);
        for key in [1, 2, 1, 3, 1] {
            let (count, _) = recent.get_or_add(key);
            *count += 1;
        }
        assert!(recent.keys().eq(&[3, 1]));
        // It came back as a new entry.
        assert_eq!((recent.get(&1), recent.get(&2)), (Some(&1), None));
        recent.retain(|key| *key == 1);
        assert!(recent.keys().eq(&[1]));
        assert_eq!(recent.get(&3), None);
    }
}
