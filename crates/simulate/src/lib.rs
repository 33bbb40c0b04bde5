//! Tries schedules on a virtual clock: how many requests, how much delay, how far from the best there is.
//!
//! A [`Population`] of jobs comes from a [`DurationLaw`] of durations or from a list of one's own past durations. A
//! [`World`] runs a schedule against such jobs, one after the other, so that a schedule that learns does learn. The
//! [`Bound`] is the best that any polling client could do which knew the law: the lower hull, over all prices, of the
//! exact optima for jobs that are drawn anew each time. No client that only polls gets below it, however adaptive or
//! random, because before the end the only answer is "not yet". It is static: where durations depend on their order,
//! or on what is known of a job beforehand, a client that makes use of that can and should get below it.
//!
//! ```
//! use std::time::Duration;
//! use abide::schedule::{Backoff, Learned};
//! use abide_simulate::{Bound, Population, World};
//!
//! let world = World::new().rtt(Duration::from_millis(100));
//! let population = Population::of(&"lognormal:20s:0.5".parse()?);
//! let jobs = population.draw(7, 200);
//!
//! // The best that a schedule could do that knew these durations, but not which job has which.
//! let durations: Vec<Duration> = jobs.iter().map(|job| job.duration).collect();
//! let bound = Bound::new(&Population::like(&durations), world.round_trip());
//!
//! let backoff = world.run(&Backoff::default(), &jobs, 7).mean();
//! let learned = world.run(&Learned::new("translate"), &jobs, 7).mean();
//! assert!(learned.requests < backoff.requests && learned.delay_s < backoff.delay_s);
//! assert!(bound.delay_at(learned.requests) < learned.delay_s);
//! # Ok::<(), abide_wire::law::ParseLawError>(())
//! ```

mod bound;
mod clients;
mod crowd;
mod durations;
mod population;
mod world;

pub use self::bound::{Bound, Point};
pub use self::clients::{KnownClient, known_clients};
pub use self::crowd::Arrivals;
pub use abide_wire::DurationLaw;

pub use self::population::{Job, Population};
pub use self::world::{Estimates, JOB_POLLS_MOST, Observe, Run, Spent, World};
