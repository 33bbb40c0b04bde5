//! A core turned by hand, and the vectors that are shared by all languages.

mod vectors;

use std::time::Duration;

use abide::schedule::Fixed;
use abide::{Client, Look, NewJob, RetryPolicy};
use abide_core::{Broken, Core, Effect, Ended, ExchangeId, LookError, LookId, News, PollTerms};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);

fn core() -> Core {
    let builder = Client::builder("http://127.0.0.1:8080").seed(7);
    Core::new(builder, Duration::from_secs(1_795_305_600)).unwrap()
}

fn job(revision: u64, done: bool) -> Value {
    json!({
        "id": "job_1", "kind": "render", "status": if done { "completed" } else { "running" }, "done": done,
        "outcome": done.then_some("completed"), "revision": revision,
        "created_at": "2026-11-22T00:00:00Z", "updated_at": "2026-11-22T00:00:00Z",
        "result": done.then_some(json!({"url": "https://example.com/a.mp4"})),
    })
}

fn sent(effects: Vec<Effect>) -> (ExchangeId, Request<Bytes>) {
    let mut sent = effects.into_iter().filter_map(|effect| match effect {
        Effect::Send { exchange, request } => Some((exchange, request)),
        _ => None,
    });
    let first = sent.next().expect("a request is sent");
    assert!(sent.next().is_none(), "one request is sent");
    first
}

fn looked(effects: &[Effect]) -> Option<LookId> {
    effects.iter().find_map(|effect| match effect {
        Effect::Look { look, .. } => Some(*look),
        _ => None,
    })
}

fn answer(core: &mut Core, exchange: ExchangeId, body: &Value, held: bool) {
    let mut headers = HeaderMap::new();
    if held {
        headers.insert("preference-applied", HeaderValue::from_static("wait=60"));
    }
    core.head(exchange, StatusCode::OK, headers);
    let body = body.to_string();
    // Cut anywhere: a body comes as it comes.
    let (one, two) = body.split_at(body.len() / 3);
    core.chunk(exchange, Bytes::from(one.to_owned()));
    core.chunk(exchange, Bytes::from(two.to_owned()));
    core.end(exchange);
}

#[test]
fn one_wait_is_played_by_hand() {
    let mut core = core();
    let create = core.client().create(NewJob::new("render"));
    let op = core.create(create);
    let (exchange, request) = sent(core.turn(SECOND));
    assert_eq!(request.method(), "POST");
    assert_eq!(request.uri(), "http://127.0.0.1:8080/v1/jobs");
    assert!(request.headers().contains_key("idempotency-key"));
    answer(&mut core, exchange, &job(1, false), false);
    let mut effects = core.turn(SECOND * 2);
    let Some(Effect::Ended {
        op: ended,
        end: Ok(Ended::Created(handle)),
    }) = effects.pop()
    else {
        panic!("the create has ended: {effects:?}");
    };
    assert_eq!(ended, op);

    let op = core.wait(handle.wait().deadline(SECOND * 600), true);
    let (exchange, request) = sent(core.turn(SECOND * 2));
    assert!(
        request.uri().path().starts_with("/v1/jobs/job_1"),
        "{}",
        request.uri()
    );
    // A stream where updates are wanted: the end comes as an event.
    assert!(request.uri().path().ends_with("/events"));
    let mut headers = HeaderMap::new();
    headers.insert(
        "content-type",
        HeaderValue::from_static("text/event-stream"),
    );
    core.head(exchange, StatusCode::OK, headers);
    let event = format!("id: 2\nevent: job.completed\ndata: {}\n\n", job(2, true));
    core.chunk(exchange, Bytes::from(event));
    let effects = core.turn(SECOND * 30);
    let mut news = 0;
    let mut done = None;
    for effect in effects {
        match effect {
            Effect::News {
                news: News::Job(job),
                ..
            } => {
                news += 1;
                assert_eq!(job.revision.0, 2);
            }
            Effect::Ended {
                op: ended,
                end: Ok(Ended::Finished(finished)),
            } if ended == op => done = Some(finished),
            Effect::Abort { exchange: aborted } => assert_eq!(aborted, exchange),
            other => panic!("{other:?}"),
        }
    }
    let done = done.expect("the wait has ended");
    assert_eq!((news, done.report().requests), (1, 1));
    assert_eq!(done.report().elapsed, SECOND * 28);
    assert!(core.is_idle(), "{core:?}");
}

#[test]
fn what_is_given_up_aborts_its_request_and_leaves_nothing() {
    let mut core = core();
    for told in 0..3 {
        let now = SECOND * told;
        let op = core.wait(core.client().job("job_1").wait(), false);
        let (exchange, _) = sent(core.turn(now));
        if told > 0 {
            core.head(exchange, StatusCode::OK, HeaderMap::new());
            core.turn(now);
        }
        if told > 1 {
            core.chunk(exchange, Bytes::from_static(b"{"));
            core.turn(now);
        }
        core.give_up(op, now);
        let effects = core.turn(now);
        let [Effect::Abort { exchange: aborted }] = effects[..] else {
            panic!("{effects:?}");
        };
        assert_eq!(aborted, exchange);
        assert!(core.is_idle(), "{core:?}");
        // What was on its way comes too late and does no harm.
        core.end(exchange);
        assert!(core.turn(now).is_empty());
    }
}

#[test]
fn a_function_of_the_host_is_called_when_the_schedule_says() {
    let mut core = core();
    let terms = PollTerms {
        schedule: std::sync::Arc::new(Fixed::new(SECOND * 5)),
        retry: Some(RetryPolicy::default().patience(SECOND * 60)),
        ..PollTerms::default()
    };
    let op = core.poll_until(terms);
    let mut now = Duration::ZERO;
    let mut calls = Vec::new();
    loop {
        let effects = core.turn(now);
        if let Some(look) = looked(&effects) {
            calls.push(now.as_secs());
            match calls.len() {
                2 => core.look_failed(
                    look,
                    LookError {
                        what: "busy".to_owned(),
                        is_final: false,
                        retry_after: Some(SECOND * 20),
                    },
                ),
                5 => core.looked(look, Look::done(())),
                _ => core.looked(look, Look::not_yet()),
            }
            continue;
        }
        if let [Effect::Ended { op: ended, end }] = &effects[..] {
            assert_eq!(*ended, op);
            assert!(
                matches!(end, Ok(Ended::Looked(report)) if report.requests == 5 && report.failures == 1)
            );
            break;
        }
        now = core.deadline().expect("it waits for something");
    }
    assert_eq!(calls[..2], [0, 5]);
    assert!(calls[2] >= 25, "the hint is a floor: {calls:?}");
    assert!(core.is_idle(), "{core:?}");
}

#[test]
fn a_final_failure_ends_it_and_a_lost_connection_is_tried_again() {
    let mut core = core();
    core.poll_until(PollTerms::default());
    let mut now = Duration::ZERO;
    let look = loop {
        if let Some(look) = looked(&core.turn(now)) {
            break look;
        }
        now = core.deadline().unwrap();
    };
    let error = LookError {
        what: "no such video".to_owned(),
        is_final: true,
        retry_after: None,
    };
    core.look_failed(look, error);
    let effects = core.turn(now);
    assert!(
        matches!(&effects[..], [Effect::Ended { end: Err(error), .. }] if error.is_refused()),
        "{effects:?}"
    );

    core.status(core.client().job("job_1"));
    let (exchange, _) = sent(core.turn(now));
    core.broken(exchange, Broken::Connect, "nothing listens");
    core.turn(now);
    let again = core.deadline().expect("it is tried again");
    let (exchange, _) = sent(core.turn(again));
    answer(&mut core, exchange, &job(1, false), false);
    let effects = core.turn(again);
    assert!(
        matches!(
            &effects[..],
            [Effect::Ended {
                end: Ok(Ended::Job(_)),
                ..
            }]
        ),
        "{effects:?}"
    );
    assert!(core.is_idle(), "{core:?}");
}

#[test]
fn a_deadline_ends_a_wait_although_nothing_is_answered() {
    let mut core = core();
    let wait = core.client().job("job_1").wait().deadline(SECOND * 7);
    core.wait(wait, false);
    let mut now = Duration::ZERO;
    let error = loop {
        for effect in core.turn(now) {
            if let Effect::Ended { end, .. } = effect {
                assert!(end.is_err());
            }
        }
        if core.is_idle() {
            break now;
        }
        now = core.deadline().expect("the deadline is a timer");
    };
    assert!(error >= SECOND * 7 && error < SECOND * 8, "{error:?}");
}
