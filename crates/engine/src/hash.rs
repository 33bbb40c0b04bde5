//! Hash tables on the path of every read and every change.
//!
//! The standard hasher takes longer for a job's name than looking the job up does. This one is seeded at random too,
//! but doesn't withstand an attacker who can both choose many keys and measure how long each takes: so it is for
//! tables whose size is bounded, or whose keys the server makes itself.

use std::collections::{HashMap, HashSet};

/// The hasher, seeded.
pub type FastHash = foldhash::fast::RandomState;
/// A map by it.
pub type FastMap<K, V> = HashMap<K, V, FastHash>;
/// A set by it.
pub type FastSet<K> = HashSet<K, FastHash>;
