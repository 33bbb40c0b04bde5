//! The form in which a kind is kept on disk: a log of lines in JSON, to which every process adds its own.
//!
//! Two sorts of line: an object with what the kind believes beside its durations, of which the latest counts, and an
//! array per observation, of which those that are newest by their place in the order count. Two more where jobs have
//! features: an array per [effect](super::effects), of which the latest counts, and one per job with its features,
//! which readers that know of none pass over. Nothing is overwritten, so processes that learn side by side lose nothing
//! of each other. A line that can't be understood, whether torn, damaged or of another version, is no line: history is
//! worth a few slow jobs and never an error. Everything derived is made anew after reading.
//!
//! The same form serves clients in other languages.
//!
//! ```text
//! {"version":2,"kind":"translate","saved_at":1700000000,"prior":{"median":15.0,"scale":1.0},"ln_price":-0.693,…}
//! [1700000000,3735928559,18.5,20.25,0.0]
//! [2654435769,0.0,0.405,0.0021]
//! [1700000000,3735928559,0.0,[[2654435769,null],[195948557,3.4]]]
//! ```
//!
//! An observation is `[second, key, after, at_most, ln_size]`: when the wait began in seconds since 1970, a number that
//! tells the job from others, the bounds of its duration in seconds since its acceptance (`at_most` is null for a job
//! that was given up), and the logarithm of its relative size. An effect is `[key, center, mean, variance]`; the
//! features of a job are `[second, key, ln_size, [[key, ln of the number or null], …]]`, with its relative size without
//! them.

use super::effects::{EFFECTS_MAX, Effect, Effects, FEATURES_MAX, LABELS_MAX, Label, NOISE};
use super::experts::{EXPERTS, Prior};
use super::kind::{Kind, Memory};
use super::model::Model;
use super::ring::{Observation, Place, RING};
use crate::schedule::Feature;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of the form. A reader ignores every other.
const VERSION: u32 = 2;

/// The age beyond which only the newer half of a history counts, in seconds: a week.
const STALE_S: u64 = 7 * 24 * 3600;

/// The least median that is written, in seconds.
const MEDIAN_MIN: f64 = 1e-3;

/// What a kind believes beside its durations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Beliefs {
    version: u32,
    kind: String,
    /// Seconds since 1970, by the clock of the process that wrote it.
    saved_at: u64,
    prior: PriorRecord,
    #[serde(skip_serializing_if = "Option::is_none")]
    slope: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<f64>,
    ln_price: f64,
    pushes: (f64, f64),
    silent: f64,
    advantage: f64,
    weights: [f64; EXPERTS],
    /// The variance that no feature explains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    noise: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct PriorRecord {
    median: f64,
    scale: f64,
}

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct JobRecord(u32, u32, f64, Option<f64>, f64);

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct EffectRecord(u32, f64, f64, f64);

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct LabelRecord(u32, u32, f64, Vec<(u32, Option<f64>)>);

/// What a file says of a kind.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    beliefs: Beliefs,
    jobs: BTreeMap<Place, Observation>,
    /// Those that were written last are at the end.
    effects: Vec<Effect>,
    labels: BTreeMap<Place, Label>,
}

/// The lines to add to a kind's file about those jobs, each after the end of a line that may have been torn.
pub(crate) fn lines(
    kind: &str,
    now: u64,
    model: &Model,
    memory: &Memory,
    effects: &Effects,
    jobs: &[Place],
) -> Vec<u8> {
    let (prior, slope) = model.beliefs();
    let beliefs = Beliefs {
        version: VERSION,
        kind: kind.to_owned(),
        saved_at: now,
        prior: PriorRecord {
            // Of jobs that ended at once, too: a prior without a length would be none.
            median: round(prior.ln_median.exp()).max(MEDIAN_MIN),
            scale: round(prior.scale),
        },
        slope,
        reference: memory.reference,
        ln_price: round(memory.ln_price),
        pushes: (round(memory.lost), round(memory.pushes)),
        silent: round(memory.silent),
        advantage: round(memory.advantage),
        weights: model.weights().map(|weight| (weight * 1e6).round() / 1e6),
        noise: (effects.noise() != NOISE).then(|| digits(effects.noise(), 1e7)),
    };
    let ended = model.past().ended().iter();
    written(
        &beliefs,
        ended.filter(|seen| jobs.contains(&seen.place())),
        effects.of_jobs(jobs).iter(),
        effects.labels().filter(|label| jobs.contains(&label.place)),
    )
}

fn written<'a>(
    beliefs: &Beliefs,
    jobs: impl Iterator<Item = &'a Observation>,
    effects: impl Iterator<Item = &'a Effect>,
    labels: impl Iterator<Item = &'a Label>,
) -> Vec<u8> {
    let mut text = vec![b'\n'];
    line(&mut text, beliefs);
    jobs.for_each(|job| line(&mut text, &JobRecord::new(job)));
    effects.for_each(|effect| line(&mut text, &EffectRecord::new(*effect)));
    labels.for_each(|label| line(&mut text, &LabelRecord::new(label)));
    text
}

fn line(text: &mut Vec<u8>, record: &impl Serialize) {
    // Finite numbers and strings always have a JSON form.
    text.extend(serde_json::to_vec(record).unwrap_or_default());
    text.push(b'\n');
}

impl Record {
    /// Reads a file, if it is about a kind.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let (mut beliefs, mut jobs) = (None, BTreeMap::new());
        let (mut effects, mut labels) = (Vec::<Effect>::new(), BTreeMap::new());
        for line in bytes.split(|byte| *byte == b'\n') {
            if let Ok(job) = serde_json::from_slice::<JobRecord>(line) {
                if job.is_sound() {
                    let seen = job.observation();
                    jobs.insert(seen.place(), seen);
                }
            } else if let Ok(effect) = serde_json::from_slice::<EffectRecord>(line) {
                if effect.is_sound() {
                    effects.retain(|other| other.key != effect.0);
                    effects.push(effect.effect());
                }
            } else if let Ok(label) = serde_json::from_slice::<LabelRecord>(line) {
                if label.is_sound() {
                    let label = label.label();
                    labels.insert(label.place, label);
                }
            } else if let Ok(found) = serde_json::from_slice::<Beliefs>(line)
                && found.is_sound()
            {
                beliefs = Some(found);
            }
        }
        while jobs.len() > RING {
            jobs.pop_first();
        }
        effects.drain(..effects.len().saturating_sub(EFFECTS_MAX));
        labels.retain(|place, _| jobs.contains_key(place));
        while labels.len() > LABELS_MAX {
            labels.pop_first();
        }
        beliefs.map(|beliefs| Self {
            beliefs,
            jobs,
            effects,
            labels,
        })
    }

    /// The shortest file that says the same.
    pub(crate) fn to_lines(&self) -> Vec<u8> {
        written(
            &self.beliefs,
            self.jobs.values(),
            self.effects.iter(),
            self.labels.values(),
        )
    }

    /// The kind it is about.
    pub(crate) fn kind(&self) -> &str {
        &self.beliefs.kind
    }

    /// The learner it describes, as of `now`.
    pub(crate) fn into_kind(self, now: u64) -> Kind {
        let Beliefs {
            prior,
            slope,
            weights,
            ..
        } = self.beliefs;
        let stale = now.saturating_sub(self.beliefs.saved_at) > STALE_S;
        let skip = if stale { self.jobs.len() / 2 } else { 0 };
        let ended = self.jobs.into_values().skip(skip).collect();
        let model = Model::restore(Prior::new(prior.median, prior.scale), slope, ended, weights);
        let memory = Memory {
            reference: self.beliefs.reference,
            ln_price: self.beliefs.ln_price,
            lost: self.beliefs.pushes.0,
            pushes: self.beliefs.pushes.1,
            silent: self.beliefs.silent,
            advantage: self.beliefs.advantage,
        };
        let noise = self.beliefs.noise.unwrap_or(NOISE);
        let labels = self.labels.into_values().collect();
        Kind::from_parts(model, memory, Effects::restore(self.effects, noise, labels))
    }
}

impl Beliefs {
    fn is_sound(&self) -> bool {
        let positive = |number: f64| number.is_finite() && number > 0.0;
        let weights: f64 = self.weights.iter().sum();
        self.version == VERSION
            && positive(self.prior.median)
            && positive(self.prior.scale)
            && self.slope.is_none_or(f64::is_finite)
            && self.reference.is_none_or(positive)
            && self.ln_price.abs() < 20.0
            && self.pushes.0 >= 0.0
            && self.pushes.1 >= self.pushes.0
            && self.pushes.1.is_finite()
            && (0.0..=1.0).contains(&self.silent)
            && self.advantage.is_finite()
            && self.noise.is_none_or(positive)
            && self
                .weights
                .iter()
                .all(|weight| (0.0..=1.0).contains(weight))
            && (weights - 1.0).abs() < 1e-3
    }
}

impl JobRecord {
    fn new(seen: &Observation) -> Self {
        let at_most = (!seen.is_censored()).then(|| round(f64::from(seen.at_most)));
        let (after, ln_size) = (f64::from(seen.after), f64::from(seen.ln_size));
        Self(seen.second, seen.key, round(after), at_most, round(ln_size))
    }

    fn observation(self) -> Observation {
        Observation {
            second: self.0,
            key: self.1,
            after: self.2 as f32,
            at_most: self.3.unwrap_or(f64::INFINITY) as f32,
            ln_size: self.4 as f32,
        }
    }

    fn is_sound(self) -> bool {
        let Self(_, _, after, at_most, ln_size) = self;
        let ends = at_most.is_none_or(|at_most| at_most.is_finite() && at_most >= after);
        after.is_finite() && after >= 0.0 && ends && ln_size.abs() < 100.0
    }
}

impl EffectRecord {
    fn new(effect: Effect) -> Self {
        let [center, mean, variance] = [effect.center, effect.mean, effect.variance].map(f64::from);
        Self(
            effect.key,
            round(center),
            digits(mean, 1e5),
            digits(variance, 1e8).max(1e-8),
        )
    }

    fn effect(self) -> Effect {
        Effect {
            key: self.0,
            center: self.1 as f32,
            mean: self.2 as f32,
            variance: self.3 as f32,
        }
    }

    fn is_sound(self) -> bool {
        let Self(_, center, mean, variance) = self;
        center.abs() < 1e3 && mean.abs() < 1e3 && variance > 0.0 && variance < 1e3
    }
}

impl LabelRecord {
    fn new(label: &Label) -> Self {
        let features = label.features.iter();
        let ln = |feature: &Feature| feature.ln.map(|ln| digits(ln.into(), 1e5));
        Self(
            label.place.second,
            label.place.key,
            round(label.ln_size.into()),
            features.map(|feature| (feature.key, ln(feature))).collect(),
        )
    }

    fn label(self) -> Label {
        let features = self.3.into_iter();
        Label {
            place: Place {
                second: self.0,
                key: self.1,
            },
            ln_size: self.2 as f32,
            features: features
                .map(|(key, ln)| Feature {
                    key,
                    ln: ln.map(|ln| ln as f32),
                })
                .collect(),
        }
    }

    fn is_sound(&self) -> bool {
        let small = |ln: f64| ln.abs() < 1e3;
        self.2.abs() < 100.0
            && self.3.len() <= FEATURES_MAX
            && self.3.iter().all(|(_, ln)| ln.is_none_or(small))
    }
}

/// To the thousandth: a tenth of the finest bin, and few digits.
fn round(number: f64) -> f64 {
    digits(number, 1e3)
}

/// To so small a part of one.
fn digits(number: f64, part: f64) -> f64 {
    (number * part).round() / part
}

#[cfg(test)]
mod tests {
    use super::super::effects::Traits;
    use super::super::forecast;
    use super::super::past::Whose;
    use super::*;

    const NOW: u64 = 1_700_000_000;

    /// As many jobs as fit, of no trend that would look like a change.
    fn full(shortest: f64) -> Kind {
        let kind = Kind::of_durations(15.0);
        for i in 0..RING {
            let after = shortest + (0.618_034 * i as f64).fract() * RING as f64;
            let whose = Whose {
                second: Some(NOW as u32 + i as u32),
                job: Some(i as u32 * 7_919),
                random: 0,
            };
            let size = 1000.0 + (i % 7) as f64;
            kind.observe(whose, after, after + 12.3456, &Traits::of_size(size));
        }
        kind
    }

    fn text(kind: &Kind) -> Vec<u8> {
        kind.take_unsaved("translate", NOW)
            .expect("it has changed")
            .0
    }

    #[test]
    fn a_full_record_is_under_eight_kilobytes_and_reads_back() {
        let written = text(&full(6_000.123_456));
        assert!(written.len() < 8 * 1024, "{}", written.len());
        let read = Record::read(&written).unwrap();
        assert_eq!(read.jobs.len(), RING);
        assert_eq!(read.to_lines(), written);
    }

    #[test]
    fn the_form_is_stable() {
        let kind = Kind::of_durations(15.0);
        let whose = |second, key| Whose {
            second: Some(second),
            job: Some(key),
            random: 0,
        };
        kind.observe(whose(7, 1), 20.0, 20.0, &Traits::default());
        kind.observe(whose(8, 2), 18.5, 20.25, &Traits::of_size(30.0));
        kind.observe(whose(9, 3), 60.0, f64::INFINITY, &Traits::of_size(60.0));
        let mut record = Record::read(&text(&kind)).unwrap();
        record.beliefs.weights = [1.0 / 16.0; EXPERTS];
        record.beliefs.weights[0] = 3.0 / 16.0;
        let golden = concat!(
            "\n",
            r#"{"version":2,"kind":"translate","saved_at":1700000000,"prior":{"median":15.0,"scale":1.0},"#,
            r#""reference":30.0,"ln_price":-0.693,"pushes":[0.0,0.0],"silent":1.0,"advantage":0.0,"#,
            r#""weights":[0.1875,0.0625,0.0625,0.0625,0.0625,0.0625,0.0625,0.0625,0.0625,0.0625,0.0625,0.0625,"#,
            "0.0625,0.0625]}\n",
            "[7,1,20.0,20.0,0.0]\n[8,2,18.5,20.25,0.0]\n[9,3,60.0,null,0.693]\n",
        );
        assert_eq!(String::from_utf8(record.to_lines()).unwrap(), golden);
        assert_eq!(Record::read(golden.as_bytes()).unwrap(), record);
    }

    #[test]
    fn a_kind_that_expects_no_length_is_read_back() {
        let kind = Kind::of_durations(1e-6);
        let whose = Whose {
            second: Some(1),
            job: Some(1),
            random: 0,
        };
        kind.observe(whose, 0.0, 1e-6, &Traits::default());
        assert_eq!(Record::read(&text(&kind)).unwrap().jobs.len(), 1);
    }

    #[test]
    fn what_features_make_of_durations_is_kept_too() {
        let traits = |i: usize| Traits {
            size: None,
            features: vec![
                Feature::new("model", ["a", "b"][i % 2]),
                Feature::new("n", 7.0),
            ],
        };
        let kind = Kind::of_durations(15.0);
        let mut files = Vec::new();
        for i in 0..2 * RING {
            let whose = Whose {
                second: Some(i as u32),
                job: Some(i as u32),
                random: 0,
            };
            let took = [5.0, 50.0][i % 2];
            kind.observe(whose, took, took, &traits(i));
            files.extend(text(&kind));
        }
        let record = Record::read(&files).unwrap();
        assert_eq!((record.effects.len(), record.labels.len()), (4, LABELS_MAX));
        assert_eq!(Record::read(&record.to_lines()).unwrap(), record);
        let shortest = record.to_lines();
        assert!(shortest.len() < 16 * 1024, "{}", shortest.len());
        let again = record.into_kind(NOW);
        for i in 0..2 {
            let [before, after] = [&kind, &again].map(|kind| kind.law(&traits(i)));
            let [before, after] = [before, after].map(|law| forecast::quantile(&law, 0.5, 0.0));
            assert!((before / [5.0, 50.0][i] - 1.0).abs() < 0.05, "{before}");
            assert!((after / before - 1.0).abs() < 0.02, "{before} {after}");
        }
    }

    #[test]
    fn what_processes_add_side_by_side_is_all_there() {
        let one = |key: u32, after: f64, at_most: f64| {
            let kind = Kind::of_durations(15.0);
            let whose = Whose {
                second: Some(key),
                job: Some(key),
                random: 0,
            };
            kind.observe(whose, after, at_most, &Traits::default());
            text(&kind)
        };
        // The second was given up by one process and seen to its end by another.
        let given_up = one(2, 5.0, f64::INFINITY);
        let mut all = [
            one(3, 1.0, 2.0),
            given_up,
            one(1, 3.0, 4.0),
            one(2, 6.0, 7.0),
        ]
        .concat();
        // The last one was torn.
        let torn = one(4, 1.0, 1.0);
        all.extend(&torn[..torn.len() - 9]);
        let record = Record::read(&all).unwrap();
        let ends: Vec<f32> = record.jobs.values().map(|seen| seen.at_most).collect();
        assert_eq!(ends, [4.0, 7.0, 2.0]);
        all.extend(one(5, 8.0, 9.0));
        assert_eq!(Record::read(&all).unwrap().jobs.len(), 4);
    }

    #[test]
    fn of_an_old_history_the_newer_half_is_kept() {
        let record = Record::read(&text(&full(1.0))).unwrap();
        let week = 7 * 24 * 3600;
        assert_eq!(record.clone().into_kind(NOW + week).jobs(), RING);
        assert_eq!(record.into_kind(NOW + week + 1).jobs(), RING / 2);
    }

    #[test]
    fn what_is_not_a_line_is_ignored() {
        let good = String::from_utf8(text(&full(1.0))).unwrap();
        for (from, to) in [
            ("\"version\":2", "\"version\":3"),
            ("\"median\":15.0", "\"median\":-15.0"),
            ("\"weights\":[0.", "\"weights\":[7."),
            ("\"ln_price\":", "\"ln_price\":1"),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good, "{from} is not there");
            assert!(Record::read(bad.as_bytes()).is_none(), "{to}");
        }
        for (from, to) in [
            (",1.0,13.346,", ",1.0,0.5,"),
            (",1.0,13.346,", ",-1.0,13.346,"),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good, "{from} is not there");
            assert_eq!(Record::read(bad.as_bytes()).unwrap().jobs.len(), RING - 1);
        }
        assert!(Record::read(b"").is_none());
        assert!(Record::read(&[0xff; 64]).is_none());
    }
}
