//! A client's random numbers: jitter, phases, idempotency keys.

use std::sync::{Mutex, PoisonError};

use rand::rngs::SysRng;
use rand::{RngExt, SeedableRng, TryRng};
use rand_chacha::ChaCha8Rng;

/// A generator that many waits share, seeded by the operating system or by a test.
#[derive(Debug)]
pub(crate) struct Rng {
    state: Mutex<ChaCha8Rng>,
    /// Whether a test gave the seed; keys are then drawn from it too.
    seeded: bool,
}

impl Rng {
    /// Random numbers: unforeseeable, or repeated by a seed.
    pub(crate) fn new(seed: Option<u64>) -> Self {
        let rng = match seed {
            Some(seed) => ChaCha8Rng::seed_from_u64(seed),
            None => {
                let mut bytes = [0; 32];
                // A system without a source of randomness still gets jitter, only a foreseeable one.
                let _ = SysRng.try_fill_bytes(&mut bytes);
                ChaCha8Rng::from_seed(bytes)
            }
        };
        Self {
            state: Mutex::new(rng),
            seeded: seed.is_some(),
        }
    }

    /// Another generator, whose numbers the same seed repeats.
    pub(crate) fn split(&self) -> Self {
        Self {
            state: Mutex::new(ChaCha8Rng::seed_from_u64(self.seed())),
            seeded: self.seeded,
        }
    }

    /// A number to seed one wait with.
    pub(crate) fn seed(&self) -> u64 {
        self.with(|rng| rng.random())
    }

    /// A number from 0 up to, but not including, 1.
    pub(crate) fn share(&self) -> f64 {
        self.with(|rng| rng.random())
    }

    /// A key that names one logical create: 128 bits, in hexadecimal.
    ///
    /// It comes straight from the operating system, so that two processes forked from one never draw the same.
    pub(crate) fn key(&self) -> String {
        let mut bytes = [0; 16];
        if self.seeded || SysRng.try_fill_bytes(&mut bytes).is_err() {
            self.with(|rng| rng.fill(&mut bytes));
        }
        format!("{:032x}", u128::from_be_bytes(bytes))
    }

    fn with<T>(&self, draw: impl FnOnce(&mut ChaCha8Rng) -> T) -> T {
        draw(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Bytes for a secret, straight from the operating system.
///
/// # Errors
///
/// The system has no source of randomness; what is made without one is no secret.
#[cfg(feature = "inbox")]
pub(crate) fn secret_bytes() -> Result<[u8; 32], std::io::Error> {
    let mut bytes = [0; 32];
    SysRng
        .try_fill_bytes(&mut bytes)
        .map_err(std::io::Error::other)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_and_a_seed_repeats_them() {
        let rng = Rng::new(None);
        assert_ne!(rng.key(), rng.key());
        assert_eq!(rng.key().len(), 32);
        assert_eq!(Rng::new(Some(7)).key(), Rng::new(Some(7)).key());
    }
}
