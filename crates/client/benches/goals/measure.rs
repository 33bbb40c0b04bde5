//! Histories, learned and measured.

use crate::laws::Named;
use crate::report::Figure;
use abide::schedule::{History, Learned};
use abide_simulate::{Bound, Observe, Point, World};
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

/// What is spent per job after that number of jobs, in each history.
pub(crate) fn after(
    law: &Named,
    observe: Observe,
    price: f64,
    checkpoints: &[usize],
    histories: u64,
) -> Vec<Sample> {
    let mut samples = vec![Sample::default(); checkpoints.len()];
    for seed in 0..histories {
        let mut open = samples.iter_mut();
        learn(law, observe, price, checkpoints, seed, |schedule| {
            let point = world(observe).expected(schedule, &law.population);
            open.next().expect("one per checkpoint").add(point);
        });
    }
    samples
}

/// What was spent per job in each of several histories.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample(pub(crate) Vec<Point>);

impl Sample {
    pub(crate) fn add(&mut self, point: Point) {
        self.0.push(point);
    }

    pub(crate) fn mean(&self) -> Point {
        let mut average = Point::default();
        average.requests = mean(self.0.iter().map(|point| point.requests));
        average.delay_s = mean(self.0.iter().map(|point| point.delay_s));
        average
    }

    pub(crate) fn cost(&self, price: f64) -> Figure {
        let costs: Vec<f64> = self.0.iter().map(|point| point.cost_s(price)).collect();
        Figure::of(&costs)
    }
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
