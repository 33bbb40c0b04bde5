//! A test against each of the twelve faults that were seen in other systems' clients. Those of the server are the
//! server's to test; here stands what a client can do about them.
//!
//! | fault | test |
//! |---|---|
//! | 1 a deadline that is not enforced | `fault_1_no_request_pause_or_backoff_overruns_a_deadline` |
//! | 2 a transport failure taken for a failed job | `fault_2_a_transport_failure_is_not_a_failed_job_and_one_503_ends_nothing` |
//! | 3 an outcome that changes between reads | `fault_3_the_outcome_is_taken_once_and_stays` |
//! | 4 a webhook that never reaches the waiter | `fault_4_a_lost_webhook_is_made_up_for_and_an_early_one_is_heard`, and three more |
//! | 5 no cancellation, leaked listeners and tasks | `fault_5_a_wait_is_canceled_by_dropping_it_and_a_job_by_asking`; `drops` |
//! | 6 backoff that grows with the age of the job | `fault_6_the_default_sees_the_end_of_a_nine_second_job_at_nine_seconds` |
//! | 7 hints beyond the deadline, hints that mean nothing | `fault_7_a_servers_wish_neither_outlasts_the_deadline_nor_means_anything_to_a_held_request` |
//! | 8 creates without a key, doubled | `fault_8_a_create_is_never_doubled` |
//! | 9 dead time between long polls | `fault_9_there_is_no_dead_time_between_held_requests` |
//! | 10 randomness that can't be seeded | `fault_10_the_same_seed_waits_the_same_way` |
//! | 11 knobs that do nothing | `fault_11_every_knob_does_what_it_says`; `examples`, which run |
//! | 12 a library that prints, untyped errors | `fault_12_errors_have_types_and_say_what_they_are_about`; the lints of the workspace |

use std::future::IntoFuture;
use std::time::Duration;

use abide::schedule::{Backoff, Countdown, Fixed, Jitter, Learned};
use abide::strategy::{LongPoll, Poll, Webhook};
use abide::{Channel, Inbox, NewJob, Outcome, RetryPolicy};

use crate::world::{Fault, Manner, World};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn fault_1_no_request_pause_or_backoff_overruns_a_deadline() {
    for strategy in 0..3 {
        for fault in [
            Fault::Stall,
            Fault::Refuse,
            Fault::Late(7 * SECOND),
            Fault::Status(503, Some("2")),
        ] {
            let script = fault.clone();
            let world = World::with(Manner::default(), move |_| script.clone());
            let id = world.job("a", &[1_000.0], Outcome::Completed);
            let wait = world.client().job(id).wait().deadline(11 * SECOND);
            let wait = match strategy {
                0 => wait,
                1 => wait.strategy(LongPoll::new()),
                _ => wait.strategy(Poll::by(Backoff::new(SECOND).factor(3.0).max(60 * SECOND))),
            };
            let _ = wait.await.unwrap_err();
            assert!(
                world.elapsed() <= Duration::from_millis(11_100),
                "{fault:?}: {:?}",
                world.elapsed()
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn fault_2_a_transport_failure_is_not_a_failed_job_and_one_503_ends_nothing() {
    let world = World::with(Manner::default(), |seen| match seen.ordinal {
        1 => Fault::Status(503, None),
        2 => Fault::Reset,
        3 => Fault::Refuse,
        _ => Fault::None,
    });
    let id = world.job("a", &[5.0], Outcome::Completed);
    assert!(world.client().job(id).wait().await.unwrap().is_completed());
}

#[tokio::test(start_paused = true)]
async fn fault_3_the_outcome_is_taken_once_and_stays() {
    // The first look shows the end; later ones show the past.
    let world = World::with(Manner::default(), |seen| {
        if seen.ordinal > 1 {
            Fault::Stale(60 * SECOND)
        } else {
            Fault::None
        }
    });
    let id = world.job("a", &[1.0], Outcome::Failed);
    tokio::time::sleep(2 * SECOND).await;
    let inbox = Inbox::new();
    let done = world.client().job(id.clone()).wait().await.unwrap();
    assert!(inbox.deliver(done.job().clone()));
    // What comes late and out of order changes nothing.
    assert!(!inbox.deliver(world.look(&id).unwrap()));
    assert_eq!(done.outcome(), Outcome::Failed);
}

#[tokio::test(start_paused = true)]
async fn fault_4_a_lost_webhook_is_made_up_for_and_an_early_one_is_heard() {
    let world = World::new();
    let inbox = Inbox::new();
    let lost = world.job("lost", &[10.0], Outcome::Completed);
    let strategy = Webhook::new(&inbox).polls(Fixed::new(4 * SECOND));
    let done = world
        .client()
        .job(lost)
        .wait()
        .strategy(strategy.clone())
        .await
        .unwrap();
    assert!(done.is_completed());
    assert!(world.elapsed() < 13 * SECOND, "{:?}", world.elapsed());

    let early = world.job("early", &[0.0], Outcome::Completed);
    inbox.deliver(world.look(&early).unwrap());
    let before = world.requests();
    let done = world
        .client()
        .job(early)
        .wait()
        .strategy(strategy.clone())
        .await
        .unwrap();
    assert!(done.is_completed());
    assert!(world.requests() <= before + 1);

    let pushed = world.job("pushed", &[3.0], Outcome::Completed);
    let began = world.elapsed();
    let push = async {
        tokio::time::sleep(3 * SECOND).await;
        inbox.deliver(world.look(&pushed).unwrap())
    };
    let job = world.client().job(pushed.clone());
    let (done, news) = tokio::join!(job.wait().strategy(strategy), push);
    assert!(news && done.unwrap().is_completed());
    assert!(
        world.elapsed() - began < Duration::from_millis(3_050),
        "{:?}",
        world.elapsed() - began
    );
}

#[tokio::test(start_paused = true)]
async fn fault_4_with_all_pushes_lost_a_wait_is_never_later_than_polling_would_be() {
    for (n, end) in [0.4, 3.7, 9.2, 17.3, 28.9, 41.4].into_iter().enumerate() {
        let late = async |push: bool| {
            let world = World::new();
            world.jobs_take(Duration::from_secs_f64(end));
            let client = world.builder().seed(n as u64).build().unwrap();
            let job = client.create(NewJob::new("k")).await.unwrap();
            let schedule = Fixed::new(2 * SECOND).jitter(Jitter::Around(0.3));
            let wait = job.wait();
            let wait = if push {
                wait.strategy(Webhook::new(&Inbox::new()).polls(schedule))
            } else {
                wait.strategy(Poll::by(schedule))
            };
            let done = wait.await.unwrap();
            (done.report().requests, world.elapsed())
        };
        assert_eq!(late(true).await, late(false).await, "{end}");
    }
}

#[tokio::test(start_paused = true)]
async fn fault_4_nor_is_a_row_of_waits_whose_schedule_learns() {
    let ends = [9.2, 17.3, 11.9, 28.9, 14.1, 22.6, 13.3, 41.4];
    let late = async |push: bool| {
        let world = World::new();
        let client = world.builder().schedule(Learned::new("k")).build().unwrap();
        let mut spent = Vec::new();
        for end in ends {
            world.jobs_take(Duration::from_secs_f64(end));
            let wait = client.create(NewJob::new("k")).await.unwrap().wait();
            let wait = if push {
                wait.strategy(Webhook::new(&Inbox::new()))
            } else {
                wait.strategy(Poll::new())
            };
            let began = world.elapsed();
            let done = wait.await.unwrap();
            spent.push((done.report().requests, world.elapsed() - began));
        }
        spent
    };
    assert_eq!(late(true).await, late(false).await);
}

#[tokio::test(start_paused = true)]
async fn fault_4_a_push_is_not_kept_waiting_by_a_poll_that_hangs_or_failed() {
    for (name, fault) in [
        ("stalled", Fault::Stall),
        ("stalled body", Fault::StallBody),
        ("refused for now", Fault::Status(503, Some("60"))),
    ] {
        let strike = fault.clone();
        let world = World::with(Manner::default(), move |_| strike.clone());
        let inbox = Inbox::new();
        let id = world.job("a", &[7.0], Outcome::Completed);
        let push = async {
            tokio::time::sleep(7 * SECOND).await;
            inbox.deliver(world.look(&id).unwrap());
            world.elapsed()
        };
        let wait = world
            .client()
            .job(id.clone())
            .wait()
            .strategy(Webhook::new(&inbox).polls(Fixed::new(4 * SECOND)));
        let (done, pushed) = tokio::join!(wait.into_future(), push);
        assert_eq!(
            done.unwrap().report().channel,
            Some(Channel::Push),
            "{name}"
        );
        let late = world.elapsed() - pushed;
        assert!(late < Duration::from_millis(50), "{name}: {late:?}");
        assert_eq!(world.open(), 0, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_whose_explanation_never_ends_is_a_refusal() {
    let shape = |status: u16| {
        let world = World::with(Manner::default(), move |_| Fault::Unexplained(status));
        let id = world.job("a", &[7.0], Outcome::Completed);
        async move {
            let error = world.client().job(id).wait().await.unwrap_err();
            (error, world.elapsed())
        }
    };
    let (error, took) = shape(403).await;
    assert!(
        error.is_refused() && error.status() == Some(403),
        "{error:?}"
    );
    assert!(took < 3 * SECOND, "{took:?}");
    let (error, _) = shape(500).await;
    assert!(
        error.is_unreachable() && error.status() == Some(500),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn fault_5_a_wait_is_canceled_by_dropping_it_and_a_job_by_asking() {
    let world = World::new();
    let client = world.client();
    let id = world.job("a", &[100.0], Outcome::Completed);
    let job = client.job(id.clone());
    let wait = tokio::spawn(job.wait().into_future());
    tokio::time::sleep(SECOND).await;
    assert_eq!(world.open(), 1);
    wait.abort();
    assert!(wait.await.unwrap_err().is_cancelled());
    assert_eq!(world.open(), 0);

    let (canceled, waited) = tokio::join!(job.cancel(), job.wait());
    assert_eq!(canceled.unwrap().outcome, Some(Outcome::Canceled));
    assert_eq!(waited.unwrap().outcome(), Outcome::Canceled);
    // Canceling again changes nothing.
    assert_eq!(job.cancel().await.unwrap().outcome, Some(Outcome::Canceled));
    job.delete().await.unwrap();
    job.delete().await.unwrap();
    assert!(job.status().await.unwrap_err().is_not_found());
}

#[tokio::test(start_paused = true)]
async fn fault_6_the_default_sees_the_end_of_a_nine_second_job_at_nine_seconds() {
    let world = World::new();
    world.jobs_take(9 * SECOND);
    let job = world.client().create(NewJob::new("k")).await.unwrap();
    let _ = job.wait().await.unwrap();
    assert!(
        world.elapsed() < Duration::from_millis(9_020),
        "{:?}",
        world.elapsed()
    );
    // And backoff, where it must be, has jitter.
    let schedule = Backoff::new(SECOND).jitter(Jitter::Around(0.5));
    let mut ends = Vec::new();
    for seed in 0..2 {
        let world = World::new();
        world.jobs_take(9 * SECOND);
        let client = world.builder().seed(seed).build().unwrap();
        let job = client.create(NewJob::new("k")).await.unwrap();
        let _ = job
            .wait()
            .strategy(Poll::by(schedule.clone()))
            .await
            .unwrap();
        ends.push(world.elapsed());
    }
    assert_ne!(ends[0], ends[1]);
}

#[tokio::test(start_paused = true)]
async fn fault_7_a_servers_wish_neither_outlasts_the_deadline_nor_means_anything_to_a_held_request()
{
    let world = World::with(Manner::default(), |_| Fault::Status(503, Some("3600")));
    let error = world
        .client()
        .job("a")
        .wait()
        .deadline(60 * SECOND)
        .await
        .unwrap_err();
    assert_eq!(error.status(), Some(503));
    assert!(world.elapsed() < SECOND);

    let manner = Manner {
        hint: Some("10"),
        ..Manner::default()
    };
    let world = World::with(manner, |_| Fault::None);
    let id = world.job("a", &[62.0], Outcome::Completed);
    let _ = world.client().job(id).wait().await.unwrap();
    assert!(
        world.elapsed() < Duration::from_millis(62_050),
        "{:?}",
        world.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn fault_8_a_create_is_never_doubled() {
    let world = World::with(Manner::default(), |seen| match seen.ordinal {
        1 => Fault::ResetAfter,
        2 => Fault::StallBody,
        3 => Fault::Cut(10),
        _ => Fault::None,
    });
    let job = world.client().create(NewJob::new("k")).await.unwrap();
    assert_eq!(world.created(), 1);
    assert!(job.wait().await.unwrap().is_completed());
    // The same key from another process is the same job.
    let key = job.idempotency_key().unwrap();
    let again = world
        .client()
        .create(NewJob::new("k"))
        .idempotency_key(key)
        .await
        .unwrap();
    assert_eq!(again.id(), job.id());
    assert!(again.is_replayed());
    for bad in ["", "with space", "ümlaut", &"x".repeat(256)] {
        let error = world
            .client()
            .create(NewJob::new("k"))
            .idempotency_key(bad)
            .await
            .unwrap_err();
        assert!(error.is_usage(), "{bad:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn fault_9_there_is_no_dead_time_between_held_requests() {
    let world = World::new();
    let id = world.job("a", &[185.0], Outcome::Completed);
    let done = world
        .client()
        .job(id)
        .wait()
        .strategy(LongPoll::new())
        .await
        .unwrap();
    assert_eq!(done.report().requests, 4);
    let at: Vec<f64> = world
        .seen()
        .iter()
        .map(|seen| seen.at.as_secs_f64())
        .collect();
    for pair in at.windows(2) {
        assert!(pair[1] - pair[0] < 60.05, "{at:?}");
    }
    assert!(world.elapsed() < Duration::from_millis(185_020));
}

#[tokio::test(start_paused = true)]
async fn fault_10_the_same_seed_waits_the_same_way() {
    let mut histories = Vec::new();
    for _ in 0..2 {
        let world = World::with(Manner::default(), |seen| {
            if seen.ordinal.is_multiple_of(2) {
                Fault::Status(500, None)
            } else {
                Fault::None
            }
        });
        world.jobs_take(30 * SECOND);
        let client = world.builder().seed(42).build().unwrap();
        let job = client.create(NewJob::new("k")).await.unwrap();
        let schedule = Fixed::new(2 * SECOND).jitter(Jitter::Around(0.5));
        let _ = job.wait().strategy(Poll::by(schedule)).await.unwrap();
        let at: Vec<Duration> = world.seen().iter().map(|seen| seen.at).collect();
        histories.push((job.idempotency_key().unwrap().to_owned(), at));
    }
    assert_eq!(histories[0], histories[1]);
}

#[tokio::test(start_paused = true)]
async fn fault_11_every_knob_does_what_it_says() {
    let at = async |wait: fn(abide::Wait) -> abide::Wait| {
        let world = World::new();
        world.jobs_take(60 * SECOND);
        let job = world.client().create(NewJob::new("k")).await.unwrap();
        let _ = wait(job.wait().deadline(40 * SECOND)).await;
        let seen = world.seen();
        let at: Vec<u64> = seen.iter().skip(1).map(|seen| seen.at.as_secs()).collect();
        at
    };
    // Interval, factor and greatest interval, attempts; the last look at the deadline.
    assert_eq!(
        at(|wait| wait.strategy(Poll::by(Fixed::new(10 * SECOND)))).await,
        [10, 20, 30, 39]
    );
    let backoff = |wait: abide::Wait| {
        wait.strategy(Poll::by(
            Backoff::new(2 * SECOND).factor(2.0).max(15 * SECOND),
        ))
    };
    assert_eq!(at(backoff).await, [2, 6, 14, 29, 39]);
    assert_eq!(
        at(|wait| wait.strategy(Poll::by(Countdown::default()))).await,
        [4, 8, 12, 16, 18, 20, 22, 23, 24, 25]
    );
    // How long a request is held, and how often a failure is met.
    let hold = |wait: abide::Wait| wait.strategy(LongPoll::new().hold(15 * SECOND));
    assert_eq!(at(hold).await[..3], [0, 15, 30]);
    let world = World::with(Manner::default(), |_| Fault::Refuse);
    let client = world
        .builder()
        .retry(RetryPolicy::default().attempts(3))
        .build()
        .unwrap();
    let _ = client.job("a").status().await.unwrap_err();
    assert_eq!(world.requests(), 3);
    let client = world.builder().retry(RetryPolicy::never()).build().unwrap();
    let _ = client.job("a").status().await.unwrap_err();
    let _ = client.job("a").wait().await.unwrap_err();
    assert_eq!(world.requests(), 5);
}

#[tokio::test(start_paused = true)]
async fn fault_12_errors_have_types_and_say_what_they_are_about() {
    let world = World::with(Manner::default(), |_| Fault::Status(403, None));
    let error: abide::Error = world.client().job("a").status().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "job a: the server answered 403 Forbidden: Not now or not ever"
    );
    assert!(error.is_refused());
    let world = World::with(Manner::default(), |_| Fault::Refuse);
    let error = world.client().job("a").status().await.unwrap_err();
    assert!(std::error::Error::source(&error).is_some());
    assert!(
        error
            .to_string()
            .starts_with("job a: no connection could be made"),
        "{error}"
    );
    fn is_an_error<T: std::error::Error + Send + Sync + 'static>() {}
    is_an_error::<abide::Error>();
}
