//! Is told of the end by a signed webhook, with seldom polls as a safety net: `abide serve`, then
//! `cargo run -p abide --features inbox --example webhook`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use abide::strategy::Webhook;
use abide::{Client, NewJob, Receiver};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    run("http://127.0.0.1:8080").await
}

pub(crate) async fn run(server: &str) -> Result<(), Failure> {
    let client = Client::new(server)?;
    // It verifies signatures, drops duplicates and wakes the waits. A server elsewhere needs an address that it can
    // reach.
    let receiver = Receiver::bind("127.0.0.1:0").await?;
    let new = NewJob::new("video_translation").webhook(receiver.target());
    let job = client.create(new).await?;

    // The first of push and poll wins, so a push that gets lost is no disaster.
    let done = job.wait().strategy(Webhook::new(receiver.inbox())).await?;
    let report = done.report();
    println!(
        "{}, told by {} after {} requests",
        done.outcome(),
        report.channel.map_or("nobody", abide::Channel::as_str),
        report.requests,
    );
    Ok(())
}
