//! Polls, for servers that hold nothing, when it is worth it: `abide serve`, then `cargo run -p abide --example poll`.
//!
//! The schedule learns from each job how long such jobs take, so that later ones cost fewer requests and are known of
//! sooner. What it learned is kept in a directory for the next process.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use abide::schedule::{Dial, Learned};
use abide::strategy::Poll;
use abide::{Client, NewJob};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    run("http://127.0.0.1:8080").await
}

pub(crate) async fn run(server: &str) -> Result<(), Failure> {
    let client = Client::builder(server)
        .state_dir(std::env::temp_dir().join("abide-example"))
        .build()?;
    // A request is worth two seconds of lateness: the default is half a second.
    let schedule = Learned::new("translation").dial(Dial::Frugal);
    for _ in 0..3 {
        let job = client.create(NewJob::new("video_translation")).await?;
        let done = job.wait().strategy(Poll::by(schedule.clone())).await?;
        let report = done.report();
        println!(
            "{} after {} polls, known {:.1?} after its end",
            done.outcome(),
            report.requests,
            report.detection.unwrap_or_default(),
        );
    }
    // It writes files; in a program that goes on, call it through `spawn_blocking`.
    client.save_history()?;
    Ok(())
}
