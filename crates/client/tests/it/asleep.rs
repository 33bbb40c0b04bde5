//! A process that was asleep: stopped, suspended, or blocked by its own work. It finds all of its timers fired.
//!
//! Time jumps here while nothing is polled; the server goes on meanwhile.

use std::future::IntoFuture;
use std::time::Duration;

use abide::schedule::Fixed;
use abide::strategy::{LongPoll, Poll, Stream};
use abide::{Error, Finished, NewJob, Outcome, Wait};

use crate::world::{Fault, Manner, World};

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

/// Sleeps without being polled, after that delay.
async fn sleeps(begins: Duration, for_how_long: Duration) {
    tokio::time::sleep(begins).await;
    tokio::time::advance(for_how_long).await;
}

fn ways(wait: impl Fn() -> Wait) -> Vec<(&'static str, Wait)> {
    vec![
        ("auto", wait()),
        ("long poll", wait().strategy(LongPoll::new())),
        ("stream", wait().strategy(Stream::new())),
        ("poll", wait().strategy(Poll::by(Fixed::new(SECOND / 2)))),
        (
            "rare polls",
            wait().strategy(Poll::by(Fixed::new(SECOND * 60))),
        ),
    ]
}

/// What came of a wait of 3 s, and how long after waking up, with each strategy and a sleep that begins at that
/// instant.
async fn waits(
    script: impl Fn(Duration) -> Fault + Send + Sync + Clone + 'static,
    begins: Duration,
    ends: f64,
) -> Vec<(String, Result<Finished, Error>, Duration)> {
    let mut all = Vec::new();
    for way in 0..5 {
        let script = script.clone();
        let manner = Manner {
            rtt: 40 * MILLI,
            ..Manner::default()
        };
        let world = World::with(manner, move |seen| script(seen.at));
        let id = world.job("a", &[ends], Outcome::Completed);
        let job = world.client().job(id);
        let (name, wait) = ways(|| job.wait().deadline(3 * SECOND)).swap_remove(way);
        let (ended, ()) = tokio::join!(
            async { (wait.await, world.elapsed()) },
            sleeps(begins, 4 * SECOND)
        );
        let (result, at) = ended;
        all.push((
            format!("{name}, {begins:?}"),
            result,
            at.saturating_sub(begins + 4 * SECOND),
        ));
    }
    all
}

#[tokio::test(start_paused = true)]
async fn an_end_that_happened_in_ones_sleep_past_the_deadline_is_a_result() {
    for begins in [0, 1, 30, 45, 800, 1_900, 2_950, 2_995] {
        for (name, result, after) in waits(|_| Fault::None, begins * MILLI, 2.5).await {
            assert!(result.is_ok_and(|done| done.is_completed()), "{name}");
            assert!(after < SECOND, "{name}: told {after:?} after");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_runs_on_is_said_to_run_and_nothing_is_said_of_the_server() {
    for begins in [1, 45, 800, 2_950] {
        for (name, result, after) in waits(|_| Fault::None, begins * MILLI, 600.0).await {
            let error = result.unwrap_err();
            assert!(
                error.is_still_running() && error.is_timeout(),
                "{name}: {error}"
            );
            assert!(
                error.resume_token().is_some() && after < SECOND,
                "{name}: {after:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn silence_after_waking_up_is_no_statement_about_the_server_and_a_refusal_is() {
    let woke = 4 * SECOND;
    let silent = move |at| if at > woke { Fault::Stall } else { Fault::None };
    for (name, result, after) in waits(silent, 800 * MILLI, 600.0).await {
        let error = result.unwrap_err();
        // A held request that was never answered shows nothing of the job.
        let seen = !name.starts_with("auto") && !name.starts_with("long poll");
        assert_eq!(error.is_still_running(), seen, "{name}: {error}");
        let said = if seen { "last seen" } else { "within 2.000 s" };
        assert!(error.to_string().contains(said), "{name}: {error}");
        assert!(
            error.resume_token().is_some() && after < 3 * SECOND,
            "{name}: {after:?}"
        );
    }
    let gone = move |at| {
        if at > woke {
            Fault::Refuse
        } else {
            Fault::None
        }
    };
    for (name, result, _) in waits(gone, 800 * MILLI, 600.0).await {
        let error = result.unwrap_err();
        assert!(error.is_unreachable(), "{name}: {error}");
        assert!(!error.to_string().contains("0.000"), "{name}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_slept_past_its_time_is_answered() {
    for begins in [0, 1, 25] {
        let manner = Manner {
            rtt: 40 * MILLI,
            ..Manner::default()
        };
        let world = World::with(manner, |_| Fault::None);
        let id = world.job("a", &[600.0], Outcome::Completed);
        let client = world.client();
        let job = client.job(id);
        let asleep = || sleeps(begins * MILLI, 40 * SECOND);
        let (status, ()) = tokio::join!(job.status(), asleep());
        status.unwrap();
        let (made, ()) = tokio::join!(client.create(NewJob::new("k")).into_future(), asleep());
        made.unwrap();
        let (canceled, ()) = tokio::join!(job.cancel(), asleep());
        canceled.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_was_slept_through_is_no_time_without_an_answer() {
    // The server is away for the first second, and for ten seconds after the sleep.
    let script = |seen: &crate::world::Seen| match seen.at.as_secs() {
        0 | 60..70 => Fault::Refuse,
        _ => Fault::None,
    };
    let world = World::with(Manner::default(), script);
    let id = world.job("a", &[80.0], Outcome::Completed);
    let job = world.client().job(id);
    let (done, ()) = tokio::join!(job.wait().into_future(), sleeps(MILLI * 150, 60 * SECOND));
    assert!(done.unwrap().is_completed());
}

#[tokio::test(start_paused = true)]
async fn a_stream_and_a_feed_that_were_slept_through_are_opened_anew() {
    let world = World::new();
    let id = world.job("a", &[1.0, 100.0, 130.0], Outcome::Completed);
    let client = world.client();
    let mut watch = client.job(id.clone()).watch();
    let updates = async {
        let mut updates = 0;
        while let Some(update) = watch.next().await {
            update.unwrap();
            updates += 1;
        }
        updates
    };
    let (updates, ()) = tokio::join!(updates, sleeps(5 * SECOND, 110 * SECOND));
    assert_eq!(updates, 4);
    let streams = world.seen().iter().filter(|seen| seen.is_stream()).count();
    assert!((1..=3).contains(&streams), "{streams}");
    // It still counts as a server that has streams.
    let mut again = client.job(id).watch();
    while again.next().await.is_some() {}
    let later = world.seen().iter().filter(|seen| seen.is_stream()).count();
    assert!(later > streams);
}
