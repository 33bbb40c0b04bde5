//! More than the server can do: it waits or is refused before anything is done for it, and what was let in is done.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::Poll;
use std::time::Duration;

use abide_engine::{Create, Created, JobKey, Owner, Policy};
use abide_server::board::Look;
use abide_server::clock::Clock;
use abide_server::driver::{Driver, Failure};
use abide_server::http::answer::Body;
use abide_server::http::limits::{Client, Held};
use abide_server::journal::{Journal as _, MemoryJournal};
use abide_wire::NewJob;
use http::Request;
use serde_json::json;
use tokio::task::JoinSet;

use crate::common::journal::Disk;
use crate::common::{Answer, House, START};

/// Commands that wait for the loop: of more than one batch.
const QUEUE: usize = 2_500;

/// What makes a disk stand still while it is told to.
#[derive(Debug, Default)]
struct Gate {
    is_shut: Mutex<bool>,
    moved: Condvar,
    /// How often the disk was written to.
    arrived: AtomicUsize,
}

impl Gate {
    fn shut(&self, is_shut: bool) {
        *self.is_shut.lock().unwrap() = is_shut;
        self.moved.notify_all();
    }

    fn pass(&self) {
        self.arrived.fetch_add(1, Ordering::SeqCst);
        let shut = self.is_shut.lock().unwrap();
        drop(self.moved.wait_while(shut, |shut| *shut).unwrap());
    }
}

/// The switch. It is open again when the test is over, however that ends.
struct Switch(Arc<Gate>);

impl Drop for Switch {
    fn drop(&mut self) {
        self.0.shut(false);
    }
}

async fn house() -> (House, Switch, MemoryJournal) {
    house_with(&[]).await
}

async fn house_with(flags: &[(&str, &str)]) -> (House, Switch, MemoryJournal) {
    let (gate, inner) = (Arc::<Gate>::default(), MemoryJournal::new());
    let journal = Disk {
        inner: inner.clone(),
        is_blocking: true,
        latency: Duration::ZERO,
        before_append: {
            let gate = gate.clone();
            move || {
                gate.pass();
                Ok(())
            }
        },
    };
    let clock = Clock::running(START, 1.try_into().unwrap());
    let house = House::open(flags, clock, Box::new(journal)).await;
    (house, Switch(gate), inner)
}

/// Creates, as many at once.
fn ask(house: &House, count: usize) -> JoinSet<Result<Created, Failure>> {
    let mut asked = JoinSet::new();
    for _ in 0..count {
        let commands = house.state.commands.clone();
        asked.spawn(async move {
            let new = NewJob {
                worker: Some(abide_wire::Worker::External),
                ..NewJob::default()
            };
            let create = Create {
                owner: Owner::ANYONE,
                new,
                idempotency_key: None,
                rendering: None,
                traceparent: None,
            };
            commands.ask(create).await
        });
    }
    asked
}

/// Creates that wait for the loop, which doesn't take any at the moment.
async fn offer(house: &House, count: usize) -> JoinSet<Result<Created, Failure>> {
    let all = house.state.commands.waiting() + count;
    let asked = ask(house, count);
    while house.state.commands.waiting() < all {
        tokio::task::yield_now().await;
    }
    asked
}

/// Has the disk stand still with one batch on its way, so that whatever comes now waits.
async fn jam(house: &House, switch: &Switch) -> JoinSet<Result<Created, Failure>> {
    switch.0.shut(true);
    let before = switch.0.arrived.load(Ordering::SeqCst);
    let first = ask(house, 1);
    while switch.0.arrived.load(Ordering::SeqCst) == before {
        tokio::task::yield_now().await;
    }
    first
}

/// The jobs that were acknowledged, and how many creates were refused.
async fn answers(asked: JoinSet<Result<Created, Failure>>) -> (Vec<JobKey>, usize) {
    let (mut made, mut refused) = (Vec::new(), 0);
    for answer in asked.join_all().await {
        match answer {
            Ok(Created { job, .. }) => made.push(job.key),
            Err(Failure::Overloaded) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    (made, refused)
}

/// Has other clients take every place.
fn fill(house: &House) -> Vec<Held> {
    let clients = (1..10_000).map(|n| Client::Key(Owner(n)));
    let hold = |client| std::iter::from_fn(move || house.state.changes.hold(client).ok());
    clients.flat_map(hold).collect()
}

#[tokio::test(start_paused = true)]
async fn what_was_let_in_is_carried_out_however_long_it_waited() {
    let (house, switch, disk) = house().await;
    let known = house.job(600_000).await;
    let first = jam(&house, &switch).await;
    let waiting = offer(&house, QUEUE).await;
    tokio::time::advance(Duration::from_secs(60)).await;
    // A client that only reads doesn't notice.
    assert_eq!(house.get(&format!("/v1/jobs/{known}")).await.status, 200);
    assert_eq!(house.state.board.len(), 1);

    switch.0.shut(false);
    let (mut made, _) = answers(first).await;
    let (more, refused) = answers(waiting).await;
    made.extend(more);
    assert_eq!((made.len(), refused), (1 + QUEUE, 0));

    // After a crash at this moment all of them are there.
    let disk = disk.crashed_after(disk.last_seq()).unwrap();
    let clock = Clock::manual(START);
    let (_, _, board) = Driver::open(Box::new(disk), clock, Policy::default(), 7).unwrap();
    for key in made {
        assert!(matches!(board.look(key), Look::Found(_)), "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_finds_no_place_is_refused_after_a_pause_and_its_body_is_never_read() {
    let house = House::with(&[]).await;
    let others = fill(&house);
    let body = Body::stream(futures_util::stream::poll_fn(|_| {
        panic!("the body is read")
    }));
    let create = Request::post("/v1/jobs").header("host", "127.0.0.1");
    let begun = house.clock.elapsed();
    let answer = house.send(create.body(body).unwrap()).await;
    let paused = house.clock.elapsed() - begun;
    assert!((200..=301).contains(&paused.as_millis()), "{paused:?}");
    let refused = Answer::read(answer).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (503, "overloaded")
    );
    assert_eq!(
        (refused.header("retry-after"), &refused.json()["retryable"]),
        ("1", &json!(true))
    );
    assert_eq!(house.state.board.len(), 0);

    // Reads need no place, and one that becomes free during the pause is taken.
    assert_eq!(house.get("/v1/jobs").await.status, 200);
    let (created, ()) = tokio::join!(house.post("/v1/jobs", json!({})), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        drop(others);
    });
    assert_eq!(created.status, 202);
    assert!(house.state.changes.is_empty(), "it is given back");
}

/// Clients that create one job after the other, as quickly as they are answered.
#[tokio::test(start_paused = true)]
async fn goodput_stays_whatever_load_is_offered() {
    const PLACES: usize = 100;
    const CREATES: usize = 20;
    for clients in [PLACES / 2, PLACES, 2 * PLACES, 3 * PLACES, 4 * PLACES] {
        let house = Arc::new(House::with(&[("rate-limit", "off")]).await);
        house
            .state
            .commands
            .places()
            .store(PLACES, Ordering::SeqCst);
        let mut working = JoinSet::new();
        for _ in 0..clients {
            let house = house.clone();
            working.spawn(async move {
                let (mut made, mut refused) = (0, 0);
                while made < CREATES {
                    match house
                        .post("/v1/jobs", json!({"worker": "external"}))
                        .await
                        .status
                    {
                        202 => made += 1,
                        503 => refused += 1,
                        other => panic!("{other}"),
                    }
                }
                refused
            });
        }
        let refused: usize = working.join_all().await.iter().sum();
        let made = house.state.board.len();
        assert_eq!(made, clients * CREATES);
        assert!(
            refused * 5 <= made,
            "{clients} clients: {refused} refused beside {made} made"
        );
    }
}

/// What the loop takes in one batch at most, and so what a journal takes in a second that is busy for a second with
/// each.
const BATCH: usize = 1_024;

/// A server whose journal is busy for a second with each batch.
async fn slow_house() -> House {
    let clock = Clock::running(START, 1.try_into().unwrap());
    let journal = Disk {
        inner: MemoryJournal::new(),
        is_blocking: false,
        latency: Duration::from_secs(1),
        before_append: || Ok(()),
    };
    House::open(&[("rate-limit", "off")], clock, Box::new(journal)).await
}

#[tokio::test(start_paused = true)]
async fn as_much_as_the_journal_takes_is_acknowledged_however_much_more_is_offered() {
    const SECONDS: usize = 5;
    for times in [2, 4] {
        let house = slow_house().await;
        // As many as the loop leaves beside so slow a journal.
        let places = house.state.commands.places();
        places.store(BATCH, Ordering::SeqCst);
        let made = Arc::<AtomicUsize>::default();
        let mut offered = JoinSet::new();
        for n in 0..1_000 * SECONDS * times {
            // Every client asks once, so that none has more than its share.
            let client = house.from(&format!("10.{}.{}.1", n / 256, n % 256));
            // A body of unknown length would count as the longest.
            let client = client.with_header("content-length", "21");
            let made = made.clone();
            offered.spawn(async move {
                let answer = client.post("/v1/jobs", json!({"worker": "external"})).await;
                made.fetch_add(usize::from(answer.status == 202), Ordering::SeqCst);
            });
            if n % times == 0 {
                house.pass(1).await;
            }
        }
        let acknowledged = made.load(Ordering::SeqCst);
        // The first create is alone in the first batch, and the last batch is under way.
        let taken = BATCH * (SECONDS - 2);
        assert!(
            acknowledged * 10 >= taken * 8,
            "{times} times as much: {acknowledged} of {taken}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_create_waits_for_one_batch_beside_its_own_whatever_falls_due_meanwhile() {
    let house = slow_house().await;
    let jobs = (1..=200).map(|n| house.job(n * 300));
    futures_util::future::join_all(jobs).await;
    for _ in 0..20 {
        let begun = house.clock.elapsed();
        let created = house.post("/v1/jobs", json!({"worker": "external"})).await;
        let took = house.clock.elapsed() - begun;
        assert_eq!(created.status, 202);
        assert!(took <= Duration::from_millis(2_010), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_create_that_waits_for_the_disk_leaves_its_place_to_others() {
    let (house, switch, _) = house().await;
    let (first, house) = (jam(&house, &switch).await, Arc::new(house));
    let creator = house.clone();
    let create = async move { creator.post("/v1/jobs", json!({})).await.status };
    let create = tokio::spawn(create);
    while house.state.commands.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    assert!(house.state.changes.is_empty());
    switch.0.shut(false);
    assert_eq!(create.await.unwrap(), 202);
    assert_eq!(answers(first).await.1, 0);
}

/// What was asked for waits in the queue all the same.
#[tokio::test(start_paused = true)]
async fn a_body_whose_client_has_gone_counts_until_its_command_is_carried_out() {
    const BYTES: usize = 200_000;
    let text = "x".repeat(BYTES);
    let external = json!({"worker": "external", "input": text});
    let prediction = json!({"version": "v", "input": {"prompt": text}});
    for (method, path, body) in [
        ("POST", "/v1/jobs", external),
        ("PATCH", "", json!({"result": text})),
        ("POST", "/dialects/replicate/v1/predictions", prediction),
    ] {
        let (house, switch, _) = house_with(&[("inflight-bytes-per-owner", "1MiB")]).await;
        let house = house.with_header("authorization", "Bearer k");
        let made = house.post("/v1/jobs", json!({"worker": "external"})).await;
        let made = format!("/v1/jobs/{}", made.json()["id"].as_str().unwrap());
        let path = if path.is_empty() { &made } else { path };
        let first = jam(&house, &switch).await;
        let (body, mut left) = (body.to_string(), 0);
        for _ in 0..20 {
            let before = house.state.commands.waiting();
            let request = Request::builder().method(method).uri(path);
            let request = request
                .header("content-type", "application/json")
                .header("content-length", body.len())
                .body(Body::from(body.clone()));
            let mut asked = Box::pin(house.send(request.unwrap()));
            match poll_fn(|cx| Poll::Ready(asked.as_mut().poll(cx))).await {
                Poll::Ready(refused) => assert_eq!(refused.status(), 503, "{path}"),
                Poll::Pending => {
                    assert_eq!(house.state.commands.waiting(), before + 1, "{path}");
                    left += 1;
                }
            }
        }
        assert!((4..=5).contains(&left), "{left} of {method} {path}");
        assert!(house.state.inflight.len() > left * BYTES, "{path}");
        switch.0.shut(false);
        while !house.state.inflight.is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(answers(first).await.1, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_held_create_leaves_its_place_to_others() {
    let house = House::with(&[]).await;
    let held = house.with_header("prefer", "wait=60");
    let slow = json!({"worker": "external"});
    let (_, ()) = tokio::join!(held.post("/v1/jobs", slow), async {
        while house.state.waits.is_empty() || house.state.board.is_empty() {
            tokio::task::yield_now().await;
        }
        assert!(house.state.changes.is_empty());
    });
}
