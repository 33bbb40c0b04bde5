//! Futures that are alive and not polled: the losing arm of a `select!` by reference, the members of a
//! `FuturesUnordered` whose loop body awaits something else. They hold nobody up.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use abide::schedule::Fixed;
use abide::strategy::{self, LongPoll, Stream, Webhook};
use abide::{Budget, Client, Inbox, JobHandle, Look, NewJob, Outcome, Remote, poll_until};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};

use crate::world::{World, now};

const SECOND: Duration = Duration::from_secs(1);
/// How many of each future are left alone at once: more than may each have a request of their own.
const CROWD: usize = 12;

type Boxed = Pin<Box<dyn Future<Output = ()>>>;

fn boxed<F: IntoFuture<IntoFuture: 'static, Output: 'static>>(future: F) -> Boxed {
    Box::pin(future.into_future().map(drop))
}

/// Every future of the library's, by name.
fn futures(client: &Client, job: &JobHandle) -> Vec<(&'static str, Boxed)> {
    let polls = || strategy::Poll::by(Fixed::new(SECOND));
    let looked = job.clone();
    let closure = move || {
        let job = looked.clone();
        async move {
            job.status()
                .await
                .map(|job| Look::from(job.done.then_some(job)))
        }
    };
    let (status, cancel, delete) = (job.clone(), job.clone(), job.clone());
    let (mut watch, mut feed, mut list) = (job.watch(), client.feed(), client.list());
    let webhooks = client.webhooks();
    vec![
        ("create", boxed(client.create(NewJob::new("k")))),
        ("status", boxed(async move { status.status().await })),
        ("cancel", boxed(async move { cancel.cancel().await })),
        ("delete", boxed(async move { delete.delete().await })),
        ("wait", boxed(job.wait())),
        (
            "wait with a deadline",
            boxed(job.wait().deadline(60 * SECOND)),
        ),
        (
            "wait by long poll",
            boxed(job.wait().strategy(LongPoll::new())),
        ),
        ("wait by stream", boxed(job.wait().strategy(Stream::new()))),
        ("wait by polls", boxed(job.wait().strategy(polls()))),
        (
            "wait by webhook",
            boxed(job.wait().strategy(Webhook::new(&Inbox::new()))),
        ),
        ("watch", boxed(async move { watch.next().await })),
        ("feed", boxed(async move { feed.next().await })),
        ("list", boxed(async move { list.next_page().await })),
        ("webhooks", boxed(async move { webhooks.list(None).await })),
        ("set", boxed(client.set([job.clone()]))),
        (
            "set by polls",
            boxed(client.set([job.clone()]).strategy(polls())),
        ),
        (
            "closure",
            boxed(poll_until(closure).schedule(Fixed::new(SECOND))),
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn no_future_that_nobody_polls_holds_up_another() {
    for polls in 1..6 {
        let names = {
            let world = World::new();
            let client = world.client();
            futures(&client, &client.job("a")).len()
        };
        for n in 0..names {
            let world = World::new();
            let budget = Budget::per_second(2.0);
            let client = world.builder().budget(&budget).build().unwrap();
            let endless = world.job("endless", &[9_999.0], Outcome::Completed);
            let mut name = "";
            let mut crowd: Vec<Boxed> = Vec::new();
            for _ in 0..CROWD {
                let (called, future) =
                    futures(&client, &client.job(endless.clone())).swap_remove(n);
                name = called;
                crowd.push(future);
            }
            let mut over = [false; CROWD];
            for _ in 0..polls {
                for (future, over) in crowd.iter_mut().zip(&mut over) {
                    *over = *over || futures_util::poll!(future.as_mut()).is_ready();
                }
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
            let id = world.job("b", &[3.0], Outcome::Completed);
            for (way, wait) in [
                ("by itself", client.job(id.clone()).wait()),
                (
                    "by polls",
                    client
                        .job(id.clone())
                        .wait()
                        .strategy(strategy::Poll::new()),
                ),
                (
                    "by stream",
                    client.job(id.clone()).wait().strategy(Stream::new()),
                ),
            ] {
                let begun = now();
                let done = tokio::time::timeout(15 * SECOND, wait.into_future()).await;
                let about = format!("{name}, polled {polls} times; another waits {way}");
                let done = done.unwrap_or_else(|_| panic!("{about}: held up"));
                assert!(done.unwrap().is_completed(), "{about}");
                assert!(
                    begun.elapsed() < 10 * SECOND,
                    "{about}: {:?}",
                    begun.elapsed()
                );
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_in_the_body_of_a_loop_over_waits_goes_on() {
    let world = World::new();
    let remote = Remote::new("world", "/v1/jobs/{id}", "/status")
        .running(["pending", "running"])
        .completed(["completed"]);
    let client = world.builder().remote(remote).build().unwrap();
    let mut many = FuturesUnordered::new();
    for n in 0..80 {
        let end = if n == 0 { 1.0 } else { 600.0 };
        let id = world.job(&format!("job_{n}"), &[end], Outcome::Completed);
        let wait = client.job(id).wait();
        let every = Fixed::new(Duration::from_millis(200));
        many.push(wait.schedule(every).into_future());
    }
    assert!(many.next().await.unwrap().unwrap().is_completed());
    for (end, most) in [(0.0, 1), (4.0, 6)] {
        let id = world.job("body", &[end], Outcome::Completed);
        let wait = client.job(id).wait().schedule(Fixed::new(SECOND));
        let begun = now();
        assert!(wait.await.unwrap().is_completed());
        assert!(begun.elapsed() <= most * SECOND, "{:?}", begun.elapsed());
    }
    drop(many);
}
