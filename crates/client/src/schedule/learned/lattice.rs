//! Servers that work in ticks: durations that are multiples of a period.
//!
//! Behind them is a smooth law, of which each duration is the nearest multiple. So what was seen is taken for an
//! enclosure of what was rounded, the experts learn that, and what they expect is rounded again.
//!
//! Enclosures by polls alone tell a period, too: each must hold a multiple, and one that is shorter than the period may
//! well not. What speaks for a period is the likelihood of all ends under it, in terms of that without. It must hold
//! for several multiples: of jobs that all take about as long, every enclosure holds the same one.
//!
//! Polls that are further apart than multiples say little of that, so a period that something speaks for is **probed**:
//! some jobs, the scouts, are polled right before and right after multiples. An end between the two speaks for the
//! period as much as an end elsewhere speaks against it, so a few scouts tell. What is believed is probed, too: polls
//! at multiples alone would never refute it.

use super::grid::{BINS, EDGES, Law, STEP, bin};
use super::plan::Tick;
use super::ring::Observation;
use std::collections::VecDeque;

/// The periods that are looked for, in seconds: those that people choose.
const PERIODS: [f64; 14] = [
    2.0, 3.0, 4.0, 5.0, 6.0, 10.0, 12.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0,
];

/// How far from a multiple an end that is known may be, and how far from one ends are expected, in seconds.
const TOLERANCE: f64 = 0.05;

/// How many ends it takes to see a period.
const ENDS_MIN: usize = 8;

/// What must speak for a period that it is probed, believed, and probed by few, and what an end that is at no multiple
/// says, in nats.
const SUSPECTED: f64 = 1.5;
const CONVINCING: f64 = 6.0;
const SURE: f64 = 15.0;
const MISS: f64 = -4.0;

/// The share of jobs that are scouts, of a period that isn't sure and of one that is.
const SCOUTS: f64 = 0.125;
const SCOUTS_OF_SURE: f64 = 0.05;

/// A period that so much speaks against isn't looked at any further.
const HOPELESS: f64 = -30.0;

/// How many likelihoods are multiplied before a logarithm is taken: it costs as much as the rest of several.
const TOGETHER: usize = 16;

/// The greatest period, in terms of the range that durations have at least, but for a twentieth at either end.
const RANGE_SHARE: f64 = 1.05;

/// The share of ends that is still expected at no multiple.
const OFF: f64 = 0.005;

/// A period that something speaks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Period {
    pub(crate) seconds: f64,
    /// What speaks for it, in nats.
    nats: f64,
}

impl Period {
    /// Whether durations are taken for multiples of it.
    pub(crate) fn is_believed(self) -> bool {
        self.nats > CONVINCING
    }

    /// The share of jobs that probe it if durations aren't told.
    pub(crate) fn scouts(self) -> f64 {
        if self.nats > SURE {
            SCOUTS_OF_SURE
        } else {
            SCOUTS
        }
    }
}

/// The period that most speaks for of the jobs that have ended; none if little speaks for any.
pub(crate) fn period(ended: &VecDeque<Observation>) -> Option<Period> {
    let ended_at_all = ended.iter().filter(|seen| !seen.is_censored());
    let ends: Vec<(f64, f64)> = ended_at_all.map(|seen| bounds(*seen)).collect();
    if ends.len() < ENDS_MIN || ended.iter().any(|seen| seen.ln_size != 0.0) {
        return None;
    }
    let few = ends.len() / 20;
    let mut lows: Vec<f64> = ends.iter().map(|end| end.0).collect();
    let mut highs: Vec<f64> = ends.iter().map(|end| end.1).collect();
    let longest = *lows
        .select_nth_unstable_by(ends.len() - 1 - few, f64::total_cmp)
        .1;
    let shortest = *highs.select_nth_unstable_by(few, f64::total_cmp).1;
    let range = longest - shortest;
    let scored = PERIODS
        .into_iter()
        .filter(|period| *period <= RANGE_SHARE * range)
        .map(|seconds| Period {
            seconds,
            nats: nats(&ends, seconds),
        });
    let best = scored.max_by(|one, other| one.nats.total_cmp(&other.nats))?;
    (best.nats > SUSPECTED).then_some(best)
}

/// What speaks for a period, in nats.
fn nats(ends: &[(f64, f64)], period: f64) -> f64 {
    let miss = MISS.exp();
    let mut nats = 0.0;
    for ends in ends.chunks(TOGETHER) {
        let mut likelier = 1.0;
        for (low, high) in ends {
            let (first, last) = multiples(*low, *high, period);
            likelier *= if first > last {
                miss
            } else {
                period * (last - first + 1.0) / (high - low)
            };
        }
        nats += likelier.ln();
        if nats < HOPELESS {
            break;
        }
    }
    nats
}

/// Between what a duration was, in seconds, the upper one included; where it is known, with the tolerance.
fn bounds(seen: Observation) -> (f64, f64) {
    let (after, at_most) = (f64::from(seen.after), f64::from(seen.at_most));
    let tolerance = if seen.is_exact() { TOLERANCE } else { 0.0 };
    ((after - tolerance).max(0.0), at_most + tolerance)
}

/// The first and the last multiple between such bounds; there is none if the last is less.
fn multiples(low: f64, high: f64, period: f64) -> (f64, f64) {
    // Durations aren't negative, and such a cast costs less than a call of `floor`.
    let below = |seconds: f64| f64::from((seconds / period) as u32);
    (below(low) + 1.0, below(high))
}

/// Between what the duration was before it was rounded to a multiple; as it is, if it holds none.
pub(crate) fn unrounded(seen: Observation, period: f64) -> Observation {
    let (low, high) = bounds(seen);
    let (first, last) = multiples(low, high, period);
    if first > last {
        return seen;
    }
    let edge = |multiple: f64| EDGES[first_bin(multiple, period)] as f32;
    Observation {
        after: edge(first),
        at_most: if seen.is_censored() {
            seen.at_most
        } else {
            edge(last + 1.0)
        },
        ..seen
    }
}

/// The first bin of what is rounded to a multiple. No two multiples share a bin: what might be of either would be taken
/// for both.
fn first_bin(multiple: f64, period: f64) -> usize {
    bin(((multiple - 0.5) * period).ln())
}

/// Rounds what is expected to multiples, as far as bins are narrow enough to tell them apart.
pub(crate) fn rounded(law: &Law, period: f64) -> (Box<Law>, Vec<Tick>) {
    let mut rounded = Box::new(*law);
    let mut ticks = Vec::new();
    let multiples = (0.5 / STEP) as u32;
    let edge = |multiple: f64| first_bin(multiple, period);
    for multiple in (1..=multiples).map(f64::from) {
        let at = multiple * period;
        let (tick, next) = (bin(at.ln()), edge(multiple + 1.0));
        if next + 1 >= BINS {
            break;
        }
        let mut moved = 0.0;
        for mass in &mut rounded[edge(multiple)..next] {
            moved += (1.0 - OFF) * *mass;
            *mass *= OFF;
        }
        rounded[tick] += moved;
        ticks.push(Tick {
            bin: tick,
            share: moved / rounded[tick],
            from: (at - TOLERANCE).max(EDGES[tick]),
            to: (at + TOLERANCE).min(EDGES[tick + 1]),
        });
    }
    (rounded, ticks)
}

#[cfg(test)]
mod tests {
    use super::super::grid::student;
    use super::super::past::{Past, Whose};
    use super::*;

    /// The period of jobs that are enclosed as told.
    fn found(jobs: impl IntoIterator<Item = (f64, f64)>) -> Option<f64> {
        let mut past = Past::default();
        for (after, at_most) in jobs {
            let seen = past.observation(Whose::default(), after, at_most, 0.0);
            past.remember(seen);
        }
        let period = period(past.ended()).filter(|period| period.is_believed());
        period.map(|period| period.seconds)
    }

    /// Durations that look random and are the same everywhere, from 50 s to 250 s.
    fn spread(count: u32) -> impl Iterator<Item = f64> {
        (1..=count).map(|i| 50.0 + 200.0 * (f64::from(i) * 0.618_034).fract())
    }

    /// The enclosure by polls that are `width` apart from an instant of their own on.
    fn enclosed(i: usize, seconds: f64, width: f64) -> (f64, f64) {
        let off = width * (i as f64 * 0.414_214).fract();
        let after = ((seconds - off) / width).ceil() * width + off - width;
        (after, after + width)
    }

    #[test]
    fn a_period_is_found_in_durations_and_in_enclosures_shorter_than_itself() {
        for period in [5.0, 10.0, 60.0] {
            let rounded = || spread(60).map(move |seconds| (seconds / period).round() * period);
            assert_eq!(found(rounded().map(|end| (end, end))), Some(period));
            let seen = rounded().enumerate();
            let width = 0.6 * period;
            assert_eq!(
                found(seen.map(|(i, end)| enclosed(i, end, width))),
                Some(period)
            );
        }
    }

    #[test]
    fn none_is_found_in_durations_of_any_length_nor_in_one_length() {
        assert_eq!(found(spread(128).map(|end| (end, end))), None);
        for width in [1.0, 3.0, 8.0, 20.0, 70.0] {
            let seen = spread(128).enumerate();
            assert_eq!(found(seen.map(|(i, end)| enclosed(i, end, width))), None);
            let same = (0..128).map(|i| enclosed(i, 60.0, width));
            assert_eq!(found(same), None);
        }
        assert_eq!(found((0..128).map(|_| (60.0, 60.0))), None);
    }

    #[test]
    fn a_period_that_polls_hardly_tell_is_settled_by_one_scout() {
        // Each encloses one multiple or two, as by chance.
        let few = |i: u32| 84.5 + 5.0 * f64::from(i % 5);
        let after = |scout: (f64, f64)| {
            let mut past = Past::default();
            for (after, at_most) in (0..12).map(|i| (few(i), few(i) + 7.0)).chain([scout]) {
                let seen = past.observation(Whose::default(), after, at_most, 0.0);
                past.remember(seen);
            }
            period(past.ended()).map(Period::is_believed)
        };
        assert_eq!(after((84.5, 91.5)), Some(false));
        assert_eq!(after((89.8, 90.05)), Some(true));
        assert_eq!(after((90.05, 94.8)), None);
    }

    #[test]
    fn what_is_rounded_is_a_law_that_expects_next_to_nothing_between_multiples() {
        let law = student(3.0, 100f64.ln(), 0.4);
        let (rounded, ticks) = rounded(&law, 10.0);
        assert!((rounded.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        let between = bin(95f64.ln());
        assert!(rounded[between] < 0.03 * law[between]);
        let at = ticks.iter().find(|tick| tick.bin == bin(100f64.ln()));
        assert!(at.is_some_and(|tick| tick.share > 0.99 && tick.from < 100.0 && tick.to > 100.0));
    }
}
