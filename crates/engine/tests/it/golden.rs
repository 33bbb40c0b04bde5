//! The stored form of every entry, held fast by a file. What a released version has written must stay readable: lines
//! may be added to `golden/entries.jsonl`, never changed. `ABIDE_BLESS=1 cargo test -p abide-engine golden` writes it
//! anew.

use std::time::Duration;

use abide_engine::delivery::{
    Attempt, Attempted, Disabled, Events, Fact, Next, OldSecret, Reason, Replayed, RetryPolicy,
    Scope,
};
use abide_engine::jobs::{Created, Finished, Idempotency, Named};
use abide_engine::{
    Defaults, Delivery, DeliveryKey, Endpoint, EndpointKey, Entry, JobKey, Json, Owner, Policy,
    Rng, Token,
};
use abide_wire::webhook::Secret;
use abide_wire::{
    Code, Fault, FaultKind, Outcome, Problem, Simulate, Span, Timestamp, WebhookTarget, Worker,
};

/// One whose stored form doesn't change with a default.
pub(crate) fn policy() -> Policy {
    let hours = |hours: u64| Span::new(Duration::from_secs(hours * 3_600));
    let pauses = [
        0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400,
    ];
    Policy {
        retention: hours(24),
        jobs_max: 2_000_000,
        webhooks: RetryPolicy {
            pauses: pauses.map(|s| Span::new(Duration::from_secs(s))).to_vec(),
            jitter: 0.2,
            disable_after: hours(120),
            flying_max: 512,
            open_max: 400_000,
        },
        ..Policy::default()
    }
}

/// One of each kind.
pub(crate) fn entries() -> Vec<Entry> {
    let at = Timestamp::from_millis(1_800_000_000_123);
    let job = JobKey::new(at, [7; 10]);
    let simulate = Simulate {
        faults: Some(vec![Fault {
            first: Some(2),
            ..Fault::new(FaultKind::Error)
        }]),
        ..Simulate::fixed(Duration::from_millis(1_500))
    };
    let defaults = Defaults::default();
    let created = Created {
        job,
        at,
        owner: Owner(3),
        kind: "video_translation".to_owned(),
        worker: Worker::Simulator,
        input: Some(Json::from(&serde_json::json!({"language": "es"}))),
        metadata: Some(Json::from(&serde_json::json!({"n": 1}))),
        plan: Some(defaults.plan(Some(&simulate), 5, Rng::new(1))),
        deadline_at: Some(at + Duration::from_secs(60)),
        webhook: Some(WebhookTarget {
            url: "http://127.0.0.1:9/hook".to_owned(),
            events: None,
            secret: None,
        }),
        rendering: None,
        attempts_max: None,
        traceparent: None,
        idempotency: Some(Idempotency {
            owner: Owner::ANYONE,
            key: 11,
            request: 12,
            until: at + Duration::from_secs(86_400),
        }),
        body_digest: Some(13),
    };
    let plain = Created {
        owner: Owner::ANYONE,
        worker: Worker::External,
        input: None,
        metadata: None,
        plan: None,
        deadline_at: None,
        webhook: None,
        idempotency: None,
        body_digest: None,
        ..created.clone()
    };
    let leased = Created {
        attempts_max: Some(3),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
        ..plain.clone()
    };
    vec![
        Entry::Seeded { seed: u64::MAX },
        Entry::Created(Box::new(created)),
        Entry::Created(Box::new(plain)),
        Entry::Started { job, at },
        Entry::Progressed {
            job,
            at,
            percent: 33.3,
            stage: Some("translating".to_owned()),
        },
        Entry::Finished(Box::new(Finished {
            job,
            at,
            outcome: Outcome::Completed,
            result: Some(Json::from(&serde_json::json!({"url": "x"}))),
            error: None,
            expires_at: at + Duration::from_secs(86_400),
        })),
        Entry::Finished(Box::new(Finished {
            job,
            at,
            outcome: Outcome::Failed,
            result: None,
            error: Some(Problem::new(500, Code::JOB_FAILED, "The job failed").detail("why")),
            expires_at: at,
        })),
        Entry::Removed { job },
        Entry::Forgotten { key: 11 },
        Entry::Settings(Box::new(defaults)),
        Entry::Clock { at },
        Entry::Named(Box::new(Named {
            name: "default".into(),
            job,
            simulate,
            reset_ms: Some(20_000),
        })),
    ]
    .into_iter()
    .chain(webhook_facts(at, job).map(|fact| Entry::Webhook(Box::new(fact))))
    .chain([
        Entry::Level { level: 3 },
        Entry::Policy(Box::new(policy())),
        Entry::Configured { digest: 14 },
    ])
    .chain([Entry::Reset])
    .chain(leases(at, job, leased))
    .collect()
}

fn leases(at: Timestamp, job: JobKey, created: Created) -> [Entry; 6] {
    [
        Entry::Created(Box::new(created)),
        Entry::Claimed {
            job,
            at,
            token: Token(u64::MAX),
            lease_ms: 30_000,
        },
        Entry::Renewed { job, at },
        Entry::LeaseLost { job, at },
        Entry::Resumed { at },
        Entry::Released { job, at },
    ]
}

fn webhook_facts(at: Timestamp, job: JobKey) -> [Fact; 11] {
    let key = EndpointKey::of(at, &[b"endpoint"]);
    let delivery = DeliveryKey::of(at, &[b"delivery"]);
    let secret = Secret::generate([7; 32]);
    let url: std::sync::Arc<str> = "https://receiver.example/hook".into();
    let endpoint = Endpoint {
        ordered: true,
        description: Some("a note".into()),
        secret: Some(secret.clone()),
        old_secret: Some(OldSecret {
            secret: Secret::generate([8; 32]),
            until: at,
        }),
        rotations: 1,
        disabled: Some(Disabled {
            at,
            reason: Reason::Gone,
        }),
        failing_since: Some(at),
        failed_at: Some(at),
        dropped: 2,
        ..Endpoint::new(key, Owner(3), url.clone(), Scope::Owner, at)
    };
    let named = Endpoint {
        rendering: Some("classic/result".into()),
        events: Events::ENDS,
        ..Endpoint::new(key, Owner(3), url, Scope::Named("default".into()), at)
    };
    let announced = Delivery {
        job: Some(job),
        revision: 4,
        fault: Some("webhook_doubled".into()),
        copies: 2,
        body: Some("{}".into()),
        ..Delivery::new(delivery, key, "job.completed".into(), at)
    };
    let attempt = Attempt {
        number: 1,
        at,
        took_ms: 12,
        status: Some(503),
        error: None,
        answer: Some("busy".into()),
        truncated: true,
        next: Next::RetryAt(at),
    };
    let unanswered = Attempt {
        status: None,
        error: Some("refused".into()),
        answer: None,
        truncated: false,
        next: Next::GaveUp,
        ..attempt
    };
    let attempted = |attempt, pause_ms| Attempted {
        delivery,
        attempt,
        ended_at: at,
        pause_ms,
    };
    let replayed = Replayed {
        endpoint: key,
        since: at,
        delivered: true,
        at,
        after: None,
    };
    [
        Fact::Keyed { secret },
        Fact::Endpoint(Box::new(endpoint)),
        Fact::Endpoint(Box::new(named)),
        Fact::Deleted { endpoint: key },
        Fact::Announced(Box::new(announced)),
        Fact::Attempted(Box::new(attempted(attempt, Some(1_000)))),
        Fact::Attempted(Box::new(attempted(unanswered, None))),
        Fact::Resent { delivery, at },
        Fact::Replayed(Box::new(replayed)),
        Fact::Disabled {
            endpoint: key,
            disabled: Disabled {
                at,
                reason: Reason::Failing,
            },
        },
        Fact::Swept { endpoint: key },
    ]
}

#[test]
fn every_entry_is_stored_as_it_always_was() {
    let golden = include_str!("golden/entries.jsonl");
    let written: Vec<String> = entries()
        .iter()
        .map(|entry| String::from_utf8(entry.encode()).expect("JSON is UTF-8"))
        .collect();
    if std::env::var_os("ABIDE_BLESS").is_some_and(|bless| bless == "1") {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/golden/entries.jsonl");
        std::fs::write(path, written.join("\n") + "\n").expect("the golden file is written");
        return;
    }
    for (line, entry) in golden.lines().zip(entries()) {
        let read = Entry::decode(line.as_bytes()).expect("an entry of a released version");
        assert_eq!(read, entry);
    }
    assert_eq!(
        golden.trim_end(),
        written.join("\n"),
        "the stored form has changed"
    );
}
