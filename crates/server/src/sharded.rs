//! State that many requests change at once, divided by key: each shard has a lock of its own.

use std::fmt;
use std::hash::{BuildHasher as _, Hash};
use std::marker::PhantomData;

use abide_engine::hash::FastHash;
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Shards of state. A key always belongs to the same one.
pub(crate) struct Sharded<K, S> {
    hash: FastHash,
    shards: Box<[RwLock<S>]>,
    keys: PhantomData<fn(&K)>,
}

impl<K: Hash, S> Sharded<K, S> {
    /// That many shards, each as `shard` makes it.
    pub(crate) fn new(shards: usize, shard: impl Fn() -> S) -> Self {
        Self {
            hash: FastHash::default(),
            shards: (0..shards).map(|_| RwLock::new(shard())).collect(),
            keys: PhantomData,
        }
    }

    /// The shard of that key, for reading.
    pub(crate) fn read(&self, key: &K) -> RwLockReadGuard<'_, S> {
        self.shards[self.index(key)].read()
    }

    /// The shard of that key, for changing it.
    pub(crate) fn write(&self, key: &K) -> RwLockWriteGuard<'_, S> {
        self.shards[self.index(key)].write()
    }

    /// All shards, to be locked one after the other.
    pub(crate) fn all(&self) -> &[RwLock<S>] {
        &self.shards
    }

    fn index(&self, key: &K) -> usize {
        let shards = self.shards.len() as u64;
        usize::try_from(self.hash.hash_one(key) % shards).unwrap_or(0)
    }
}

impl<K, S: fmt::Debug> fmt::Debug for Sharded<K, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.shards).finish()
    }
}
