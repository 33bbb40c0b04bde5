//! More than the server can do: it is refused, late by little, and nothing that was acknowledged is lost.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use abide_engine::{Create, Created, JobKey, Owner, Policy};
use abide_server::board::Look;
use abide_server::clock::Clock;
use abide_server::driver::{Driver, Failure, SHED_AFTER};
use abide_server::journal::{Journal as _, MemoryJournal};
use abide_wire::NewJob;
use serde_json::json;
use tokio::task::JoinSet;

use crate::common::journal::Disk;
use crate::common::{House, START};

/// How many commands the loop takes at once.
const BATCH: usize = 1_024;
/// How many may wait for it.
const QUEUE: usize = 8_192;

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
    let (gate, inner) = (Arc::<Gate>::default(), MemoryJournal::new());
    let journal = Disk {
        inner: inner.clone(),
        is_blocking: true,
        before_append: {
            let gate = gate.clone();
            move || {
                gate.pass();
                Ok(())
            }
        },
    };
    let clock = Clock::running(START, 1.try_into().unwrap());
    let house = House::open(&[], clock, Box::new(journal)).await;
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

#[tokio::test(start_paused = true)]
async fn what_finds_no_place_is_refused_and_what_has_one_is_kept() {
    let (house, switch, disk) = house().await;
    let known = house.job(600_000).await;
    let first = jam(&house, &switch).await;
    let waiting = offer(&house, QUEUE).await;
    assert_eq!(house.state.commands.waiting(), QUEUE);

    let refused = house.post("/v1/jobs", json!({})).await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (503, "overloaded")
    );
    assert_eq!(
        (refused.header("retry-after"), &refused.json()["retryable"]),
        ("1", &json!(true))
    );
    // Whoever only looks doesn't notice.
    assert_eq!(house.get(&format!("/v1/jobs/{known}")).await.status, 200);
    assert_eq!(house.state.board.len(), 1);

    switch.0.shut(false);
    let (mut made, _) = answers(first).await;
    let (more, refused) = answers(waiting).await;
    made.extend(more);
    assert_eq!((made.len(), refused), (1 + QUEUE, 0));
    assert_eq!(house.post("/v1/jobs", json!({})).await.status, 202);

    // After a crash at this moment all of them are there.
    let disk = disk.crashed_after(disk.last_seq()).unwrap();
    let clock = Clock::manual(START);
    let (_, _, board) = Driver::open(Box::new(disk), clock, Policy::default(), 7).unwrap();
    for key in made {
        assert!(matches!(board.look(key), Look::Found(_)), "{key}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_waited_too_long_is_refused_undone_until_the_loop_is_back_in_time() {
    let (house, switch, _disk) = house().await;
    let first = jam(&house, &switch).await;
    let old = offer(&house, 2 * BATCH).await;
    tokio::time::advance(SHED_AFTER + Duration::from_millis(1)).await;
    let fresh = offer(&house, 2 * BATCH).await;
    switch.0.shut(false);
    assert_eq!(answers(first).await.1, 0, "it was on its way already");
    let (made, refused) = answers(old).await;
    assert_eq!((made.len(), refused), (0, 2 * BATCH));
    let (made, refused) = answers(fresh).await;
    assert_eq!((made.len(), refused), (2 * BATCH, 0));
    assert_eq!(
        house.state.board.len(),
        1 + 2 * BATCH,
        "a refused create makes nothing"
    );
    assert_eq!(house.post("/v1/jobs", json!({})).await.status, 202);
}

/// A disk that stands still for a while delays what waits; that is no overload.
#[tokio::test(start_paused = true)]
async fn few_are_never_refused_however_long_they_waited() {
    let (house, switch, _disk) = house().await;
    let first = jam(&house, &switch).await;
    let waiting = offer(&house, BATCH).await;
    tokio::time::advance(100 * SHED_AFTER).await;
    switch.0.shut(false);
    assert_eq!(answers(first).await.0.len(), 1);
    assert_eq!(answers(waiting).await.0.len(), BATCH);
}
