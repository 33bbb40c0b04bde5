//! Futures dropped at every await point, by poll count: nothing is left behind, and the handle still works.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use abide::schedule::Fixed;
use abide::strategy::{self, LongPoll, Stream, Webhook};
use abide::{Budget, Client, Inbox, JobId, Look, NewJob, Outcome, Remote, poll_until};

use crate::world::{Fault, Manner, Seen, World};

const SECOND: Duration = Duration::from_secs(1);

/// Polls a future that number of times and then drops it.
struct Polls<F> {
    future: Option<Pin<Box<F>>>,
    left: usize,
}

impl<F: Future> Future for Polls<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        let this = &mut *self;
        let Some(future) = &mut this.future else {
            return Poll::Ready(None);
        };
        if this.left == 0 {
            this.future = None;
            return Poll::Ready(None);
        }
        this.left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => {
                this.future = None;
                Poll::Ready(Some(output))
            }
            Poll::Pending if this.left == 0 => {
                this.future = None;
                Poll::Ready(None)
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Everything that a scenario needs.
struct Scene {
    world: World,
    client: Client,
    inbox: Inbox,
    id: JobId,
}

fn scene(script: fn(&Seen) -> Fault) -> Scene {
    let manner = Manner::default();
    let world = World::with(manner, script);
    // A budget that makes waits wait for their turn now and then.
    let client = world
        .builder()
        .budget(&Budget::per_second(2.0))
        .build()
        .unwrap();
    let id = world.job("a", &[2.0, 4.0, 9.0], Outcome::Completed);
    Scene {
        world,
        client,
        inbox: Inbox::new(),
        id,
    }
}

/// Drops what `begin` makes after one poll, after two, and so on until it ends by itself; after each drop, looks for
/// what is left and uses the handle.
fn drop_everywhere<F, Fut>(name: &str, script: fn(&Seen) -> Fault, begin: F)
where
    F: Fn(&Scene) -> Fut,
    Fut: Future,
{
    for polls in 1..2_000 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let ended = runtime.block_on(async {
            let scene = scene(script);
            let future = begin(&scene);
            let ended = Polls {
                future: Some(Box::pin(future)),
                left: polls,
            }
            .await
            .is_some();
            // A task that was told to end does so at its next turn.
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            let tasks = tokio::runtime::Handle::current()
                .metrics()
                .num_alive_tasks();
            assert_eq!(tasks, 0, "{name}: tasks are left after {polls} polls");
            assert_eq!(
                scene.world.open(),
                0,
                "{name}: exchanges are left after {polls} polls"
            );
            assert_eq!(
                scene.inbox.listeners(),
                0,
                "{name}: listeners are left after {polls} polls"
            );
            let before = scene.world.requests();
            tokio::time::sleep(100 * SECOND).await;
            assert_eq!(
                scene.world.requests(),
                before,
                "{name}: it goes on after {polls} polls"
            );
            let done = scene.client.job(scene.id.clone()).wait().await;
            assert!(done.unwrap().is_completed(), "{name}");
            ended
        });
        if ended {
            assert!(polls > 1, "{name} has no await point");
            return;
        }
    }
    panic!("{name} doesn't end");
}

fn no_faults(_: &Seen) -> Fault {
    Fault::None
}

/// Every second exchange of the first minute fails, each time in another way.
fn trouble(seen: &Seen) -> Fault {
    if seen.at > 60 * SECOND || seen.ordinal.is_multiple_of(2) {
        return Fault::None;
    }
    match seen.ordinal {
        1 => Fault::Status(503, Some("1")),
        3 => Fault::Cut(20),
        5 => Fault::StallBody,
        7 => Fault::Refuse,
        _ => Fault::Status(500, None),
    }
}

fn wait<S: strategy::Strategy>(scene: &Scene, strategy: S) -> impl Future + use<S> {
    scene
        .client
        .job(scene.id.clone())
        .wait()
        .strategy(strategy)
        .on_update(|_| {})
        .into_future()
}

#[test]
fn waits_leave_nothing_behind_wherever_they_are_dropped() {
    for (way, script) in [
        ("calm", no_faults as fn(&Seen) -> Fault),
        ("trouble", trouble),
    ] {
        drop_everywhere(&format!("auto, {way}"), script, |scene| {
            scene.client.job(scene.id.clone()).wait().into_future()
        });
        drop_everywhere(&format!("long poll, {way}"), script, |scene| {
            wait(scene, LongPoll::new())
        });
        drop_everywhere(&format!("stream, {way}"), script, |scene| {
            wait(scene, Stream::new())
        });
        drop_everywhere(&format!("poll, {way}"), script, |scene| {
            wait(scene, strategy::Poll::by(Fixed::new(SECOND)))
        });
        drop_everywhere(&format!("webhook, {way}"), script, |scene| {
            wait(
                scene,
                Webhook::new(&scene.inbox).polls(Fixed::new(3 * SECOND)),
            )
        });
        drop_everywhere(&format!("deadline, {way}"), script, |scene| {
            scene
                .client
                .job(scene.id.clone())
                .wait()
                .deadline(6 * SECOND)
                .into_future()
        });
    }
}

/// A wait by webhooks of which the first is lost, the second late, and the last one comes.
fn pushed(scene: &Scene) -> impl Future + use<> {
    let (world, inbox, id) = (scene.world.clone(), scene.inbox.clone(), scene.id.clone());
    let wait = wait(
        scene,
        Webhook::new(&scene.inbox).polls(Fixed::new(3 * SECOND)),
    );
    async move {
        let push = world.push(&id, &inbox, |change| match change {
            0 => vec![],
            1 => vec![SECOND],
            _ => vec![Duration::ZERO, Duration::from_millis(1)],
        });
        // A test that stops waiting stops pushing too, so that what is left is the library's.
        tokio::pin!(wait);
        tokio::select! {
            done = &mut wait => drop(done),
            () = push => drop(wait.await),
        }
    }
}

#[test]
fn waits_by_other_means_leave_nothing_behind_wherever_they_are_dropped() {
    for (way, script) in [
        ("calm", no_faults as fn(&Seen) -> Fault),
        ("trouble", trouble),
    ] {
        drop_everywhere(&format!("pushed, {way}"), script, pushed);
        drop_everywhere(&format!("described, {way}"), script, |scene| {
            let remote = Remote::new("world", "/v1/jobs/{id}", "/status")
                .running(["pending", "running"])
                .completed(["completed"])
                .progress("/progress/percent", 100);
            let client = scene.world.builder().remote(remote).build().unwrap();
            let job = client.job(scene.id.clone());
            async move { job.wait().on_update(|_| {}).await }
        });
        drop_everywhere(&format!("watch by webhook, {way}"), script, |scene| {
            let webhook = Webhook::new(&scene.inbox).polls(Fixed::new(3 * SECOND));
            let mut watch = scene.client.job(scene.id.clone()).watch().strategy(webhook);
            async move { while watch.next().await.is_some() {} }
        });
        drop_everywhere(&format!("set by polls, {way}"), script, |scene| {
            let jobs = [scene.client.job(scene.id.clone())];
            let polls = strategy::Poll::by(Fixed::new(SECOND));
            scene.client.set(jobs).strategy(polls).into_future()
        });
    }
}

#[test]
fn sets_watches_and_calls_leave_nothing_behind_wherever_they_are_dropped() {
    for (way, script) in [
        ("calm", no_faults as fn(&Seen) -> Fault),
        ("trouble", trouble),
    ] {
        drop_everywhere(&format!("set, {way}"), script, |scene| {
            let jobs = (0..20).map(|n| {
                let id = scene.world.job(
                    &format!("job_{n}"),
                    &[f64::from(n) / 2.0],
                    Outcome::Completed,
                );
                scene.client.job(id)
            });
            scene.client.set(jobs).deadline(30 * SECOND).into_future()
        });
        drop_everywhere(&format!("watch, {way}"), script, |scene| {
            let mut watch = scene.client.job(scene.id.clone()).watch();
            async move { while watch.next().await.is_some() {} }
        });
        drop_everywhere(&format!("create, {way}"), script, |scene| {
            scene.client.create(NewJob::new("k")).into_future()
        });
        drop_everywhere(&format!("status, {way}"), script, |scene| {
            let job = scene.client.job(scene.id.clone());
            async move { job.status().await }
        });
        drop_everywhere(&format!("closure, {way}"), script, |scene| {
            let job = scene.client.job(scene.id.clone());
            let look = move || {
                let job = job.clone();
                async move {
                    job.status()
                        .await
                        .map(|job| Look::from(job.done.then_some(job)))
                }
            };
            poll_until(look).schedule(Fixed::new(SECOND)).into_future()
        });
    }
}
