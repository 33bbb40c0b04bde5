//! Real server, real sockets, the client's own receiver: a wait that is woken by a push.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use abide::schedule::Fixed;
use abide::strategy::Webhook;
use abide::{Channel, Client, Inbox, NewJob, Receiver};
use abide_testkit::{TestServer, lasting};
use abide_wire::{EventKind, Fault, FaultKind, Simulate, WebhookTarget, limits};

/// So seldom that no test is still there at the second poll.
const SELDOM: Duration = Duration::from_secs(600);

async fn set_up() -> (TestServer, Client, Receiver) {
    let server = TestServer::start(TestServer::config()).await.unwrap();
    let client = server.client();
    (server, client, Receiver::bind("127.0.0.1:0").await.unwrap())
}

fn with_fault(kind: FaultKind) -> NewJob {
    let mut simulate = Simulate::fixed(Duration::from_millis(50));
    let fault = Fault::new(kind);
    simulate.faults = Some(vec![fault]);
    NewJob::default().simulate(simulate)
}

#[tokio::test]
async fn a_push_ends_the_wait_without_a_request() {
    let (server, client, receiver) = set_up().await;
    let strategy = Webhook::new(receiver.inbox()).polls(Fixed::new(SELDOM));
    let new = lasting(Duration::from_millis(50)).webhook(receiver.target());
    let job = client.create(new).await.unwrap();
    let done = job.wait().strategy(strategy).await.unwrap();
    assert!(done.is_completed());
    let report = done.report();
    assert_eq!((report.channel, report.requests), (Some(Channel::Push), 0));
    assert_eq!(receiver.inbox().listeners(), 0);
    receiver.close().await;
    server.stop().await.unwrap();
}

#[tokio::test]
async fn the_largest_event_that_is_sent_is_taken() {
    let (server, client, receiver) = set_up().await;
    let new = |bytes: usize| NewJob {
        worker: Some(abide_wire::Worker::External),
        input: Some(serde_json::json!("x".repeat(bytes)).into()),
        kind: Some("k".repeat(limits::WORD_CHARS_MAX)),
        ..NewJob::default()
    };
    // As much as a create and a report may say.
    let room = limits::BODY_BYTES_MAX - 500;
    let job = client
        .create(new(room).webhook(receiver.target()))
        .await
        .unwrap();
    let report = abide_engine::Report {
        owner: abide_engine::Owner::ANYONE,
        job: job.id().as_str().parse().unwrap(),
        if_match: None,
        lease: None,
        work: abide_engine::Work::Result(abide_engine::Json::from(&"x".repeat(room).into())),
    };
    let strategy = Webhook::new(receiver.inbox()).polls(Fixed::new(SELDOM));
    let waiting = job.wait().strategy(strategy);
    server.state().commands.ask(report).await.unwrap();
    let done = tokio::time::timeout(Duration::from_secs(20), waiting).await;
    let report = done.expect("it is taken at the first attempt").unwrap();
    assert_eq!(report.report().channel, Some(Channel::Push));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn many_waits_share_one_receiver() {
    let (server, client, receiver) = set_up().await;
    let strategy = Webhook::new(receiver.inbox()).polls(Fixed::new(SELDOM));
    let mut waits = Vec::new();
    for n in 0..50 {
        let new = lasting(Duration::from_millis(n * 4)).webhook(receiver.target());
        let job = client.create(new).await.unwrap();
        // Those that ended before anybody waited are found in the inbox.
        waits.push((job.id().clone(), job.wait().strategy(strategy.clone())));
    }
    for (id, wait) in waits {
        let done = wait.await.unwrap();
        assert_eq!(done.job().id, id);
        assert_eq!(done.report().channel, Some(Channel::Push));
    }
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_push_that_is_lost_is_made_up_for_by_a_poll() {
    let (server, client, receiver) = set_up().await;
    let strategy = Webhook::new(receiver.inbox()).polls(Fixed::new(Duration::from_millis(200)));
    let new = with_fault(FaultKind::WebhookLost).webhook(receiver.target());
    let job = client.create(new).await.unwrap();
    let done = job.wait().strategy(strategy).await.unwrap();
    assert!(done.is_completed());
    assert_eq!(done.report().channel, Some(Channel::Poll));
    server.stop().await.unwrap();
}

#[tokio::test]
async fn pushes_that_are_doubled_or_early_are_news_once_and_in_order() {
    let (server, client, _) = set_up().await;
    for kind in [FaultKind::WebhookDoubled, FaultKind::WebhookEarly] {
        let inbox = Inbox::new();
        let taken: Arc<Mutex<Vec<u64>>> = Arc::default();
        let revisions = taken.clone();
        let receiver = Receiver::builder()
            .inbox(&inbox)
            .on_delivery(move |delivery| {
                let job = delivery.job().expect("it tells of a job");
                revisions.lock().unwrap().push(job.revision.0);
                async { true }
            })
            .bind("127.0.0.1:0")
            .await
            .unwrap();
        let target = WebhookTarget {
            events: Some(EventKind::ALL.map(|kind| kind.as_str().to_owned()).to_vec()),
            ..receiver.target()
        };
        let job = client
            .create(with_fault(kind).webhook(target))
            .await
            .unwrap();
        let strategy = Webhook::new(&inbox).polls(Fixed::new(SELDOM));
        let done = job.wait().strategy(strategy).await.unwrap();
        assert_eq!(done.report().channel, Some(Channel::Push), "{kind:?}");
        receiver.close().await;
        let mut taken = taken.lock().unwrap().clone();
        taken.sort_unstable();
        let distinct = taken.len();
        taken.dedup();
        assert_eq!(taken.len(), distinct, "{kind:?}: each is taken once");
    }
    server.stop().await.unwrap();
}
