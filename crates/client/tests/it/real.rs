//! Against the real server, in one process: what waiting costs there, how late the news is, and what only it can tell.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use abide::strategy::Webhook;
use abide::webhooks::{EndpointChange, NewEndpoint, Rotation};
use abide::{
    Body, BoxFuture, Change, Client, EventKind, Http, JobHandle, Receiver, Transport,
    TransportError,
};
use abide_testkit::{InProcess, TestServer, lasting};
use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response};
use tokio::time::{Instant, timeout};

use crate::world::{Fault, Manner, World};

const SECOND: Duration = Duration::from_secs(1);

/// A transport that notes when it sends, and can break what it has sent.
#[derive(Clone)]
struct Counted {
    inner: Arc<dyn Transport>,
    sent: Arc<Mutex<Vec<Instant>>>,
    breaks: Arc<AtomicUsize>,
}

impl Counted {
    fn new(inner: impl Transport) -> Self {
        Self {
            inner: Arc::new(inner),
            sent: Arc::default(),
            breaks: Arc::default(),
        }
    }

    fn count(&self) -> usize {
        self.sent.lock().unwrap().len()
    }

    /// The most requests in any second but the first.
    fn busiest_second(&self) -> usize {
        let sent = self.sent.lock().unwrap();
        let later: Vec<_> = sent.iter().filter(|at| **at > sent[0] + SECOND).collect();
        let within = |from: Instant| move |at: &&&Instant| (from..from + SECOND).contains(**at);
        let counts = later
            .iter()
            .map(|from| later.iter().filter(within(**from)).count());
        counts.max().unwrap_or_default()
    }
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counted")
    }
}

impl Transport for Counted {
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> BoxFuture<'_, Result<Response<Body>, TransportError>> {
        self.sent.lock().unwrap().push(crate::world::now());
        Box::pin(async move {
            let answer = self.inner.send(request).await?;
            let breaks = self.breaks.swap(0, Ordering::SeqCst);
            if breaks == 0 {
                return Ok(answer);
            }
            // That number of parts come, and then the connection breaks.
            let (head, mut body) = answer.into_parts();
            let parts = async_parts(&mut body, breaks).await;
            let broken = [Err(TransportError::broken("it was cut"))];
            let all = parts.into_iter().map(Ok).chain(broken);
            Ok(Response::from_parts(
                head,
                Body::stream(futures_util::stream::iter(all)),
            ))
        })
    }
}

async fn async_parts(body: &mut Body, count: usize) -> Vec<Bytes> {
    let mut parts = Vec::new();
    while parts.len() < count
        && let Some(part) = body.chunk().await
    {
        parts.push(part.unwrap());
    }
    parts
}

async fn server() -> (TestServer, Counted, Client) {
    server_that_holds("50s").await
}

async fn server_that_holds(hold_max: &str) -> (TestServer, Counted, Client) {
    let mut config = TestServer::config();
    config.hold_max = hold_max.parse().unwrap();
    let server = TestServer::start(config).await.unwrap();
    let door = Counted::new(InProcess::new(server.state()));
    let client = server.client_builder().transport(door.clone()).build();
    (server, door, client.unwrap())
}

#[tokio::test(start_paused = true)]
async fn reads_that_lag_behind_the_create_are_borne() {
    let (_server, door, client) = server().await;
    let mut job = lasting(Duration::from_secs(3));
    let lags = abide_wire::Fault {
        first: Some(2),
        ..abide_wire::Fault::new(abide_wire::FaultKind::NotFoundFirst)
    };
    job.simulate.get_or_insert_default().faults = Some(vec![lags]);
    let job = client.create(job).await.unwrap();
    assert!(job.wait().await.unwrap().is_completed());
    assert_eq!(door.count(), 4);
}

#[tokio::test(start_paused = true)]
async fn auto_spends_two_requests_on_a_job_of_up_to_a_minute_and_knows_of_its_end_at_once() {
    // Where no proxy on the way cuts a request after a minute.
    for length in [0.05, 0.3, 1.0, 4.7, 19.0, 33.3, 59.9] {
        let (_server, door, client) = server_that_holds("60s").await;
        let length = Duration::from_secs_f64(length);
        let job = client.create(lasting(length)).await.unwrap();
        let done = job.wait().await.unwrap();
        // The create is one of them.
        assert!(door.count() <= 2, "{length:?}: {}", door.count());
        let late = done.report().detection.unwrap();
        assert!(late < Duration::from_millis(5), "{length:?}: {late:?}");
    }
}

#[tokio::test]
async fn over_sockets_the_end_is_known_soon() {
    let server = TestServer::start(TestServer::config()).await.unwrap();
    let (mut spent, mut late) = (Vec::new(), Vec::new());
    for length in 1..=21 {
        let transport = Counted::new(Http::new(5 * SECOND));
        let client = server.client_builder().transport(transport.clone());
        let client = client.build().unwrap();
        let job = client.create(lasting(Duration::from_millis(length * 10)));
        let done = job.await.unwrap().wait().await.unwrap();
        spent.push(transport.count());
        late.push(done.report().detection.unwrap());
    }
    // The benchmark says how soon, and virtual time how many; a test over sockets must be green on a busy machine too.
    spent.sort_unstable();
    assert!(spent[10] <= 2, "{spent:?}");
    late.sort();
    assert!(late[10] < SECOND, "{late:?}");
    server.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_thousand_jobs_in_one_process_spend_at_most_three_requests_a_second() {
    for as_a_set in [true, false] {
        let (server, door, client) = server().await;
        let creates = (0..1_000).map(|n| {
            let creator = server.in_process();
            let job = lasting(Duration::from_millis(10_000 + n * 20));
            async move { creator.create(job).await.unwrap().id().clone() }
        });
        let ids = join_all(creates).await;
        let began = crate::world::now();
        let jobs: Vec<JobHandle> = ids.into_iter().map(|id| client.job(id)).collect();
        let ended = if as_a_set {
            client.set(jobs).await
        } else {
            let waits = jobs
                .iter()
                .map(|job| async { (job.id().clone(), job.wait().await) });
            join_all(waits).await
        };
        assert!(ended.iter().all(|(_, ended)| ended.is_ok()));
        let rate = door.count() as f64 / began.elapsed().as_secs_f64();
        assert!(rate <= 3.0, "{rate} requests per second");
        // The fewer are left, the sooner each is told of.
        assert!(door.busiest_second() <= 12, "{}", door.busiest_second());
    }
}

#[tokio::test(start_paused = true)]
async fn the_feed_tells_every_change_of_every_job_once_though_its_connection_breaks() {
    let (server, door, client) = server().await;
    let mut feed = client.feed();
    assert_eq!(feed.place(), None);
    // It is open before the jobs are made: nothing comes, and nothing is lost by giving up.
    assert!(timeout(SECOND, feed.next()).await.is_err());
    let other = server.in_process();
    let mut told = Vec::new();
    for (n, length) in [3, 20].into_iter().enumerate() {
        let job = other.create(lasting(length * SECOND)).await.unwrap();
        let _ = job.wait().await.unwrap();
        let mut kinds = Vec::new();
        loop {
            match feed.next().await.unwrap().unwrap() {
                // The server has a job of its own.
                Change::Event(event) if event.data.id != *job.id() => {}
                Change::Event(event) => {
                    kinds.push((event.kind.clone(), event.data.revision.0));
                    if event.data.done {
                        break;
                    }
                }
                change => panic!("{n}: {change:?} at {:?} after {kinds:?}", feed.place()),
            }
        }
        let revisions: Vec<u64> = kinds.iter().map(|(_, revision)| *revision).collect();
        let expected: Vec<u64> = (1..=revisions.len() as u64).collect();
        assert_eq!(revisions, expected);
        assert_eq!(kinds[0].0, EventKind::Created);
        told.push(kinds.len());
        if n == 0 {
            // The next connection, from this place, brings three parts and breaks.
            let place = feed.place().unwrap().clone();
            feed = client.feed().after(place);
            door.breaks.store(3, Ordering::SeqCst);
        }
    }
    assert!(told[0] > 2 && told[1] > 2, "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_feed_ends_with_an_error_when_nobody_answers_for_long_or_there_is_none() {
    let dead = World::with(Manner::default(), |_| Fault::Refuse);
    let mut feed = dead.client().feed();
    let error = feed.next().await.unwrap().unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
    assert!(dead.elapsed() > 25 * SECOND, "{:?}", dead.elapsed());
    assert!(feed.next().await.is_none());
    let world = World::new();
    let error = world.client().feed().next().await.unwrap().unwrap_err();
    assert!(error.is_refused(), "{error:?}");
    assert_eq!(world.requests(), 1);
}

#[tokio::test]
async fn a_webhook_and_a_wait_meet_in_the_inbox() {
    let server = TestServer::start(TestServer::config()).await.unwrap();
    let client = server.client();
    let receiver = Receiver::bind("127.0.0.1:0").await.unwrap();
    let job = lasting(Duration::from_millis(300)).webhook(receiver.target());
    let job = client.create(job).await.unwrap();
    let strategy = Webhook::new(receiver.inbox());
    let done = job.wait().strategy(strategy).deadline(20 * SECOND).await;
    let done = done.unwrap();
    assert_eq!(done.report().channel, Some(abide::Channel::Push));
    assert_eq!(done.report().requests, 0);
    drop(receiver);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn webhook_endpoints_are_made_shown_changed_tried_and_removed() {
    let server = TestServer::start(TestServer::config()).await.unwrap();
    let client = server.client();
    let webhooks = client.webhooks();
    let receiver = Receiver::bind("127.0.0.1:0").await.unwrap();
    let new = NewEndpoint {
        url: receiver.url(),
        secret: Some(receiver.secret().expose().into()),
        ..NewEndpoint::default()
    };
    let made = webhooks.create(&new).await.unwrap();
    assert_eq!(made.secret, new.secret, "it is shown to its maker");
    let id = made.id.as_str();
    assert_eq!(webhooks.read(id).await.unwrap().secret, None);
    let page = webhooks.list(None).await.unwrap();
    assert_eq!(page.webhooks.len(), 1);
    assert!(webhooks.list(Some("nonsense")).await.is_err());

    let sent = webhooks.test(id).await.unwrap();
    let again = webhooks.retry(&sent.id).await.unwrap();
    assert_eq!(again.id, sent.id);
    assert_eq!(webhooks.delivery(&sent.id).await.unwrap().endpoint_id, id);
    let page = webhooks.deliveries(id, None).await.unwrap();
    assert_eq!(page.deliveries[0].id, sent.id);
    let replay = webhooks
        .replay(id, Some(made.created_at), true)
        .await
        .unwrap();
    assert!(replay.replayed <= 1, "{replay:?}");

    let off = EndpointChange {
        enabled: Some(false),
        ..EndpointChange::default()
    };
    assert!(!webhooks.update(id, &off).await.unwrap().enabled);
    assert_eq!(webhooks.test(id).await.unwrap_err().status(), Some(409));
    let rotated = webhooks.rotate(id, &Rotation::default()).await.unwrap();
    assert!(rotated.secret.is_some() && rotated.secret != new.secret);

    webhooks.delete(id).await.unwrap();
    webhooks.delete(id).await.unwrap();
    assert!(webhooks.read(id).await.unwrap_err().is_not_found());
    assert!(webhooks.read("..").await.unwrap_err().is_usage());
    server.stop().await.unwrap();
}
