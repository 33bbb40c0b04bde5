//! The laws of the board.

use std::cell::Cell;
use std::collections::HashSet;
use std::future::Future as _;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use abide_engine::delivery::Notice;
use abide_engine::{
    Cancel, Claim, Command, Create, Defaults, Delivery, DeliveryKey, Effect, EndpointKey, Engine,
    Entry, Job, JobKey, Owner, Policy, Rng,
};
use abide_wire::{Fault, FaultKind, NewJob, Simulate, Timestamp, Until};
use proptest::prelude::*;

use super::waiters::ring;
use super::{Board, Channel, Feed, Look, NoPlace, Place, Watcher};

const START: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn watcher() -> Watcher {
    Watcher {
        channel: Channel::LongPoll,
        since: START,
        address: None,
    }
}

/// An engine with a job that an external worker does, and what told of it.
fn engine_with_job(engine: &mut Engine) -> (JobKey, Vec<Effect>) {
    let command = Create {
        owner: Owner::ANYONE,
        new: NewJob {
            worker: Some(abide_wire::Worker::External),
            ..NewJob::default()
        },
        idempotency_key: None,
        rendering: None,
        traceparent: None,
    };
    let effects = apply(engine, &command);
    let Some(Effect::Changed(job, _)) = effects.first() else {
        panic!("a create tells of a job");
    };
    (job.key, effects)
}

fn apply(engine: &mut Engine, command: &impl Command) -> Vec<Effect> {
    let (mut entries, mut effects) = (Vec::<Entry>::new(), Vec::new());
    let carried_out = engine.carry_out(command, START, &mut entries, &mut effects);
    assert!(carried_out.is_ok());
    effects
}

fn cancel(job: JobKey) -> Cancel {
    Cancel {
        owner: Owner::ANYONE,
        job,
    }
}

/// What is kept of a job's JSON is what would be made anew, of every revision, before and after a change and however
/// often it is read.
#[test]
fn the_json_of_each_revision_is_as_if_it_were_made_anew() {
    let mut engine = Engine::new(Policy::default());
    let input = serde_json::from_str("{\"a\":\n\"b\"}").unwrap();
    let create = Create {
        owner: Owner::ANYONE,
        new: NewJob {
            worker: Some(abide_wire::Worker::External),
            input: Some(input),
            ..NewJob::default()
        },
        idempotency_key: None,
        rendering: None,
        traceparent: None,
    };
    let board = Board::new(&Engine::new(Policy::default()), Feed::new(1, 0));
    board.publish(&apply(&mut engine, &create));
    let key = engine.jobs().iter().next().unwrap().key;
    let look = || match board.look(key) {
        Look::Found(job) => job,
        look => panic!("{look:?}"),
    };
    let read = |job: &Job| {
        for revision in (1..=job.revision + 1).chain(1..=job.revision) {
            let mut line = Vec::new();
            let is_known = board.write_line(job, revision, None, &mut line);
            let anew = job
                .as_of(revision)
                .map(|seen| serde_json::to_string(&seen).unwrap());
            let anew = anew.map(|json| json.replace('\n', " "));
            assert_eq!(is_known, anew.is_some(), "revision {revision}");
            assert_eq!(String::from_utf8(line).unwrap(), anew.unwrap_or_default());
        }
        let json = board.json(job, None);
        assert_eq!(json, serde_json::to_string(&job.to_wire(None)).unwrap());
    };
    let before = look();
    read(&before);
    board.publish(&apply(&mut engine, &cancel(key)));
    let after = look();
    read(&after);
    // A reader that has found the job before the change.
    read(&before);
    read(&after);
}

/// Register, look, sleep, against show, ring: in every order that the two can take, the waiter learns of the end.
#[test]
fn no_order_of_waiting_and_telling_loses_a_wake_up() {
    const STEPS: u32 = 12;
    let mut orders = HashSet::new();
    for choices in 0..1_u32 << STEPS {
        let mut engine = Engine::new(Policy::default());
        let (key, created) = engine_with_job(&mut engine);
        let board = Arc::new(Board::new(&Engine::new(Policy::default()), Feed::new(1, 0)));
        board.publish(&created);
        let ended = apply(&mut engine, &cancel(key));

        let mut cx = Context::from_waker(Waker::noop());
        let mut waiter = board.waiter(Until::Done, watcher());
        let (mut told, mut bells) = (0, Vec::new());
        let (mut registered, mut looked, mut done) = (false, false, false);
        let mut order = String::new();
        // After the choices the teller finishes, and then the waiter goes on alone until it sleeps for good.
        for step in 0..STEPS + 8 {
            if told < 2 && (step >= STEPS || choices >> step & 1 == 1) {
                match told {
                    0 => bells = board.show(&ended),
                    _ => ring(std::mem::take(&mut bells)),
                }
                told += 1;
                order.push_str("tell ");
            } else if done {
                break;
            } else if !registered {
                waiter.register(key);
                registered = true;
                order.push_str("register ");
            } else if !looked {
                done = matches!(board.look(key), Look::Found(job) if job.is_done());
                looked = true;
                order.push_str("look ");
            } else if pin!(waiter.rung()).poll(&mut cx).is_ready() {
                // A sleeper looks again only when it is rung.
                looked = false;
                order.push_str("wake ");
            }
        }
        assert!(done, "the wake-up was lost in the order {order}");
        orders.insert(order);
    }
    assert!(orders.len() >= 8, "only {} orders were tried", orders.len());
}

/// Waiters register while their jobs end, on as many threads as there are: everybody wakes.
#[test]
fn a_million_races_of_waiting_and_ending_lose_no_wake_up() {
    const ROUNDS: usize = 500;
    const JOBS: usize = 1_000;
    const WAITERS: usize = 2;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let board = Arc::new(Board::new(&Engine::new(Policy::default()), Feed::new(1, 0)));
        let mut engine = Engine::new(Policy::default());
        let (keys, creations): (Vec<_>, Vec<_>) =
            (0..JOBS).map(|_| engine_with_job(&mut engine)).unzip();
        let ends: Arc<[_]> = keys
            .iter()
            .map(|key| apply(&mut engine, &cancel(*key)))
            .collect();
        for _ in 0..ROUNDS {
            for created in &creations {
                board.publish(created);
            }
            let mut waits = tokio::task::JoinSet::new();
            for _ in 0..WAITERS {
                let (board, keys) = (board.clone(), keys.clone());
                waits.spawn(async move {
                    for key in keys {
                        let mut waiter = board.waiter(Until::Done, watcher());
                        waiter.register(key);
                        while !matches!(board.look(key), Look::Found(job) if job.is_done()) {
                            waiter.rung().await;
                        }
                    }
                });
            }
            let telling = tokio::task::spawn_blocking({
                let (board, ends) = (board.clone(), ends.clone());
                move || ends.iter().for_each(|end| board.publish(end))
            });
            let all = async {
                while let Some(wait) = waits.join_next().await {
                    wait.unwrap();
                }
                telling.await.unwrap();
            };
            tokio::time::timeout(std::time::Duration::from_secs(30), all)
                .await
                .expect("a wake-up was lost: a client still waits");
            let removed: Vec<_> = keys.iter().map(|key| Effect::Removed(*key)).collect();
            board.publish(&removed);
        }
    });
}

#[test]
fn a_waiter_that_goes_leaves_nothing_behind() {
    let mut engine = Engine::new(Policy::default());
    let (key, created) = engine_with_job(&mut engine);
    let board = Arc::new(Board::new(&Engine::new(Policy::default()), Feed::new(1, 0)));
    board.publish(&created);
    let waiters: Vec<_> = (0..10)
        .map(|_| {
            let mut waiter = board.waiter(Until::Any, watcher());
            waiter.register(key);
            waiter
        })
        .collect();
    assert_eq!(board.watchers(key).len(), 10);
    drop(waiters);
    assert!(board.watchers(key).is_empty());
    assert!(board.shards.read(&key).waiters.is_empty());
}

#[test]
fn the_feed_says_where_it_has_forgotten_something() {
    let mut engine = Engine::new(Policy::default());
    engine.restored(104);
    let board = Board::new(&engine, Feed::new(0xa1, 100));
    assert_eq!(board.feed_after(99, 10), (None, 100));
    assert_eq!(board.feed_after(100, 10), (Some(Vec::new()), 100));
    let (_, created) = engine_with_job(&mut engine);
    board.publish(&created);
    let (changes, newest) = board.feed_after(100, 10);
    assert_eq!(newest, 105, "a change's number is its entry's");
    assert_eq!(changes.unwrap()[0].seq, 105);
    assert_eq!(board.feed_after(105, 10).0, Some(Vec::new()));

    let place = board.place(105);
    assert_eq!(place.to_string(), "a1-105");
    assert_eq!(place.to_string().parse(), Ok(place));
    assert_eq!(board.seq_of(place), Some(105));
    for other in ["a1-106", "a2-105", "105", "0"] {
        assert_eq!(board.seq_of(other.parse().unwrap()), None, "{other}");
    }
    for wrong in [
        "", "-", "a1-", "-5", "x-5", "a1-x", "a1-5-", "1.5", "+a1-5", "a1-+5",
    ] {
        assert_eq!(wrong.parse::<Place>(), Err(NoPlace), "{wrong}");
    }
}

/// A worker in the order of its steps: it takes a place, asks, and sleeps until it is rung.
struct Worker {
    place: super::claims::Place,
    owner: Owner,
    kinds: Vec<String>,
    is_asleep: bool,
}

/// Workers come, ask, sleep and go in any order while jobs become pending: none sleeps beside a job that it wants.
#[test]
fn no_order_of_claiming_and_creating_leaves_a_job_beside_a_worker() {
    proptest!(ProptestConfig::with_cases(2_000), |(
        draws in proptest::collection::vec(0..12_usize, 120)
    )| {
        let mut draws = draws.into_iter();
        let mut draw = |n: usize| draws.next().unwrap_or_default() % n;
        let mut engine = Engine::new(Policy::default());
        let board = Arc::new(Board::new(&engine, Feed::new(1, 0)));
        let mut workers: Vec<Worker> = Vec::new();
        let mut cx = Context::from_waker(Waker::noop());
        // At last all workers go on until they sleep for good.
        for step in 0..160 {
            let is_last = step >= 40;
            match draw(4) {
                0 if !is_last => {
                    let owner = Owner(draw(2) as u64);
                    let new = NewJob::new(["a", "b", "c"][draw(3)]).external();
                    let create = Create {
                        owner,
                        new,
                        idempotency_key: None,
                        rendering: None,
                        traceparent: None,
                    };
                    board.publish(&apply(&mut engine, &create));
                }
                1 if !is_last => {
                    let kinds: &[&str] = [&[][..], &["a"], &["b", "c"]][draw(3)];
                    let kinds: Vec<String> = kinds.iter().map(|&kind| kind.to_owned()).collect();
                    let owner = Owner(draw(2) as u64);
                    workers.push(Worker {
                        place: board.claim_place(owner, &kinds, None),
                        owner,
                        kinds,
                        is_asleep: false,
                    });
                }
                2 if !is_last && !workers.is_empty() => {
                    drop(workers.swap_remove(draw(workers.len())));
                }
                _ if workers.is_empty() => {}
                _ => {
                    let at = match is_last {
                        true => step % workers.len(),
                        false => draw(workers.len()),
                    };
                    let worker = &mut workers[at];
                    if worker.is_asleep {
                        worker.is_asleep = pin!(worker.place.rung()).poll(&mut cx).is_pending();
                        continue;
                    }
                    let claim = claim_of(worker);
                    let (mut entries, mut effects) = (Vec::new(), Vec::new());
                    let claimed = engine.carry_out(&claim, START, &mut entries, &mut effects);
                    board.publish(&effects);
                    if claimed.unwrap().is_some() {
                        workers.remove(at);
                    } else {
                        worker.place.found_none();
                        worker.is_asleep = true;
                    }
                }
            }
        }
        for worker in &workers {
            let claim = claim_of(worker);
            let claimed = claim.decide(&engine, START, &mut Vec::new()).unwrap();
            assert_eq!(claimed, None, "a worker sleeps beside a job");
        }
        drop(workers);
        assert_eq!(board.claims(), 0);
    });
}

/// A worker was rung for a job, and before it asked for that once more for another.
#[test]
fn a_worker_that_goes_away_passes_on_both_of_its_rings() {
    let mut engine = Engine::new(Policy::default());
    let board = Arc::new(Board::new(&engine, Feed::new(1, 0)));
    let mut cx = Context::from_waker(Waker::noop());
    let [mut first, mut second, mut third] =
        std::array::from_fn(|_| board.claim_place(Owner::ANYONE, &[], None));
    let create = Create {
        owner: Owner::ANYONE,
        new: NewJob::new("a").external(),
        idempotency_key: None,
        rendering: None,
        traceparent: None,
    };
    board.publish(&apply(&mut engine, &create));
    assert!(pin!(first.rung()).poll(&mut cx).is_ready());
    board.publish(&apply(&mut engine, &create));
    drop(first);
    for other in [&mut second, &mut third] {
        assert!(pin!(other.rung()).poll(&mut cx).is_ready());
    }
}

fn claim_of(worker: &Worker) -> Claim {
    Claim {
        owner: worker.owner,
        kinds: worker.kinds.clone(),
        lease: abide_wire::limits::LEASE_MIN,
        token: None,
    }
}

/// It is rung for the deliveries of everybody, and a job may have as many as there are endpoints.
#[test]
fn whoever_waits_for_many_deliveries_looks_at_each_a_few_times() {
    const DELIVERIES: u128 = 300;
    let mut engine = Engine::new(Policy::default());
    let (job, created) = engine_with_job(&mut engine);
    let board = Board::new(&Engine::new(Policy::default()), Feed::new(1, 0));
    board.publish(&created);
    let delivery = |n, made| {
        let (key, endpoint) = (DeliveryKey::from_u128(n), EndpointKey::from_u128(n));
        let job = (n < DELIVERIES).then_some(job);
        let delivery = Delivery {
            job,
            made,
            ..Delivery::new(key, endpoint, "job.created".into(), START)
        };
        board.publish(&[Effect::Webhook(Notice::Delivery(Arc::new(delivery)))]);
    };
    for n in 0..DELIVERIES {
        delivery(n, 0);
    }
    let looks = Cell::new(0);
    let wanted = |_: &Delivery| {
        looks.set(looks.get() + 1);
        true
    };
    let mut cx = Context::from_waker(Waker::noop());
    let mut waiting = pin!(board.webhooks().attempted(job, wanted));
    for n in 0..DELIVERIES {
        assert!(waiting.as_mut().poll(&mut cx).is_pending());
        // A delivery of another job is attempted too.
        delivery(DELIVERIES + n, 1);
        assert!(waiting.as_mut().poll(&mut cx).is_pending());
        delivery(n, 1);
    }
    assert!(waiting.as_mut().poll(&mut cx).is_ready());
    assert!(looks.get() <= 5 * DELIVERIES, "{}", looks.get());
}

#[test]
fn faults_are_looked_for_as_long_as_a_job_or_the_defaults_have_any() {
    let mut engine = Engine::new(Policy::default());
    let board = Board::new(&engine, Feed::new(1, 0));
    let faults = vec![Fault::new(FaultKind::Latency)];
    let create = Create {
        owner: Owner::ANYONE,
        new: NewJob {
            simulate: Some(Simulate {
                faults: Some(faults.clone()),
                ..Simulate::default()
            }),
            ..NewJob::default()
        },
        idempotency_key: None,
        rendering: None,
        traceparent: None,
    };
    let mut created = || {
        let effects = apply(&mut engine, &create);
        board.publish(&effects);
        effects.iter().find_map(|effect| match effect {
            Effect::Changed(job, _) => Some(job.key),
            _ => None,
        })
    };
    assert!(!board.plays_faults());
    let made = [created().unwrap(), created().unwrap()];
    for key in made {
        assert!(board.plays_faults());
        board.publish(&[Effect::Removed(key)]);
    }
    assert!(!board.plays_faults());
    for (faults, plays) in [(faults, true), (Vec::new(), false)] {
        let defaults = Defaults {
            faults: faults.into(),
            ..Defaults::default()
        };
        board.publish(&[Effect::Settings(Arc::new(defaults), Rng::new(1))]);
        assert_eq!(board.plays_faults(), plays);
    }
}
