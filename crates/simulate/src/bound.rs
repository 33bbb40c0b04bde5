//! The best that any polling client could do.

use crate::population::{Group, Population};
use abide::schedule::planner::{Ladder, Terms, solve};
use std::sync::OnceLock;
use std::time::Duration;

/// The prices at which the frontier is computed, in seconds per request: powers of ten, and the prices per decade.
const PRICE_SPAN: (i32, i32) = (-4, 4);
const PRICES_PER_DECADE: i32 = 12;

/// What a client spends on a job, on average.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct Point {
    /// Requests per job.
    pub requests: f64,
    /// Seconds from the end of the job until it is known.
    pub delay_s: f64,
}

impl Point {
    /// The cost in seconds, at a price in seconds per request.
    #[must_use]
    pub fn cost_s(&self, price_s: f64) -> f64 {
        price_s * self.requests + self.delay_s
    }
}

/// The frontier of all polling clients for a population of known law.
///
/// It holds for every client that learns of the end by asking: adaptive and random ones are mixtures of fixed
/// schedules, and the frontier is the lower hull of those. Clients to whom the server says more than "not yet" (held
/// requests, pushes, estimates) can and should get below it.
#[derive(Debug, Clone)]
pub struct Bound {
    population: Population,
    rtt: f64,
    /// The corners of the frontier, by ascending requests; computed when first asked for.
    frontier: OnceLock<Vec<Point>>,
}

impl Bound {
    /// The bound for a round trip. The frontier, a hundred exact optima, is computed when it is first asked for.
    #[must_use]
    pub fn new(population: &Population, rtt: Duration) -> Self {
        Self {
            population: population.clone(),
            rtt: rtt.as_secs_f64(),
            frontier: OnceLock::new(),
        }
    }

    /// The best at a price in seconds per request.
    #[must_use]
    pub fn at_price(&self, price_s: f64) -> Point {
        let terms = Terms {
            price: price_s,
            gap: 0.0,
            loss: 1.0,
        };
        let groups = self.population.groups();
        let mut mean = Point {
            requests: 0.0,
            delay_s: 0.0,
        };
        for group in groups {
            let steps = group.durations.steps();
            let ladder = Ladder {
                instants: &steps.instants,
                ended: &steps.ended,
                mean: &steps.mean,
            };
            let solution = solve(ladder, terms);
            let mut state = 0;
            let polls = std::iter::from_fn(|| {
                let next = usize::from(solution.next[state]);
                (next != state).then(|| {
                    state = next;
                    steps.instants[state]
                })
            });
            let point = expected(group, polls, self.rtt);
            mean.requests += point.requests / groups.len() as f64;
            mean.delay_s += point.delay_s / groups.len() as f64;
        }
        mean
    }

    /// The corners of the frontier, by ascending requests.
    #[must_use]
    pub fn frontier(&self) -> &[Point] {
        self.frontier.get_or_init(|| {
            let steps = PRICE_SPAN.0 * PRICES_PER_DECADE..=PRICE_SPAN.1 * PRICES_PER_DECADE;
            let mut points: Vec<Point> = steps
                .map(|step| f64::from(step) / f64::from(PRICES_PER_DECADE))
                .map(|decade| self.at_price(10f64.powf(decade)))
                .collect();
            points.sort_by(|one, other| one.requests.total_cmp(&other.requests));
            lower_hull(points)
        })
    }

    /// The least delay in seconds at that number of requests per job; infinite below the fewest possible.
    #[must_use]
    pub fn delay_at(&self, requests: f64) -> f64 {
        let frontier = self.frontier();
        let above = frontier.partition_point(|corner| corner.requests < requests);
        match (
            above.checked_sub(1).map(|i| frontier[i]),
            frontier.get(above),
        ) {
            (Some(few), Some(many)) => interpolate(
                requests,
                (few.requests, few.delay_s),
                (many.requests, many.delay_s),
            ),
            (None, Some(many)) if many.requests == requests => many.delay_s,
            (None, _) => f64::INFINITY,
            (Some(most), None) => most.delay_s,
        }
    }

    /// The fewest requests per job at this delay in seconds; infinite below the least possible delay.
    #[must_use]
    pub fn requests_at(&self, delay_s: f64) -> f64 {
        let frontier = self.frontier();
        let below = frontier.partition_point(|corner| corner.delay_s > delay_s);
        match (
            below.checked_sub(1).map(|i| frontier[i]),
            frontier.get(below),
        ) {
            (Some(late), Some(soon)) => interpolate(
                delay_s,
                (late.delay_s, late.requests),
                (soon.delay_s, soon.requests),
            ),
            (None, Some(first)) => first.requests,
            (_, None) => f64::INFINITY,
        }
    }
}

/// What polls sampled at these ascending instants cost on average for jobs of a group; the last must see every end.
pub(crate) fn expected(group: &Group, polls: impl IntoIterator<Item = f64>, rtt: f64) -> Point {
    let (mut requests, mut delay) = (0.0, 0.5 * rtt);
    let (mut ended, mut mean) = (0.0, 0.0);
    for poll in polls {
        requests += 1.0 - ended;
        let (now_ended, now_mean) = group.durations.by(poll);
        delay += poll * (now_ended - ended) - (now_mean - mean);
        (ended, mean) = (now_ended, now_mean);
        if poll >= group.durations.longest() {
            break;
        }
    }
    Point {
        requests,
        delay_s: delay,
    }
}

/// The corners that lie on no segment between others, by ascending requests and falling delay.
fn lower_hull(points: Vec<Point>) -> Vec<Point> {
    let mut hull: Vec<Point> = Vec::new();
    for point in points {
        if hull
            .last()
            .is_some_and(|last| point.delay_s >= last.delay_s)
        {
            continue;
        }
        while let [.., one, two] = hull.as_slice() {
            let across = (two.requests - one.requests) * (point.delay_s - one.delay_s)
                - (two.delay_s - one.delay_s) * (point.requests - one.requests);
            if across > 0.0 {
                break;
            }
            hull.pop();
        }
        if hull
            .last()
            .is_some_and(|last| last.requests == point.requests)
        {
            hull.pop();
        }
        hull.push(point);
    }
    hull
}

fn interpolate(at: f64, (x0, y0): (f64, f64), (x1, y1): (f64, f64)) -> f64 {
    y0 + (y1 - y0) * ((at - x0) / (x1 - x0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(100);
    const HOUR: Duration = Duration::from_secs(3600);

    fn bound(law: &str) -> Bound {
        Bound::new(&Population::of_at_most(&law.parse().unwrap(), HOUR), RTT)
    }

    #[test]
    fn the_optimum_is_the_published_one() {
        for (law, price, requests, delay) in [
            ("fixed:20s", 0.5, 1.0, 0.05),
            ("uniform:10s:30s", 0.1, 7.1, 0.71),
            ("uniform:10s:30s", 0.5, 3.5, 1.53),
            ("uniform:5s:60s", 0.5, 5.4, 2.52),
            ("exponential:20s", 0.5, 5.1, 2.26),
            ("exponential:20s", 2.0, 3.0, 4.45),
            ("lognormal:20s:0.5", 0.5, 4.4, 2.01),
            ("lognormal:20s:1", 0.5, 6.1, 2.76),
            (
                "mixture:0.3:lognormal:3s:0.2+0.7:lognormal:45s:0.2",
                0.5,
                4.0,
                2.02,
            ),
            ("pareto:10s:1.5", 0.5, 4.7, 1.91),
        ] {
            let best = bound(law).at_price(price);
            let published = Point {
                requests,
                delay_s: delay,
            };
            // The minimum is flat: costs agree better than their two parts.
            let (cost, expected) = (best.cost_s(price), published.cost_s(price));
            assert!(
                (cost - expected).abs() < 0.01 * expected + 0.01,
                "{law} at {price}: {best:?}"
            );
            assert!(
                (best.requests - requests).abs() < 0.1,
                "{law} at {price}: {best:?}"
            );
        }
    }

    #[test]
    fn the_frontier_falls_and_bends_one_way() {
        let bound = bound("lognormal:20s:0.5");
        let frontier = bound.frontier();
        assert!(frontier.len() > 20);
        for corner in frontier.windows(3) {
            assert!(
                corner[0].requests < corner[1].requests && corner[0].delay_s > corner[1].delay_s
            );
            let slope = |one: &Point, two: &Point| {
                (two.delay_s - one.delay_s) / (two.requests - one.requests)
            };
            assert!(slope(&corner[0], &corner[1]) <= slope(&corner[1], &corner[2]) + 1e-9);
        }
        let best = bound.at_price(0.5);
        assert!((bound.delay_at(best.requests) - best.delay_s).abs() < 0.01);
        assert!((bound.requests_at(best.delay_s) - best.requests).abs() < 0.02);
        assert_eq!(bound.delay_at(0.5), f64::INFINITY);
        assert_eq!(bound.requests_at(0.01), f64::INFINITY);
    }

    #[test]
    fn jobs_that_take_no_time_are_seen_at_once() {
        let seconds = [0, 60, 61].map(Duration::from_secs);
        let bound = Bound::new(&Population::like(&seconds.repeat(30)), Duration::ZERO);
        // Looks at once, at 60 s and at 61 s: two requests a job, and no delay.
        let cost = bound.at_price(0.5).cost_s(0.5);
        assert!((cost - 1.0).abs() < 1e-6, "{cost}");
        let none = Bound::new(&Population::like(&[Duration::ZERO]), Duration::ZERO);
        assert!((none.at_price(0.5).cost_s(0.5) - 0.5).abs() < 1e-6);
    }

    #[test]
    fn a_point_mass_needs_one_request() {
        let bound = bound("fixed:20s");
        assert_eq!(bound.frontier().len(), 1);
        assert!((bound.delay_at(1.0) - 0.05).abs() < 1e-9);
        assert_eq!(bound.requests_at(3.0), 1.0);
    }
}
