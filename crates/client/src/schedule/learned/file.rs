//! The form in which a kind is kept on disk: one small JSON object per kind.
//!
//! Only the memory is written; everything derived is made anew after reading. A record that can't be understood, whether
//! damaged, foreign or of another version, is no record: history is worth a few slow jobs and never an error.

use super::experts::{EXPERTS, Prior};
use super::kind::{Kind, Memory};
use super::model::Model;
use super::ring::{Observation, RING};
use serde::{Deserialize, Serialize};

/// The version of the form. A reader ignores every other.
const VERSION: u32 = 1;

/// The age beyond which only the newer half of a history counts, in seconds: a week.
const STALE_S: u64 = 7 * 24 * 3600;

/// One kind, as kept on disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    version: u32,
    kind: String,
    /// Seconds since 1970, by the clock of whoever wrote it.
    saved_at: u64,
    prior: PriorRecord,
    #[serde(skip_serializing_if = "Option::is_none")]
    slope: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<f64>,
    ln_price: f64,
    pushes: (f64, f64),
    /// Records from before there was this say nothing of it; the first push that comes puts it right.
    #[serde(default = "all")]
    silent: f64,
    advantage: f64,
    weights: [f64; EXPERTS],
    jobs: Vec<JobRecord>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct PriorRecord {
    median: f64,
    scale: f64,
}

/// `(after, at_most, ln_size)` in seconds; `at_most` is null for a job that was given up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct JobRecord(f64, Option<f64>, f64);

impl Record {
    pub(crate) fn new(kind: &str, now: u64, model: &Model, memory: &Memory) -> Self {
        let (prior, slope) = model.beliefs();
        Self {
            version: VERSION,
            kind: kind.to_owned(),
            saved_at: now,
            prior: PriorRecord {
                median: round(prior.ln_median.exp()),
                scale: round(prior.scale),
            },
            slope,
            reference: memory.reference,
            ln_price: round(memory.ln_price),
            pushes: (round(memory.lost), round(memory.pushes)),
            silent: round(memory.silent),
            advantage: round(memory.advantage),
            weights: model.weights().map(|weight| (weight * 1e6).round() / 1e6),
            jobs: model.ring().map(JobRecord::new).collect(),
        }
    }

    /// Writes the record; it stays under five kilobytes.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        // Finite numbers and strings always have a JSON form.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads a record for the kind of this name, if it is one.
    pub(crate) fn from_json(bytes: &[u8]) -> Option<Self> {
        let record: Self = serde_json::from_slice(bytes).ok()?;
        record.is_sound().then_some(record)
    }

    /// The kind it is about.
    pub(crate) fn kind(&self) -> &str {
        &self.kind
    }

    /// The learner it describes, as of `now`.
    pub(crate) fn into_kind(self, now: u64) -> Kind {
        let jobs = self.jobs.len();
        let stale = now.saturating_sub(self.saved_at) > STALE_S;
        let skip = if stale {
            jobs / 2
        } else {
            jobs.saturating_sub(RING)
        };
        let ring = self.jobs[skip..]
            .iter()
            .map(JobRecord::observation)
            .collect();
        let prior = Prior::new(self.prior.median, self.prior.scale);
        let model = Model::restore(prior, self.slope, ring, self.weights);
        let memory = Memory {
            reference: self.reference,
            ln_price: self.ln_price,
            lost: self.pushes.0,
            pushes: self.pushes.1,
            silent: self.silent,
            advantage: self.advantage,
        };
        Kind::from_parts(model, memory)
    }

    fn is_sound(&self) -> bool {
        let positive = |number: f64| number.is_finite() && number > 0.0;
        let weights: f64 = self.weights.iter().sum();
        self.version == VERSION
            && self.jobs.len() <= 2 * RING
            && self.jobs.iter().all(JobRecord::is_sound)
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
            && self
                .weights
                .iter()
                .all(|weight| (0.0..=1.0).contains(weight))
            && (weights - 1.0).abs() < 1e-3
    }
}

impl JobRecord {
    fn new(seen: &Observation) -> Self {
        Self(
            round(seen.after),
            seen.at_most.is_finite().then(|| round(seen.at_most)),
            round(seen.ln_size),
        )
    }

    fn observation(&self) -> Observation {
        Observation {
            after: self.0,
            at_most: self.1.unwrap_or(f64::INFINITY),
            ln_size: self.2,
        }
    }

    fn is_sound(&self) -> bool {
        self.0.is_finite()
            && self.0 >= 0.0
            && self
                .1
                .is_none_or(|at_most| at_most.is_finite() && at_most >= self.0)
            && self.2.abs() < 100.0
    }
}

const fn all() -> f64 {
    1.0
}

/// To the thousandth: a tenth of the finest bin, and few digits.
fn round(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    /// As many jobs as fit, of no trend that would look like a change.
    fn full(shortest: f64) -> Kind {
        let kind = Kind::of_durations(15.0);
        for i in 0..RING {
            let after = shortest + (i * 37 % RING) as f64;
            kind.observe(after, after + 12.3456, Some(1000.0 + i as f64));
        }
        kind
    }

    fn record(kind: &Kind) -> Record {
        kind.not_saved();
        kind.take_unsaved("translate", NOW)
            .expect("it was just marked")
    }

    #[test]
    fn a_full_record_is_under_five_kilobytes_and_reads_back() {
        let kind = full(6_000.123_456);
        let written = record(&kind);
        let bytes = written.to_json();
        assert!(bytes.len() < 5 * 1024, "{}", bytes.len());
        let read = Record::from_json(&bytes).unwrap();
        assert_eq!(read, written);
        assert_eq!(record(&read.into_kind(NOW)).jobs, written.jobs);
    }

    #[test]
    fn the_form_is_stable() {
        let kind = Kind::of_durations(15.0);
        kind.observe(20.0, 20.0, None);
        kind.observe(18.5, 20.25, Some(30.0));
        kind.observe(60.0, f64::INFINITY, Some(60.0));
        let mut record = record(&kind);
        record.weights = [0.1; EXPERTS];
        let golden = concat!(
            r#"{"version":1,"kind":"translate","saved_at":1700000000,"prior":{"median":15.0,"scale":1.0},"#,
            r#""reference":30.0,"ln_price":-0.693,"pushes":[0.0,0.0],"silent":1.0,"advantage":0.0,"#,
            r#""weights":[0.1,0.1,0.1,0.1,0.1,0.1,0.1,0.1,0.1,0.1],"#,
            r#""jobs":[[20.0,20.0,0.0],[18.5,20.25,0.0],[60.0,null,0.693]]}"#
        );
        assert_eq!(String::from_utf8(record.to_json()).unwrap(), golden);
        assert_eq!(Record::from_json(golden.as_bytes()).unwrap(), record);
    }

    #[test]
    fn of_an_old_history_the_newer_half_is_kept() {
        let written = record(&full(1.0));
        let week = 7 * 24 * 3600;
        assert_eq!(written.clone().into_kind(NOW + week).jobs(), RING);
        let kept = record(&written.clone().into_kind(NOW + week + 1));
        assert_eq!(kept.jobs, written.jobs[RING / 2..]);
    }

    #[test]
    fn what_is_not_a_record_is_ignored() {
        let good = String::from_utf8(record(&full(1.0)).to_json()).unwrap();
        assert!(Record::from_json(good.as_bytes()).is_some());
        for (from, to) in [
            ("\"version\":1", "\"version\":2"),
            ("\"median\":15.0", "\"median\":-15.0"),
            ("\"weights\":[0.", "\"weights\":[7."),
            ("[1.0,13.346,", "[1.0,0.5,"),
            ("\"jobs\"", "\"jabs\""),
            ("\"ln_price\":", "\"ln_price\":1"),
            ("}", ""),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good, "{from} is not there");
            assert!(Record::from_json(bad.as_bytes()).is_none(), "{to}");
        }
        assert!(Record::from_json(b"").is_none());
        assert!(Record::from_json(&[0xff; 64]).is_none());
    }
}
