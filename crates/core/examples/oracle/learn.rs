//! The learned schedule: jobs that begin, are looked at and end in any order.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use abide::schedule::{
    Cursor, Ended, Feature, FeatureValue, History, Learned, Push, Remaining, Schedule, Seen, Start,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{ms, span, told};

/// When the history is saved, in seconds since 1970.
const SAVED_AT: u64 = 1_800_000_000;

#[derive(Deserialize)]
pub(crate) struct Scene {
    settings: Settings,
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Settings {
    #[serde(default, deserialize_with = "span")]
    price: Option<Duration>,
    budget: Option<f64>,
    #[serde(default, deserialize_with = "span")]
    expect: Option<Duration>,
    #[serde(default, deserialize_with = "span")]
    min: Option<Duration>,
    #[serde(default, deserialize_with = "span")]
    max: Option<Duration>,
    typical_size: Option<f64>,
    jitter: f64,
}

/// Something that happens to the job of that number.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Event {
    Begin(usize, Beginning),
    See(usize, Sight),
    End(usize, End),
}

#[derive(Deserialize)]
struct Beginning {
    seed: u64,
    size: Option<f64>,
    #[serde(default)]
    features: Vec<(String, Known)>,
    job: Option<String>,
    /// The time of day, in milliseconds since 1970.
    began: Option<f64>,
    /// Which share of pushes is lost; negative for what was counted, none where none is expected.
    push: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Known {
    Number(f64),
    Text(String),
}

/// What is seen of a job. Without `elapsed` it is the answer to the poll that was planned last.
#[derive(Deserialize)]
struct Sight {
    #[serde(default, deserialize_with = "span")]
    elapsed: Option<Duration>,
    rtt: f64,
    polls: u32,
    /// For how long the server wants to be left alone.
    #[serde(default, deserialize_with = "span")]
    hint: Option<Duration>,
    remaining: Option<Vec<f64>>,
    progress: Option<f64>,
}

/// How a job ends: for how long it was known to run after it was last seen, and how much later it may have ended at
/// most, and did. It was given up where nothing is known of that.
#[derive(Deserialize)]
struct End {
    more: f64,
    #[serde(default, deserialize_with = "span")]
    within: Option<Duration>,
    #[serde(default, deserialize_with = "span")]
    exactly: Option<Duration>,
    polls: u32,
    pushed: Option<bool>,
}

/// Plays it: of every sight the next poll, two quantiles and the rate; at the end what would be kept.
pub(crate) fn play(Scene { settings, events }: Scene) -> Value {
    let history = History::new();
    let schedule = settings.schedule().history(&history);
    // Each with its next poll, and when it was last seen.
    let mut jobs: HashMap<usize, (Box<dyn Cursor>, Duration, Duration)> = HashMap::new();
    let mut seen = Vec::new();
    for event in events {
        match event {
            Event::Begin(job, beginning) => {
                let cursor = schedule.begin(&beginning.start());
                jobs.insert(job, (cursor, Duration::ZERO, Duration::ZERO));
            }
            Event::See(job, sight) => {
                let (cursor, next, last) = jobs.get_mut(&job).expect("it has begun");
                let sight = sight.seen(*next);
                *last = sight.elapsed;
                *next = cursor.next(&sight).expect("it never gives up");
                let at = |probability| cursor.quantile(probability, &sight).map(told);
                seen.push(json!([
                    told(*next),
                    at(0.1),
                    at(0.9),
                    cursor.hazard(&sight)
                ]));
            }
            Event::End(job, end) => {
                let (mut cursor, _, last) = jobs.remove(&job).expect("it has begun");
                cursor.finish(&end.ended(last));
            }
        }
    }
    let mut kept = Vec::new();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(SAVED_AT);
    let saved = history.save_to(now, |name, lines| {
        kept.push(json!([name, String::from_utf8_lossy(lines)]));
        Ok(())
    });
    saved.expect("nothing is written");
    kept.sort_by_key(ToString::to_string);
    json!({"seen": seen, "kept": kept})
}

impl Settings {
    fn schedule(self) -> Learned {
        let mut schedule = Learned::new("kind").jitter(self.jitter);
        if let Some(price) = self.price {
            schedule = schedule.price(price);
        }
        if let Some(requests) = self.budget {
            schedule = schedule.budget(requests);
        }
        if let Some(median) = self.expect {
            schedule = schedule.expect_about(median);
        }
        if let Some(min) = self.min {
            schedule = schedule.min(min);
        }
        if let Some(max) = self.max {
            schedule = schedule.max(max);
        }
        if let Some(size) = self.typical_size {
            schedule = schedule.typical_size(size);
        }
        schedule
    }
}

impl Beginning {
    fn start(self) -> Start {
        let features = self.features.into_iter().map(|(name, value)| {
            let value: FeatureValue = match value {
                Known::Number(number) => number.into(),
                Known::Text(text) => text.into(),
            };
            Feature::new(&name, value)
        });
        let mut start = Start::new(self.seed).features(features);
        if let Some(size) = self.size {
            start = start.size(size);
        }
        if let Some(job) = &self.job {
            start = start.job(job);
        }
        if let Some(began) = self.began {
            start = start.began(SystemTime::UNIX_EPOCH + ms(began));
        }
        if let Some(lost) = self.push {
            start = start.push(match lost < 0.0 {
                true => Push::Expected,
                false => Push::Loss(lost),
            });
        }
        start
    }
}

impl Sight {
    fn seen(self, planned: Duration) -> Seen {
        let rtt = ms(self.rtt);
        let elapsed = self.elapsed.unwrap_or(planned + rtt);
        let remaining = self.remaining.map(|spans| match spans[..] {
            [p10, p50, p90] => Remaining::quantiles(ms(p10), ms(p50), ms(p90)),
            _ => Remaining::about(ms(spans[0])),
        });
        Seen::at(elapsed)
            .rtt(rtt)
            .polls(self.polls)
            .not_before(self.hint.map(|hint| elapsed + hint))
            .remaining(remaining)
            .progress(self.progress)
    }
}

impl End {
    fn ended(self, last: Duration) -> Ended {
        let after = last + ms(self.more);
        let ended = match self.within {
            Some(within) => Ended::between(after, after + within),
            None => Ended::given_up(after),
        };
        ended
            .duration(self.exactly.map(|exactly| after + exactly))
            .polls(self.polls)
            .pushed(self.pushed)
    }
}
