//! Server and client in one process, on virtual time.

use std::time::Duration;

use abide::schedule::{Backoff, Fixed};
use abide::strategy::{LongPoll, Poll, Stream};
use abide::{NewJob, Outcome};
use abide_testkit::{TestServer, lasting};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn held_requests_and_streams_tell_of_the_end_at_the_very_millisecond() {
    let server = TestServer::start(TestServer::config()).await.unwrap();
    let client = server.in_process();
    for length in [SECOND, 37 * SECOND, 600 * SECOND] {
        let job = client.create(lasting(length)).await.unwrap();
        let held = job.wait().strategy(LongPoll::new()).await.unwrap();
        assert_eq!(held.report().detection, Some(Duration::ZERO));
        assert_eq!(held.report().elapsed, length);
        let job = client.create(lasting(length)).await.unwrap();
        let streamed = job.wait().strategy(Stream::new()).await.unwrap();
        assert_eq!(streamed.report().elapsed, length);
    }
}

#[tokio::test(start_paused = true)]
async fn polls_are_as_late_as_their_schedule_makes_them() {
    let server = TestServer::start(TestServer::config()).await.unwrap();
    let client = server.in_process();
    let nine = lasting(9 * SECOND);
    let job = client.create(nine.clone()).await.unwrap();
    let fixed = Poll::by(Fixed::new(2 * SECOND));
    let done = job.wait().strategy(fixed).await.unwrap();
    assert_eq!(done.report().requests, 5);
    assert_eq!(done.report().detection, Some(SECOND));
    let job = client.create(nine).await.unwrap();
    let doubling = Poll::by(Backoff::new(SECOND).factor(2.0));
    let done = job.wait().strategy(doubling).await.unwrap();
    assert_eq!(done.report().requests, 4);
    assert_eq!(done.report().detection, Some(6 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_the_wait_and_not_the_job() {
    let server = TestServer::start(TestServer::config()).await.unwrap();
    let client = server.in_process();
    let job = client.create(lasting(60 * SECOND)).await.unwrap();
    let error = job.wait().deadline(10 * SECOND).await.unwrap_err();
    assert!(error.is_still_running(), "{error}");
    let again = client.resume(error.resume_token().unwrap()).unwrap();
    assert_eq!(again.wait().await.unwrap().outcome(), Outcome::Completed);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_clock_by_hand_moves_only_when_it_is_told_to() {
    let server = TestServer::start(TestServer::by_hand()).await.unwrap();
    let client = server.client();
    let job = client.create(lasting(3_600 * SECOND)).await.unwrap();
    let (done, ()) = tokio::join!(async { job.wait().await }, async {
        assert!(!job.status().await.unwrap().done);
        server.advance(3_600 * SECOND).await;
    });
    let done = done.unwrap();
    assert_eq!(done.job().finished_at, Some(server.now()));
    server.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_jobs() {
    let mut histories = Vec::new();
    for _ in 0..2 {
        let server = TestServer::start(TestServer::config()).await.unwrap();
        let client = server.in_process();
        let mut history = Vec::new();
        for _ in 0..20 {
            let job = client.create(NewJob::default()).await.unwrap();
            let done = job.wait().await.unwrap();
            let took = done.job().finished_at.unwrap().since(done.job().created_at);
            history.push((took, done.outcome()));
        }
        histories.push(history);
    }
    assert_eq!(histories[0], histories[1]);
}
