//! What features make of a job's duration.
//!
//! Each value of a text, and each number by its logarithm, has an effect on ln T, and effects add up. They are learned
//! one job after the other, as a Kalman filter does that takes them for independent: what a job took beyond what was
//! expected is shared out among its effects, in proportion to how uncertain each is. What may be chance is believed to
//! be: an effect counts by as much as it exceeds its own uncertainty, so a feature that foretells nothing changes
//! nothing, and neither does a value that was never seen.
//!
//! All effects together count only if they have told the ends better than one mean of all jobs. An end seen by polls
//! alone is told by whatever lies in its enclosure.
//!
//! The sum of its effects is part of a job's relative size. Effects become clear after the first ends are known, so the
//! latest ends are labeled with their features and sized anew whenever an effect has changed.
//!
//! # What was tried and lost
//!
//! - A kind per value: as good where values are few and jobs many, 3 to 9 % dearer where the feature foretells nothing.
//! - Leaving sizes as they were when their jobs ended: twice as dear where each value has a duration of its own.
//! - Effects at their mean: 30 % dearer for constant durations that the feature has nothing to do with, seen by polls
//!   alone, since polls that straddle an end look like an effect. Effects that exceed their uncertainty, but need not
//!   have told ends any better: 20 %, instead of 6 %.

use super::ring::{Observation, Place};
use crate::schedule::Feature;
use std::collections::VecDeque;

/// How many effects are remembered. The one that was needed longest ago makes room.
pub(crate) const EFFECTS_MAX: usize = 64;

/// How many of the latest ends are labeled.
pub(crate) const LABELS_MAX: usize = 64;

/// How many features of one job count.
pub(crate) const FEATURES_MAX: usize = 4;

/// The key of what all jobs have in common, which is no part of their size.
const COMMON: u32 = 0;

/// How uncertain an effect is at first, as a variance of ln T: that of what is common, and that of a feature.
const COMMON_VARIANCE: f64 = 4.0;
const VARIANCE: f64 = 0.25;

/// The variance of ln T that no feature explains: at first, and at least.
pub(crate) const NOISE: f64 = 0.1;
const NOISE_MIN: f64 = 1e-6;

/// How fast the past fades from that variance.
const NOISE_FADE: f64 = 0.97;

/// What an effect may drift from one of its jobs to the next, as a share of that variance.
const DRIFT: f64 = 4e-4;

/// No end counts as farther from what was expected than that many standard deviations.
const SURPRISE_MAX: f64 = 3.0;

/// How many times its variance the square of an effect must exceed to be believed at all.
const DOUBT: f64 = 2.0;

/// How much better all effects together must have told ends than one mean of all jobs, in nats.
const TRUSTED: f64 = 3.0;

/// A variance of ln T that matters to no plan.
const FINE: f64 = 2.5e-5;

/// How often the mean of all jobs is moved to where it is outside of the fewest enclosures.
const ROUNDS: usize = 8;

/// The greatest width of an enclosure in ln T that counts: of one without a lower end.
const WIDTH_MAX: f64 = 2.0;

/// The greatest sum of effects: a factor of about a thousand.
const SUM_MAX: f64 = 7.0;

/// What is known of a job beforehand.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Traits {
    pub(crate) size: Option<f64>,
    pub(crate) features: Vec<Feature>,
}

impl Traits {
    pub(crate) fn of_size(size: f64) -> Self {
        Self {
            size: Some(size),
            features: Vec::new(),
        }
    }
}

/// The effect of one feature.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Effect {
    pub(crate) key: u32,
    /// The logarithm of a number that has no effect; 0 for a text.
    pub(crate) center: f32,
    pub(crate) mean: f32,
    pub(crate) variance: f32,
}

impl Effect {
    fn new(feature: Feature) -> Self {
        let variance = match feature.key {
            COMMON => COMMON_VARIANCE,
            _ => VARIANCE,
        };
        Self {
            key: feature.key,
            center: feature.ln.unwrap_or_default(),
            mean: 0.0,
            variance: variance as f32,
        }
    }

    /// What of the mean is no chance.
    fn believed(self) -> f64 {
        let mean = f64::from(self.mean);
        let doubt = DOUBT * f64::from(self.variance) / (mean * mean);
        mean * (1.0 - doubt).max(0.0)
    }

    /// How much there is of the feature.
    fn amount(self, feature: Feature) -> f64 {
        feature.ln.map_or(1.0, |ln| f64::from(ln - self.center))
    }
}

/// The features of a job that has ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Label {
    pub(crate) place: Place,
    /// The logarithm of its relative size without them.
    pub(crate) ln_size: f32,
    pub(crate) features: Box<[Feature]>,
}

/// See the module.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Effects {
    /// Those that were needed last are at the end.
    table: Vec<Effect>,
    noise: f64,
    labels: VecDeque<Label>,
    /// Whether they have told ends better than one mean of all jobs.
    trusted: bool,
}

impl Default for Effects {
    fn default() -> Self {
        Self::restore(Vec::new(), NOISE, VecDeque::new())
    }
}

impl Effects {
    pub(crate) fn restore(table: Vec<Effect>, noise: f64, labels: VecDeque<Label>) -> Self {
        Self {
            table,
            noise,
            labels,
            trusted: false,
        }
    }

    /// The variance of ln T that no feature explains.
    pub(crate) fn noise(&self) -> f64 {
        self.noise
    }

    pub(crate) fn labels(&self) -> impl Iterator<Item = &Label> {
        self.labels.iter()
    }

    /// The effects that those jobs took part in.
    pub(crate) fn of_jobs(&self, places: &[Place]) -> Vec<Effect> {
        let labels = self
            .labels
            .iter()
            .filter(|label| places.contains(&label.place));
        let keys: Vec<u32> = labels
            .flat_map(|label| label.features.iter().map(|feature| feature.key))
            .collect();
        let needed = |effect: &&Effect| {
            keys.contains(&effect.key) || effect.key == COMMON && !keys.is_empty()
        };
        self.table.iter().filter(needed).copied().collect()
    }

    /// How much longer a job of these features takes than others, in ln T.
    pub(crate) fn sum(&self, features: &[Feature]) -> f64 {
        if self.trusted {
            self.all(features)
        } else {
            0.0
        }
    }

    /// The same, trusted or not.
    fn all(&self, features: &[Feature]) -> f64 {
        let effects = counted(features).filter_map(|feature| {
            let effect = self.table.iter().find(|effect| effect.key == feature.key)?;
            Some(effect.believed() * effect.amount(feature))
        });
        effects.sum::<f64>().clamp(-SUM_MAX, SUM_MAX)
    }

    /// Learns from a job of which the end was seen, and returns whether that was anything. `ln_size` is what is known
    /// of its relative size without the features.
    pub(crate) fn learn(&mut self, features: &[Feature], ln_size: f64, seen: Observation) -> bool {
        let Some(middle) = seen.middle().filter(|_| !features.is_empty()) else {
            return false;
        };
        let width = f64::from(seen.at_most / seen.after).ln().min(WIDTH_MAX);
        self.update(features, middle.ln() - ln_size, width * width / 12.0);
        self.labels.push_back(Label {
            place: seen.place(),
            ln_size: ln_size as f32,
            features: counted(features).collect(),
        });
        if self.labels.len() > LABELS_MAX {
            self.labels.pop_front();
        }
        true
    }

    /// Finds out whether effects have told the ends that are remembered better than one mean of all jobs.
    ///
    /// An end seen by polls alone is told by whatever lies in its enclosure. So polls that straddle one and the same
    /// instant speak for no effect, however their middles differ.
    pub(crate) fn judge(&mut self, ended: &VecDeque<Observation>) {
        let told: Vec<(f64, f64, f64)> = self
            .labels
            .iter()
            .filter_map(|label| {
                let seen = ended.iter().find(|seen| seen.place() == label.place)?;
                let ln = |seconds: f32| f64::from(seconds).ln() - f64::from(label.ln_size);
                let (low, high) = (ln(seen.after), ln(seen.at_most));
                Some((low.max(high - WIDTH_MAX), high, self.all(&label.features)))
            })
            .collect();
        let n = told.len() as f64;
        // What is left of the variance around the best mean, with or without effects.
        let left = |with: f64| {
            let ends = || {
                told.iter()
                    .map(|(low, high, sum)| (low - with * sum, high - with * sum))
            };
            let mut mean = ends()
                .map(|(low, high)| f64::midpoint(low, high))
                .sum::<f64>()
                / n;
            for _ in 0..ROUNDS {
                mean = ends().map(|(low, high)| mean.clamp(low, high)).sum::<f64>() / n;
            }
            let squares = ends().map(|(low, high)| (mean.clamp(low, high) - mean).powi(2));
            squares.sum::<f64>() / n + FINE
        };
        self.trusted = 0.5 * n * (left(0.0) / left(1.0)).ln() > TRUSTED;
    }

    /// What the size of a job that has ended is by now; none if it isn't labeled.
    pub(crate) fn resize(&self, place: Place) -> Option<f32> {
        let label = self.labels.iter().find(|label| label.place == place)?;
        Some(label.ln_size + self.sum(&label.features) as f32)
    }

    /// `blur` is the variance of what was seen.
    fn update(&mut self, features: &[Feature], ln_duration: f64, blur: f64) {
        let common = Feature {
            key: COMMON,
            ln: None,
        };
        let mut own: Vec<(Effect, f64)> = Vec::with_capacity(1 + FEATURES_MAX);
        for feature in std::iter::once(common).chain(counted(features)) {
            let known = self
                .table
                .iter()
                .position(|effect| effect.key == feature.key);
            let effect = known.map_or(Effect::new(feature), |known| self.table.remove(known));
            own.push((effect, effect.amount(feature)));
        }
        if f64::from(own[0].0.variance) == COMMON_VARIANCE {
            own[0].0.mean = ln_duration as f32;
        }
        let (mut expected, mut variance) = (0.0, self.noise + blur);
        for (effect, x) in &own {
            expected += f64::from(effect.mean) * x;
            variance += f64::from(effect.variance) * x * x;
        }
        let limit = SURPRISE_MAX * variance.sqrt();
        let off = (ln_duration - expected).clamp(-limit, limit);
        for (effect, x) in &mut own {
            let gain = f64::from(effect.variance) * *x / variance;
            effect.mean += (gain * off) as f32;
            let left = f64::from(effect.variance) * (1.0 - gain * *x) + DRIFT * self.noise;
            effect.variance = left as f32;
        }
        // What was off is noise by as much as noise was expected to be part of it.
        let noise = off * off * self.noise / variance;
        self.noise = (NOISE_FADE * self.noise + (1.0 - NOISE_FADE) * noise).max(NOISE_MIN);
        self.table.extend(own.into_iter().map(|(effect, _)| effect));
        let beyond = self.table.len().saturating_sub(EFFECTS_MAX);
        self.table.drain(..beyond);
    }
}

/// Each feature once, and not too many.
fn counted(features: &[Feature]) -> impl Iterator<Item = Feature> {
    let first = |at: &usize| {
        let key = features[*at].key;
        features[..*at].iter().all(|feature| feature.key != key)
    };
    let each = (0..features.len()).filter(first);
    each.map(|at| features[at]).take(FEATURES_MAX)
}

#[cfg(test)]
mod tests {
    use super::super::past::{Past, Whose};
    use super::*;

    /// What is learned by jobs of these features that end within `(after, at_most]`.
    fn learned(jobs: impl IntoIterator<Item = (Vec<Feature>, f64, f64)>) -> Effects {
        let (mut effects, mut past) = (Effects::default(), Past::default());
        for (features, after, at_most) in jobs {
            let seen = past.observation(Whose::default(), after, at_most, 0.0);
            assert!(effects.learn(&features, 0.0, seen));
            past.remember(seen);
            effects.judge(past.ended());
        }
        effects
    }

    /// Numbers that look random and are the same everywhere.
    fn share(i: u32) -> f64 {
        (f64::from(i) * 0.618_034).fract()
    }

    #[test]
    fn what_values_make_of_durations_is_found_out() {
        let features = |i: u32| {
            let model = ["a", "b", "c"][(i % 3) as usize];
            let steps = 10 + 7 * (i % 5);
            [Feature::new("model", model), Feature::new("steps", steps)]
        };
        let effects = learned((0..200).map(|i| {
            let steps = f64::from(10 + 7 * (i % 5));
            let took = [1.0, 4.0, 9.0][(i % 3) as usize] * steps.sqrt() * (0.9 + 0.2 * share(i));
            (features(i).to_vec(), took, took)
        }));
        let [a, c] = [0, 2].map(|i| effects.sum(&features(15 + i)[..1]));
        assert!((c - a - 9_f64.ln()).abs() < 0.1, "{a} {c}");
        let [few, many] = [10, 38].map(|steps| effects.sum(&[Feature::new("steps", steps)]));
        assert!(
            (many - few - 0.5 * 3.8_f64.ln()).abs() < 0.05,
            "{few} {many}"
        );
        assert_eq!(effects.sum(&[Feature::new("model", "unheard of")]), 0.0);
    }

    #[test]
    fn what_foretells_nothing_makes_no_difference() {
        let feature = |i: u32| [Feature::new("color", format!("{}", i % 10))];
        let effects = learned((0..300).map(|i| {
            let took = 20.0 * (2.0 * share(i * i)).exp();
            (feature(i).to_vec(), took, took)
        }));
        let sums: f64 = (0..10).map(|i| effects.sum(&feature(i)).abs()).sum();
        assert!(sums < 0.5, "{sums}");
    }

    #[test]
    fn polls_that_straddle_one_instant_are_no_effect() {
        // Each value is asked about at its own times, which all enclose 20 s.
        let feature = |i: u32| vec![Feature::new("color", format!("{}", i % 10))];
        let jobs = (0..100).map(|i| {
            let before = 0.1 + 0.2 * f64::from(i % 10);
            (feature(i), 20.0 - before, 22.0 - before)
        });
        let effects = learned(jobs);
        for i in 0..10 {
            assert_eq!(effects.sum(&feature(i)), 0.0);
        }
    }

    #[test]
    fn neither_values_nor_features_without_end_are_kept() {
        let effects = learned((0..1_000).map(|i| {
            let features = (0..20)
                .map(|k| Feature::new("id", format!("{i} {k}")))
                .chain([Feature::new("n", f64::MAX), Feature::new("n", 1)])
                .collect();
            (features, 1.0 + f64::from(i), 1.0 + f64::from(i))
        }));
        assert_eq!(effects.table.len(), EFFECTS_MAX);
        assert_eq!(effects.labels.len(), LABELS_MAX);
        assert!(
            effects
                .labels
                .iter()
                .all(|label| label.features.len() == FEATURES_MAX)
        );
        assert!(effects.table.iter().all(|effect| effect.variance > 0.0));
    }
}
