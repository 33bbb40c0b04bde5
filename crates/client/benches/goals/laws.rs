//! The laws that the goals are stated for.

use abide_simulate::{DurationLaw, Population};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

/// Durations are conditioned on an hour.
const HOUR: Duration = Duration::from_secs(3600);

/// A population under a name.
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) population: Population,
}

impl Named {
    /// A law of any length.
    pub(crate) fn long(law: &str) -> Self {
        let parsed: DurationLaw = law
            .parse()
            .expect("the laws of the goals are written by hand");
        Self {
            name: law.to_owned(),
            population: Population::of(&parsed),
        }
    }

    fn of(name: &str, law: &str) -> Self {
        let law: DurationLaw = law.parse().expect("the laws below are written by hand");
        Self {
            name: name.to_owned(),
            population: Population::of_at_most(&law, HOUR),
        }
    }

    /// Whether there is no spread at all, which some goals except.
    pub(crate) fn is_point_mass(&self) -> bool {
        self.name == "fixed 20"
    }
}

/// The nine laws.
pub(crate) fn nine() -> Vec<Named> {
    let mut laws: Vec<Named> = [
        ("fixed 20", "fixed:20s"),
        ("uniform 10-30", "uniform:10s:30s"),
        ("uniform 5-60", "uniform:5s:60s"),
        ("exponential 20", "exponential:20s"),
        ("lognormal 0.5", "lognormal:20s:0.5"),
        ("lognormal 1", "lognormal:20s:1"),
        (
            "bimodal",
            "mixture:0.3:lognormal:3s:0.2+0.7:lognormal:45s:0.2",
        ),
        ("Pareto 1.5", "pareto:10s:1.5"),
    ]
    .into_iter()
    .map(|(name, law)| Named::of(name, law))
    .collect();
    // Twelve lengths of videos, the quantiles of a lognormal of median 20 and sigma 0.8.
    let lengths: [f64; 12] = [
        5.0, 7.97, 10.44, 12.9, 15.5, 18.39, 21.75, 25.81, 31.02, 38.3, 50.2, 79.92,
    ];
    let per_second = "lognormal:1s:0.2".parse().expect("written by hand");
    laws.push(Named {
        name: "size x 0.2".to_owned(),
        population: Population::sized(&lengths, &per_second),
    });
    laws
}

/// One of the nine by name.
pub(crate) fn named(name: &str) -> Named {
    nine()
        .into_iter()
        .find(|law| law.name == name)
        .expect("the goals name laws of the nine")
}

/// Laws that nothing was tuned on, of medians between one second and a quarter of an hour.
pub(crate) fn held_out(count: usize) -> Vec<Named> {
    let mut rng = ChaCha8Rng::seed_from_u64(60);
    let mut between = move |low: f64, high: f64| low + (high - low) * rng.random::<f64>();
    (0..count)
        .map(|i| {
            let median = between(0.0, 800f64.ln()).exp();
            let law = match i % 4 {
                0 => format!("weibull:{median}:{}", between(-0.4, 1.4).exp()),
                1 => {
                    let share = between(0.1, 0.9);
                    let mean = median * (1.0 - share) / std::f64::consts::LN_2;
                    format!("shifted:{}:exponential:{mean}", median * share)
                }
                modes => {
                    let parts: Vec<String> = (0..modes)
                        .map(|_| {
                            let center = median * between(-1.2, 1.2).exp();
                            let (weight, sigma) = (between(0.2, 1.0), between(0.1, 0.6));
                            format!("{weight}:lognormal:{center}:{sigma}")
                        })
                        .collect();
                    format!("mixture:{}", parts.join("+"))
                }
            };
            Named::of(&law, &law)
        })
        .collect()
}
