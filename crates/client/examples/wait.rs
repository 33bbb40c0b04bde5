//! Creates a job and waits for its end: `abide serve`, then `cargo run -p abide --example wait`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use abide::{Client, Error, NewJob};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> Result<(), Error> {
    run("http://127.0.0.1:8080").await
}

pub(crate) async fn run(server: &str) -> Result<(), Error> {
    let client = Client::new(server)?;
    let video = json!({"video_url": "https://example.com/a.mp4", "language": "es"});
    let job = client
        .create(NewJob::new("video_translation").input(video))
        .await?;
    println!("created {}", job.id());

    let done = match job.wait().deadline(Duration::from_secs(60)).await {
        Err(error) if error.is_still_running() => {
            // The job goes on. With the token any process goes on waiting.
            println!("still running; {}", job.resume_token());
            return Ok(());
        }
        ended => ended?,
    };
    let report = done.report();
    println!(
        "{} after {} held requests and {:.1?}, known {:.1?} after its end",
        done.outcome(),
        report.requests,
        report.elapsed,
        report.detection.unwrap_or_default(),
    );
    let result: Value = done.result()?;
    println!("{result}");
    Ok(())
}
