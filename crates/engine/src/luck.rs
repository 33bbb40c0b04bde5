//! Luck: every random draw of the simulator, by a hash of what it is for.
//!
//! A generator that is shared gives other numbers as soon as two requests swap places. Here each draw has its own
//! generator, seeded by `hash(seed, fate, purpose, ordinal)`, so that the same seed gives the same jobs and the same
//! faults under any concurrency.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

/// The seed of all luck. `main` makes it once; the journal keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Luck {
    seed: u64,
}

impl Luck {
    /// Luck with that seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The seed.
    #[must_use]
    pub const fn seed(self) -> u64 {
        self.seed
    }

    /// The generator for the `ordinal`-th draw of that purpose in that fate.
    #[must_use]
    pub fn rng(self, fate: u64, purpose: &str, ordinal: u64) -> ChaCha8Rng {
        let mut hash = Sha256::new();
        hash.update(self.seed.to_le_bytes());
        hash.update(fate.to_le_bytes());
        hash.update(ordinal.to_le_bytes());
        hash.update(purpose.as_bytes());
        ChaCha8Rng::from_seed(hash.finalize().into())
    }

    /// A number in `0.0..1.0`.
    #[must_use]
    pub fn unit(self, fate: u64, purpose: &str, ordinal: u64) -> f64 {
        self.rng(fate, purpose, ordinal).random()
    }
}

/// The fate of jobs with that key.
#[must_use]
pub fn fate_of_key(key: &str) -> u64 {
    digest(&[b"key", key.as_bytes()])
}

/// The fate of the `n`-th job that said the same.
#[must_use]
pub fn fate_of_occurrence(fingerprint: u64, n: u32) -> u64 {
    digest(&[b"nth", &fingerprint.to_le_bytes(), &n.to_le_bytes()])
}

/// A digest of several byte strings, each told apart from the next by its length.
#[must_use]
pub fn digest(parts: &[&[u8]]) -> u64 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash.finalize()[..8]);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_depend_on_what_they_are_for_and_on_nothing_else() {
        let luck = Luck::new(7);
        let base = luck.unit(1, "outcome", 0);
        assert_eq!(base.to_bits(), luck.unit(1, "outcome", 0).to_bits());
        for other in [
            luck.unit(2, "outcome", 0),
            luck.unit(1, "duration", 0),
            luck.unit(1, "outcome", 1),
            Luck::new(8).unit(1, "outcome", 0),
        ] {
            assert_ne!(base.to_bits(), other.to_bits());
        }
    }

    #[test]
    fn digests_keep_parts_apart() {
        assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
    }
}
