//! Workers: claims, leases and their ends, through the client and the server, on virtual time.

#![expect(
    clippy::disallowed_methods,
    reason = "the time is virtual, and the runtime has it"
)]

use std::future::IntoFuture as _;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use abide::{
    Body, BoxFuture, Client, Code, Job, Lease, NewJob, Outcome, Problem, Progress, Transport,
    TransportError,
};
use abide_testkit::{InProcess, TestServer};
use bytes::Bytes;
use http::{Method, Request, Response};
use serde_json::json;
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);

/// A way to the server that can be cut, or lose answers.
#[derive(Clone, Debug)]
struct Way {
    door: InProcess,
    is_cut: Arc<AtomicBool>,
    /// How many answers are lost from now on.
    lost: Arc<AtomicUsize>,
    /// Whether reports are turned away for 3 s, and how many were.
    is_busy: Arc<AtomicBool>,
    turned_away: Arc<AtomicUsize>,
}

impl Transport for Way {
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> BoxFuture<'_, Result<Response<Body>, TransportError>> {
        Box::pin(async move {
            if self.is_cut.load(Ordering::Relaxed) {
                return Err(TransportError::connect("the network is down"));
            }
            if request.method() == Method::PATCH && self.is_busy.load(Ordering::Relaxed) {
                self.turned_away.fetch_add(1, Ordering::Relaxed);
                let busy = Response::builder().status(503).header("retry-after", 3);
                return Ok(busy.body(Body::full(Bytes::new())).unwrap());
            }
            let answer = self.door.send(request).await?;
            let is_lost = |lost: usize| lost.checked_sub(1);
            match self
                .lost
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_lost)
            {
                Ok(_) => Err(TransportError::broken("the answer is lost")),
                Err(_) => Ok(answer),
            }
        })
    }
}

async fn server() -> TestServer {
    TestServer::start(TestServer::config()).await.unwrap()
}

fn worker(server: &TestServer) -> (Client, Way) {
    let way = Way {
        door: server.door(),
        is_cut: Arc::default(),
        lost: Arc::default(),
        is_busy: Arc::default(),
        turned_away: Arc::default(),
    };
    let client = server.client_builder().transport(way.clone());
    (client.build().unwrap(), way)
}

async fn claim(client: &Client) -> Lease {
    client.claim().lease(10 * SECOND).await.unwrap().unwrap()
}

async fn read(client: &Client, lease: &Lease) -> Job {
    client.job(lease.id().clone()).status().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_worker_waits_for_a_job_reports_and_ends_it() {
    let server = server().await;
    let client = server.in_process();
    let began = Instant::now();
    let none = client.claim().kind("dub").deadline(90 * SECOND);
    assert!(none.await.unwrap().is_none());
    // The server lets go a little later than asked, and not of all at once.
    assert!((90 * SECOND..=91 * SECOND).contains(&began.elapsed()));
    let began = Instant::now();
    let later = async {
        sleep(100 * SECOND).await;
        let new = NewJob::new("dub").input(json!({"talk": 7})).external();
        client.create(new).await.unwrap()
    };
    let claim = client.claim().kind("other").kind("dub").into_future();
    let (lease, job) = tokio::join!(claim, later);
    let lease = lease.unwrap().unwrap();
    assert_eq!(lease.id(), job.id());
    assert_eq!(began.elapsed(), 100 * SECOND, "it comes at once");
    let progress = Progress {
        percent: 40.0,
        stage: Some("voices".to_owned()),
    };
    let shown = lease.progress(&progress).await.unwrap();
    assert_eq!((shown.progress, shown.attempts), (Some(progress), Some(1)));
    let made = json!({"ok": true});
    let (done, ended) = tokio::join!(job.wait().into_future(), lease.complete(&made));
    assert_eq!(ended.unwrap().outcome, Some(Outcome::Completed));
    let result: serde_json::Value = done.unwrap().result().unwrap();
    assert_eq!(result, json!({"ok": true}));
}

#[tokio::test(start_paused = true)]
async fn a_lease_renews_itself_for_as_long_as_it_lives() {
    let server = server().await;
    let (client, _) = worker(&server);
    client.create(NewJob::default().external()).await.unwrap();
    let lease = claim(&client).await;
    lease.while_held(sleep(3_600 * SECOND)).await.unwrap();
    let job = read(&client, &lease).await;
    assert_eq!((job.status.as_str(), job.revision.0), ("running", 2));
    let handle = client.job(lease.id().clone());
    drop(lease);
    let dropped = Instant::now();
    let failed = handle.wait().await.unwrap();
    assert_eq!(failed.job().error.as_ref().unwrap().code, Code::WORKER_LOST);
    assert!((6 * SECOND..=10 * SECOND).contains(&dropped.elapsed()));
}

#[tokio::test(start_paused = true)]
async fn a_renewal_comes_again_no_sooner_than_a_busy_server_says() {
    let server = server().await;
    let (client, way) = worker(&server);
    client.create(NewJob::default().external()).await.unwrap();
    let lease = claim(&client).await;
    way.is_busy.store(true, Ordering::Relaxed);
    lease.while_held(sleep(9 * SECOND)).await.unwrap();
    assert_eq!(way.turned_away.load(Ordering::Relaxed), 2);
    way.is_busy.store(false, Ordering::Relaxed);
    lease.while_held(sleep(60 * SECOND)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_work_ends_the_moment_its_job_is_canceled_or_past_its_deadline() {
    let server = server().await;
    let (client, _) = worker(&server);
    let job = client.create(NewJob::default().external()).await.unwrap();
    let lease = claim(&client).await;
    let cancel = async {
        sleep(100 * SECOND).await;
        job.cancel().await.unwrap();
        Instant::now()
    };
    let work = lease.while_held(std::future::pending::<()>());
    let (over, canceled) = tokio::join!(work, cancel);
    let over = over.unwrap_err();
    assert!(over.is_canceled(), "{over}");
    assert_eq!(over.job_id(), Some(job.id()));
    assert_eq!(canceled.elapsed(), Duration::ZERO);
    let late = lease.complete(&1).await.unwrap_err();
    assert!(late.is_canceled(), "{late}");
    lease.release().await.unwrap();
    let new = NewJob {
        deadline_s: Some(abide_wire::Span::new(20 * SECOND)),
        ..NewJob::default().external()
    };
    client.create(new).await.unwrap();
    let lease = claim(&client).await;
    let began = Instant::now();
    let over = lease.over().await;
    assert!(over.is_failed(), "{over}");
    assert_eq!(over.problem().unwrap().code, Code::DEADLINE_EXCEEDED);
    assert_eq!(began.elapsed(), 20 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_was_cut_off_learns_that_its_job_is_lost() {
    let server = server().await;
    let ((slow, way), (fast, _)) = (worker(&server), worker(&server));
    let new = NewJob::default().retried(2);
    let job = slow.create(new.external()).await.unwrap();
    let lease = claim(&slow).await;
    way.is_cut.store(true, Ordering::Relaxed);
    let again = claim(&fast).await;
    assert_eq!(again.job().attempts, Some(2));
    assert_eq!(lease.id(), again.id());
    way.is_cut.store(false, Ordering::Relaxed);
    let over = lease.over().await;
    assert!(over.is_lease_lost(), "{over}");
    let refused = lease.complete(&1).await.unwrap_err();
    assert!(refused.is_lease_lost(), "{refused}");
    again.complete(&2).await.unwrap();
    let refused = lease.complete(&2).await.unwrap_err();
    assert!(refused.is_lease_lost(), "not its own: {refused}");
    let result: u64 = job.wait().await.unwrap().result().unwrap();
    assert_eq!(result, 2);
}

#[tokio::test(start_paused = true)]
async fn a_worker_outlasts_a_time_without_answers() {
    let server = server().await;
    let (client, way) = worker(&server);
    client.create(NewJob::default().external()).await.unwrap();
    let lease = claim(&client).await;
    way.is_cut.store(true, Ordering::Relaxed);
    lease.while_held(sleep(5 * SECOND)).await.unwrap();
    let unreachable = client.claim().await.unwrap_err();
    assert!(unreachable.is_unreachable(), "{unreachable}");
    let within = client.claim().deadline(5 * SECOND).await.unwrap_err();
    assert!(within.is_unreachable(), "{within}");
}

#[tokio::test(start_paused = true)]
async fn no_answer_that_is_lost_takes_a_second_job_or_spoils_an_end() {
    let server = server().await;
    let (client, way) = worker(&server);
    for _ in 0..2 {
        client.create(NewJob::default().external()).await.unwrap();
    }
    let lose = || way.lost.store(1, Ordering::Relaxed);
    lose();
    let first = claim(&client).await;
    assert_eq!(first.job().attempts, Some(1));
    let second = claim(&client).await;
    assert_ne!(first.id(), second.id(), "the second one was pending");
    lose();
    let ended = first.complete(&json!([1])).await.unwrap();
    assert_eq!(ended.outcome, Some(Outcome::Completed));
    lose();
    let problem = Problem::new(500, Code::new("no_voice"), "There is no voice");
    let ended = second.fail(&problem).await.unwrap();
    assert_eq!(ended.error.unwrap().code, problem.code);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_given_back_goes_to_the_next_worker_uncounted() {
    let server = server().await;
    let (client, way) = worker(&server);
    client.create(NewJob::default().external()).await.unwrap();
    for _ in 0..3 {
        let lease = claim(&client).await;
        assert_eq!(lease.job().attempts, Some(1));
        way.lost.store(1, Ordering::Relaxed);
        lease.release().await.unwrap();
    }
}

/// A claim may be dropped at any await: the job goes to the next worker, and the attempt doesn't count.
#[tokio::test(start_paused = true)]
async fn a_claim_that_is_dropped_at_any_await_loses_no_job() {
    let server = server().await;
    let (client, _) = worker(&server);
    client.create(NewJob::default().external()).await.unwrap();
    let mut polls = 0;
    loop {
        let mut claim = pin!(client.claim().lease(10 * SECOND).into_future());
        let mut polled = 0;
        let claimed = loop {
            if polled == polls {
                break None;
            }
            match futures_util::poll!(claim.as_mut()) {
                std::task::Poll::Ready(claimed) => break claimed.unwrap(),
                std::task::Poll::Pending => tokio::task::yield_now().await,
            }
            polled += 1;
        };
        if let Some(lease) = claimed {
            assert_eq!(lease.job().attempts, Some(1), "after {polls} polls");
            lease.complete(&1).await.unwrap();
            break;
        }
        polls += 1;
    }
    assert!(polls > 1, "it was dropped on its way");
}
