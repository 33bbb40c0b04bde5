//! What the front pages of five earlier systems promise, done with our names: one test for each.
//!
//! Their own clients are tried, byte for byte, where the server is tested; these tests are about moving to this
//! library.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use abide::schedule::{Backoff, Countdown, Fixed, Schedule, intervals};
use abide::strategy::{LongPoll, Poll, Webhook};
use abide::{
    Channel, Client, Error, Finished, JobHandle, NewJob, Outcome, Receiver, Remote, Status,
};
use abide_server::Config;
use abide_server::config::Layers;
use abide_testkit::{TestServer, lasting};
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);

/// The configuration that such an environment and such flags make, in memory.
fn set_up(variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Config {
    let mut layers = Layers::default()
        .flag("ephemeral", "true")
        .flag("seed", "7");
    for (name, value) in variables {
        layers = layers.variable(*name, *value);
    }
    for (name, value) in flags {
        layers = layers.flag(*name, *value);
    }
    layers.resolve().unwrap().config
}

/// The one job that the bare `/status` tells of, which has no id.
fn default_job(server: &TestServer, member: &str) -> JobHandle {
    let remote = Remote::new("default job", "/status", member)
        .running(["pending"])
        .completed(["completed"])
        .failed(["error"]);
    client_of(server, remote).job("default")
}

fn client_of(server: &TestServer, remote: Remote) -> Client {
    let builder = server.client_builder().transport(server.door());
    builder.remote(remote).build().unwrap()
}

/// `createJob`, then `awaitCompletion` in both modes, with a timeout, under the server's limit of requests.
#[tokio::test(start_paused = true)]
async fn seed_000_jobs_by_query_with_short_and_long_polls() {
    let server = TestServer::start(set_up(&[], &[("rate-limit", "25/min")]))
        .await
        .unwrap();
    let remote = Remote::new("000", "/status?job_id={id}", "/result")
        .running(["pending"])
        .completed(["completed"])
        .failed(["error"])
        .create("/jobs", "/job_id");
    let theirs = client_of(&server, remote);
    let new = |seconds: f64, should_error: bool| {
        NewJob::default()
            .input(json!({"processing_duration": seconds, "should_error": should_error}))
    };
    for (should_error, outcome) in [(false, Outcome::Completed), (true, Outcome::Failed)] {
        let job = theirs.create(new(5.0, should_error)).await.unwrap();
        let done = job
            .wait()
            .schedule(Fixed::new(SECOND))
            .deadline(30 * SECOND)
            .await
            .unwrap();
        assert_eq!(done.outcome(), outcome);
        assert!(done.report().elapsed <= 6 * SECOND, "{:?}", done.report());
    }

    let ours = server.in_process();
    let job = ours.create(lasting(20 * SECOND)).await.unwrap();
    let done = job
        .wait()
        .strategy(LongPoll::new())
        .deadline(30 * SECOND)
        .await
        .unwrap();
    assert_eq!(done.report().detection, Some(Duration::ZERO));

    // Forty looks a minute would break the limit of 25: refusals are obeyed, and the wait outlives them.
    let job = ours.create(lasting(120 * SECOND)).await.unwrap();
    let eager = Poll::by(Fixed::new(Duration::from_millis(1_500)));
    let done = job
        .wait()
        .strategy(eager)
        .deadline(180 * SECOND)
        .await
        .unwrap();
    assert!(done.is_completed());

    let job = ours.create(lasting(60 * SECOND)).await.unwrap();
    let error = job.wait().deadline(30 * SECOND).await.unwrap_err();
    assert!(error.is_still_running(), "{error}");
}

/// `startMonitoring` with `onUpdate`, beside a webhook; `getStatus`; `stopMonitoring`.
#[tokio::test]
async fn seed_001_adaptive_polls_with_a_webhook_beside_them() {
    let by_hand = set_up(&[("STATUS_DELAY", "5000")], &[("clock", "manual")]);
    let server = TestServer::start(by_hand).await.unwrap();
    let theirs = default_job(&server, "/result").status().await.unwrap();
    assert!(!theirs.done);
    let receiver = Receiver::bind("127.0.0.1:0").await.unwrap();
    let client = server.client();
    let job = client
        .create(lasting(5 * SECOND).webhook(receiver.target()))
        .await
        .unwrap();
    assert!(!job.status().await.unwrap().done);

    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let doubling = Backoff::new(2 * SECOND)
        .factor(2.0)
        .max(30 * SECOND)
        .attempts(10);
    let wait = job
        .wait()
        .strategy(Webhook::new(receiver.inbox()).polls(doubling))
        .on_update(move |job| log.lock().unwrap().push(job.status.clone()));
    let (done, _) = tokio::join!(async { wait.await.unwrap() }, server.advance(5 * SECOND));
    assert!(done.is_completed());
    assert_eq!(done.report().channel, Some(Channel::Push));
    assert_eq!(seen.lock().unwrap().last(), Some(&Status::Completed));
    let theirs = default_job(&server, "/result").status().await.unwrap();
    assert!(
        theirs.done,
        "the one job of the environment's delay has ended too"
    );

    let job = client
        .create(lasting(SECOND).webhook(receiver.target()))
        .await
        .unwrap();
    let stopped = job.wait().strategy(Webhook::new(receiver.inbox()));
    let stopped = tokio::time::timeout(Duration::from_millis(20), stopped.into_future()).await;
    assert!(stopped.is_err(), "nobody advanced the clock");
    assert_eq!(
        receiver.inbox().listeners(),
        0,
        "stopping leaves no listener"
    );
    server.stop().await.unwrap();
}

/// `get_status(max_wait_time=60)` gives `completed`, `error` or `timeout`, on a job that starts again by itself.
#[tokio::test(start_paused = true)]
async fn seed_002_one_job_that_resets_itself() {
    async fn get_status(job: &JobHandle, max_wait_time: u64) -> &'static str {
        let pauses = intervals([1, 2, 4, 8, 15, 15, 15].map(Duration::from_secs));
        let told: Result<Finished, Error> = job
            .wait()
            .schedule(pauses)
            .deadline(Duration::from_secs(max_wait_time))
            .await;
        match told {
            Ok(done) if done.is_completed() => "completed",
            Ok(_) => "error",
            Err(error) if error.is_still_running() => "timeout",
            Err(error) => panic!("{error}"),
        }
    }
    let variables = [
        ("TOTAL_DELAY_SECONDS", "20"),
        ("RESET_INTERVAL_SECONDS", "15"),
    ];
    for (chance, expected) in [("0", "completed"), ("1", "error")] {
        let variables = [variables.as_slice(), &[("ERROR_CHANCE", chance)]].concat();
        let server = TestServer::start(set_up(&variables, &[])).await.unwrap();
        let job = default_job(&server, "/result");
        assert_eq!(get_status(&job, 10).await, "timeout");
        assert_eq!(get_status(&job, 60).await, expected);
        // It starts again, and can be waited for again.
        tokio::time::sleep(16 * SECOND).await;
        assert_eq!(get_status(&job, 2).await, "timeout");
        assert_eq!(get_status(&job, 60).await, expected);
    }
}

/// `create_job`, `get_status`, `wait_for_completion(callback, timeout)` with a growing interval.
#[tokio::test(start_paused = true)]
async fn seed_003_jobs_by_path_with_adaptive_backoff() {
    let variables = [("MIN_DELAY", "10"), ("MAX_DELAY", "30")];
    let server = TestServer::start(set_up(&variables, &[])).await.unwrap();
    let remote = Remote::new("003", "/status/{id}", "/result")
        .running(["pending"])
        .completed(["completed"])
        .failed(["error"])
        .create("/jobs", "/job_id");
    let client = client_of(&server, remote);
    let growing = || Backoff::new(SECOND).factor(1.5).max(30 * SECOND);
    let mut completed = 0;
    for _ in 0..40 {
        let job = client.create(NewJob::default()).await.unwrap();
        let calls = Arc::new(Mutex::new(0));
        let counted = calls.clone();
        let done = job
            .wait()
            .schedule(growing())
            .on_update(move |_| *counted.lock().unwrap() += 1)
            .deadline(60 * SECOND)
            .await
            .unwrap();
        let elapsed = done.report().elapsed;
        assert!((10 * SECOND..60 * SECOND).contains(&elapsed), "{elapsed:?}");
        assert!(*calls.lock().unwrap() >= 1);
        completed += u32::from(done.is_completed());
        // An ended job never changes, however often it is looked at.
        for _ in 0..3 {
            assert_eq!(job.wait().await.unwrap().outcome(), done.outcome());
        }
    }
    assert!(
        completed >= 30,
        "{completed} of 40 completed, at a chance of 5 % to fail"
    );
    let unknown = client
        .job("nobody")
        .wait()
        .deadline(SECOND)
        .await
        .unwrap_err();
    assert!(unknown.is_refused(), "{unknown}");
}

/// `StartClientWithWebhook`: a listener, a registration, polls at shrinking intervals; the first of push and poll wins.
#[tokio::test]
async fn seed_004_webhook_first_with_a_countdown_as_a_backup() {
    fn countdown() -> impl Schedule {
        Countdown::new([(4, 4 * SECOND), (3, 2 * SECOND), (3, SECOND)])
    }
    let server = TestServer::start(TestServer::by_hand()).await.unwrap();
    let receiver = Receiver::bind("127.0.0.1:0").await.unwrap();
    let client = server.client();
    let job = client
        .create(lasting(15 * SECOND).webhook(receiver.target()))
        .await
        .unwrap();
    let wait = job
        .wait()
        .strategy(Webhook::new(receiver.inbox()).polls(countdown()))
        .deadline(30 * SECOND);
    let (done, _) = tokio::join!(async { wait.await.unwrap() }, server.advance(15 * SECOND));
    assert_eq!(
        (done.outcome(), done.report().channel),
        (Outcome::Completed, Some(Channel::Push))
    );
    server.stop().await.unwrap();
}

/// The same where no push ever comes: the polls find the end, on the job that the first look starts.
#[tokio::test(start_paused = true)]
async fn seed_004_the_backup_finds_the_end_where_no_push_comes() {
    let flags = [
        ("default-job-start", "first-poll"),
        ("default-job-delay", "9s"),
    ];
    let config = set_up(&[], &flags);
    let server = TestServer::start(config).await.unwrap();
    tokio::time::sleep(60 * SECOND).await;
    let job = default_job(&server, "/status");
    let nobody_pushes = abide::Inbox::new();
    let countdown = Countdown::new([
        (1, Duration::ZERO),
        (4, 4 * SECOND),
        (3, 2 * SECOND),
        (3, SECOND),
    ]);
    let done = job
        .wait()
        .strategy(Webhook::new(&nobody_pushes).polls(countdown))
        .deadline(30 * SECOND)
        .await
        .unwrap();
    assert_eq!(done.report().channel, Some(Channel::Poll));
    assert!(
        done.report().elapsed >= 9 * SECOND,
        "it began with the first look"
    );
}
