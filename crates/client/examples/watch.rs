//! Shows how a job comes along: `abide serve`, then `cargo run -p abide --example watch`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use abide::{Client, Error, NewJob};

#[tokio::main]
async fn main() -> Result<(), Error> {
    run("http://127.0.0.1:8080").await
}

pub(crate) async fn run(server: &str) -> Result<(), Error> {
    let client = Client::new(server)?;
    let job = client.create(NewJob::new("video_translation")).await?;

    // Every state once, in order, over one stream of events; over held requests or polls where streams don't work.
    let mut updates = job.watch();
    while let Some(state) = updates.next().await {
        let state = state?;
        match &state.progress {
            Some(progress) => println!("{} {:.0} %", state.status, progress.percent),
            None => println!("{}", state.status),
        }
    }
    Ok(())
}
