//! Every random draw of the simulator, by a hash of what it is for.
//!
//! A generator that is shared gives other numbers as soon as two requests swap places. Here each draw has its own
//! generator, seeded by `hash(server's seed, job's seed, purpose, ordinal)`, so that the same seeds give the same jobs
//! and the same faults under any concurrency. A job's seed is its [key](seed_of_key), or what it was created with and
//! [how often that came before](seed_of_occurrence).

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The source of all draws, made from the server's seed. `main` makes the seed once; the journal keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rng {
    seed: u64,
}

impl Rng {
    /// The source with that seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The seed.
    #[must_use]
    pub const fn seed(self) -> u64 {
        self.seed
    }

    /// The generator for the `ordinal`-th draw of that purpose for the job with that seed.
    #[must_use]
    pub fn stream(self, job: u64, purpose: &str, ordinal: u64) -> ChaCha8Rng {
        let mut hash = Sha256::new();
        hash.update(self.seed.to_le_bytes());
        hash.update(job.to_le_bytes());
        hash.update(ordinal.to_le_bytes());
        hash.update(purpose.as_bytes());
        ChaCha8Rng::from_seed(hash.finalize().into())
    }

    /// A number in `0.0..1.0`.
    #[must_use]
    pub fn unit(self, job: u64, purpose: &str, ordinal: u64) -> f64 {
        self.stream(job, purpose, ordinal).random()
    }
}

/// The seed of the job with that key.
#[must_use]
pub fn seed_of_key(key: &str) -> u64 {
    digest(&[b"key", key.as_bytes()])
}

/// The seed of the `n`-th job that was created with a body of that digest.
#[must_use]
pub fn seed_of_occurrence(body_digest: u64, n: u32) -> u64 {
    digest(&[b"nth", &body_digest.to_le_bytes(), &n.to_le_bytes()])
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
        let rng = Rng::new(7);
        let base = rng.unit(1, "outcome", 0);
        assert_eq!(base.to_bits(), rng.unit(1, "outcome", 0).to_bits());
        for other in [
            rng.unit(2, "outcome", 0),
            rng.unit(1, "duration", 0),
            rng.unit(1, "outcome", 1),
            Rng::new(8).unit(1, "outcome", 0),
        ] {
            assert_ne!(base.to_bits(), other.to_bits());
        }
    }

    #[test]
    fn digests_keep_parts_apart() {
        assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
    }
}
