//! Commands as one process sends them to another, held fast by a file, because nodes of two versions may meet.
//! `ABIDE_BLESS=1 cargo test -p abide-engine commands` writes it anew.

use std::time::Duration;

use abide_engine::delivery::{
    ChangeEndpoint, CreateEndpoint, DeleteEndpoint, NamedSecret, ReplayDeliveries, ReportAttempt,
    RetryDelivery, RotateSecret, SetMasterSecret, Subscribe, TestEndpoint, Unsubscribe,
};
use abide_engine::entry::LEVEL;
use abide_engine::{
    AnyCommand, Cancel, ChangeSimulator, Claim, Command, Configure, Create, CreateAll, Defaults,
    Delete, DeliveryKey, EndpointKey, Engine, JobKey, Json, Owner, PlayNamed, Policy, Report,
    Reset, SetSeed, Token, Work, any,
};
use abide_wire::webhook::Secret;
use abide_wire::{
    Code, Fault, FaultKind, NewJob, Problem, Progress, Revision, Simulate, Timestamp, WebhookTarget,
};

const AT: Timestamp = Timestamp::from_millis(1_800_000_000_123);

fn create() -> Create {
    Create {
        owner: Owner(3),
        new: NewJob {
            // An odd number keeps its digits, an odd text its escapes.
            input: Some(serde_json::from_str(r#"{"n":1.10,"t":"\u00e9"}"#).unwrap()),
            simulate: Some(Simulate {
                faults: Some(vec![Fault {
                    first: Some(2),
                    ..Fault::new(FaultKind::Error)
                }]),
                ..Simulate::fixed(Duration::from_millis(1_500))
            }),
            webhook: Some(WebhookTarget {
                url: "http://127.0.0.1:9/hook".to_owned(),
                events: None,
                secret: Some(
                    "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="
                        .to_owned()
                        .into(),
                ),
            }),
            ..NewJob::new("video_translation")
        },
        idempotency_key: Some("mine".to_owned()),
        rendering: None,
        traceparent: None,
    }
}

fn jobs() -> Vec<AnyCommand> {
    let (owner, job) = (Owner(3), JobKey::new(AT, [7; 10]));
    let report = |work| Report {
        owner,
        job,
        if_match: Some(Revision(4)),
        lease: None,
        work,
    };
    vec![
        create().into(),
        CreateAll {
            jobs: vec![create(), create()],
            idempotency_key: Some("ours".to_owned()),
            repeats_any: true,
        }
        .into(),
        Cancel { owner, job }.into(),
        Delete { owner, job }.into(),
        report(Work::Progress(Progress {
            percent: 33.3,
            stage: Some("translating".to_owned()),
        }))
        .into(),
        report(Work::Result(Json::from(&serde_json::json!({"url": "x"})))).into(),
        report(Work::Error(Box::new(Problem::new(
            500,
            Code::INTERNAL,
            "It broke",
        ))))
        .into(),
        PlayNamed {
            name: "default".into(),
            simulate: Simulate::fixed(Duration::from_secs(5)),
            reset_after: Some(Duration::from_secs(60)),
            is_new: true,
        }
        .into(),
        ChangeSimulator {
            change: Simulate::fixed(Duration::from_secs(5)),
            ..ChangeSimulator::default()
        }
        .into(),
        ChangeSimulator {
            scenario: Some(Defaults::default()),
            change: Simulate::default(),
            seed: Some(9),
        }
        .into(),
        SetSeed(u64::MAX).into(),
        Reset {
            defaults: Defaults::default(),
            seed: Some(5),
            default_job: None,
        }
        .into(),
        Configure {
            policy: crate::golden::policy(),
            defaults: Defaults::default(),
            seed: None,
            level: LEVEL,
        }
        .into(),
    ]
}

fn workers() -> Vec<AnyCommand> {
    let (owner, job) = (Owner(3), JobKey::new(AT, [7; 10]));
    let heartbeat = Report {
        owner,
        job,
        if_match: None,
        lease: Some(Token(u64::MAX)),
        work: Work::Heartbeat,
    };
    let traced = Create {
        new: NewJob::new("dub").external().retried(2),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
        ..create()
    };
    let claim = Claim {
        owner,
        kinds: vec!["dub".to_owned()],
        lease: Duration::from_secs(30),
        token: None,
    };
    assert!(!AnyCommand::from(claim.clone()).may_repeat());
    let named = Claim {
        token: Some(Token(7)),
        ..claim.clone()
    };
    assert!(AnyCommand::from(named.clone()).may_repeat());
    let release = Report {
        work: Work::Release,
        ..heartbeat
    };
    let abandon = Report {
        work: Work::Abandon,
        ..heartbeat
    };
    vec![
        traced.into(),
        claim.into(),
        heartbeat.into(),
        named.into(),
        release.into(),
        abandon.into(),
    ]
}

fn deliveries() -> Vec<AnyCommand> {
    let (owner, secret) = (Owner(3), Secret::generate([7; 32]));
    let endpoint = EndpointKey::of(AT, &[b"endpoint"]);
    let delivery = DeliveryKey::of(AT, &[b"delivery"]);
    let url = "http://127.0.0.1:9/hook".to_owned();
    vec![
        SetMasterSecret(secret.clone()).into(),
        CreateEndpoint {
            owner,
            url: url.clone(),
            events: Some(vec!["job.completed".to_owned()]),
            secret: Some(secret.clone()),
            description: None,
            ordered: true,
            rendering: Some("form".to_owned()),
            kinds: None,
        }
        .into(),
        ChangeEndpoint {
            owner,
            endpoint,
            url: None,
            events: None,
            description: Some("mine".to_owned()),
            ordered: None,
            enabled: Some(false),
        }
        .into(),
        DeleteEndpoint { owner, endpoint }.into(),
        RotateSecret {
            owner,
            endpoint,
            secret: Some(secret),
            keeps_old: true,
        }
        .into(),
        NamedSecret("label".to_owned()).into(),
        TestEndpoint { owner, endpoint }.into(),
        RetryDelivery { owner, delivery }.into(),
        ReplayDeliveries {
            owner,
            endpoint,
            since: AT,
            delivered: true,
        }
        .into(),
        ReportAttempt {
            delivery,
            number: 2,
            at: AT,
            took: Duration::from_millis(12),
            status: Some(503),
            error: None,
            answer: b"busy".to_vec(),
            truncated: false,
            retry_after: Some(Duration::from_secs(5)),
        }
        .into(),
        Subscribe {
            owner: Owner::ANYONE,
            name: "default".into(),
            rendering: "status".into(),
            url: url.clone(),
        }
        .into(),
        Unsubscribe {
            owner: Owner::ANYONE,
            name: "default".into(),
            renderings: vec!["status".into()],
            url,
        }
        .into(),
    ]
}

#[test]
fn every_command_is_sent_as_it_always_was_and_read_as_it_was_sent() {
    let golden = include_str!("golden/commands.jsonl");
    let commands = [jobs(), deliveries(), workers()].concat();
    let sent: Vec<String> = commands
        .iter()
        .map(|command| serde_json::to_string(command).unwrap())
        .collect();
    if std::env::var_os("ABIDE_BLESS").is_some_and(|bless| bless == "1") {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/it/golden/commands.jsonl"
        );
        std::fs::write(path, sent.join("\n") + "\n").unwrap();
        return;
    }
    assert_eq!(golden.trim_end(), sent.join("\n"), "the form has changed");
    for line in golden.lines() {
        let read: AnyCommand = serde_json::from_str(line).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), line);
    }
}

#[test]
fn a_command_that_was_sent_decides_what_it_decides_at_home() {
    let mut home = Engine::new(Policy::default());
    let mut away = home.clone();
    let (mut entries, mut effects) = (Vec::new(), Vec::new());
    let at_home = home
        .carry_out(&create(), AT, &mut entries, &mut effects)
        .unwrap();
    let sent = serde_json::to_string(&AnyCommand::from(create())).unwrap();
    let sent: AnyCommand = serde_json::from_str(&sent).unwrap();
    let mut entries_away = Vec::new();
    let key = sent
        .carry_out(&mut away, AT, &mut entries_away, &mut effects)
        .unwrap();
    assert_eq!(entries_away, entries);

    // A third applies them, and reads the answer from its own state.
    let mut other = Engine::new(Policy::default());
    for entry in &entries {
        other.apply(entry, &mut effects);
    }
    let read = any::read::<Create>(&other, &key).unwrap();
    assert_eq!(read.job, at_home.job);
    assert!(!read.replayed && sent.may_repeat());
    let keyless = Create {
        idempotency_key: None,
        ..create()
    };
    assert!(!AnyCommand::from(keyless.clone()).may_repeat());
    let mut more = Vec::new();
    assert!(keyless.decide(&other, AT, &mut more).is_ok());
}
