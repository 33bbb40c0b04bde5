//! Waits for many jobs with one held request: `abide serve`, then `cargo run -p abide --example many`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::time::Duration;

use abide::{Client, Error, NewJob};

#[tokio::main]
async fn main() -> Result<(), Error> {
    run("http://127.0.0.1:8080").await
}

pub(crate) async fn run(server: &str) -> Result<(), Error> {
    let client = Client::new(server)?;
    // One deadline for all of them; more can be inserted at any time.
    let mut set = client.set([]).deadline(Duration::from_secs(60));
    for language in ["de", "en", "es", "fr", "it", "ja", "ko", "nl", "pl", "pt"] {
        let input = serde_json::json!({"language": language});
        let job = client.create(NewJob::new("video_translation").input(input));
        set.insert(job.await?);
    }

    // Each is told of when it ends; one that is lost or fails is lost or fails by itself alone.
    let mut requests = 0.0;
    while let Some((id, outcome)) = set.join_next().await {
        match outcome {
            Ok(done) => {
                requests += done.report().requests_share;
                println!("{id} {}", done.outcome());
            }
            Err(error) => println!("{error}"),
        }
    }
    println!("{requests:.0} requests in all");
    Ok(())
}
