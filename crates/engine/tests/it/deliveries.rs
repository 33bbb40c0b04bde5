//! What holds for every delivery: laws over crashes at every point, and tables of what an attempt leads to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use abide_engine::delivery::sweep::SWEEP_MAX;
use abide_engine::delivery::{
    ChangeEndpoint, CreateEndpoint, DeleteEndpoint, Fact, Notice, Reason, ReplayDeliveries,
    ReportAttempt, RetryDelivery, RetryPolicy, RotateSecret, Send, SetMasterSecret, Standing,
    Subscribe, TestEndpoint, Unsubscribe,
};
use abide_engine::entry::LEVEL;
use abide_engine::jobs::job::CHANGES_MAX;
use abide_engine::{
    Cancel, Command, Configure, Create, Defaults, Delete, Delivery, DeliveryKey, Effect, Endpoint,
    EndpointKey, Engine, Entry, JobKey, Json, Owner, Policy, Refusal, Report, Work,
};
use abide_wire::webhook::Secret;
use abide_wire::{Fault, FaultKind, NewJob, Simulate, Span, Timestamp, WebhookTarget, Worker};

const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const HOUR: Duration = Duration::from_secs(3600);

/// A server without a disk and a network: entries that count as durable, and exchanges that end as a test says.
#[derive(Clone)]
struct World {
    engine: Engine,
    log: Vec<Entry>,
    now: Timestamp,
    flying: Vec<Send>,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            engine: Engine::new(Policy {
                retention: Duration::from_secs(40 * 86_400).into(),
                ..Policy::default()
            }),
            log: Vec::new(),
            now: START,
            flying: Vec::new(),
        };
        let key = Secret::generate([7; 32]);
        world.ask(&SetMasterSecret(key)).unwrap();
        world
    }

    /// As after a kill: what was durable is there, what was under way is forgotten.
    fn restarted(&self) -> Self {
        let mut engine = Engine::new(self.engine.policy().clone());
        let mut effects = Vec::new();
        for entry in &self.log {
            let stored = Entry::decode(&entry.encode()).expect("what was written can be read");
            assert_eq!(&stored, entry);
            engine.apply(&stored, &mut effects);
        }
        let mut world = Self {
            engine,
            log: self.log.clone(),
            now: self.now,
            flying: Vec::new(),
        };
        world.pass_to(self.now);
        world
    }

    fn ask<C: Command>(&mut self, command: &C) -> Result<C::Answer, Refusal> {
        let (mut entries, mut effects) = (Vec::new(), Vec::new());
        let answer = self
            .engine
            .carry_out(command, self.now, &mut entries, &mut effects);
        self.log.extend(entries);
        self.tell(effects);
        answer
    }

    fn tell(&mut self, mut effects: Vec<Effect>) {
        if self.engine.jobs().len() < 100 {
            assert_eq!(self.engine.stored(), &self.engine.recount());
        }
        self.engine.dispatch(self.now, &mut effects);
        for effect in effects {
            if let Effect::Webhook(Notice::Send(send)) = effect {
                self.flying.push(*send);
            }
        }
    }

    /// Lets time pass to that instant, with what is due on the way.
    fn pass_to(&mut self, until: Timestamp) {
        self.now = until;
        let mut effects = Vec::new();
        let mut entries = Vec::new();
        self.engine
            .fire(until, usize::MAX, &mut entries, &mut effects);
        self.log.extend(entries);
        self.tell(effects);
    }

    fn pass(&mut self, span: Duration) {
        self.pass_to(self.now + span);
    }

    /// Ends every exchange under way, and those that come of it at once, each with this answer.
    fn answer_all(&mut self, status: u16) -> Vec<Send> {
        let mut ended = Vec::new();
        while !self.flying.is_empty() {
            for send in std::mem::take(&mut self.flying) {
                self.ask(&report(&send, status)).unwrap();
                ended.push(send);
            }
        }
        ended
    }

    /// Steps from deadline to deadline until that instant, answering everything with this status.
    fn run_to(&mut self, until: Timestamp, status: u16) -> Vec<(Timestamp, Send)> {
        let mut sent = Vec::new();
        loop {
            let at = self.now;
            sent.extend(self.answer_all(status).into_iter().map(|send| (at, send)));
            let next = self.engine.next_due().filter(|due| *due <= until);
            self.pass_to(next.unwrap_or(until).max(self.now));
            if next.is_none() {
                let at = self.now;
                sent.extend(self.answer_all(status).into_iter().map(|send| (at, send)));
                return sent;
            }
        }
    }

    fn endpoint_with(&mut self, new: &CreateEndpoint) -> EndpointKey {
        self.ask(new).unwrap().key
    }

    fn endpoint(&mut self, path: &str) -> EndpointKey {
        self.endpoint_with(&new_endpoint(path))
    }

    fn job(&mut self, new: NewJob<Json>) -> JobKey {
        let create = Create {
            owner: Owner::ANYONE,
            new,
            idempotency_key: None,
            rendering: None,
            traceparent: None,
        };
        self.ask(&create).unwrap().job.key
    }

    fn external(&mut self) -> JobKey {
        self.job(external_job())
    }

    fn finish(&mut self, job: JobKey) {
        let work = Work::Result(Json::from(&serde_json::json!({"ok": true})));
        self.ask(&Report {
            owner: Owner::ANYONE,
            job,
            if_match: None,
            lease: None,
            work,
        })
        .unwrap();
    }

    fn deliveries(&self, endpoint: EndpointKey) -> Vec<&Delivery> {
        let mut found: Vec<&Delivery> = self
            .engine
            .deliveries()
            .iter()
            .map(AsRef::as_ref)
            .filter(|delivery| delivery.endpoint == endpoint)
            .collect();
        found.sort_by_key(|delivery| delivery.key);
        found
    }

    fn only(&self, endpoint: EndpointKey) -> &Delivery {
        let found = self.deliveries(endpoint);
        assert_eq!(found.len(), 1);
        found[0]
    }

    /// What would be sent.
    fn body(&self, delivery: &Delivery) -> serde_json::Value {
        let send = Send {
            delivery: Arc::new(delivery.clone()),
            job: delivery
                .job
                .and_then(|job| self.engine.jobs().get(job))
                .cloned(),
            endpoint: Arc::new(self.record(delivery.endpoint).clone()),
            attempt: 1,
            is_proven: false,
            at: self.now,
        };
        serde_json::from_str(&send.event().unwrap()).unwrap()
    }

    fn record(&self, endpoint: EndpointKey) -> &Endpoint {
        self.engine.deliveries().endpoint(endpoint).unwrap()
    }
}

fn external_job() -> NewJob<Json> {
    NewJob {
        worker: Some(Worker::External),
        ..NewJob::default()
    }
}

fn new_endpoint(path: &str) -> CreateEndpoint {
    CreateEndpoint {
        owner: Owner::ANYONE,
        url: format!("http://receiver.example/{path}"),
        events: None,
        secret: None,
        description: None,
        ordered: false,
        rendering: None,
        kinds: None,
    }
}

fn report(send: &Send, status: u16) -> ReportAttempt {
    ReportAttempt {
        delivery: send.delivery.key,
        number: send.attempt,
        at: send.at,
        took: Duration::from_millis(3),
        status: (status != 0).then_some(status),
        error: (status == 0).then(|| "no answer within 15 s".to_owned()),
        answer: b"an answer".to_vec(),
        truncated: false,
        retry_after: None,
    }
}

#[test]
fn the_whole_schedule_runs_attempt_by_attempt_within_its_jitter() {
    let mut world = World::new();
    let endpoint = world.endpoint("down");
    let job = world.external();
    world.finish(job);
    let sent = world.run_to(START + 100 * HOUR, 500);
    assert_eq!(sent.len(), 10);
    let mut last = START;
    for (n, (at, send)) in sent.iter().enumerate() {
        let pause = world.engine.policy().webhooks.pauses[n].get().as_secs_f64();
        let seen = at.since(last).as_secs_f64();
        assert!(
            (pause * 0.8 - 0.001..=pause * 1.2 + 0.001).contains(&seen),
            "attempt {n}: {seen} s against {pause} s"
        );
        assert_eq!(send.delivery.key, sent[0].1.delivery.key);
        assert!(send.event().is_some() && send.event() == sent[0].1.event());
        assert_eq!(send.attempt as usize, n + 1);
        last = *at;
    }
    let whole = last.since(START).as_secs_f64();
    let planned = 75.0 * 3600.0 + 35.0 * 60.0 + 5.0;
    assert!((planned * 0.8..=planned * 1.2).contains(&whole));
    let delivery = world.only(endpoint);
    assert_eq!(delivery.standing, Standing::Failed { at: last });
    let next: Vec<_> = delivery
        .attempts
        .iter()
        .map(|made| made.next.retry_at())
        .collect();
    assert!(next[..9].iter().all(Option::is_some) && next[9].is_none());
    assert!(delivery.attempts[0].answer.as_deref() == Some("an answer"));
}

#[test]
fn what_an_answer_leads_to() {
    #[derive(Debug, PartialEq)]
    enum Leads {
        Delivered,
        Retry,
        Disabled,
    }
    let table = [
        (200, Leads::Delivered),
        (202, Leads::Delivered),
        (299, Leads::Delivered),
        (199, Leads::Retry),
        (301, Leads::Retry),
        (307, Leads::Retry),
        (400, Leads::Retry),
        (404, Leads::Retry),
        (410, Leads::Disabled),
        (429, Leads::Retry),
        (500, Leads::Retry),
        (503, Leads::Retry),
        (0, Leads::Retry),
    ];
    for (status, expected) in table {
        let mut world = World::new();
        let endpoint = world.endpoint("a");
        let job = world.external();
        world.finish(job);
        world.answer_all(status);
        let leads = match (
            world.only(endpoint).standing,
            world.record(endpoint).disabled,
        ) {
            (Standing::Delivered { .. }, None) => Leads::Delivered,
            (Standing::Pending { due_at }, None) if due_at > world.now => Leads::Retry,
            (Standing::Failed { .. }, Some(gone)) if gone.reason == Reason::Gone => Leads::Disabled,
            other => panic!("{status}: {other:?}"),
        };
        assert_eq!(leads, expected, "{status}");
    }
}

#[test]
fn a_receiver_that_asks_for_time_gets_it_for_all_its_deliveries() {
    let mut world = World::new();
    let endpoint = world.endpoint("busy");
    for _ in 0..6 {
        let job = world.external();
        world.finish(job);
    }
    // The first window is four; the rest wait in the lane.
    let first = std::mem::take(&mut world.flying);
    assert_eq!(first.len(), 4);
    for send in &first {
        let mut busy = report(send, 429);
        busy.retry_after = Some(Duration::from_secs(600));
        world.ask(&busy).unwrap();
    }
    let sent = world.run_to(START + Duration::from_secs(599), 200);
    assert!(sent.is_empty(), "{sent:?}");
    let sent = world.run_to(START + 2 * HOUR, 200);
    assert_eq!(sent.len(), 6);
    assert!(
        world
            .deliveries(endpoint)
            .iter()
            .all(|delivery| matches!(delivery.standing, Standing::Delivered { .. }))
    );
}

#[test]
fn an_endpoint_that_fails_for_five_days_is_disabled_with_date_and_reason_and_nothing_is_lost() {
    let mut world = World::new();
    let endpoint = world.endpoint("down");
    let mut jobs = 0;
    while world.record(endpoint).is_enabled() {
        let job = world.external();
        world.finish(job);
        jobs += 1;
        world.run_to(world.now + 12 * HOUR, 500);
        assert!(jobs < 20, "it is disabled at some time");
    }
    let disabled = world.record(endpoint).disabled.unwrap();
    assert_eq!(disabled.reason, Reason::Failing);
    let days = disabled.at.since(START).as_secs_f64() / 86_400.0;
    assert!((5.0..5.6).contains(&days), "{days}");
    let since = world.record(endpoint).failing_since.unwrap();
    assert_eq!(since, START);

    let late = world.external();
    world.finish(late);
    let sent = world.run_to(world.now + 200 * HOUR, 200);
    assert!(sent.is_empty(), "a disabled endpoint isn't called");
    let held = |world: &World| {
        let all = world.deliveries(endpoint);
        all.iter()
            .filter(|delivery| matches!(delivery.standing, Standing::Held { .. }))
            .count()
    };
    assert!(held(&world) > 1);
    assert!(matches!(
        world.ask(&ReplayDeliveries {
            owner: Owner::ANYONE,
            endpoint,
            since: START,
            delivered: false
        }),
        Err(Refusal::EndpointDisabled { .. })
    ));

    let enable = ChangeEndpoint {
        owner: Owner::ANYONE,
        endpoint,
        url: None,
        events: None,
        description: None,
        ordered: None,
        enabled: Some(true),
    };
    world.ask(&enable).unwrap();
    assert!(
        world.run_to(world.now + HOUR, 200).is_empty(),
        "they wait for the replay"
    );
    let replayed = world.ask(&ReplayDeliveries {
        owner: Owner::ANYONE,
        endpoint,
        since: START,
        delivered: false,
    });
    // Those that were given up are replayed as well as those that are held.
    assert_eq!(replayed, Ok(jobs + 1));
    world.run_to(world.now + 24 * HOUR, 200);
    for delivery in world.deliveries(endpoint) {
        assert!(
            matches!(delivery.standing, Standing::Delivered { .. }),
            "{delivery:?}"
        );
    }
    assert_eq!(world.record(endpoint).failing_since, None);
}

#[test]
fn one_bad_afternoon_that_nothing_followed_is_not_a_week_of_failure() {
    let mut world = World::new();
    let endpoint = world.endpoint("a");
    let job = world.external();
    world.finish(job);
    world.answer_all(500);
    let delivery = world.only(endpoint).key;
    // Its retries never came, because the server was down for a week.
    let mut world = world.restarted();
    world.now = START + 24 * 8 * HOUR;
    let report = ReportAttempt {
        delivery,
        number: 2,
        at: world.now,
        took: Duration::ZERO,
        status: Some(500),
        error: None,
        answer: Vec::new(),
        truncated: false,
        retry_after: None,
    };
    world.ask(&report).unwrap();
    assert!(world.record(endpoint).is_enabled());
}

#[test]
fn a_receiver_that_is_gone_is_not_called_again_and_what_waits_is_held() {
    let mut world = World::new();
    let endpoint = world.endpoint("gone");
    for _ in 0..6 {
        let job = world.external();
        world.finish(job);
    }
    let sent = world.answer_all(410);
    assert_eq!(sent.len(), 4, "those that were under way");
    let held = world.deliveries(endpoint);
    let count = |wanted: fn(&Standing) -> bool| {
        held.iter()
            .filter(|delivery| wanted(&delivery.standing))
            .count()
    };
    assert_eq!(
        count(|standing| matches!(standing, Standing::Held { .. })),
        5
    );
    assert_eq!(
        count(|standing| matches!(standing, Standing::Failed { .. })),
        1
    );
    assert_eq!(
        world.record(endpoint).disabled.unwrap().reason,
        Reason::Gone
    );
}

#[test]
fn a_retry_by_hand_begins_the_schedule_anew() {
    let mut world = World::new();
    let endpoint = world.endpoint("a");
    let job = world.external();
    world.finish(job);
    world.run_to(START + 100 * HOUR, 500);
    let delivery = world.only(endpoint).key;
    assert!(matches!(
        world.only(endpoint).standing,
        Standing::Failed { .. }
    ));
    let retry = RetryDelivery {
        owner: Owner::ANYONE,
        delivery,
    };
    world.ask(&retry).unwrap();
    let sent = world.run_to(world.now + Duration::from_secs(60), 500);
    assert_eq!(sent.len(), 2, "at once, and five seconds later");
    assert_eq!(sent[0].1.attempt, 11);
    world.ask(&retry).unwrap();
    world.answer_all(200);
    assert!(matches!(
        world.only(endpoint).standing,
        Standing::Delivered { .. }
    ));
    let strangers = RetryDelivery {
        owner: Owner(5),
        delivery,
    };
    assert_eq!(world.ask(&strangers).err(), Some(Refusal::NoSuchDelivery));
}

#[test]
fn an_ordered_endpoint_hears_of_a_job_in_order_and_of_others_meanwhile() {
    let mut world = World::new();
    let endpoint = world.endpoint_with(&CreateEndpoint {
        events: Some(vec!["job.*".to_owned()]),
        ordered: true,
        ..new_endpoint("ordered")
    });
    let slow = world.external();
    world.finish(slow);
    let other = world.external();
    // The first event of the slow job fails for a while; the other job's arrives.
    let first: Vec<_> = world.flying.iter().map(|send| send.delivery.job).collect();
    assert_eq!(first, [Some(slow), Some(other)]);
    let mut heard: BTreeMap<JobKey, Vec<u64>> = BTreeMap::new();
    let mut failures = 2;
    for _ in 0..50 {
        for send in std::mem::take(&mut world.flying) {
            let job = send.delivery.job.unwrap();
            let fails = job == slow && failures > 0;
            failures -= i32::from(fails);
            if !fails {
                heard.entry(job).or_default().push(send.delivery.revision);
            }
            let status = if fails { 500 } else { 200 };
            world.ask(&report(&send, status)).unwrap();
        }
        if let Some(due) = world.engine.next_due().filter(|due| *due < START + HOUR) {
            world.pass_to(due);
        }
    }
    assert_eq!(heard[&slow], [1, 2, 3]);
    assert_eq!(heard[&other], [1]);
    assert!(
        world
            .deliveries(endpoint)
            .iter()
            .all(|delivery| delivery.standing.is_settled())
    );
}

#[test]
fn a_rotated_secret_signs_beside_the_old_one_for_a_day() {
    let mut world = World::new();
    let endpoint = world.endpoint("a");
    let before = world.record(endpoint).secret.clone().unwrap();
    let rotate = RotateSecret {
        owner: Owner::ANYONE,
        endpoint,
        secret: None,
        keeps_old: true,
    };
    world.ask(&rotate).unwrap();
    let record = world.record(endpoint);
    let signing: Vec<_> = record.secrets(world.now).cloned().collect();
    assert_eq!(signing.len(), 2);
    assert!(signing[0] != before && signing[1] == before);
    assert_eq!(record.secrets(START + 23 * HOUR).count(), 2);
    assert_eq!(record.secrets(START + 24 * HOUR).count(), 1);
    let other = world.endpoint("a");
    assert_ne!(world.record(other).secret, Some(before));
}

#[test]
fn what_is_told_follows_the_filter() {
    let mut world = World::new();
    let all = world.endpoint_with(&CreateEndpoint {
        events: Some(vec!["*".to_owned()]),
        ..new_endpoint("all")
    });
    let ends = world.endpoint("ends");
    let strangers = world.endpoint_with(&CreateEndpoint {
        owner: Owner(9),
        ..new_endpoint("strangers")
    });
    let job = world.job(NewJob {
        webhook: Some(WebhookTarget {
            url: "http://receiver.example/own".to_owned(),
            events: Some(vec!["job.started".to_owned()]),
            secret: None,
        }),
        ..external_job()
    });
    world
        .ask(&Report {
            owner: Owner::ANYONE,
            job,
            if_match: None,
            lease: None,
            work: Work::Progress(abide_wire::Progress {
                percent: 40.0,
                stage: None,
            }),
        })
        .unwrap();
    world.finish(job);
    let events = |world: &World, endpoint| -> Vec<String> {
        let mut found = world.deliveries(endpoint);
        found.sort_by_key(|delivery| delivery.revision);
        found
            .iter()
            .map(|delivery| {
                let body = world.body(delivery);
                assert_eq!(body["data"]["revision"], delivery.revision);
                assert_eq!(body["data"]["id"], job.to_string());
                assert_eq!(body["type"], *delivery.event);
                delivery.event.to_string()
            })
            .collect()
    };
    assert_eq!(
        events(&world, all),
        [
            "job.created",
            "job.started",
            "job.progress",
            "job.completed"
        ]
    );
    assert_eq!(events(&world, ends), ["job.completed"]);
    assert_eq!(events(&world, EndpointKey::of_job(job)), ["job.started"]);
    assert!(events(&world, strangers).is_empty());
    assert_eq!(world.body(world.only(ends))["data"]["result"]["ok"], true);
}

const NAME: &str = "daily";

fn named_job(world: &mut World, seconds: u64) -> JobKey {
    let named = abide_engine::PlayNamed {
        name: NAME.into(),
        simulate: Simulate::fixed(Duration::from_secs(seconds)),
        reset_after: Some(Duration::from_secs(20)),
        is_new: false,
    };
    world.ask(&named).unwrap().key
}

fn subscribe(world: &mut World, rendering: &'static str) -> EndpointKey {
    let subscribe = Subscribe {
        owner: Owner::ANYONE,
        name: NAME.into(),
        rendering: rendering.into(),
        url: "http://receiver.example/named".to_owned(),
    };
    world.ask(&subscribe).unwrap().key
}

fn unsubscribe(url: &str) -> Unsubscribe {
    Unsubscribe {
        owner: Owner::ANYONE,
        name: NAME.into(),
        renderings: vec!["one".into(), "other".into()],
        url: url.to_owned(),
    }
}

#[test]
fn subscribers_hear_of_every_end_under_the_name_in_their_own_form() {
    let mut world = World::new();
    named_job(&mut world, 5);
    let one = subscribe(&mut world, "one");
    let other = subscribe(&mut world, "other");
    assert_eq!(subscribe(&mut world, "other"), other);
    world.external();
    let sent = world.run_to(START + Duration::from_secs(6), 200);
    let forms = sent
        .iter()
        .map(|(_, send)| send.endpoint.rendering.as_deref());
    assert_eq!(
        forms.collect::<BTreeSet<_>>(),
        [Some("one"), Some("other")].into()
    );
    assert_eq!(sent.len(), 2);
    let told = world.body(world.only(one));
    assert_eq!(told["type"], "job.completed");
    assert_eq!(told, world.body(world.only(other)), "the edge translates");
    assert!(world.record(one).secret.is_none());

    // Its next life ends too, and is told too.
    let sent = world.run_to(START + Duration::from_secs(31), 200);
    assert_eq!(sent.len(), 2);
    world
        .ask(&unsubscribe("http://receiver.example/named"))
        .unwrap();
    assert!(world.run_to(START + HOUR, 200).is_empty());
    assert!(
        world
            .ask(&unsubscribe("http://receiver.example/unknown"))
            .is_ok()
    );
}

#[test]
fn a_late_subscriber_is_told_at_once_and_once() {
    for rendering in ["one", "other"] {
        let mut world = World::new();
        named_job(&mut world, 5);
        world.run_to(START + Duration::from_secs(6), 200);
        let endpoint = subscribe(&mut world, rendering);
        assert_eq!(world.answer_all(200).len(), 1, "{rendering}");
        subscribe(&mut world, rendering);
        assert!(world.answer_all(200).is_empty());
        assert!(matches!(
            world.only(endpoint).standing,
            Standing::Delivered { .. }
        ));
    }
}

#[test]
fn the_simulator_loses_doubles_delays_and_hurries_as_it_was_asked_to() {
    let with = |kind: FaultKind| NewJob {
        simulate: Some(Simulate {
            faults: Some(vec![Fault {
                delay: Some(Span::new(Duration::from_secs(60))),
                ..Fault::new(kind)
            }]),
            ..Simulate::fixed(Duration::from_secs(2))
        }),
        ..NewJob::default()
    };
    let run = |kind| {
        let mut world = World::new();
        let endpoint = world.endpoint("a");
        world.job(with(kind));
        let sent = world.run_to(START + HOUR, 200);
        let seen: Vec<_> = sent
            .iter()
            .map(|(at, send)| {
                let after = at.since(START).as_secs();
                (after, send.delivery.event.to_string(), send.delivery.copies)
            })
            .collect();
        let standing = world.deliveries(endpoint)[0].standing;
        assert!(matches!(standing, Standing::Delivered { .. }));
        seen
    };
    let end = |after, copies| (after, "job.completed".to_owned(), copies);
    assert_eq!(run(FaultKind::Latency), [end(2, 1)]);
    assert_eq!(run(FaultKind::WebhookLost), []);
    assert_eq!(run(FaultKind::WebhookDoubled), [end(2, 2)]);
    assert_eq!(run(FaultKind::WebhookLate), [end(62, 1)]);
    assert_eq!(
        run(FaultKind::WebhookEarly),
        [(0, "job.created".to_owned(), 1), end(2, 1)]
    );
}

#[test]
fn what_a_job_brought_along_goes_with_it() {
    let mut world = World::new();
    let target = WebhookTarget {
        url: "http://receiver.example/own".to_owned(),
        events: None,
        secret: None,
    };
    let job = world.job(NewJob {
        webhook: Some(target),
        ..external_job()
    });
    world.finish(job);
    let delete = Delete {
        owner: Owner::ANYONE,
        job,
    };
    world.ask(&delete).unwrap();
    let deliveries = world.engine.deliveries();
    assert_eq!(
        deliveries.endpoints().count(),
        1,
        "its delivery is still under way"
    );
    world.answer_all(200);
    let deliveries = world.engine.deliveries();
    assert_eq!(
        (deliveries.endpoints().count(), deliveries.iter().count()),
        (0, 0)
    );
}

#[test]
fn deleting_an_endpoint_deletes_its_deliveries_and_ends_what_is_under_way_quietly() {
    let mut world = World::new();
    let endpoint = world.endpoint("a");
    let job = world.external();
    world.finish(job);
    let delete = DeleteEndpoint {
        owner: Owner::ANYONE,
        endpoint,
    };
    world.ask(&delete).unwrap();
    assert_eq!(world.engine.deliveries().in_flight(), 1);
    world.answer_all(200);
    assert_eq!(world.engine.deliveries().in_flight(), 0);
    assert_eq!(world.engine.deliveries().iter().count(), 0);
    assert_eq!(world.ask(&delete), Err(Refusal::NoSuchEndpoint));
    assert!(world.run_to(START + 100 * HOUR, 200).is_empty());
}

#[test]
fn a_report_that_comes_twice_counts_once() {
    let mut world = World::new();
    let endpoint = world.endpoint("a");
    let job = world.external();
    world.finish(job);
    let send = world.flying.pop().unwrap();
    let report = report(&send, 500);
    world.ask(&report.clone()).unwrap();
    world.ask(&report).unwrap();
    assert_eq!(world.only(endpoint).attempts.len(), 1);
}

/// What receivers that keep ids have seen: which event each id stood for.
#[derive(Clone, Debug, Default)]
struct Receivers {
    seen: BTreeMap<DeliveryKey, (EndpointKey, Option<JobKey>, u64)>,
}

impl Receivers {
    fn take(&mut self, send: &Send) {
        let event = (send.endpoint.key, send.delivery.job, send.delivery.revision);
        let before = self.seen.insert(send.delivery.key, event);
        assert!(
            before.is_none_or(|before| before == event),
            "an id stands for one event"
        );
    }
}

/// Plays a fixed history and crashes at the `crash_at`-th of all the points at which a process can die: before an
/// append, after it and before anything is told, after a receiver has got a delivery and before that is written down.
/// Returns how many points there were.
fn play_with_crash(crash_at: usize) -> usize {
    let mut world = World::new();
    let mut receivers = Receivers::default();
    let plain = world.endpoint_with(&CreateEndpoint {
        events: Some(vec!["*".to_owned()]),
        ..new_endpoint("plain")
    });
    let ordered = world.endpoint_with(&CreateEndpoint {
        events: Some(vec!["*".to_owned()]),
        ordered: true,
        ..new_endpoint("ordered")
    });
    let mut points = 0;
    let mut creates: Vec<Create> = Vec::new();
    for n in 0..3 {
        let new = NewJob {
            simulate: Some(Simulate::fixed(Duration::from_secs(n))),
            ..NewJob::default()
        };
        creates.push(Create {
            owner: Owner::ANYONE,
            new,
            idempotency_key: Some(format!("job {n}")),
            rendering: None,
            traceparent: None,
        });
    }
    creates.reverse();
    let until = START + 2 * HOUR;
    loop {
        // One pass of the loop: what is due, one create, and the reports of what has ended.
        let mut after = world.clone();
        let create = creates.pop();
        if let Some(create) = &create {
            after.ask(create).unwrap();
        }
        after.pass_to(world.now);
        let flying = std::mem::take(&mut after.flying);
        let durable = after.log.len();
        points += 1;
        if points == crash_at {
            // Died before the append: the caller got no answer and asks again.
            creates.extend(create);
            world = world.restarted();
            continue;
        }
        world = after;
        points += 1;
        if points == crash_at {
            // Died after the append and before anybody was told.
            world = world.restarted();
            continue;
        }
        assert_eq!(world.log.len(), durable);
        for send in flying {
            // The first attempt of every third delivery fails, one way or the other.
            let status = match (send.attempt, send.delivery.key.as_u128() % 6) {
                (1, 0) => 0,
                (1, 3) => 503,
                _ => 200,
            };
            if status == 200 {
                receivers.take(&send);
            }
            points += 1;
            if points == crash_at {
                world = world.restarted();
                break;
            }
            world.ask(&report(&send, status)).unwrap();
            points += 1;
            if points == crash_at {
                world = world.restarted();
                break;
            }
        }
        if !world.flying.is_empty() || !creates.is_empty() {
            continue;
        }
        match world.engine.next_due().filter(|due| *due <= until) {
            Some(due) => world.pass_to(due.max(world.now)),
            None => break,
        }
    }
    let mut expected = BTreeSet::new();
    for job in world.engine.jobs().iter() {
        assert!(job.is_done());
        for revision in 1..=job.revision {
            for endpoint in [plain, ordered] {
                expected.insert((endpoint, Some(job.key), revision));
            }
        }
    }
    assert_eq!(world.engine.jobs().len(), 3);
    let seen: Vec<_> = receivers.seen.values().copied().collect();
    let distinct: BTreeSet<_> = seen.iter().copied().collect();
    assert_eq!(
        distinct, expected,
        "crash at {crash_at}: every event arrived"
    );
    assert_eq!(
        seen.len(),
        distinct.len(),
        "crash at {crash_at}: no event has two ids"
    );
    points
}

#[test]
fn a_kill_at_any_point_of_a_deliverys_life_loses_no_event_and_changes_no_id() {
    let points = play_with_crash(usize::MAX);
    assert!(points > 100, "{points}");
    for crash_at in 1..=points {
        play_with_crash(crash_at);
    }
}

#[test]
fn a_replay_and_a_checkpoint_give_the_same_webhooks() {
    let mut world = World::new();
    let endpoint = world.endpoint("a");
    world.endpoint_with(&CreateEndpoint {
        events: Some(vec!["*".to_owned()]),
        ordered: true,
        ..new_endpoint("b")
    });
    let rotate = RotateSecret {
        owner: Owner::ANYONE,
        endpoint,
        secret: None,
        keeps_old: true,
    };
    world.ask(&rotate).unwrap();
    named_job(&mut world, 3);
    subscribe(&mut world, "one");
    for status in [200, 500, 0, 410, 200] {
        let job = world.external();
        world.finish(job);
        world.answer_all(status);
        world.pass(HOUR);
    }
    let parts = |engine: &Engine| -> BTreeMap<String, Vec<u8>> {
        let all = engine.all_parts().into_iter();
        all.map(|(key, part)| (key.to_string(), part.encode()))
            .collect()
    };
    let again = world.restarted();
    assert_eq!(parts(&again.engine), parts(&world.engine));

    let mut restored = Engine::new(world.engine.policy().clone());
    for (name, bytes) in parts(&world.engine) {
        restored.restore(&name, &bytes).unwrap();
    }
    restored.restored(world.log.len() as u64);
    assert_eq!(parts(&restored), parts(&world.engine));
    let due = |engine: &Engine| {
        let mut engine = engine.clone();
        let mut effects = Vec::new();
        engine.fire(world.now, usize::MAX, &mut Vec::new(), &mut effects);
        engine.next_due()
    };
    assert_eq!(due(&restored), due(&again.engine));
}

#[test]
fn waiting_deliveries_are_bounded_and_what_is_given_away_is_counted() {
    let mut world = World::new();
    let endpoint = world.endpoint("a");
    let test = TestEndpoint {
        owner: Owner::ANYONE,
        endpoint,
    };
    world.ask(&test).unwrap();
    let first = world.only(endpoint).clone();
    let limit = abide_engine::delivery::queue::OPEN_PER_ENDPOINT_MAX;
    let mut effects = Vec::new();
    for n in 1..limit + 5 {
        let another = Delivery {
            key: DeliveryKey::from_u128(first.key.as_u128() + n as u128),
            ..first.clone()
        };
        let fact = Fact::Announced(Box::new(another));
        world
            .engine
            .apply(&Entry::Webhook(Box::new(fact)), &mut effects);
        effects.clear();
    }
    assert_eq!(world.deliveries(endpoint).len(), limit);
    assert_eq!(world.record(endpoint).dropped, 5);
    assert!(
        !world.deliveries(endpoint).contains(&&first),
        "the oldest go first"
    );
}

/// A follower, or a start with another configuration, replays what was decided under the policy of that time.
#[test]
fn a_replay_follows_the_policy_of_the_log_and_no_configuration() {
    let mut world = World::new();
    let policy = |pause: u64, open_max| Policy {
        webhooks: RetryPolicy {
            pauses: vec![Duration::from_secs(pause).into(); 3],
            open_max,
            ..RetryPolicy::default()
        },
        ..Policy::default()
    };
    for policy in [policy(7, 4), policy(1, 6)] {
        let configure = Configure {
            policy,
            defaults: Defaults::default(),
            seed: None,
            level: LEVEL,
        };
        world.ask(&configure).unwrap();
        for name in ["a", "b"] {
            world.endpoint(name);
        }
        for _ in 0..6 {
            let job = world.external();
            world.finish(job);
        }
        world.pass(Duration::from_secs(8));
        world.answer_all(500);
    }
    let parts = |engine: &Engine| -> Vec<(String, Vec<u8>)> {
        let all = engine.all_parts().into_iter();
        all.map(|(key, part)| (key.to_string(), part.encode()))
            .collect()
    };
    let (mut other, mut effects) = (Engine::new(policy(60, 100)), Vec::new());
    for entry in &world.log {
        other.apply(entry, &mut effects);
    }
    assert_eq!(parts(&other), parts(&world.engine));
}

#[test]
fn where_too_many_wait_in_all_the_longest_queue_pays() {
    let mut world = World::new();
    let policy = Policy {
        webhooks: abide_engine::delivery::RetryPolicy {
            open_max: 10,
            ..Default::default()
        },
        ..Policy::default()
    };
    world.engine = Engine::new(policy);
    world.log.clear();
    let (long, short) = (world.endpoint("long"), world.endpoint("short"));
    for endpoint in [long, short] {
        let disable = ChangeEndpoint {
            owner: Owner::ANYONE,
            endpoint,
            url: None,
            events: (endpoint == short).then(|| vec!["job.canceled".to_owned()]),
            description: None,
            ordered: None,
            enabled: Some(false),
        };
        world.ask(&disable).unwrap();
    }
    for n in 0..14 {
        let job = world.external();
        if n < 3 {
            let owner = Owner::ANYONE;
            world.ask(&Cancel { owner, job }).unwrap();
        } else {
            world.finish(job);
        }
        world.pass(Duration::from_secs(1));
    }
    assert_eq!(world.deliveries(short).len(), 3, "what is few is kept");
    assert_eq!(world.deliveries(long).len(), 7);
    assert_eq!(world.record(long).dropped, 7);
    assert_eq!(world.record(short).dropped, 0);
    let again = world.restarted();
    assert_eq!(again.deliveries(long).len(), 7);
    assert_eq!(again.record(long), world.record(long));
}

/// What an entry may change: the deliveries of one step, and the endpoint with them.
const EFFECTS_MAX: usize = SWEEP_MAX + 10;

/// Restores what a checkpoint of this state would hold.
fn restored(engine: &Engine, seq: usize) -> Engine {
    let mut again = Engine::new(engine.policy().clone());
    for (key, part) in engine.all_parts() {
        let read = again.restore(&key.to_string(), &part.encode());
        read.expect("a part can be read");
    }
    again.restored(seq as u64);
    again
}

fn stored(engine: &Engine) -> BTreeMap<String, Vec<u8>> {
    let parts = engine.all_parts().into_iter();
    parts
        .map(|(key, part)| (key.to_string(), part.encode()))
        .collect()
}

#[test]
fn what_concerns_all_deliveries_of_an_endpoint_happens_step_by_step() {
    const JOBS: usize = 2 * SWEEP_MAX + 500;
    let mut world = World::new();
    let endpoint = world.endpoint("many");
    for _ in 0..JOBS {
        let job = world.external();
        world.finish(job);
    }
    world.flying.clear();
    let standings = |world: &World| {
        let mut count = BTreeMap::new();
        for delivery in world.deliveries(endpoint) {
            *count.entry(delivery.standing.as_str()).or_insert(0) += 1;
        }
        count
    };
    let owner = Owner::ANYONE;
    let enable = |enabled| ChangeEndpoint {
        owner,
        endpoint,
        url: None,
        events: None,
        description: None,
        ordered: None,
        enabled: Some(enabled),
    };
    let replay = ReplayDeliveries {
        owner,
        endpoint,
        since: START,
        delivered: false,
    };
    type Ask<'a> = Box<dyn Fn(&mut World) + 'a>;
    let commands: [(Ask<'_>, BTreeMap<&str, usize>); 4] = [
        (
            Box::new(|world| drop(world.ask(&enable(false)).unwrap())),
            [("held", JOBS)].into(),
        ),
        (
            Box::new(|world| drop(world.ask(&enable(true)).unwrap())),
            [("held", JOBS)].into(),
        ),
        (
            Box::new(|world| {
                assert_eq!(world.ask(&replay), Ok(JOBS));
                assert_eq!(world.ask(&replay), Err(Refusal::Replaying));
            }),
            [("pending", JOBS)].into(),
        ),
        (
            Box::new(|world| world.ask(&DeleteEndpoint { owner, endpoint }).unwrap()),
            BTreeMap::new(),
        ),
    ];
    for (step, (ask, expected)) in commands.iter().enumerate() {
        let (mut before, from) = (world.engine.clone(), world.log.len());
        ask(&mut world);
        // A restart finds it half done.
        let mut halfway = restored(&world.engine, world.log.len());
        let mut entries = Vec::new();
        halfway.fire(world.now, usize::MAX, &mut entries, &mut Vec::new());
        world.pass(Duration::ZERO);
        world.flying.clear();
        assert_eq!(standings(&world), *expected, "step {step}");
        assert_eq!(stored(&halfway), stored(&world.engine), "step {step}");
        for entry in &world.log[from..] {
            let mut effects = Vec::new();
            before.apply(entry, &mut effects);
            assert!(effects.len() <= EFFECTS_MAX, "{}", effects.len());
        }
    }
    let again = world.restarted();
    assert_eq!(stored(&again.engine), stored(&world.engine));
}

#[test]
fn an_event_is_made_from_the_jobs_record_also_after_its_removal_and_then_let_go() {
    let mut world = World::new();
    let endpoint = world.endpoint_with(&CreateEndpoint {
        events: Some(vec!["*".to_owned()]),
        ..new_endpoint("a")
    });
    let input = Json::from(&serde_json::json!("x".repeat(100_000)));
    let job = world.job(NewJob {
        input: Some(input),
        ..external_job()
    });
    for percent in 0..200 {
        let progress = abide_wire::Progress {
            percent: f64::from(percent % 100),
            stage: None,
        };
        world
            .ask(&Report {
                owner: Owner::ANYONE,
                job,
                if_match: None,
                lease: None,
                work: Work::Progress(progress),
            })
            .unwrap();
    }
    world.finish(job);
    assert!(world.engine.stored().all() < 400_000, "no event is stored");
    let last = world.engine.jobs().get(job).unwrap().clone();
    world
        .ask(&Delete {
            owner: Owner::ANYONE,
            job,
        })
        .unwrap();
    assert!(world.engine.stored().all() > 100_000, "it is needed");
    // A restart from a checkpoint has it too.
    world.engine = restored(&world.engine, world.log.len());
    world.pass(Duration::ZERO);
    let sent = world.answer_all(200);
    assert_eq!(sent.len(), 203);
    for send in &sent {
        let event: serde_json::Value = serde_json::from_str(&send.event().unwrap()).unwrap();
        let (data, revision) = (&event["data"], send.delivery.revision);
        assert_eq!(data["revision"], revision);
        assert_eq!(data["done"], revision == last.revision);
        assert_eq!(data["input"].as_str().unwrap().len(), 100_000);
        if let Some(seen) = last.as_of(revision) {
            let seen = serde_json::to_value(&seen).unwrap();
            assert_eq!(*data, seen);
        }
    }
    assert!(world.engine.stored().all() < 250_000, "it is let go");
    assert_eq!(world.engine.stored(), &world.engine.recount());
    let retry = RetryDelivery {
        owner: Owner::ANYONE,
        delivery: sent[0].delivery.key,
    };
    assert!(matches!(world.ask(&retry), Err(Refusal::Gone)));
    let replay = ReplayDeliveries {
        owner: Owner::ANYONE,
        endpoint,
        since: START,
        delivered: true,
    };
    assert_eq!(world.ask(&replay), Ok(0));
}

#[test]
fn how_the_exchange_of_a_dropped_delivery_ended_counts_for_those_that_wait_behind_it() {
    // What the receiver answers to the fifth delivery, and how many are sent at once, and after a breaker's pause.
    for (status, at_once, later) in [(500, 0, 1), (200, 2, 2)] {
        let mut world = World::new();
        world.engine = Engine::new(Policy {
            webhooks: RetryPolicy {
                open_max: 8,
                ..RetryPolicy::default()
            },
            ..Policy::default()
        });
        world.log.clear();
        let endpoint = world.endpoint("a");
        let tell = |world: &mut World, count| {
            for _ in 0..count {
                let job = world.external();
                world.finish(job);
                world.pass(Duration::from_millis(1));
            }
        };
        tell(&mut world, 8);
        for send in std::mem::take(&mut world.flying) {
            world.ask(&report(&send, 500)).unwrap();
        }
        assert_eq!(world.flying.len(), 1, "a fifth failure opens the breaker");
        let dropped = world.flying.remove(0);
        tell(&mut world, 5);
        assert_eq!(world.record(endpoint).dropped, 5);
        assert!(
            world
                .engine
                .deliveries()
                .get(dropped.delivery.key)
                .is_none()
        );
        assert!(world.flying.is_empty(), "the window is one exchange");
        world.ask(&report(&dropped, status)).unwrap();
        assert_eq!(world.flying.len(), at_once, "{status}");
        world.pass(Duration::from_secs(6));
        assert_eq!(world.flying.len(), later, "{status}");
    }
}

#[test]
fn an_event_says_the_same_however_often_its_job_has_changed_since() {
    let mut world = World::new();
    let endpoint = world.endpoint_with(&CreateEndpoint {
        events: Some(vec!["job.*".to_owned()]),
        ..new_endpoint("a")
    });
    let job = world.external();
    let progress = |world: &mut World| {
        let report = Report {
            owner: Owner::ANYONE,
            job,
            if_match: None,
            lease: None,
            work: Work::Progress(abide_wire::Progress {
                percent: 1.0,
                stage: None,
            }),
        };
        world.ask(&report).unwrap();
        world.pass(Duration::from_millis(1));
    };
    progress(&mut world);
    let told = world.deliveries(endpoint);
    let told: Vec<Delivery> = told.into_iter().cloned().collect();
    let say = |world: &World| -> Vec<_> { told.iter().map(|told| world.body(told)).collect() };
    let said = say(&world);
    assert_eq!(said.len(), 3, "created, started, progress");
    for _ in 0..CHANGES_MAX {
        progress(&mut world);
    }
    assert_eq!(say(&world), said);
}
