//! The whole system in one program: starts a server on its durable store, uses the library in every mode, logs what
//! happens so that a person can follow it, and asserts that each job ended as it had to.
//!
//! ```sh
//! cargo run -p abide-integration
//! ```

#![expect(
    clippy::print_stdout,
    reason = "an example's log is for the person who runs it"
)]

use std::path::Path;
use std::time::Duration;

use abide::blocking::{Block, updates};
use abide::schedule::{Backoff, Countdown, Fixed, Learned, from_fn};
use abide::strategy::{LongPoll, Poll, Stream, Webhook};
use abide::{Client, Finished, Look, NewJob, Outcome, Receiver, Remote, Simulate, poll_until};
use abide_server::Config;
use abide_testkit::{TestServer, lasting};
use serde_json::json;
use tokio::runtime::Runtime;

type Done = Result<(), Box<dyn std::error::Error>>;

/// How long most jobs take.
const SHORT: Duration = Duration::from_millis(500);
/// A bound on every wait that should come to its end.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> Done {
    let directory = tempfile::tempdir()?;
    let runtime = Runtime::new()?;
    let server = runtime.block_on(start(directory.path()))?;
    println!("a server at {}, durable in a directory", server.url());

    runtime.block_on(async {
        one_job(&server).await?;
        schedules(&server).await?;
        progress(&server).await?;
        webhook(&server).await?;
        many_jobs(&server).await?;
        ends_that_are_not_well(&server).await?;
        a_create_that_is_sent_twice(&server).await?;
        a_deadline_and_another_process(&server).await?;
        an_api_that_is_not_ours(&server).await
    })?;
    without_async(&server.url())?;

    let server = runtime.block_on(a_restart(server, directory.path()))?;
    runtime.block_on(server.stop())?;
    println!("\nall is well");
    Ok(())
}

async fn start(directory: &Path) -> Result<TestServer, abide_server::ServerError> {
    let config = Config {
        ephemeral: false,
        data: directory.to_owned(),
        ..TestServer::config()
    };
    TestServer::start(config).await
}

/// A heading, for people.
fn chapter(title: &str) {
    println!("\n{title}");
}

/// What a wait came to, for people.
fn tell(way: &str, done: &Finished) {
    let report = done.report();
    let late = match report.detection {
        Some(late) => format!("{} ms late", late.as_millis()),
        None => "when it ended isn't told".to_owned(),
    };
    println!(
        "  {way:<22} {} {}, requests spent: {}, {late}",
        done.job().id,
        done.outcome(),
        report.requests,
    );
}

async fn one_job(server: &TestServer) -> Done {
    chapter("One job, held requests and streams: the end is known when it happens");
    let client = server.client();
    let job = client.create(lasting(SHORT)).await?;
    println!(
        "  right after its create it is {}",
        job.status().await?.status
    );

    let done = job.wait().deadline(PATIENCE).await?;
    tell("auto", &done);
    assert!(done.is_completed());
    assert!(done.report().requests <= 2, "{:?}", done.report());

    let job = client.create(lasting(SHORT)).await?;
    let done = job
        .wait()
        .strategy(LongPoll::new())
        .deadline(PATIENCE)
        .await?;
    tell("long poll", &done);
    assert!(done.is_completed());

    let job = client.create(lasting(SHORT)).await?;
    let done = job
        .wait()
        .strategy(Stream::new())
        .deadline(PATIENCE)
        .await?;
    tell("stream", &done);
    assert!(done.is_completed());
    Ok(())
}

async fn schedules(server: &TestServer) -> Done {
    chapter(
        "Polls, for servers that hold nothing: when to ask is a value (this one asks for a second in between)",
    );
    let client = server.client();
    let fifth = Duration::from_millis(200);
    let ways = [
        ("fixed", Poll::by(Fixed::new(fifth))),
        ("backoff", Poll::by(Backoff::new(fifth).factor(1.5))),
        (
            "countdown",
            Poll::by(Countdown::new([(1, SHORT), (20, fifth)])),
        ),
        (
            "learned, nothing known",
            Poll::by(Learned::new("integration")),
        ),
        (
            "your own",
            Poll::by(from_fn(|seen| {
                Some(seen.elapsed / 2 + Duration::from_millis(50))
            })),
        ),
    ];
    for (way, strategy) in ways {
        let job = client.create(lasting(SHORT)).await?;
        let done = job.wait().strategy(strategy).deadline(PATIENCE).await?;
        tell(way, &done);
        assert!(done.is_completed());
    }
    Ok(())
}

async fn progress(server: &TestServer) -> Done {
    chapter("Every change, as it happens");
    let job = server.client().create(lasting(SHORT)).await?;
    let mut watch = job.watch().deadline(PATIENCE);
    let mut last = None;
    while let Some(update) = watch.next().await {
        let update = update?;
        let percent = update
            .progress
            .as_ref()
            .map_or(0.0, |progress| progress.percent);
        println!(
            "  revision {:<3} {:<10} {percent:>3.0} %",
            update.revision, update.status
        );
        assert!(
            last.is_none_or(|last| update.revision > last),
            "revisions only grow"
        );
        last = Some(update.revision);
        if update.done {
            return Ok(());
        }
    }
    Err("the stream ended before the job".into())
}

async fn webhook(server: &TestServer) -> Done {
    chapter(
        "A webhook, signed and verified, with safety polls beside it: the first of the two wins",
    );
    let receiver = Receiver::bind("127.0.0.1:0").await?;
    let job = server
        .client()
        .create(lasting(SHORT).webhook(receiver.target()))
        .await?;
    let done = job
        .wait()
        .strategy(Webhook::new(receiver.inbox()).polls(Fixed::new(5 * SHORT)))
        .deadline(PATIENCE)
        .await?;
    tell("webhook", &done);
    assert!(done.is_completed());
    assert_eq!(
        receiver.inbox().listeners(),
        0,
        "no listener is left behind"
    );
    Ok(())
}

async fn many_jobs(server: &TestServer) -> Done {
    chapter("A hundred jobs, one held request, told of in the order in which they end");
    let client = server.client();
    let mut jobs = Vec::new();
    for n in (1..=100).rev() {
        jobs.push(client.create(lasting(n * SHORT / 100)).await?);
    }
    let mut set = client.set(jobs.iter().cloned()).deadline(PATIENCE);
    let (mut ended, mut requests) = (0, 0.0);
    while let Some((id, outcome)) = set.join_next().await {
        let done = outcome?;
        assert!(done.is_completed(), "{id}");
        requests += done.report().requests_share;
        ended += 1;
    }
    println!("  {ended} ended, requests spent: {requests:.0}");
    assert_eq!(ended, 100);
    assert!(requests < 50.0, "a set is not a request for each job");

    let all = client
        .set(jobs.into_iter().take(3))
        .deadline(PATIENCE)
        .await;
    assert!(all.iter().all(|(_, outcome)| outcome.is_ok()));
    println!("  ended jobs are told of at once, in the order in which they are given");
    Ok(())
}

async fn ends_that_are_not_well(server: &TestServer) -> Done {
    chapter("Ends that are not well, each an answer of its own");
    let client = server.client();
    let unlucky: Simulate = serde_json::from_value(json!({
        "duration": {"fixed": "200ms"},
        "outcome": {"error_chance": 1.0, "error": {"code": "lipsync_failed", "title": "No face in the picture"}},
    }))?;
    let job = client
        .create(NewJob::new("translation").simulate(unlucky))
        .await?;
    let done = job.wait().deadline(PATIENCE).await?;
    tell("failed", &done);
    assert_eq!(done.outcome(), Outcome::Failed);
    let error = done.completed().expect_err("a failed job has no result");
    println!("  as an error: {error}");
    assert!(error.is_failed());

    let job = client.create(lasting(PATIENCE)).await?;
    job.cancel().await?;
    let done = job.wait().deadline(PATIENCE).await?;
    tell("canceled", &done);
    assert_eq!(done.outcome(), Outcome::Canceled);

    let error = client
        .job("job_nobody_made")
        .wait()
        .deadline(PATIENCE)
        .await;
    let error = error.expect_err("there is no such job");
    println!("  unknown: {error}");
    assert!(error.is_refused());
    Ok(())
}

async fn a_create_that_is_sent_twice(server: &TestServer) -> Done {
    chapter("The same create twice, under one idempotency key: one job");
    let client = server.client();
    let first = client
        .create(lasting(SHORT))
        .idempotency_key("talk-4711")
        .await?;
    let again = client
        .create(lasting(SHORT))
        .idempotency_key("talk-4711")
        .await?;
    println!("  {} and {}", first.id(), again.id());
    assert_eq!(first.id(), again.id());
    assert!(again.is_replayed());
    Ok(())
}

async fn a_deadline_and_another_process(server: &TestServer) -> Done {
    chapter("A deadline ends the wait, not the job; the token's holder goes on");
    let job = server.client().create(lasting(2 * SHORT)).await?;
    let error = job.wait().deadline(SHORT / 2).await;
    let error = error.expect_err("the job takes longer");
    println!("  {error}");
    assert!(error.is_still_running());
    let token = error.resume_token().ok_or("no token")?.to_string();
    println!("  token: {token}");

    let elsewhere = server.client();
    let done = elsewhere
        .resume(&token.parse()?)?
        .wait()
        .deadline(PATIENCE)
        .await?;
    tell("resumed", &done);
    assert!(done.is_completed());
    Ok(())
}

async fn an_api_that_is_not_ours(server: &TestServer) -> Done {
    chapter("An API that isn't ours: described, or looked at by a closure");
    let remote = Remote::new("classic", "/status/{id}", "/result")
        .running(["pending"])
        .completed(["completed"])
        .failed(["error"])
        .create("/jobs", "/job_id");
    let client = server.client_builder().remote(remote).build()?;
    let body = json!({"processing_duration": SHORT.as_secs_f64(), "should_error": false});
    let job = client.create(NewJob::default().input(body)).await?;
    println!("  created by a classic route: {}", job.id());
    let done = job
        .wait()
        .schedule(Fixed::new(SHORT / 4))
        .deadline(PATIENCE)
        .await?;
    tell("described", &done);
    assert!(done.is_completed());

    let job = server.client().create(lasting(SHORT)).await?;
    let ended = poll_until(|| async {
        let seen = job.status().await?;
        Ok::<_, abide::Error>(Look::from(seen.done.then_some(seen)))
    })
    .schedule(Fixed::new(SHORT / 4))
    .deadline(PATIENCE)
    .await?;
    println!("  a closure saw {} as {}", ended.id, ended.status);
    assert!(ended.done);
    Ok(())
}

fn without_async(url: &str) -> Done {
    chapter("The same without async");
    let client = Client::new(url)?;
    let job = client.create(lasting(SHORT)).block()?;
    let states = updates(job.watch()).collect::<Result<Vec<_>, _>>()?;
    println!("  {} states seen", states.len());
    let done = job.wait().deadline(PATIENCE).block()?;
    tell("blocking", &done);
    assert!(done.is_completed());
    Ok(())
}

async fn a_restart(
    server: TestServer,
    directory: &Path,
) -> Result<TestServer, Box<dyn std::error::Error>> {
    chapter("The server is stopped and started again on the same directory: nothing is lost");
    let client = server.client();
    let ends_meanwhile = client.create(lasting(SHORT / 10)).await?;
    let ends_later = client.create(lasting(3 * SHORT)).await?;
    drop(client);
    server.stop().await?;

    let server = start(directory).await?;
    let client = server.client();
    for (what, job) in [
        ("ended meanwhile", ends_meanwhile),
        ("ends later", ends_later),
    ] {
        let done = client
            .job(job.id().clone())
            .wait()
            .deadline(PATIENCE)
            .await?;
        tell(what, &done);
        assert!(done.is_completed());
    }
    Ok(server)
}
