//! The learned schedule: from histories to polls, quantiles and rates.

use std::time::Duration;

use abide::schedule::{Ended, Feature, History, Learned, Schedule, Seen, Start};
use serde_json::{Value, json};

use super::{number, seconds};

const RTT: Duration = Duration::from_millis(100);
const POLLS_MAX: usize = 16;

/// One job of a history.
#[derive(Clone, Copy, Default)]
struct Past {
    /// When it was last seen running, and when first seen ended; none if the wait was given up.
    after: f64,
    at_most: Option<f64>,
    /// How long it took by the server's own account.
    took: Option<f64>,
    size: Option<f64>,
    /// What else was known of it.
    features: Option<(&'static str, u32)>,
    polls: u32,
}

/// What is planned for.
#[derive(Clone, Copy)]
struct Terms {
    price: f64,
    expect: Option<f64>,
    min: Option<f64>,
    max: Option<f64>,
    size: Option<f64>,
    features: Option<(&'static str, u32)>,
}

const TERMS: Terms = Terms {
    price: 0.5,
    expect: None,
    min: None,
    max: None,
    size: None,
    features: None,
};

/// The features of a job: its model, and how many steps it takes.
fn features(of: Option<(&'static str, u32)>) -> Vec<Feature> {
    let features =
        of.map(|(model, steps)| [Feature::new("model", model), Feature::new("steps", steps)]);
    features.into_iter().flatten().collect()
}

/// Numbers that look random and are the same everywhere.
fn shares(count: u32) -> impl Iterator<Item = f64> {
    // The golden ratio's multiples spread evenly over 0 to 1.
    (1..=count).map(|number| (f64::from(number) * 0.618_033_988_749_895).fract())
}

fn known(durations: impl IntoIterator<Item = f64>) -> Vec<Past> {
    durations
        .into_iter()
        .map(|took| Past {
            after: took - 0.5,
            at_most: Some(took + 0.5),
            took: Some(took),
            polls: 3,
            ..Past::default()
        })
        .collect()
}

fn enclosed(durations: impl IntoIterator<Item = f64>, step: f64) -> Vec<Past> {
    durations
        .into_iter()
        .map(|took| Past {
            after: (took / step).floor() * step,
            at_most: Some((took / step).ceil() * step),
            polls: 4,
            ..Past::default()
        })
        .collect()
}

fn about_minute() -> Vec<Past> {
    known(shares(40).map(|share| 50.0 + 20.0 * share))
}

fn two_sorts() -> impl Iterator<Item = f64> {
    shares(60).map(|share| match share < 0.6 {
        true => 10.0 + 4.0 * share,
        false => 100.0 + 30.0 * share,
    })
}

fn in_ticks() -> impl Iterator<Item = f64> {
    shares(60).map(|share| 10.0 * (5.0 + 10.0 * share).round())
}

fn given_up() -> Vec<Past> {
    let mut past = known(shares(20).map(|share| 20.0 + 10.0 * share));
    past.extend(shares(10).map(|share| Past {
        after: 25.0 + 10.0 * share,
        polls: 5,
        ..Past::default()
    }));
    past
}

fn sized() -> Vec<Past> {
    let jobs = shares(50).map(|share| {
        let size = 30.0 + 300.0 * share;
        Past {
            size: Some(size),
            ..known([0.5 * size])[0]
        }
    });
    jobs.collect()
}

fn featured() -> Vec<Past> {
    let jobs = shares(70).zip(0..).map(|(share, number)| {
        let (model, factor) = [("a", 1.0), ("b", 4.0), ("c", 9.0)][number % 3];
        let steps = [10, 20, 40, 80][number % 4];
        let took = factor * f64::from(steps).sqrt() * (0.9 + 0.2 * share);
        let past = match number % 5 {
            0 => Past {
                polls: 3,
                ..enclosed([took], 4.0)[0]
            },
            _ => known([took])[0],
        };
        Past {
            features: Some((model, steps)),
            ..past
        }
    });
    jobs.collect()
}

pub(super) fn cases() -> Vec<Value> {
    let spread = shares(80).map(|share| 5.0 * (1.0 - share).recip().min(60.0));
    let priced = |price| Terms { price, ..TERMS };
    let of_size = |size| Terms {
        size: Some(size),
        ..TERMS
    };
    let of_features = |model, steps| Terms {
        features: Some((model, steps)),
        ..TERMS
    };
    let expecting = Terms {
        expect: Some(120.0),
        ..TERMS
    };
    let bounded = Terms {
        min: Some(1.0),
        max: Some(10.0),
        ..TERMS
    };
    vec![
        case("nothing is known", &[], TERMS),
        case("a median is expected", &[], expecting),
        case("one job is known", &known([42.0]), TERMS),
        case("jobs of about a minute", &about_minute(), TERMS),
        case("a request is dear", &about_minute(), priced(2.0)),
        case("a request is cheap", &about_minute(), priced(0.1)),
        case("polls are bounded", &about_minute(), bounded),
        case("two sorts of jobs", &known(two_sorts()), TERMS),
        case(
            "two sorts of jobs, seen by polls alone",
            &enclosed(two_sorts(), 5.0),
            TERMS,
        ),
        case("durations of every length", &known(spread), TERMS),
        case("a server that works in ticks", &known(in_ticks()), TERMS),
        case(
            "a server that works in ticks, seen by polls alone",
            &enclosed(in_ticks(), 6.7),
            TERMS,
        ),
        case("some waits were given up", &given_up(), TERMS),
        case("a small job", &sized(), of_size(60.0)),
        case("a big job", &sized(), of_size(600.0)),
        case("a job of known features", &featured(), of_features("c", 20)),
        case(
            "a job of a feature that is new",
            &featured(),
            of_features("d", 200),
        ),
    ]
}

fn case(name: &str, past: &[Past], terms: Terms) -> Value {
    let history = History::new();
    let mut schedule = Learned::new("kind")
        .history(&history)
        .jitter(0.0)
        .price(Duration::from_secs_f64(terms.price));
    if let Some(expect) = terms.expect {
        schedule = schedule.expect_about(Duration::from_secs_f64(expect));
    }
    if let Some(min) = terms.min {
        schedule = schedule.min(Duration::from_secs_f64(min));
    }
    if let Some(max) = terms.max {
        schedule = schedule.max(Duration::from_secs_f64(max));
    }
    for past in past {
        finish(&schedule, past);
    }
    let mut start = Start::new(1).features(features(terms.features));
    if let Some(size) = terms.size {
        start = start.size(size);
    }
    let polls: Vec<Value> = schedule
        .preview(&start, RTT)
        .take(POLLS_MAX)
        .map(seconds)
        .collect();
    let cursor = schedule.begin(&start);
    let mut quantiles = Vec::new();
    let mut rates = Vec::new();
    for elapsed in [0.0, 10.0, 60.0] {
        let seen = Seen::at(Duration::from_secs_f64(elapsed)).rtt(RTT);
        for probability in [0.01, 0.5, 0.9] {
            let at = cursor.quantile(probability, &seen).map(seconds);
            quantiles.push(json!({"elapsed": elapsed, "probability": probability, "at": at}));
        }
        rates.push(json!({"elapsed": elapsed, "rate": cursor.hazard(&seen).map(number)}));
    }
    with_features(
        json!({
        "name": name,
        "schedule": {"price": terms.price, "expect": terms.expect, "min": terms.min, "max": terms.max, "jitter": 0.0},
        "past": past.iter().map(described).collect::<Vec<_>>(),
        "size": terms.size,
        "rtt": seconds(RTT),
        "polls": polls,
        "quantiles": quantiles,
        "rates": rates,
        }),
        terms.features,
    )
}

/// What a case says, or a job of it, and the features if there are any.
fn with_features(mut told: Value, of: Option<(&'static str, u32)>) -> Value {
    if let Some((model, steps)) = of {
        told["features"] = json!({"model": model, "steps": steps});
    }
    told
}

fn finish(schedule: &Learned, past: &Past) {
    let mut start = Start::new(1).features(features(past.features));
    if let Some(size) = past.size {
        start = start.size(size);
    }
    let after = Duration::from_secs_f64(past.after);
    let ended = match past.at_most {
        Some(at_most) => Ended::between(after, Duration::from_secs_f64(at_most)),
        None => Ended::given_up(after),
    };
    let took = past.took.map(Duration::from_secs_f64);
    schedule
        .begin(&start)
        .finish(&ended.duration(took).polls(past.polls));
}

fn described(past: &Past) -> Value {
    let told = json!({
        "after": number(past.after),
        "at_most": past.at_most.map(number),
        "duration": past.took.map(number),
        "size": past.size.map(number),
        "polls": past.polls,
    });
    with_features(told, past.features)
}
