//! Every example runs, against the real server.

use std::time::Duration;

use abide::NewJob;
use abide_testkit::TestServer;
use abide_wire::{DurationLaw, Span};
use serde_json::json;

#[path = "../../examples/foreign.rs"]
#[expect(dead_code, reason = "a test has a main of its own")]
mod foreign;
#[path = "../../examples/many.rs"]
#[expect(dead_code, reason = "a test has a main of its own")]
mod many;
#[path = "../../examples/poll.rs"]
#[expect(dead_code, reason = "a test has a main of its own")]
mod poll;
#[path = "../../examples/wait.rs"]
#[expect(dead_code, reason = "a test has a main of its own")]
mod wait;
#[path = "../../examples/watch.rs"]
#[expect(dead_code, reason = "a test has a main of its own")]
mod watch;
#[path = "../../examples/webhook.rs"]
#[expect(dead_code, reason = "a test has a main of its own")]
mod webhook;
#[path = "../../../../examples/worker/worker.rs"]
#[expect(dead_code, reason = "a test has a main of its own")]
mod worker;

/// A server whose jobs are soon done, and done well.
async fn server() -> TestServer {
    let mut config = TestServer::config();
    config.duration = DurationLaw::Fixed(Span::new(Duration::from_millis(200)));
    config.error_chance = 0.0;
    TestServer::start(config).await.unwrap()
}

#[tokio::test]
async fn every_example_runs() {
    let server = server().await;
    let url = server.url();
    wait::run(&url).await.unwrap();
    watch::run(&url).await.unwrap();
    many::run(&url).await.unwrap();
    webhook::run(&url).await.unwrap();
    foreign::run(&url).await.unwrap();
    poll::run(&url).await.unwrap();
    let client = server.client();
    for (input, outcome) in [(json!({"talk": 7}), "completed"), (json!({}), "failed")] {
        let new = NewJob::new("dub").input(input).external();
        let job = client.create(new).await.unwrap();
        worker::work(&client, Duration::from_millis(1))
            .await
            .unwrap();
        assert_eq!(job.status().await.unwrap().status.as_str(), outcome);
    }
    server.stop().await.unwrap();
}
