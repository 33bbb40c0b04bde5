//! Randomness in a pause, so that clients that started together don't ask together.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

/// How a pause is spread.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub enum Jitter {
    /// Exactly the pause.
    #[default]
    None,
    /// Uniform around the pause: `Around(0.25)` means ± 25 %. Shares above 1 count as 1.
    Around(f64),
    /// Uniform between nothing and the pause.
    Full,
}

impl Jitter {
    /// Spreads one pause.
    pub(crate) fn spread(self, pause: Duration, rng: &mut ChaCha8Rng) -> Duration {
        match self {
            Self::None => pause,
            Self::Full => pause.mul_f64(rng.random::<f64>()),
            // A share that isn't a number spreads nothing instead of poisoning the product.
            Self::Around(share) if share.is_nan() => pause,
            Self::Around(share) => {
                let share = share.clamp(0.0, 1.0);
                let factor = 1.0 + share * (2.0 * rng.random::<f64>() - 1.0);
                // The longest pauses have no longer ones around them.
                Duration::try_from_secs_f64(pause.as_secs_f64() * factor).unwrap_or(Duration::MAX)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn the_longest_pause_can_be_spread() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for jitter in [Jitter::Around(1.0), Jitter::Around(0.1), Jitter::Full] {
            let longest = (0..100).map(|_| jitter.spread(Duration::MAX, &mut rng));
            assert!(longest.max() > Some(Duration::MAX / 2), "{jitter:?}");
        }
    }

    #[test]
    fn a_pause_stays_within_its_spread() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let pause = Duration::from_secs(10);
        for _ in 0..1000 {
            let around = Jitter::Around(0.25).spread(pause, &mut rng).as_secs_f64();
            assert!((7.5..=12.5).contains(&around), "{around}");
            assert!(Jitter::Full.spread(pause, &mut rng) <= pause);
            assert_eq!(Jitter::None.spread(pause, &mut rng), pause);
            assert_eq!(Jitter::Around(f64::NAN).spread(pause, &mut rng), pause);
        }
    }
}
