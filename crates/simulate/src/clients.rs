//! What well-known clients do by default, as schedules to compare with.
//!
//! Each was read in the client's source; where a client draws at random, so does its schedule.

use abide::schedule::{Cursor, Schedule, Seen, Start};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

/// A well-known client's default, as a [`Schedule`].
#[derive(Debug, Clone, Copy)]
pub struct KnownClient {
    name: &'static str,
    about: &'static str,
    /// The pause in seconds before poll `n`, counted from 0.
    pause: fn(u32, &mut ChaCha8Rng) -> f64,
}

impl KnownClient {
    /// A short name such as `aws-waiter`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What it does, in a few words.
    #[must_use]
    pub fn about(&self) -> &'static str {
        self.about
    }
}

/// The twelve defaults that the learned schedule is measured against.
#[must_use]
pub fn known_clients() -> &'static [KnownClient] {
    &KNOWN
}

static KNOWN: [KnownClient; 12] = [
    KnownClient {
        name: "fixed-0.5s",
        about: "Replicate: every 0.5 s",
        pause: |_, _| 0.5,
    },
    KnownClient {
        name: "fixed-1s",
        about: "OpenAI Python: every second",
        pause: |_, _| 1.0,
    },
    KnownClient {
        name: "fixed-2s",
        about: "many a script: every 2 s",
        pause: |_, _| 2.0,
    },
    KnownClient {
        name: "fixed-5s",
        about: "OpenAI Node: every 5 s",
        pause: |_, _| 5.0,
    },
    KnownClient {
        name: "backoff-1.5",
        about: "1 s, × 1.5 up to 30 s",
        pause: |n, _| grown(1.0, 1.5, n, 30.0),
    },
    KnownClient {
        name: "backoff-2",
        about: "1 s, × 2 up to 60 s",
        pause: |n, _| grown(1.0, 2.0, n, 60.0),
    },
    KnownClient {
        name: "aws-waiter",
        about: "Smithy waiters: at once, then whole seconds between 2 s and a doubling bound of up to 120 s",
        pause: |n, rng| {
            at_once(n, |k| {
                let bound = grown(2.0, 2.0, k, 120.0) as u32;
                f64::from(rng.random_range(2..=bound.max(2)))
            })
        },
    },
    KnownClient {
        name: "google-go",
        about: "Google Go operations: at once, then anything up to a doubling bound of up to 60 s",
        pause: |n, rng| at_once(n, |k| rng.random::<f64>() * grown(1.0, 2.0, k, 60.0)),
    },
    KnownClient {
        name: "google-python",
        about: "Google Python operations: at once, then anything up to a bound that grows × 1.5 up to 20 s",
        pause: |n, rng| at_once(n, |k| rng.random::<f64>() * grown(1.0, 1.5, k, 20.0)),
    },
    KnownClient {
        name: "google-java",
        about: "Google Java operations: at once, then 5 s, × 1.5 up to 45 s",
        pause: |n, _| at_once(n, |k| grown(5.0, 1.5, k, 45.0)),
    },
    KnownClient {
        name: "azure",
        about: "Azure: at once, then every 30 s",
        pause: |n, _| at_once(n, |_| 30.0),
    },
    KnownClient {
        name: "countdown-3-2-1",
        about: "ten polls at 3 s, ten at 2 s, then every second",
        pause: |n, _| match n {
            0..10 => 3.0,
            10..20 => 2.0,
            _ => 1.0,
        },
    },
];

fn grown(initial: f64, factor: f64, n: u32, most: f64) -> f64 {
    // The exponent is bounded, so that a long wait doesn't overflow on its way to the cap.
    (initial * factor.powi(n.min(64) as i32)).min(most)
}

fn at_once(n: u32, then: impl FnOnce(u32) -> f64) -> f64 {
    match n.checked_sub(1) {
        None => 0.0,
        Some(k) => then(k),
    }
}

impl Schedule for KnownClient {
    fn begin(&self, start: &Start) -> Box<dyn Cursor> {
        Box::new(Walk {
            client: *self,
            rng: ChaCha8Rng::seed_from_u64(start.seed),
            polls: 0,
        })
    }
}

#[derive(Debug)]
struct Walk {
    client: KnownClient,
    rng: ChaCha8Rng,
    polls: u32,
}

impl Cursor for Walk {
    fn next(&mut self, seen: &Seen) -> Option<Duration> {
        let pause = (self.client.pause)(self.polls, &mut self.rng);
        self.polls = self.polls.saturating_add(1);
        Some(seen.elapsed.saturating_add(Duration::from_secs_f64(pause)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Population, World};

    /// Mean requests and delay against published figures.
    #[test]
    fn the_defaults_cost_what_was_published() {
        for (law, client, requests, delay) in [
            ("fixed:20s", "fixed-2s", 10.0, 1.05),
            ("fixed:20s", "backoff-1.5", 6.0, 1.4),
            ("fixed:20s", "backoff-2", 5.0, 11.6),
            ("fixed:20s", "google-java", 4.0, 4.2),
            ("fixed:20s", "azure", 2.0, 10.3),
            ("fixed:20s", "countdown-3-2-1", 7.0, 1.75),
            ("uniform:10s:30s", "backoff-1.5", 6.3, 5.0),
            ("uniform:10s:30s", "google-python", 8.9, 5.5),
            ("uniform:5s:60s", "google-go", 7.4, 16.4),
            ("lognormal:20s:0.5", "aws-waiter", 5.6, 12.5),
            ("lognormal:20s:0.5", "google-go", 6.9, 13.0),
            ("lognormal:20s:0.5", "fixed-5s", 4.9, 2.60),
        ] {
            let jobs = Population::of(&law.parse().unwrap()).draw(1, 8_000);
            let client = known_clients()
                .iter()
                .find(|known| known.name() == client)
                .unwrap();
            let mean = World::new().run(client, &jobs, 1).mean();
            assert!(
                (mean.requests - requests).abs() < 0.15,
                "{law} {}: {mean:?}",
                client.name()
            );
            assert!(
                (mean.delay_s - delay).abs() < 0.05 * delay + 0.02,
                "{law} {}: {mean:?}",
                client.name()
            );
        }
    }
}
