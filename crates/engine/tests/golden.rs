//! The stored form of every entry, held fast by a file. What a released version has written must stay readable: lines may
//! be added to `golden/entries.jsonl`, never changed. `ABIDE_BLESS=1 cargo test -p abide-engine --test golden` writes it anew.

use std::time::Duration;

use abide_engine::entry::{Created, DefaultJobSet, Finished, Idempotency};
use abide_engine::model::Defaults;
use abide_engine::{Entry, JobKey, Json, Luck, Owner};
use abide_wire::{
    Code, Fault, FaultKind, Outcome, Problem, Simulate, Timestamp, WebhookTarget, Worker,
};

fn entries() -> Vec<Entry> {
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
        plan: Some(defaults.plan(Some(&simulate), 5, Luck::new(1))),
        deadline_at: Some(at + Duration::from_secs(60)),
        webhook: Some(WebhookTarget {
            url: "http://127.0.0.1:9/hook".to_owned(),
            events: None,
            secret: None,
        }),
        idempotency: Some(Idempotency {
            key: 11,
            asked: 12,
            until: at + Duration::from_secs(86_400),
        }),
        said: Some(13),
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
        said: None,
        ..created.clone()
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
        Entry::DefaultJob(Box::new(DefaultJobSet {
            job,
            simulate,
            reset_ms: Some(20_000),
        })),
    ]
}

#[test]
fn every_entry_is_stored_as_it_always_was() {
    let golden = include_str!("golden/entries.jsonl");
    let written: Vec<String> = entries()
        .iter()
        .map(|entry| String::from_utf8(entry.encode()).expect("JSON is UTF-8"))
        .collect();
    if std::env::var_os("ABIDE_BLESS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/entries.jsonl");
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
