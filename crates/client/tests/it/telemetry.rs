//! What the library tells of itself, by the features `tracing` and `metrics`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use abide::strategy::LongPoll;
use abide::{NewJob, Outcome};
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};

use crate::world::{Fault, Manner, World};

const SECOND: Duration = Duration::from_secs(1);

/// A recorder that adds up whatever it is told: counts, levels, and how many values a histogram has.
#[derive(Clone, Default)]
struct Sums(Arc<Mutex<BTreeMap<String, f64>>>);

struct Sum(Sums, String);

impl Sum {
    fn add(&self, value: f64) {
        *self.0.0.lock().unwrap().entry(self.1.clone()).or_default() += value;
    }
}

impl CounterFn for Sum {
    fn increment(&self, value: u64) {
        self.add(value as f64);
    }
    fn absolute(&self, _: u64) {}
}

impl GaugeFn for Sum {
    fn increment(&self, value: f64) {
        self.add(value);
    }
    fn decrement(&self, value: f64) {
        self.add(-value);
    }
    fn set(&self, _: f64) {}
}

impl HistogramFn for Sum {
    fn record(&self, _: f64) {
        self.add(1.0);
    }
}

impl Sums {
    fn of(&self, key: &Key) -> Arc<Sum> {
        let labels: Vec<&str> = key.labels().map(metrics::Label::value).collect();
        let name = [&[key.name()], labels.as_slice()].concat().join(" ");
        Arc::new(Sum(self.clone(), name))
    }

    fn get(&self, name: &str) -> f64 {
        self.0.lock().unwrap().get(name).copied().unwrap_or(-1.0)
    }
}

impl Recorder for Sums {
    fn describe_counter(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        let name = format!("described {}", key.as_str());
        self.0.lock().unwrap().insert(name, 1.0);
    }
    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        self.describe_counter(key, unit, text);
    }
    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        self.describe_counter(key, unit, text);
    }
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.of(key))
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.of(key))
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.of(key))
    }
}

fn virtually<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.unwrap().block_on(work)
}

#[test]
fn requests_waits_retries_and_lateness_are_counted() {
    let sums = Sums::default();
    metrics::with_local_recorder(&sums, || {
        abide::describe_metrics();
        virtually(async {
            let world = World::with(Manner::default(), |seen| match seen.ordinal {
                2 => Fault::Status(503, None),
                3 => Fault::Reset,
                _ => Fault::None,
            });
            let client = world.client();
            let job = client.create(NewJob::new("k")).await.unwrap();
            let done = job.wait().strategy(LongPoll::new()).await.unwrap();
            assert!(done.is_completed());
            let id = world.job("a", &[600.0], Outcome::Completed);
            let error = client.job(id.clone()).wait().deadline(SECOND).await;
            assert!(error.unwrap_err().is_still_running());
            let dropped = tokio::time::timeout(SECOND, client.job(id).watch().next()).await;
            assert!(dropped.is_ok() || dropped.is_err());
            let refused = client.job("nobody").wait().await;
            assert!(refused.unwrap_err().is_refused());
        });
    });
    assert_eq!(sums.get("abide_requests_total create"), 1.0);
    assert!(sums.get("abide_requests_total hold") >= 2.0);
    assert_eq!(sums.get("abide_requests_total stream"), 1.0);
    assert_eq!(sums.get("abide_request_failures_total hold not_now"), 1.0);
    assert_eq!(sums.get("abide_retries_total"), 2.0);
    assert_eq!(sums.get("abide_waits"), 0.0);
    assert_eq!(sums.get("abide_waits_total long_poll ended"), 1.0);
    assert_eq!(sums.get("abide_waits_total auto still_running"), 1.0);
    assert_eq!(sums.get("abide_waits_total auto dropped"), 1.0);
    assert_eq!(sums.get("abide_waits_total auto refused"), 1.0);
    assert_eq!(sums.get("abide_wait_seconds long_poll"), 1.0);
    assert_eq!(sums.get("abide_lateness_seconds long_poll"), 1.0);
    // Nothing is told under a name that isn't described.
    let all = sums.0.lock().unwrap();
    for name in all.keys().filter(|name| !name.starts_with("described ")) {
        let name = name.split(' ').next().unwrap();
        assert!(all.contains_key(&format!("described {name}")), "{name}");
    }
}

/// A subscriber that writes down the fields of spans, and events.
#[derive(Clone, Default)]
struct Notes {
    names: Arc<AtomicU64>,
    fields: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Visit for Notes {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let value = format!("{value:?}");
        let mut fields = self.fields.lock().unwrap();
        fields.insert(field.name().to_owned(), value);
    }
}

impl Subscriber for Notes {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("abide")
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let name = span.metadata().name().to_owned();
        self.fields.lock().unwrap().insert("span".to_owned(), name);
        span.record(&mut self.clone());
        Id::from_u64(self.names.fetch_add(1, Ordering::SeqCst) + 1)
    }
    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut self.clone());
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn a_wait_is_a_span_whose_fields_are_those_of_its_report() {
    let notes = Notes::default();
    // While a process has one subscriber only, a place in the code that another test comes to first asks that test's
    // thread whether it is listened to, and then stays silent for all.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    tracing::subscriber::with_default(notes.clone(), || {
        virtually(async {
            let world = World::with(Manner::default(), |seen| match seen.ordinal {
                1 => Fault::Status(503, None),
                _ => Fault::None,
            });
            let id = world.job("a", &[5.0], Outcome::Failed);
            let _ = world.client().job(id).wait().await.unwrap();
        });
    });
    let fields = notes.fields.lock().unwrap();
    let get = |name: &str| fields.get(name).map_or("", String::as_str);
    assert_eq!(get("span"), "abide.wait");
    assert_eq!(get("job_id"), "a");
    assert_eq!(get("strategy"), "\"auto\"");
    assert_eq!(get("outcome"), "\"failed\"");
    assert_eq!(get("failures"), "1");
    assert_eq!(get("channel"), "\"long_poll\"");
    assert!(get("requests").parse::<u32>().unwrap() >= 2);
    assert!(get("detection_ms").parse::<f64>().unwrap() < 5.0);
    assert!(get("bytes_received").parse::<u64>().unwrap() > 100);
    // The failure is told as an event.
    assert_eq!(get("message"), "no good answer");
    assert!(get("failure").contains("503"), "{}", get("failure"));
}
