//! Histories, learned and measured.

use crate::laws::Named;
use abide::schedule::{History, Learned};
use abide::simulate::{Bound, Observe, Point, World};
use std::sync::Mutex;
use std::time::Duration;

/// The round trip that the goals are stated for.
pub(crate) const RTT: Duration = Duration::from_millis(100);

/// The price that the goals are stated for, in seconds.
pub(crate) const PRICE: f64 = 0.5;

/// The world of the goals, without hints.
pub(crate) fn world(observe: Observe) -> World {
    World::new().rtt(RTT).observe(observe)
}

/// A learner with an empty history of its own and the default jitter.
pub(crate) fn learner(price: f64) -> Learned {
    Learned::new("goals")
        .history(&History::new())
        .price(Duration::from_secs_f64(price))
        .typical_size(20.0)
}

/// Learns the law's first jobs, and has what is spent then measured after each checkpoint.
pub(crate) fn learn(
    law: &Named,
    observe: Observe,
    price: f64,
    checkpoints: &[usize],
    seed: u64,
    mut measure: impl FnMut(&Learned),
) {
    let schedule = learner(price);
    let jobs = law
        .population
        .draw(seed, checkpoints.last().copied().unwrap_or(0));
    let mut done = 0;
    for checkpoint in checkpoints {
        let _ = world(observe).run(&schedule, &jobs[done..*checkpoint], seed);
        done = *checkpoint;
        measure(&schedule);
    }
}

/// What is spent per job after so many jobs, averaged over histories: by the plan itself, the cost of whose jitter is a
/// goal of its own.
pub(crate) fn after(
    law: &Named,
    observe: Observe,
    price: f64,
    checkpoints: &[usize],
    histories: u64,
) -> Vec<Point> {
    let mut points: Vec<Vec<Point>> = Vec::new();
    for seed in 0..histories {
        let mut measured = Vec::new();
        learn(law, observe, price, checkpoints, seed, |schedule| {
            measured.push(world(observe).expected(&schedule.clone().jitter(0.0), &law.population));
        });
        points.push(measured);
    }
    (0..checkpoints.len())
        .map(|i| average(points.iter().map(|measured| measured[i])))
        .collect()
}

/// The average of points.
pub(crate) fn average(points: impl Iterator<Item = Point> + Clone) -> Point {
    let mut average = Point::default();
    average.requests = mean(points.clone().map(|point| point.requests));
    average.delay_s = mean(points.map(|point| point.delay_s));
    average
}

/// The bound of a law.
pub(crate) fn bound(law: &Named) -> Bound {
    Bound::new(&law.population, RTT)
}

/// Maps on all cores, in order.
pub(crate) fn map<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = Mutex::new(0);
    let results: Vec<Mutex<Option<R>>> = items.iter().map(|_| Mutex::new(None)).collect();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let i = {
                        let mut next = next.lock().expect("no worker panics while counting");
                        *next += 1;
                        *next - 1
                    };
                    let Some(item) = items.get(i) else { break };
                    let result = work(item);
                    *results[i].lock().expect("each slot has one writer") = Some(result);
                }
            });
        }
    });
    results
        .into_iter()
        .map(|slot| {
            let result = slot.into_inner().expect("each slot has one writer");
            result.expect("every item was worked on")
        })
        .collect()
}

/// The mean.
pub(crate) fn mean(numbers: impl IntoIterator<Item = f64>) -> f64 {
    let (sum, count) = numbers
        .into_iter()
        .fold((0.0, 0.0), |(sum, count), number| {
            (sum + number, count + 1.0)
        });
    sum / f64::max(count, 1.0)
}

/// The greatest.
pub(crate) fn max(numbers: impl IntoIterator<Item = f64>) -> f64 {
    numbers.into_iter().fold(f64::NEG_INFINITY, f64::max)
}
