//! The learned schedule as a value.

use super::effects::Traits;
use super::history::History;
use super::kind::Kind;
use super::walk::Walk;
use crate::rt::Work;
use crate::schedule::{Cursor, Feature, FeatureValue, Schedule, Seen, Start};
use std::sync::Arc;
use std::time::Duration;

/// The price of a request under each setting of the dial, in seconds of delay.
const EAGER: f64 = 0.1;
const BALANCED: f64 = 0.5;
const FRUGAL: f64 = 2.0;

/// The price of a request under a promise, in terms of the promised time. From 2 to 10 it makes hardly a difference:
/// what is promised decides.
const LATE: f64 = 4.0;

/// The least price: below it, polls would follow each other at the least interval anyway.
const LEAST_PRICE: f64 = 1e-4;

/// The greatest price: beyond it a plan is one poll.
const GREATEST_PRICE: f64 = 1e4;

/// How much earlier news is worth how many requests.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub enum Dial {
    /// A request is worth a tenth of a second.
    Eager,
    /// A request is worth half a second, which costs less than exponential backoff on every law tried.
    #[default]
    Balanced,
    /// A request is worth two seconds.
    Frugal,
    /// A request is worth this much delay.
    Price(Duration),
    /// As many requests per job on average, at the least delay; one price per kind follows the polls spent.
    Budget(f64),
    /// That share of the ends is seen within that time, by the fewest requests that takes.
    Late {
        /// How late an end may be seen.
        within: Duration,
        /// The share of the ends, 0 to 1.
        share: f64,
    },
}

impl Dial {
    /// The price in seconds of delay; for a budget, the one it starts from.
    pub(crate) fn price(self) -> f64 {
        match self {
            Self::Eager => EAGER,
            Self::Balanced | Self::Budget(_) => BALANCED,
            Self::Frugal => FRUGAL,
            Self::Price(price) => price.as_secs_f64().clamp(LEAST_PRICE, GREATEST_PRICE),
            Self::Late { within, .. } => {
                (LATE * within.as_secs_f64()).clamp(LEAST_PRICE, GREATEST_PRICE)
            }
        }
    }
}

/// Polls when it is worth it, by what earlier jobs of the same kind took.
///
/// See the module for how it works and what it guarantees. A value for one kind of job; cheap to clone, and
/// clones learn together.
///
/// ```
/// use std::time::Duration;
/// use abide::schedule::{Dial, Learned};
///
/// let schedule = Learned::new("translate")
///     .dial(Dial::Frugal)
///     .expect_about(Duration::from_secs(90))
///     .max(Duration::from_secs(30));
/// ```
#[derive(Debug, Clone)]
pub struct Learned {
    kind: String,
    history: Option<History>,
    /// What is learned where neither the caller nor the client has a history.
    own: History,
    dial: Dial,
    size: Option<f64>,
    features: Vec<Feature>,
    expected: Option<Duration>,
    typical_size: Option<f64>,
    jitter: f64,
    least: Duration,
    greatest: Option<Duration>,
}

impl Learned {
    /// Learns under the name of a kind: the endpoint, the type of job and whatever else changes the speed.
    #[must_use]
    pub fn new(kind: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            history: None,
            own: History::new(),
            dial: Dial::Balanced,
            size: None,
            features: Vec::new(),
            expected: None,
            typical_size: None,
            jitter: 0.25,
            least: Duration::from_millis(250),
            greatest: None,
        }
    }

    /// Learns from and for this history. Default: the client's, else one that clones of this value share.
    #[must_use]
    pub fn history(mut self, history: &History) -> Self {
        self.history = Some(history.clone());
        self
    }

    /// How much earlier news is worth. Default: [`Dial::Balanced`].
    #[must_use]
    pub fn dial(mut self, dial: Dial) -> Self {
        self.dial = match dial {
            // A budget below one poll can't be kept: the poll that sees the end is one.
            Dial::Budget(polls) if polls.is_nan() => Dial::Balanced,
            Dial::Budget(polls) => Dial::Budget(polls.clamp(1.0, 1e6)),
            dial => dial,
        };
        self
    }

    /// The delay that a request is worth; short for [`Dial::Price`].
    #[must_use]
    pub fn price(self, price: Duration) -> Self {
        self.dial(Dial::Price(price))
    }

    /// How many requests a job may take on average; short for [`Dial::Budget`].
    #[must_use]
    pub fn budget(self, requests: f64) -> Self {
        self.dial(Dial::Budget(requests))
    }

    /// How big the job is; instead of [`Start::size`]. The unit is the caller's, the same for all jobs of the kind.
    #[must_use]
    pub fn size(mut self, size: f64) -> Self {
        self.size = (size.is_finite() && size > 0.0).then_some(size);
        self
    }

    /// What is known of the job that may bear on how long it takes, such as its model, in addition to
    /// [`Start::features`]: by how much it does is learned. Call it once per feature, up to four, and tell the same of
    /// all jobs of the kind. It is better than to make every model a kind of its own, of which each must be learned
    /// from nothing.
    ///
    /// ```
    /// use abide::schedule::Learned;
    ///
    /// let schedule = Learned::new("image").feature("model", "sdxl").feature("steps", 30);
    /// ```
    #[must_use]
    pub fn feature(mut self, name: &str, value: impl Into<FeatureValue>) -> Self {
        self.features.push(Feature::new(name, value));
        self
    }

    /// What to expect before any job of this kind was seen: half of them take longer. Default: what other kinds in the
    /// history took, else 15 s.
    #[must_use]
    pub fn expect_about(mut self, median: Duration) -> Self {
        self.expected = Some(median);
        self
    }

    /// The size of a job that takes about as long as expected. Default: the size of the first job seen.
    ///
    /// It lets sizes count from the very first job: until there is experience, durations are taken to grow with them.
    #[must_use]
    pub fn typical_size(mut self, size: f64) -> Self {
        self.typical_size = (size.is_finite() && size > 0.0).then_some(size);
        self
    }

    /// The share of a pause by which a poll may be moved, 0 to 0.5. Default: 0.25, which keeps jobs that started
    /// together from being asked about together and costs less than one percent.
    #[must_use]
    pub fn jitter(mut self, share: f64) -> Self {
        if share.is_finite() {
            self.jitter = share.clamp(0.0, 0.5);
        }
        self
    }

    /// The least interval between two polls. Default: 250 ms. Anything from 100 ms to 1 s serves as well.
    #[must_use]
    pub fn min(mut self, interval: Duration) -> Self {
        self.least = interval.max(super::super::PAUSE_MIN);
        self
    }

    /// The greatest interval between two polls, for those who promise a worst case. Default: none; 30 s costs up to 5
    /// %, 10 s up to 26 %.
    #[must_use]
    pub fn max(mut self, interval: Duration) -> Self {
        self.greatest = Some(interval);
        self
    }

    /// The polls that would be sent now if every answer were "not yet", as times since acceptance, without end. The
    /// jitter is that of [`Start::seed`]. Looking learns nothing.
    ///
    /// ```
    /// use std::time::Duration;
    /// use abide::schedule::{Learned, Start};
    ///
    /// let rtt = Duration::from_millis(100);
    /// let polls: Vec<Duration> = Learned::new("translate").preview(&Start::new(1), rtt).take(3).collect();
    /// assert!(polls[0] < polls[1] && polls[1] < polls[2]);
    /// ```
    pub fn preview(&self, start: &Start, rtt: Duration) -> impl Iterator<Item = Duration> + use<> {
        let history = self.history_for(start);
        history.read(&self.kind);
        look_ahead(Walk::preview(self.clone(), history, start), rtt)
    }

    /// The same with a given jitter, from -1 to 1 of the most there may be.
    #[doc(hidden)]
    pub fn preview_at(
        &self,
        phase: f64,
        start: &Start,
        rtt: Duration,
    ) -> impl Iterator<Item = Duration> + use<> {
        let history = self.history_for(start);
        history.read(&self.kind);
        let walk = Walk::preview(self.clone(), history, start);
        look_ahead(walk.at_phase(phase), rtt)
    }

    pub(crate) fn history_for(&self, start: &Start) -> History {
        self.history
            .as_ref()
            .or(start.history.as_ref())
            .unwrap_or(&self.own)
            .clone()
    }

    pub(crate) fn kind(&self) -> &str {
        &self.kind
    }

    /// The learner of this kind in a history, told what to expect.
    pub(crate) fn learner(&self, history: &History) -> Arc<Kind> {
        let expected = self.expected.map(|median| median.as_secs_f64());
        let kind = history.durations(&self.kind, expected.filter(|median| *median > 0.0));
        if let Some(size) = self.typical_size {
            kind.count_sizes_from(size);
        }
        kind
    }

    /// What is known of a job beforehand; what is said here counts for what is said twice.
    pub(crate) fn traits(&self, start: &Start) -> Traits {
        let mut features = self.features.clone();
        features.extend(&start.features);
        Traits {
            size: self.size.or(start.size),
            features,
        }
    }

    #[doc(hidden)]
    pub fn jitter_share(&self) -> f64 {
        self.jitter
    }

    pub(crate) fn dial_set(&self) -> Dial {
        self.dial
    }

    /// In seconds.
    pub(crate) fn least_interval(&self) -> f64 {
        self.least.as_secs_f64()
    }

    /// In seconds; infinite if there is none. Never below the least.
    pub(crate) fn greatest_interval(&self) -> f64 {
        self.greatest.map_or(f64::INFINITY, |greatest| {
            greatest.max(self.least).as_secs_f64()
        })
    }
}

impl Schedule for Learned {
    fn reading(&self, start: &Start) -> Option<Work> {
        self.history_for(start).reading(&self.kind)
    }

    fn begin(&self, start: &Start) -> Box<dyn Cursor> {
        Box::new(Walk::begin(self.clone(), self.history_for(start), start))
    }
}

fn look_ahead(mut walk: Walk, rtt: Duration) -> impl Iterator<Item = Duration> {
    let mut seen = Seen::at(rtt / 2).rtt(rtt);
    std::iter::from_fn(move || {
        let sent = walk.next(&seen)?;
        seen.elapsed = sent.saturating_add(rtt);
        seen.polls = seen.polls.saturating_add(1);
        Some(sent)
    })
}
